package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/consent"
	"ringback/store"
	"ringback/store/storetest"
)

// batches counts the writes that were acknowledged together.
func batches(n *atomic.Int64) func(c *store.Config) {
	return func(c *store.Config) {
		c.OnCommit = func(facts int, took time.Duration) {
			if facts > 1 {
				n.Add(int64(facts))
			}
		}
	}
}

func TestBatchesAreKept(t *testing.T) {
	t.Parallel()
	var together atomic.Int64
	h := storetest.New(t, batches(&together))
	ids := askMany(t, h, 1000)
	if together.Load() == 0 {
		t.Error("a thousand requests of 256 writers and not one batch")
	}
	h.Reopen()
	for _, id := range ids {
		if _, err := h.Get(t.Context(), id); err != nil {
			t.Fatalf("Get after a restart: %v", err)
		}
	}
	link := filepath.Join(h.Config.Dir, "nats", "jetstream", "$G", "streams", "ringback_CONSENT", "batches")
	staged, err := os.Readlink(link)
	if err != nil {
		return // no memory to be had here, the server stages on disk
	}
	// Where batches cannot be staged, facts are written one by one.
	if err := os.RemoveAll(staged); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(staged, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(staged)
	together.Store(0)
	askMany(t, h, 500)
	if n := together.Load(); n != 0 {
		t.Errorf("%d facts were written in batches that could not be staged", n)
	}
	if err := os.Remove(staged); err != nil {
		t.Fatal(err)
	}
	h.Reopen()
	askMany(t, h, 500)
	if together.Load() == 0 {
		t.Error("no batches after a restart with room to stage them")
	}
	h.Close()
	if _, err := os.Stat(staged); err == nil {
		t.Error("memory of staged batches is not given back")
	}
}

func TestFactsAreBounded(t *testing.T) {
	t.Parallel()
	h := storetest.New(t)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			req := h.Request("alice")
			if i == 32 {
				req.BindingMessage = strings.Repeat("x", 40<<10)
			}
			if err := h.Ask(t.Context(), req); (err != nil) != (i == 32) {
				t.Errorf("Ask = %v, want an error for the large one only", err)
			}
		})
	}
	wg.Wait()
	big := h.Request("alice", func(r *consent.Request) { r.BindingMessage = strings.Repeat("x", 30<<10) })
	if err := h.Ask(t.Context(), big); err != nil {
		t.Errorf("Ask with 30 KiB: %v", err)
	}
}

// TestHalfABatch: of facts that were written together a full disk or a power cut
// may keep a part, and nothing of where the server had staged them. Nobody was told
// of any, and it opens.
func TestHalfABatch(t *testing.T) {
	t.Parallel()
	h := storetest.New(t)
	var asking sync.WaitGroup
	for range 64 {
		asking.Go(func() { h.Asked("alice") })
	}
	asking.Wait()
	killed := t.TempDir()
	if err := os.CopyFS(killed, withoutLinks{os.DirFS(h.Config.Dir)}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(removeAll(killed, "index.db"), os.Remove(filepath.Join(killed, "head"))); err != nil {
		t.Fatal(err)
	}
	block := filepath.Join(streamDir(killed, "ringback_CONSENT"), "msgs", "1.blk")
	fi, err := os.Stat(block)
	if err != nil {
		t.Fatal(err)
	}
	for size := fi.Size(); size > fi.Size()/2; size -= fi.Size() / 20 {
		if err := os.Truncate(block, size); err != nil {
			t.Fatal(err)
		}
		cfg := h.Config
		cfg.Dir = t.TempDir()
		if err := os.CopyFS(cfg.Dir, os.DirFS(killed)); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(t.Context(), cfg)
		if err != nil {
			t.Errorf("with %d of %d bytes: Open = %v", size, fi.Size(), err)
			continue
		}
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
