package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/consent"
	"ringback/store"
)

// streamFiles is where an embedded store keeps a stream.
func streamFiles(dir, stream string) string {
	return filepath.Join(dir, "nats", "jetstream", "$G", "streams", stream)
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, unlinked{os.DirFS(from)}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// unlinked leaves out what leads to memory.
type unlinked struct{ fs.FS }

func (f unlinked) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(f.FS, name)
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool { return e.Type()&fs.ModeSymlink != 0 }), err
}

func changeFile(t *testing.T, path string, how func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, how(data), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// toldRuin is a ruin with copies of its directory: of an earlier day, and as a kill
// left it with facts that are not sealed.
func toldRuin(t *testing.T, change ...func(*store.Config)) (r *ruin, earlier, killed string) {
	t.Helper()
	r = newRuin(t, change...)
	r.tell(2, true)
	r.h.Close()
	earlier = copyDir(t, r.h.Config.Dir)
	r.h.Reopen()
	r.tell(2, true)
	r.before = r.export()
	r.tell(1, false)
	killed = copyDir(t, r.h.Config.Dir)
	r.h.Close()
	return r, earlier, killed
}

// at is the ruin with another directory.
func (r *ruin) at(t *testing.T, dir string) *ruin {
	c := *r
	c.t, c.asked, c.gone = t, maps.Clone(r.asked), maps.Clone(r.gone)
	h := *r.h
	h.Store, h.Config.Dir = nil, dir
	c.h = h.For(t)
	return &c
}

// damages are what may happen to an embedded store.
var damages = []struct {
	name    string
	times   int
	newKeys bool // it needs the flag
	damage  func(t *testing.T, dir, earlier string, rnd *rand.Rand)
}{
	{"a bit of the facts", 4, false, func(t *testing.T, dir, _ string, rnd *rand.Rand) { flipIn(t, dir, "ringback_CONSENT", rnd) }},
	{"the end of the facts", 3, false, func(t *testing.T, dir, _ string, rnd *rand.Rand) { cutIn(t, dir, "ringback_CONSENT", rnd) }},
	{"the facts' block", 1, false, func(t *testing.T, dir, _ string, _ *rand.Rand) {
		removeAll(t, filepath.Join(streamFiles(dir, "ringback_CONSENT"), "msgs", "1.blk"))
	}},
	{"the facts' key", 1, false, func(t *testing.T, dir, _ string, _ *rand.Rand) {
		removeAll(t, filepath.Join(streamFiles(dir, "ringback_CONSENT"), "msgs", "1.key"))
	}},
	{"all facts", 1, false, func(t *testing.T, dir, _ string, _ *rand.Rand) { removeAll(t, streamFiles(dir, "ringback_CONSENT")) }},
	{"the facts of before", 1, false, func(t *testing.T, dir, earlier string, _ *rand.Rand) { setBackTo(t, dir, earlier, "ringback_CONSENT") }},
	{"a bit of the chain", 3, false, func(t *testing.T, dir, _ string, rnd *rand.Rand) { flipIn(t, dir, "ringback_AUDIT", rnd) }},
	{"the end of the chain", 2, false, func(t *testing.T, dir, _ string, rnd *rand.Rand) { cutIn(t, dir, "ringback_AUDIT", rnd) }},
	{"the chain", 1, false, func(t *testing.T, dir, _ string, _ *rand.Rand) { removeAll(t, streamFiles(dir, "ringback_AUDIT")) }},
	{"the chain of before", 1, false, func(t *testing.T, dir, earlier string, _ *rand.Rand) { setBackTo(t, dir, earlier, "ringback_AUDIT") }},
	{"a bit of the evidence", 2, false, func(t *testing.T, dir, _ string, rnd *rand.Rand) { flipIn(t, dir, "ringback_EVIDENCE", rnd) }},
	{"the evidence", 1, false, func(t *testing.T, dir, _ string, _ *rand.Rand) { removeAll(t, streamFiles(dir, "ringback_EVIDENCE")) }},
	{"facts and evidence", 2, false, func(t *testing.T, dir, _ string, rnd *rand.Rand) {
		flipIn(t, dir, "ringback_CONSENT", rnd)
		flipIn(t, dir, "ringback_EVIDENCE", rnd)
	}},
	{"facts, chain and evidence", 2, false, func(t *testing.T, dir, _ string, rnd *rand.Rand) {
		cutIn(t, dir, "ringback_CONSENT", rnd)
		flipIn(t, dir, "ringback_AUDIT", rnd)
		cutIn(t, dir, "ringback_EVIDENCE", rnd)
	}},
	{"what was seen", 1, false, func(t *testing.T, dir, _ string, _ *rand.Rand) { removeAll(t, streamFiles(dir, "ringback_SEEN")) }},
	{"people", 1, false, func(t *testing.T, dir, _ string, _ *rand.Rand) { removeAll(t, streamFiles(dir, "KV_ringback_PEOPLE")) }},
	{"clients of before", 1, false, func(t *testing.T, dir, earlier string, _ *rand.Rand) {
		setBackTo(t, dir, earlier, "KV_ringback_CLIENTS")
	}},
	{"the data keys", 1, true, func(t *testing.T, dir, _ string, _ *rand.Rand) { removeAll(t, streamFiles(dir, "ringback_DEK")) }},
	{"some data keys", 1, true, func(t *testing.T, dir, earlier string, _ *rand.Rand) { setBackTo(t, dir, earlier, "ringback_DEK") }},
}

func flipIn(t *testing.T, dir, stream string, rnd *rand.Rand) {
	changeFile(t, filepath.Join(streamFiles(dir, stream), "msgs", "1.blk"), func(b []byte) []byte {
		b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
		return b
	})
}

func cutIn(t *testing.T, dir, stream string, rnd *rand.Rand) {
	changeFile(t, filepath.Join(streamFiles(dir, stream), "msgs", "1.blk"), func(b []byte) []byte { return b[:rnd.IntN(len(b))] })
}

func removeAll(t *testing.T, path string) {
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func setBackTo(t *testing.T, dir, earlier, stream string) {
	removeAll(t, streamFiles(dir, stream))
	if err := os.CopyFS(streamFiles(dir, stream), os.DirFS(streamFiles(earlier, stream))); err != nil {
		t.Fatal(err)
	}
}

// TestRepair: whatever is damaged, a store is refused, and serves again after a
// repair, which gives no second token, seals what comes, and says what is lost. A
// second repair has nothing to do.
func TestRepair(t *testing.T) {
	t.Parallel()
	r, earlier, killed := toldRuin(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for _, tt := range damages {
		for i := range tt.times {
			dir := copyDir(t, killed)
			if i%2 == 1 || tt.times == 1 {
				dir = copyDir(t, r.h.Config.Dir)
			}
			tt.damage(t, dir, earlier, rnd)
			t.Run(fmt.Sprint(tt.name, " ", i), func(t *testing.T) {
				r := r.at(t, dir)
				if s, err := store.Open(t.Context(), r.h.Config); err == nil {
					s.Close(t.Context())
					return // what was changed was not acknowledged, see store.TestDamage
				} else if !errors.Is(err, consent.ErrLost) && !errors.Is(err, store.ErrIncomplete) {
					t.Fatal(err)
				}
				if done, err := r.repair(store.RepairConfig{}, nil); done || err != nil {
					t.Fatalf("a dry run: %v, %v\n%s", done, err, r.printed.String())
				}
				done, err := r.repair(store.RepairConfig{Write: true}, nil)
				if tt.newKeys {
					if err == nil || !strings.Contains(err.Error(), "--new-keys") {
						t.Fatalf("without data keys: %v, %v\n%s", done, err, r.printed.String())
					}
					done, err = r.repair(store.RepairConfig{Write: true, NewKeys: true}, nil)
				}
				if !done || err != nil {
					t.Fatalf("repair: %v, %v\n%s", done, err, r.printed.String())
				}
				r.ends = strings.Contains(r.printed.String(), "CONSENT")
				r.repaired()
				r.h.Close()
				if done, err := r.repair(store.RepairConfig{Write: true}, nil); !done || err != nil || !strings.Contains(r.printed.String(), "nothing is lost") {
					t.Errorf("a second repair: %v, %v\n%s", done, err, r.printed.String())
				}
			})
		}
	}
}
