package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
	"ringback/keys"
	"ringback/store"
	"ringback/store/storetest"
)

// files is the content of a directory, without what is allowed to change when
// a store is refused.
func files(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	out := map[string][32]byte{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "LOCK" {
			return err
		}
		data, err := os.ReadFile(path)
		out[path] = sha256.Sum256(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// refused opens a store that must be refused, with a sentinel and the next
// step in the text.
func refused(t *testing.T, cfg store.Config, want error, step string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := store.Open(ctx, cfg)
	if err == nil {
		s.Close(ctx)
		t.Fatalf("Open succeeded, want %v", want)
	}
	if !errors.Is(err, want) || !strings.Contains(err.Error(), step) {
		t.Errorf("Open = %v, want %v and a text with %q", err, want, step)
	}
}

func TestRefusalsDestroyNothing(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(t *testing.T, c *store.Config)
		undo   func(t *testing.T, c *store.Config)
		want   error
		step   string
	}{
		{
			name:   "another root key",
			change: func(t *testing.T, c *store.Config) { c.Vault = keys.NewVault(keys.NewRoot()) },
			want:   store.ErrRootKey, step: "set root_key to the original key file",
		},
		{
			name:   "opened by --dev",
			change: func(t *testing.T, c *store.Config) { c.Dev = true },
			want:   store.ErrDev, step: "leave out --dev",
		},
		{
			name:   "another prefix",
			change: func(t *testing.T, c *store.Config) { c.Prefix = "other" },
			want:   nil, step: `set nats.prefix to "ringback"`,
		},
		{
			name: "instance file lost",
			change: func(t *testing.T, c *store.Config) {
				move(t, filepath.Join(c.Dir, "instance.json"), filepath.Join(c.Dir, "away"))
			},
			undo: func(t *testing.T, c *store.Config) {
				move(t, filepath.Join(c.Dir, "away"), filepath.Join(c.Dir, "instance.json"))
			},
			want: store.ErrUninitialised, step: "run ringback init first",
		},
		{
			name: "a stream lost",
			change: func(t *testing.T, c *store.Config) {
				move(t, streamDir(c.Dir, "ringback_CONSENT"), filepath.Join(c.Dir, "away"))
			},
			undo: func(t *testing.T, c *store.Config) {
				os.RemoveAll(streamDir(c.Dir, "ringback_CONSENT"))
				move(t, filepath.Join(c.Dir, "away"), streamDir(c.Dir, "ringback_CONSENT"))
			},
			want: store.ErrIncomplete, step: "missing ringback_CONSENT; restore the whole store from a backup",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := storetest.New(t)
			req := h.Asked("alice")
			h.Close()
			cfg := h.Config
			if tt.change != nil {
				tt.change(t, &cfg)
			}
			before := files(t, cfg.Dir)
			if tt.want == nil {
				_, err := store.Open(t.Context(), cfg)
				if err == nil || !strings.Contains(err.Error(), tt.step) {
					t.Errorf("Open = %v, want a text with %q", err, tt.step)
				}
			} else {
				refused(t, cfg, tt.want, tt.step)
			}
			if tt.name != "a stream lost" { // there the server ran and keeps its own books
				after := files(t, cfg.Dir)
				if len(after) != len(before) {
					t.Errorf("%d files after the refusal, %d before", len(after), len(before))
				}
				for path, sum := range before {
					if after[path] != sum {
						t.Errorf("%s was changed by the refusal", path)
					}
				}
			}
			if err := store.Init(t.Context(), cfg); err == nil {
				t.Error("Init succeeded over existing data")
			}
			if tt.undo != nil {
				tt.undo(t, &cfg)
			}
			h.Reopen()
			if _, err := h.Get(t.Context(), req.ID); err != nil {
				t.Errorf("Get, back under the right conditions: %v", err)
			}
		})
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func streamDir(dir, name string) string {
	return filepath.Join(dir, "nats", "jetstream", "$G", "streams", name)
}

func TestStoreInUse(t *testing.T) {
	t.Parallel()
	h := storetest.New(t)
	req := h.Asked("alice")
	refused(t, h.Config, store.ErrInUse, "stop it")
	if err := store.Init(t.Context(), h.Config); !errors.Is(err, store.ErrInUse) {
		t.Errorf("Init of a store in use = %v, want %v", err, store.ErrInUse)
	}
	if _, err := h.Decide(t.Context(), req.ID, h.Decision(req, "denied")); err != nil {
		t.Errorf("Decide in the store that was there first: %v", err)
	}
}

func TestUninitialised(t *testing.T) {
	t.Parallel()
	cfg := store.Config{Dir: filepath.Join(t.TempDir(), "none"), Vault: keys.NewVault(keys.NewRoot()), Now: time.Now, Log: storetest.Log()}
	refused(t, cfg, store.ErrUninitialised, "run ringback init first")
	if _, err := os.Stat(cfg.Dir); err == nil {
		t.Error("Open made the directory of a store that is not there")
	}
	cfg.Vault = nil
	if _, err := store.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "root_key") {
		t.Errorf("Open without a root key = %v, want a text that names root_key", err)
	}
	if err := store.Init(t.Context(), cfg); err == nil {
		t.Error("Init without a root key succeeded")
	}
}

func TestInitOnce(t *testing.T) {
	t.Parallel()
	h := storetest.New(t)
	h.Close()
	if err := store.Init(t.Context(), h.Config); !errors.Is(err, store.ErrInitialised) {
		t.Errorf("Init again = %v, want %v", err, store.ErrInitialised)
	}
	// As a crash between the first line and the last leaves it.
	path := filepath.Join(h.Config.Dir, "instance.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), "{", `{"unfinished": true,`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, h.Config, store.ErrUninitialised, "run ringback init again")
	if err := store.Init(t.Context(), h.Config); err != nil {
		t.Errorf("Init after it was interrupted: %v", err)
	}
	h.Reopen()
	h.Asked("alice")
}

func TestDevStoresStayApart(t *testing.T) {
	t.Parallel()
	h := storetest.New(t, func(c *store.Config) { c.Dev = true })
	h.Close()
	cfg := h.Config
	cfg.Dev = false
	refused(t, cfg, store.ErrDev, "made by --dev")
	h.Reopen()
}

func TestExternalServerIsChecked(t *testing.T) {
	t.Parallel()
	synced := storetest.NewServer(t)
	lazy := storetest.NewServer(t, func(o *server.Options) { o.SyncAlways = false })
	plain := storetest.NewServer(t, func(o *server.Options) { o.JetStream = false })
	small := storetest.NewServer(t, func(o *server.Options) { o.MaxPayload = 512 << 10 })
	tests := []struct {
		name    string
		url     string
		monitor string
		assume  bool
		want    string // empty: accepted
	}{
		{"synced", synced.URL, synced.Monitor, false, ""},
		{"not synced", lazy.URL, lazy.Monitor, false, "set sync_interval: always"},
		{"not synced, vouched for", lazy.URL, "", true, ""},
		{"no monitor", synced.URL, "", false, "nats.assume_synced"},
		{"monitor of another server", lazy.URL, synced.Monitor, false, "address of the same server"},
		{"monitor is no monitor", synced.URL, "http://127.0.0.1:1", false, "nats.monitor"},
		{"small messages only", small.URL, small.Monitor, false, "set max_payload"},
		{"no JetStream", plain.URL, plain.Monitor, false, "JetStream"},
		{"nobody there", "nats://127.0.0.1:1", "", true, "check nats.url"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := store.Config{
				URL: tt.url, Monitor: tt.monitor, AssumeSynced: tt.assume, MaxBytes: 64 << 20, Prefix: "p" + strings.Map(letters, tt.name),
				Vault: keys.NewVault(keys.NewRoot()), Now: time.Now, Log: storetest.Log(),
			}
			err := store.Init(t.Context(), cfg)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Init = %v, want a text with %q", err, tt.want)
			}
			s, err := store.Open(t.Context(), cfg)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Open = %v, want a text with %q", err, tt.want)
			}
			if err == nil {
				s.Close(t.Context())
			}
		})
	}
}

func letters(r rune) rune {
	if r < 'a' || r > 'z' {
		return -1
	}
	return r
}

func TestExternalRefusalsDestroyNothing(t *testing.T) {
	t.Parallel()
	srv := storetest.NewServer(t)
	h := storetest.New(t, srv.Use)
	req := h.Asked("alice")
	cfg := h.Config
	if err := store.Init(t.Context(), cfg); !errors.Is(err, store.ErrInitialised) {
		t.Errorf("Init again = %v, want %v", err, store.ErrInitialised)
	}
	cfg.Vault = keys.NewVault(keys.NewRoot())
	refused(t, cfg, store.ErrRootKey, "root_key")
	if err := store.Init(t.Context(), cfg); !errors.Is(err, store.ErrRootKey) {
		t.Errorf("Init with another root key = %v, want %v", err, store.ErrRootKey)
	}
	cfg = h.Config
	cfg.Prefix = "other"
	refused(t, cfg, store.ErrUninitialised, "run ringback init first")
	cfg = h.Config
	cfg.Dev = true
	refused(t, cfg, store.ErrDev, "leave out --dev")

	nc, err := nats.Connect(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteKeyValue(t.Context(), "ringback_CLIENTS"); err != nil {
		t.Fatal(err)
	}
	refused(t, h.Config, store.ErrIncomplete, "missing KV_ringback_CLIENTS")
	if err := js.DeleteKeyValue(t.Context(), "ringback_INSTANCE"); err != nil {
		t.Fatal(err)
	}
	if err := store.Init(t.Context(), h.Config); !errors.Is(err, store.ErrIncomplete) {
		t.Errorf("Init over streams without a record = %v, want %v", err, store.ErrIncomplete)
	}
	if _, err := h.Get(t.Context(), req.ID); err != nil {
		t.Errorf("Get after all this: %v", err)
	}
}

func TestPrefixesKeepDeploymentsApart(t *testing.T) {
	t.Parallel()
	srv := storetest.NewServer(t)
	a := storetest.New(t, srv.Use)
	b := storetest.New(t, srv.Use, func(c *store.Config) { c.Prefix = "b" })
	req := a.Asked("alice")
	if st, err := b.Get(t.Context(), req.ID); err == nil {
		t.Errorf("Get in the other deployment = %v", st)
	}
	other := b.Request("alice", func(r *consent.Request) { r.ID = req.ID })
	if err := b.Ask(t.Context(), other); err != nil {
		t.Errorf("Ask with the same id in the other deployment: %v", err)
	}
	if _, err := store.Open(t.Context(), store.Config{Prefix: "no.dots", Dir: "x"}); err == nil {
		t.Error("a prefix with a dot was accepted")
	}
}

func TestServerThatCannotStart(t *testing.T) {
	t.Parallel()
	h := storetest.New(t)
	h.Close()
	data := filepath.Join(h.Config.Dir, "nats")
	move(t, data, data+"-away")
	if err := os.WriteFile(data, []byte("no directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := store.Open(ctx, h.Config)
	if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "embedded server") {
		t.Errorf("Open = %v, want the server's own words, soon", err)
	}
	if err := os.Remove(data); err != nil {
		t.Fatal(err)
	}
	move(t, data+"-away", data)
	h.Reopen()
}
