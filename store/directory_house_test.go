package store

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"ringback/consent"
	"ringback/keys"
)

// wall is a clock that a test can put forward.
type wall struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (w *wall) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

func (w *wall) forward(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += d
}

// ground is what several Stores of one deployment share.
type ground struct {
	url   string // empty: embedded, and only one is open at a time
	dir   string // where the server keeps its files; those of an external one are not encrypted
	vault *keys.Vault
	clock *wall
}

// newGround starts an external server and initialises a deployment on it.
func newGround(t testing.TB) *ground {
	t.Helper()
	g := &ground{dir: t.TempDir(), vault: keys.NewVault(keys.NewRoot()), clock: &wall{}}
	srv := g.serve(t, -1)
	g.url = srv.ClientURL()
	if err := Init(t.Context(), g.config(t)); err != nil {
		t.Fatalf("Init: %v", err)
	}
	return g
}

// newAlone initialises a deployment that has its server inside.
func newAlone(t testing.TB) *ground {
	t.Helper()
	g := &ground{dir: t.TempDir(), vault: keys.NewVault(keys.NewRoot()), clock: &wall{}}
	if err := Init(t.Context(), g.config(t)); err != nil {
		t.Fatalf("Init: %v", err)
	}
	return g
}

// serve starts the server, again on the same files if it ran before.
func (g *ground) serve(t testing.TB, port int) *server.Server {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: g.dir, SyncAlways: true,
		NoLog: true, NoSigs: true,
	})
	if err != nil {
		t.Fatalf("starting a server: %v", err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not get ready")
	}
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	return srv
}

func (g *ground) config(t testing.TB) Config {
	cfg := Config{
		URL: g.url, AssumeSynced: true, MaxBytes: 256 << 20, Vault: g.vault, Now: g.clock.now,
		Log: slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
	if g.url == "" {
		cfg.Dir = g.dir
	}
	return cfg
}

// open opens a Store, as one process would.
func (g *ground) open(t testing.TB) *Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := Open(ctx, g.config(t))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s.Close(ctx)
	})
	return s
}

// testLog shows a Store's log with -v.
type testLog struct{ t testing.TB }

func (w testLog) Write(b []byte) (int, error) {
	if testing.Verbose() {
		fmt.Fprintf(os.Stderr, "%s: %s", w.t.Name(), b)
	}
	return len(b), nil
}

// eventually waits until holds does.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("%s does not come true", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// alice and bob are people with everything that is personal.
func alice() *consent.Person {
	return &consent.Person{
		ID: "alice-7f3a", Name: "Alice Liddell", Locale: "en", Zoneinfo: "UTC",
		Phone: "+12025550101", Email: "Alice.Liddell@Example.com",
	}
}

func bob() *consent.Person {
	return &consent.Person{ID: "bob-11c9", Name: "Bob Cratchit", Phone: "+12025550102", Email: "bob.cratchit@example.org"}
}

func pollClient(id string) *consent.Client {
	return &consent.Client{ID: id, Name: "Agent " + strings.ToUpper(id), Mode: consent.Poll}
}

// askFor stores a request for a person and a decision about it.
func askFor(t *testing.T, s *Store, person string) *consent.Request {
	t.Helper()
	req := newRequest(s, person)
	if err := s.Ask(t.Context(), req); err != nil {
		t.Fatalf("Ask: %v", err)
	}
	d := consent.Decision{V: consent.Version, Verb: consent.Denied, By: person, Means: consent.ByPage, At: req.AskedAt, Nonce: "nonce"}
	if _, err := s.Decide(t.Context(), req.ID, d); err != nil {
		t.Fatalf("Decide: %v", err)
	}
	return req
}

// newRequest is a request that is not stored.
func newRequest(s *Store, person string) *consent.Request {
	now := s.cfg.Now().UTC().Truncate(time.Millisecond)
	return &consent.Request{
		V: consent.Version, ID: consent.NewID(), Issuer: "https://consent.example", Door: consent.DoorCIBA,
		Client: consent.Party{ID: "agent", Name: "Agent"}, Approver: person, Pseudonym: s.Pseudonym(person),
		Scope: []string{"openid"}, ACR: []string{consent.ACRTap}, Salt: []byte("0123456789abcdef"),
		AskedAt: now, ExpiresAt: now.Add(5 * time.Minute), GrantLifetime: 300, Mode: consent.Poll, Interval: 5,
		Bearers: consent.Bearers{MatchCode: "match-code-4711", NotificationToken: "notification-token-of-the-agent"},
	}
}
