package store_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ringback/consent"
	"ringback/store"
	"ringback/store/storetest"
)

func TestDamagedCopyOfTheIndex(t *testing.T) {
	t.Parallel()
	h := storetest.New(t)
	ids := askMany(t, h, 200)
	h.Reopen()
	path := filepath.Join(h.Config.Dir, "index.snapshot")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 12 {
		bad := slices.Clone(good)
		switch i {
		case 0:
			bad = nil
		case 1:
			bad = bad[:len(bad)/2]
		default:
			bad[rnd.IntN(len(bad))] ^= 1 << rnd.IntN(8)
		}
		h.Close()
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		h.Reopen()
		for _, id := range ids {
			if _, ok := h.Peek(id); !ok {
				t.Fatalf("copy %d: a request is missing", i)
			}
		}
	}
}

func TestCopyAheadOfTheFacts(t *testing.T) {
	t.Parallel()
	h := storetest.New(t)
	h.Asked("alice")
	h.Close()
	backup := t.TempDir()
	if err := os.CopyFS(backup, os.DirFS(h.Config.Dir)); err != nil {
		t.Fatal(err)
	}
	h.Reopen()
	h.Asked("alice")
	h.Close()
	// An older backup is restored, but for the copy of the index.
	data := filepath.Join(h.Config.Dir, "nats")
	if err := errors.Join(os.RemoveAll(data), os.Remove(filepath.Join(h.Config.Dir, "head"))); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(data, os.DirFS(filepath.Join(backup, "nats"))); err != nil {
		t.Fatal(err)
	}
	var lost *consent.LostError
	if _, err := store.Open(t.Context(), h.Config); !errors.As(err, &lost) || lost.Losses[0].Stream != "CONSENT" || lost.Losses[0].From != 2 || lost.Losses[0].To != 2 {
		t.Errorf("Open = %v, want that fact 2 is lost", err)
	}
}
