package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"ringback/consent"
	"ringback/store"
	"ringback/store/storetest"
)

// TestRepairOutside is TestRepair for a store on an external server.
func TestRepairOutside(t *testing.T) {
	t.Parallel()
	files := func(dir, stream string) string { return filepath.Join(dir, "jetstream", "$G", "streams", stream) }
	block := func(t *testing.T, dir, stream string, how func([]byte) []byte) {
		changeFile(t, filepath.Join(files(dir, stream), "msgs", "1.blk"), how)
	}
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	back := func(t *testing.T, dir, earlier, stream string) {
		removeAll(t, files(dir, stream))
		if err := os.CopyFS(files(dir, stream), os.DirFS(files(earlier, stream))); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, dir, earlier string)
	}{
		{"a bit of the facts", func(t *testing.T, dir, _ string) { block(t, dir, "ringback_CONSENT", flip) }},
		{"a bit of the facts, and no notes", func(t *testing.T, dir, _ string) {
			block(t, dir, "ringback_CONSENT", flip)
			removeAll(t, filepath.Join(files(dir, "ringback_CONSENT"), "msgs", "index.db"))
		}},
		{"all facts", func(t *testing.T, dir, _ string) { removeAll(t, files(dir, "ringback_CONSENT")) }},
		{"the facts of before", func(t *testing.T, dir, earlier string) { back(t, dir, earlier, "ringback_CONSENT") }},
		{"the chain of before", func(t *testing.T, dir, earlier string) { back(t, dir, earlier, "ringback_AUDIT") }},
		{"the evidence", func(t *testing.T, dir, _ string) { removeAll(t, files(dir, "ringback_EVIDENCE")) }},
		{"everything of before", func(t *testing.T, dir, earlier string) {
			removeAll(t, dir)
			if err := os.CopyFS(dir, os.DirFS(earlier)); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, earlier, witness := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "witness")
			var srv *storetest.Server
			var r *ruin
			start := func() {
				srv = storetest.NewServer(t, func(o *server.Options) { o.StoreDir = dir })
				if r != nil {
					srv.Use(&r.h.Config)
				}
			}
			start()
			r = newRuin(t, srv.Use, func(c *store.Config) { c.Witness = witness })
			r.tell(2, true)
			r.h.Close()
			srv.Stop()
			if err := os.CopyFS(earlier, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			start()
			r.h.Reopen()
			r.tell(2, true)
			r.before = r.export()
			if _, err := r.repair(store.RepairConfig{Write: true}, nil); !errors.Is(err, store.ErrInUse) {
				t.Errorf("repair of a store in use = %v", err)
			}
			r.h.Close()
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
				done, err := r.repair(store.RepairConfig{Write: true}, nil)
				if errors.Is(err, store.ErrInUse) && time.Now().Before(end) {
					continue
				}
				if !done || err != nil || r.printed.String() != "nothing is lost\n" {
					t.Fatalf("of an undamaged store: %v, %v\n%s", done, err, r.printed.String())
				}
				break
			}
			srv.Stop()
			tt.damage(t, dir, earlier)
			start()
			if _, err := store.Open(t.Context(), r.h.Config); !errors.Is(err, consent.ErrLost) && !errors.Is(err, store.ErrIncomplete) {
				t.Fatalf("Open = %v", err)
			}
			if done, err := r.repair(store.RepairConfig{}, nil); done || err != nil {
				t.Fatalf("a dry run: %v, %v\n%s", done, err, r.printed.String())
			}
			if _, err := r.repair(store.RepairConfig{Write: true}, func(name string) error {
				if name == "seal" {
					return errors.New("killed")
				}
				return nil
			}); err == nil || err.Error() != "killed" {
				t.Fatalf("killed: %v\n%s", err, r.printed.String())
			}
			if done, err := r.repair(store.RepairConfig{Write: true}, nil); !done || err != nil {
				t.Fatalf("%v, %v\n%s", done, err, r.printed.String())
			}
			r.ends = strings.Contains(r.printed.String(), "CONSENT")
			r.repaired()
		})
	}
}
