package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"ringback/consent"
	"ringback/store"
	"ringback/store/storetest"
)

// TestFullStore fills a small store: new requests are refused while there is
// room for the decisions and settlements of those that were taken.
func TestFullStore(t *testing.T) {
	t.Parallel()
	h := storetest.New(t, func(c *store.Config) { c.MaxBytes = 512 << 10 })
	ctx := t.Context()
	var reqs []*consent.Request
	for {
		req := h.Request("alice")
		err := h.Ask(ctx, req)
		if errors.Is(err, consent.ErrUnavailable) && strings.Contains(err.Error(), "80 % full") {
			break
		}
		if err != nil {
			t.Fatalf("Ask at %.2f: %v", h.Fill(), err)
		}
		if reqs = append(reqs, req); len(reqs) > 2000 {
			t.Fatalf("2000 requests were taken, the store says it is %.2f full", h.Fill())
		}
	}
	if f := h.Fill(); f < 0.8 || f > 0.82 {
		t.Errorf("Fill = %.3f when the first request is refused, want 0.8", f)
	}
	for _, req := range reqs[:20] {
		if _, err := h.Decide(ctx, req.ID, h.Decision(req, consent.Approved)); err != nil {
			t.Fatalf("Decide in a full store: %v", err)
		}
		if _, err := h.Settle(ctx, req.ID, h.Settlement(req, consent.Redeemed)); err != nil {
			t.Fatalf("Settle in a full store: %v", err)
		}
	}
	h.Reopen()
	if err := h.Ask(ctx, h.Request("alice")); !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("Ask after a restart = %v, want %v", err, consent.ErrUnavailable)
	}
	// Until not even a decision fits.
	for i, req := range reqs[20:] {
		_, err := h.Decide(ctx, req.ID, h.Decision(req, consent.Denied))
		if err != nil {
			if !errors.Is(err, consent.ErrUnavailable) {
				t.Errorf("Decide %d at %.2f = %v, want %v", i, h.Fill(), err, consent.ErrUnavailable)
			}
			break
		}
	}
}

func TestSealingLagRefusesRequests(t *testing.T) {
	t.Parallel()
	var lag error
	h := storetest.New(t, func(c *store.Config) { c.Sealing = func() error { return lag } })
	req := h.Asked("alice")
	lag = errors.New("sealing lags by 61 s")
	if err := h.Ask(t.Context(), h.Request("alice")); !errors.Is(err, consent.ErrUnavailable) || !errors.Is(err, lag) {
		t.Errorf("Ask while sealing lags = %v, want %v and %v", err, consent.ErrUnavailable, lag)
	}
	if _, err := h.Decide(t.Context(), req.ID, h.Decision(req, consent.Denied)); err != nil {
		t.Errorf("Decide while sealing lags: %v", err)
	}
}

// TestWriteErrorFreezes runs itself in a child process that may write only so
// much to a file, which is a disk's write error to the server.
func TestWriteErrorFreezes(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("STORE_FREEZE_DIR"); dir != "" {
		frozenChild(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWriteErrorFreezes$", "-test.v")
	cmd.Env = append(os.Environ(), "STORE_FREEZE_DIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Errorf("the child: %v\n%s", err, out)
	}
}

func frozenChild(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	h := storetest.New(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	acked := []*consent.Request{h.Asked("alice")}
	limit := &syscall.Rlimit{Cur: 256 << 10, Max: 256 << 10}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, limit); err != nil {
		t.Fatal(err)
	}
	var failed error
	for range 2000 {
		req := h.Request("alice")
		if failed = h.Ask(ctx, req); failed != nil {
			break
		}
		acked = append(acked, req)
	}
	if !errors.Is(failed, consent.ErrUnavailable) {
		t.Errorf("Ask on a disk with errors = %v, want %v", failed, consent.ErrUnavailable)
	}
	h.Eventually("the store to be unhealthy", func() bool { return h.Healthy() != nil })
	start := time.Now()
	if _, err := h.Decide(ctx, acked[0].ID, h.Decision(acked[0], consent.Denied)); !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("Decide in a frozen store = %v, want %v", err, consent.ErrUnavailable)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("a frozen store took %v to say so", took)
	}
	for _, req := range acked {
		if _, err := h.Get(ctx, req.ID); err != nil {
			t.Errorf("Get of an acknowledged request in a frozen store: %v", err)
		}
	}
}

func TestExternalServerComesAndGoes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opts := func(o *server.Options) { o.StoreDir = dir }
	srv := storetest.NewServer(t, opts)
	h := storetest.New(t, srv.Use)
	ctx := t.Context()
	req := h.Asked("alice")
	waiting := make(chan error, 1)
	go func() { waiting <- h.Wait(ctx, req.ID) }()

	same := samePlace(t, srv)
	srv.Stop()
	h.Eventually("the store to miss its server", func() bool { return h.Healthy() != nil })
	if err := h.Ask(ctx, h.Request("alice")); !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("Ask without a server = %v, want %v", err, consent.ErrUnavailable)
	}
	storetest.NewServer(t, opts, same)
	h.Eventually("the store to find its server", func() bool { return h.Healthy() == nil })
	if _, err := h.Decide(ctx, req.ID, h.Decision(req, consent.Denied)); err != nil {
		t.Fatalf("Decide after the server came back: %v", err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("Wait over the server's absence: %v", err)
	}
	// What the server keeps in memory only is there again.
	if first, err := h.Once(ctx, "agent", "jti", time.Now().Add(time.Minute)); err != nil || !first {
		t.Errorf("Once after the server came back = %v, %v", first, err)
	}
}

// samePlace gives another server the addresses of srv.
func samePlace(t *testing.T, srv *storetest.Server) func(*server.Options) {
	t.Helper()
	var port, monitor int
	if _, err := fmt.Sscanf(srv.URL+" "+srv.Monitor, "nats://127.0.0.1:%d http://127.0.0.1:%d", &port, &monitor); err != nil {
		t.Fatal(err)
	}
	return func(o *server.Options) { o.Port, o.HTTPPort = port, monitor }
}

func TestServerThatStoppedSyncing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv := storetest.NewServer(t, func(o *server.Options) { o.StoreDir = dir })
	h := storetest.New(t, srv.Use)
	same := samePlace(t, srv)
	srv.Stop()
	storetest.NewServer(t, same, func(o *server.Options) { o.StoreDir, o.SyncAlways = dir, false })
	h.Eventually("the store to notice", func() bool { return errors.Is(h.Healthy(), store.ErrNotSynced) })
	if err := h.Ask(t.Context(), h.Request("alice")); !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("Ask of a server that came back without syncing = %v, want %v", err, consent.ErrUnavailable)
	}
}

func TestCloseFinishesWrites(t *testing.T) {
	t.Parallel()
	h := storetest.New(t)
	s := h.Store
	var mu sync.Mutex
	acked := map[consent.ID]bool{}
	var wg sync.WaitGroup
	started := make(chan struct{}, 1000)
	for range 64 {
		wg.Go(func() {
			for {
				req := h.Request("alice")
				err := s.Ask(t.Context(), req)
				if errors.Is(err, consent.ErrUnavailable) {
					return
				}
				if err != nil {
					t.Errorf("Ask: %v", err)
					return
				}
				mu.Lock()
				acked[req.ID] = true
				mu.Unlock()
				select {
				case started <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 200 {
		<-started
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
	wg.Wait()
	h.Reopen()
	for id := range acked {
		if _, err := h.Get(t.Context(), id); err != nil {
			t.Errorf("Get of an acknowledged request: %v", err)
		}
	}
}
