package store_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringback/consent"
	"ringback/store"
	"ringback/store/storetest"
)

// story is what was acknowledged of a store.
type story struct {
	decided  map[consent.ID]consent.Verb // by request
	redeemed map[consent.ID]bool
	people   []string
	clients  []string
}

// tell writes something into every stream.
func tell(t *testing.T, h *storetest.House, into *story, round int) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	person, client := fmt.Sprintf("person%d", round), fmt.Sprintf("client%d", round)
	must(h.AddPerson(ctx, &consent.Person{ID: person, Phone: consent.Phone(fmt.Sprintf("+1202555%04d", round))}))
	must(h.AddClient(ctx, &consent.Client{ID: client, Mode: consent.Poll}))
	into.people, into.clients = append(into.people, person), append(into.clients, client)
	must(h.Freeze(ctx, h.Pseudonym(person), client, time.Now().Add(time.Hour)))
	_, rev, err := h.LoadKeys(ctx)
	must(err)
	must(h.SaveKeys(ctx, []byte(fmt.Sprintf("sealed %d", round)), rev))
	for i := range 12 {
		req := h.Asked(person)
		if into.decided[req.ID] = ""; i%4 == 0 {
			continue
		}
		verb := consent.Approved
		if i%4 == 1 {
			verb = consent.Denied
		}
		_, err := h.Decide(ctx, req.ID, h.Decision(req, verb))
		must(err)
		if into.decided[req.ID] = verb; i%4 == 2 {
			_, err = h.Settle(ctx, req.ID, h.Settlement(req, consent.Redeemed))
			must(err)
			into.redeemed[req.ID] = true
		}
		_, err = h.First(ctx, "message "+req.ID.String())
		must(err)
		must(h.PutEvidence(ctx, req.Pseudonym, req.ID, []byte("evidence")))
	}
	sealAll(t, h)
}

// sealAll appends what the auditor would, but for what does not matter here.
func sealAll(t *testing.T, h *storetest.House) {
	t.Helper()
	var r struct {
		Sealed uint64    `json:"sealed"`
		At     time.Time `json:"at"`
		Facts  []any     `json:"facts"`
	}
	last, _, err := h.LastRecord(t.Context())
	if err == nil && last.Seq > 0 {
		err = json.Unmarshal(last.Data, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	facts, err := h.Facts(t.Context(), r.Sealed, 1000)
	if err != nil {
		t.Fatal(err)
	}
	r.At, r.Facts = time.Now(), nil
	for _, f := range facts {
		sum := consent.Digest(sha256.Sum256(f.Data))
		r.Sealed, r.Facts = f.Seq, append(r.Facts, map[string]any{"seq": f.Seq, "request": f.ID, "sha256": sum})
	}
	data, err := json.Marshal(r)
	if err == nil {
		_, err = h.Append(t.Context(), data, last.Seq)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// holds returns what of a story an opened store does not have.
func (st *story) missing(ctx context.Context, s *store.Store) (out []string) {
	for id, verb := range st.decided {
		switch got, err := s.Get(ctx, id); {
		case err != nil:
			out = append(out, fmt.Sprintf("request %s: %v", id, err))
		case verb != "" && (got.Decided == nil || got.Decided.Verb != verb):
			out = append(out, fmt.Sprintf("request %s: %s is gone", id, verb))
		case st.redeemed[id] && got.Settled == nil:
			out = append(out, fmt.Sprintf("request %s: it could be redeemed again", id))
		}
	}
	for _, id := range st.people {
		if _, err := s.Person(ctx, id); err != nil {
			out = append(out, fmt.Sprintf("person %s: %v", id, err))
		}
	}
	for _, id := range st.clients {
		if _, err := s.Client(ctx, id); err != nil {
			out = append(out, fmt.Sprintf("client %s: %v", id, err))
		}
	}
	return out
}

// told is a house that has seen two rounds, with copies of its directory: after
// the first, after the second as a kill leaves it, and as a stop does.
type told struct {
	*story
	h                     *storetest.House
	earlier, killed, done string
}

func tellTwice(t *testing.T, change ...func(*store.Config)) *told {
	t.Helper()
	h := storetest.New(t, change...)
	w := &told{story: &story{map[consent.ID]consent.Verb{}, map[consent.ID]bool{}, nil, nil}, h: h}
	copied := func() string {
		dir := t.TempDir()
		if err := os.CopyFS(dir, withoutLinks{os.DirFS(h.Config.Dir)}); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	tell(t, h, w.story, 1)
	h.Close()
	w.earlier = copied()
	h.Reopen()
	tell(t, h, w.story, 2)
	w.killed = copied()
	h.Close()
	w.done = copied()
	return w
}

// withoutLinks leaves out what leads to memory.
type withoutLinks struct{ fs.FS }

func (f withoutLinks) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(f.FS, name)
	var out []fs.DirEntry
	for _, e := range list {
		if e.Type()&fs.ModeSymlink == 0 {
			out = append(out, e)
		}
	}
	return out, err
}

// files lists those below the streams whose names match.
func blockFiles(t *testing.T, dir, pattern string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(streamDir(dir, "*"), "msgs", pattern))
	if err != nil || len(list) == 0 {
		t.Fatalf("no files %s below %s: %v", pattern, dir, err)
	}
	return list
}

// TestDamage changes the files of a stopped or killed store in every way that a
// disk, a copy or a person may: it opens with all that was acknowledged, or not
// at all.
func TestDamage(t *testing.T) {
	t.Parallel()
	w := tellTwice(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	pick := func(list []string) string { return list[rnd.IntN(len(list))] }
	change := func(t *testing.T, path string, how func([]byte) []byte) string {
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, how(data), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	flip := func(data []byte) []byte {
		if len(data) > 0 {
			data[rnd.IntN(len(data))] ^= 1 << rnd.IntN(8)
		}
		return data
	}
	cut := func(data []byte) []byte { return data[:rnd.IntN(max(1, len(data)))] }
	setBack := func(t *testing.T, dir, stream string) {
		to := streamDir(dir, stream)
		if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(streamDir(w.earlier, stream)))); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(t *testing.T, path string) string {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	facts := func(dir string) string { return filepath.Join(streamDir(dir, "ringback_CONSENT"), "msgs", "1.blk") }
	for _, tt := range []struct {
		name   string
		times  int
		refuse bool // it must; otherwise it may, if it has everything where it does not
		damage func(t *testing.T, dir string) string
	}{
		{"nothing", 1, false, func(*testing.T, string) string { return "nothing" }},
		{"a bit of the facts", 6, true, func(t *testing.T, dir string) string { return change(t, facts(dir), flip) }},
		{"a bit anywhere", 20, false, func(t *testing.T, dir string) string { return change(t, pick(blockFiles(t, dir, "*.blk")), flip) }},
		{"a bit of a key", 4, false, func(t *testing.T, dir string) string { return change(t, pick(blockFiles(t, dir, "*.key")), flip) }},
		{"the tail of the facts", 4, true, func(t *testing.T, dir string) string { return change(t, facts(dir), cut) }},
		{"a tail anywhere", 8, false, func(t *testing.T, dir string) string { return change(t, pick(blockFiles(t, dir, "*.blk")), cut) }},
		{"the facts' block", 1, true, func(t *testing.T, dir string) string { return remove(t, facts(dir)) }},
		{"any block", 4, false, func(t *testing.T, dir string) string { return remove(t, pick(blockFiles(t, dir, "*.blk"))) }},
		{"any key", 3, false, func(t *testing.T, dir string) string { return remove(t, pick(blockFiles(t, dir, "*.key"))) }},
		{"any stream", 3, true, func(t *testing.T, dir string) string {
			return remove(t, filepath.Dir(filepath.Dir(pick(blockFiles(t, dir, "*.blk")))))
		}},
		{"a stream's messages", 3, true, func(t *testing.T, dir string) string {
			return remove(t, filepath.Dir(pick(blockFiles(t, dir, "*.blk"))))
		}},
		{"a stream's description", 2, false, func(t *testing.T, dir string) string {
			return remove(t, filepath.Join(filepath.Dir(filepath.Dir(pick(blockFiles(t, dir, "*.blk")))), pick([]string{"meta.inf", "meta.sum", "meta.key"})))
		}},
		{"the facts of before", 1, true, func(t *testing.T, dir string) string { setBack(t, dir, "ringback_CONSENT"); return "CONSENT" }},
		{"any stream of before", 6, true, func(t *testing.T, dir string) string {
			stream := "ringback_POLICY"
			for strings.HasSuffix(stream, "_POLICY") { // nothing is written there yet
				stream = filepath.Base(filepath.Dir(filepath.Dir(pick(blockFiles(t, dir, "*.blk")))))
			}
			setBack(t, dir, stream)
			return stream
		}},
		{"the facts of before, and what tells of them", 1, true, func(t *testing.T, dir string) string {
			setBack(t, dir, "ringback_CONSENT")
			return remove(t, filepath.Join(dir, "head")) + remove(t, filepath.Join(dir, "index.snapshot"))
		}},
		{"the notes", 3, false, func(t *testing.T, dir string) string {
			return change(t, pick(blockFiles(t, w.done, "index.db")), func(b []byte) []byte { return b })
		}},
		{"the head", 2, false, func(t *testing.T, dir string) string { return change(t, filepath.Join(dir, "head"), flip) }},
		{"no head", 1, false, func(t *testing.T, dir string) string { return remove(t, filepath.Join(dir, "head")) }},
	} {
		for i := range 2 * tt.times {
			dir := t.TempDir()
			from := map[int]string{0: w.killed, 1: w.done}[i%2]
			if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
				t.Fatal(err)
			}
			what := tt.damage(t, dir)
			t.Run(fmt.Sprint(tt.name, " ", i), func(t *testing.T) {
				cfg := w.h.Config
				cfg.Dir = dir
				s, err := store.Open(t.Context(), cfg)
				if err != nil {
					if tt.name == "nothing" || strings.Contains(tt.name, "head") && !tt.refuse {
						t.Errorf("%s: Open = %v, but nothing was lost", what, err)
					}
					return
				}
				defer s.Close(context.Background())
				if missing := w.missing(t.Context(), s); len(missing) > 0 || tt.refuse {
					t.Errorf("%s: opened although it is damaged: %s", strings.TrimPrefix(what, dir), strings.Join(missing, "; "))
				}
			})
		}
	}
}

// TestLossOfNothing: what holds no fact may go.
func TestLossOfNothing(t *testing.T) {
	t.Parallel()
	w := tellTwice(t)
	for name, damage := range map[string]func(dir string) error{
		"the server's notes are gone":   func(dir string) error { return removeAll(dir, "index.db") },
		"the copy of the index is gone": func(dir string) error { return os.Remove(filepath.Join(dir, "index.snapshot")) },
		"the head and the notes are gone": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "head")), removeAll(dir, "index.db"))
		},
		"a kill between a block and a key": func(dir string) error {
			return os.WriteFile(filepath.Join(streamDir(dir, "ringback_CONSENT"), "msgs", "2.blk"), nil, 0o600)
		},
		"a key of a block without messages": func(dir string) error {
			return os.Remove(filepath.Join(streamDir(dir, "KV_ringback_POLICY"), "msgs", "1.key"))
		},
		"a write that was cut off at a kill": func(dir string) error {
			return appendTo(filepath.Join(streamDir(dir, "ringback_CONSENT"), "msgs", "1.blk"), []byte("half a record"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, from := range []string{w.killed, w.done} {
				cfg := w.h.Config
				cfg.Dir = t.TempDir()
				if err := os.CopyFS(cfg.Dir, os.DirFS(from)); err != nil {
					t.Fatal(err)
				}
				if err := damage(cfg.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
				s, err := store.Open(t.Context(), cfg)
				if err != nil {
					t.Errorf("Open = %v, but nothing was lost", err)
					continue
				}
				if missing := w.missing(t.Context(), s); len(missing) > 0 {
					t.Errorf("missing: %s", strings.Join(missing, "; "))
				}
				if err := s.Close(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func removeAll(dir, name string) error {
	list, err := filepath.Glob(filepath.Join(streamDir(dir, "*"), "msgs", name))
	for _, path := range list {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

func appendTo(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// TestLossIsNamed: the error says which facts are gone, and of which requests as
// far as they were sealed.
func TestLossIsNamed(t *testing.T) {
	t.Parallel()
	w := tellTwice(t)
	cfg := w.h.Config
	cfg.Dir = w.done
	path := filepath.Join(streamDir(cfg.Dir, "ringback_CONSENT"), "msgs", "1.blk")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), cfg)
	var lost *consent.LostError
	if !errors.As(err, &lost) || len(lost.Losses) != 1 || len(lost.Requests) != 1 {
		t.Fatalf("Open = %v, want one fact of one request", err)
	}
	id, err := consent.ParseID(lost.Requests[0])
	if _, known := w.decided[id]; err != nil || !known || lost.Losses[0].From != lost.Losses[0].To {
		t.Errorf("lost is %v of %v, want one fact of one request", lost.Losses, lost.Requests)
	}
	for _, want := range []string{"ringback repair", "Restore", fmt.Sprintf("CONSENT %d:", lost.Losses[0].From)} {
		if !strings.Contains(lost.Error(), want) {
			t.Errorf("%q does not say %q", lost, want)
		}
	}
}
