// Package storetest opens real stores for tests.
//
//	func TestSomething(t *testing.T) {
//		h := storetest.New(t)             // embedded, empty, closed with the test
//		req := h.Request("alice")         // a valid request, not stored yet
//		if err := h.Ask(t.Context(), req); err != nil {
//			t.Fatal(err)
//		}
//		h.Reopen()                        // as a restart of the process would
//		st, err := h.Get(t.Context(), req.ID)
//		…
//	}
//
// NewServer starts an external NATS server; [House.Beside] opens a second
// Store on the same one, as another process would. Nothing here is a fake: an
// embedded house begins as a copy of what store.Init made, and syncs every write
// to the test's temporary directory.
package storetest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"ringback/consent"
	"ringback/keys"
	"ringback/store"
)

// House is an opened store and what is needed to open it again.
type House struct {
	*store.Store
	Config store.Config
	Root   *keys.Root // of Config.Vault; all houses of a process share it

	t testing.TB
}

// New initialises and opens a store. change adapts the configuration first;
// one that sets URL opens on that server instead of embedded. New returns
// when the store is ready, unless it is paused.
func New(t testing.TB, change ...func(*store.Config)) *House {
	t.Helper()
	h := &House{t: t, Root: root(), Config: store.Config{
		Dir: t.TempDir(), MaxBytes: 256 << 20, Vault: keys.NewVault(root()), Now: time.Now, Log: Log(),
	}}
	for _, c := range change {
		c(&h.Config)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := initialise(ctx, h.Config); err != nil {
		t.Fatalf("initialising a store: %v", err)
	}
	h.open()
	t.Cleanup(h.Close)
	return h
}

// Log is quiet, unless the environment has STORETEST_LOG set.
func Log() *slog.Logger {
	if os.Getenv("STORETEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

func (h *House) open() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := store.Open(ctx, h.Config)
	if err != nil {
		h.t.Fatalf("store.Open: %v", err)
	}
	h.Store = s
	if !h.Config.Paused {
		h.AwaitReady()
	}
}

// AwaitReady returns when the store has caught up.
func (h *House) AwaitReady() {
	h.t.Helper()
	h.Eventually("the store to be ready", h.Ready)
}

// Eventually returns when holds does, and ends the test when it does not for
// half a minute.
func (h *House) Eventually(what string, holds func() bool) {
	h.t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); {
		if time.Now().After(end) {
			h.t.Fatalf("waited too long for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// Close closes the store, if it is open.
func (h *House) Close() {
	h.t.Helper()
	if h.Store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := h.Store.Close(ctx); err != nil {
		h.t.Errorf("closing the store: %v", err)
	}
	h.Store = nil
}

// Reopen closes the store and opens it again, with Config as it is by then.
func (h *House) Reopen() {
	h.t.Helper()
	h.Close()
	h.open()
}

// Beside opens another Store on the same external server, as another process
// would. It is closed with the test.
func (h *House) Beside(change ...func(*store.Config)) *House {
	h.t.Helper()
	b := &House{t: h.t, Root: h.Root, Config: h.Config}
	for _, c := range change {
		c(&b.Config)
	}
	b.open()
	h.t.Cleanup(b.Close)
	return b
}

// Request returns a valid request to a person, who need not be in the
// directory. It is not stored.
func (h *House) Request(approver string, change ...func(*consent.Request)) *consent.Request {
	now := h.Config.Now().UTC().Round(0)
	salt := make([]byte, 16)
	rand.Read(salt) // never fails
	req := &consent.Request{
		V: consent.Version, ID: consent.NewID(), Issuer: "https://consent.example", Door: consent.DoorCIBA,
		Client: consent.Party{ID: "agent", Name: "Agent", Host: "agent.example"}, Approver: approver,
		Pseudonym: h.Pseudonym(approver), Scope: []string{"openid", "read"}, Resource: "https://api.example",
		Details: json.RawMessage(`[{"actions":["read"],"type":"data_access"}]`), BindingMessage: "W4SCT",
		ACR: []string{consent.ACRTap}, Salt: salt, AskedAt: now, ExpiresAt: now.Add(5 * time.Minute),
		GrantLifetime: 300, Mode: consent.Poll, Interval: 5, Narrowable: true,
		Bearers: consent.Bearers{MatchCode: "4711"},
	}
	for _, c := range change {
		c(req)
	}
	return req
}

// Asked stores a new request.
func (h *House) Asked(approver string, change ...func(*consent.Request)) *consent.Request {
	h.t.Helper()
	req := h.Request(approver, change...)
	if err := h.Ask(context.Background(), req); err != nil {
		h.t.Fatalf("Ask: %v", err)
	}
	return req
}

// Decision returns a decision of the approver with a fresh nonce.
func (h *House) Decision(req *consent.Request, verb consent.Verb) consent.Decision {
	return consent.Decision{
		V: consent.Version, Verb: verb, By: req.Approver, Means: consent.ByReply, ACR: consent.ACRTap,
		At: h.Config.Now().UTC().Round(0), Nonce: rand.Text(),
	}
}

// Settlement returns a settlement with a fresh nonce.
func (h *House) Settlement(req *consent.Request, verb consent.SettleVerb) consent.Settlement {
	now := h.Config.Now().UTC().Round(0)
	return consent.Settlement{
		V: consent.Version, Verb: verb, JTI: req.ID.String(), IssuedAt: now, ExpiresAt: now.Add(time.Minute), At: now, Nonce: rand.Text(),
	}
}

// Renewal returns renewal n with a fresh nonce.
func (h *House) Renewal(req *consent.Request, n int) consent.Renewal {
	now := h.Config.Now().UTC().Round(0)
	return consent.Renewal{
		V: consent.Version, N: n, JTI: fmt.Sprint(req.ID, ".", n), IssuedAt: now, ExpiresAt: now.Add(time.Minute),
		Binding: req.Binding, At: now, Nonce: rand.Text(),
	}
}

// Server is an external NATS server on loopback.
type Server struct {
	URL     string // for clients
	Monitor string // monitoring address
	Dir     string // its files

	srv *server.Server
}

// NewServer starts a server that syncs every write, keeps its files in the
// test's temporary directory and stops with the test. change adapts its
// options first.
func NewServer(t testing.TB, change ...func(*server.Options)) *Server {
	t.Helper()
	opts := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, HTTPHost: "127.0.0.1", HTTPPort: server.RANDOM_PORT,
		JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, NoLog: true, NoSigs: true,
	}
	for _, c := range change {
		c(opts)
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatalf("configuring a NATS server: %v", err)
	}
	go srv.Start()
	if !srv.ReadyForConnections(30 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	s := &Server{URL: srv.ClientURL(), Dir: opts.StoreDir, srv: srv}
	if addr := srv.MonitorAddr(); addr != nil {
		s.Monitor = fmt.Sprintf("http://%s", addr)
	}
	t.Cleanup(s.Stop)
	return s
}

// Stop ends the server. It may be called again.
func (s *Server) Stop() {
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
}

// Use makes a configuration of New open on this server.
func (s *Server) Use(c *store.Config) { c.Dir, c.URL, c.Monitor = "", s.URL, s.Monitor }

// For is the house, closed, for another test: it opens with Reopen.
func (h *House) For(t testing.TB) *House {
	other := &House{t: t, Root: h.Root, Config: h.Config}
	t.Cleanup(other.Close)
	return other
}
