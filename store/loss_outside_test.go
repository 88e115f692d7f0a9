package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// outside is a house on a server of its own, with a copy of the server's files
// from in between.
type outside struct {
	*story
	h       *storetest.House
	srv     *storetest.Server
	earlier string
	opts    []func(*server.Options)
}

func (o *outside) restart(t *testing.T, damage func(dir string)) {
	t.Helper()
	o.srv.Stop()
	o.h.Eventually("the store to miss its server", func() bool { return o.h.Healthy() != nil })
	damage(o.srv.Dir)
	o.srv = storetest.NewServer(t, o.opts...)
}

func tellOutside(t *testing.T, change ...func(*store.Config)) *outside {
	t.Helper()
	dir := t.TempDir()
	at := func(opts *server.Options) { opts.StoreDir = dir }
	o := &outside{story: &story{map[consent.ID]consent.Verb{}, map[consent.ID]bool{}, nil, nil}, srv: storetest.NewServer(t, at), earlier: t.TempDir()}
	o.opts = []func(*server.Options){at, samePlace(t, o.srv)}
	o.h = storetest.New(t, append([]func(*store.Config){o.srv.Use}, change...)...)
	tell(t, o.h, o.story, 1)
	o.restart(t, func(dir string) {
		if err := os.CopyFS(o.earlier, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
	})
	o.h.Eventually("the store to find its server", func() bool { return o.h.Healthy() == nil })
	tell(t, o.h, o.story, 2)
	time.Sleep(1500 * time.Millisecond) // its head has been published
	return o
}

func outsideDir(dir, stream string) string {
	return filepath.Join(dir, "jetstream", "$G", "streams", stream)
}

// TestLossOutside: an external server comes back with less than it had. Who is
// running serves no more, and nobody can start.
func TestLossOutside(t *testing.T) {
	t.Parallel()
	block := func(t *testing.T, dir, stream string, how func([]byte) []byte) {
		path := filepath.Join(outsideDir(dir, stream), "msgs", "1.blk")
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, how(data), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	replace := func(t *testing.T, to, from string) {
		if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
			t.Fatal(err)
		}
	}
	witness := func(t *testing.T) func(*store.Config) {
		path := filepath.Join(t.TempDir(), "witness")
		return func(c *store.Config) { c.Witness = path }
	}
	for _, tt := range []struct {
		name     string
		witness  bool
		startsOK bool // a new process cannot know
		damage   func(t *testing.T, o *outside, dir string)
	}{
		{"the facts of before", false, false, func(t *testing.T, o *outside, dir string) {
			replace(t, outsideDir(dir, "ringback_CONSENT"), outsideDir(o.earlier, "ringback_CONSENT"))
		}},
		{"the chain of before", false, false, func(t *testing.T, o *outside, dir string) {
			replace(t, outsideDir(dir, "ringback_AUDIT"), outsideDir(o.earlier, "ringback_AUDIT"))
		}},
		{"a bit of the facts", false, false, func(t *testing.T, _ *outside, dir string) {
			block(t, dir, "ringback_CONSENT", func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		}},
		{"a bit of the facts, and no notes", false, false, func(t *testing.T, _ *outside, dir string) {
			block(t, dir, "ringback_CONSENT", func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
			if err := os.Remove(filepath.Join(outsideDir(dir, "ringback_CONSENT"), "msgs", "index.db")); err != nil {
				t.Fatal(err)
			}
		}},
		{"the end of the facts", false, false, func(t *testing.T, _ *outside, dir string) {
			block(t, dir, "ringback_CONSENT", func(b []byte) []byte { return b[:len(b)-100] })
		}},
		{"a bit of the evidence", false, false, func(t *testing.T, _ *outside, dir string) {
			block(t, dir, "ringback_EVIDENCE", func(b []byte) []byte { b[len(b)/3] ^= 1; return b })
		}},
		{"the people's block", false, false, func(t *testing.T, _ *outside, dir string) {
			block(t, dir, "KV_ringback_PEOPLE", func([]byte) []byte { return nil })
		}},
		{"the keys' block", false, false, func(t *testing.T, _ *outside, dir string) {
			block(t, dir, "ringback_DEK", func([]byte) []byte { return nil })
		}},
		{"the signing keys' block", false, false, func(t *testing.T, _ *outside, dir string) {
			block(t, dir, "KV_ringback_KEYS", func([]byte) []byte { return nil })
		}},
		{"everything of before", false, false, func(t *testing.T, o *outside, dir string) { replace(t, dir, o.earlier) }},
		{"everything of before, with a witness", true, false, func(t *testing.T, o *outside, dir string) { replace(t, dir, o.earlier) }},
		{"nothing at all, with a witness", true, false, func(t *testing.T, o *outside, dir string) { replace(t, dir, t.TempDir()) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var change []func(*store.Config)
			if tt.witness {
				change = append(change, witness(t))
			}
			o := tellOutside(t, change...)
			o.restart(t, func(dir string) { tt.damage(t, o, dir) })
			ctx := t.Context()
			o.h.Eventually("the store to notice", func() bool { return o.h.Healthy() != nil })
			for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
				if o.h.Healthy() == nil {
					t.Fatal("the running store takes requests again")
				}
			}
			if err := o.h.Ask(ctx, o.h.Request("person1")); !errors.Is(err, consent.ErrUnavailable) {
				t.Errorf("Ask = %v, want %v", err, consent.ErrUnavailable)
			}
			for id := range o.decided {
				req, err := o.h.Get(ctx, id)
				if err != nil {
					continue
				}
				_, err = o.h.Settle(ctx, id, o.h.Settlement(req.Request, consent.Redeemed))
				if err == nil {
					t.Errorf("Settle of %s is taken", id)
				}
			}
			opening, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			s, err := store.Open(opening, o.h.Config)
			if err == nil {
				missing := o.missing(ctx, s)
				s.Close(context.Background())
				if !tt.startsOK {
					t.Errorf("Open succeeds, without: %s", strings.Join(missing, "; "))
				}
			} else if tt.startsOK || opening.Err() != nil {
				t.Errorf("Open = %v", err)
			}
		})
	}
}

// TestDataRemovedUnderRun: a data directory that is removed while it is in use is
// noticed, and whoever answered before does not any more.
func TestDataRemovedUnderRun(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"", "nats", "nats/jetstream/$G/streams/ringback_CONSENT"} {
		h := storetest.New(t)
		req := h.Asked("alice")
		if err := os.RemoveAll(filepath.Join(h.Config.Dir, what)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Logf("removing: %v", err) // it may come back meanwhile
		}
		h.Eventually("the store to notice", func() bool { return errors.Is(h.Stopped(), consent.ErrLost) })
		if _, err := h.Decide(t.Context(), req.ID, h.Decision(req, consent.Approved)); !errors.Is(err, consent.ErrUnavailable) {
			t.Errorf("Decide = %v, want %v", err, consent.ErrUnavailable)
		}
	}
}

// TestWitness: a directory that was set back as a whole is noticed where a witness
// is kept outside; so is one that is gone. A witness that is itself behind, or of
// before the last second, stops nothing.
func TestWitness(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "witness")
	w := tellTwice(t, func(c *store.Config) { c.Witness = path })
	latest, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(dir, want string) {
		t.Helper()
		cfg := w.h.Config
		cfg.Dir = t.TempDir()
		if dir != "" {
			if err := os.CopyFS(cfg.Dir, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := store.Open(t.Context(), cfg)
		if !errors.Is(err, consent.ErrLost) || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, want a loss with %q", err, want)
		}
		if err := store.Init(t.Context(), cfg); err == nil {
			t.Error("Init makes another instance")
		}
	}
	refused(w.earlier, "CONSENT")
	refused("", "nothing is there")

	cfg := w.h.Config
	cfg.Dir = w.done
	for _, content := range []string{string(latest), strings.Replace(string(latest), `"CONSENT":{"seq":`, `"CONSENT":{"seq":0`, 1)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(t.Context(), cfg)
		if err != nil {
			if content == string(latest) {
				t.Errorf("Open = %v, but nothing was lost", err)
			}
			continue
		}
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	for content, want := range map[string]string{
		"{": "restore it, or remove it",
		`{"v":1,"instance":"another","streams":{}}`:                    "another instance",
		strings.Replace(string(latest), `"v":1`, `"v":1,"epoch":1`, 1): "before repair 1",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open with the witness %q = %v, want %q", content, err, want)
		}
	}
}

// TestWitnessIsKept: it is written each second, and where that is impossible the
// log says so while everything goes on.
func TestWitnessIsKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "there", "witness")
	h := storetest.New(t, func(c *store.Config) { c.Witness = path })
	h.Asked("alice")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	h.Eventually("the witness", func() bool {
		data, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(data), `"CONSENT":{"seq":1,`)
	})
	for i := range 3 {
		h.Asked("alice")
		h.Eventually("the witness to follow", func() bool {
			data, err := os.ReadFile(path)
			return err == nil && strings.Contains(string(data), fmt.Sprintf(`"CONSENT":{"seq":%d,`, i+2))
		})
	}
}
