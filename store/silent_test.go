package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/consent"
	"ringback/store"
	"ringback/store/storetest"
)

// wire passes connections on, and may fall silent without ending one.
type wire struct {
	net.Listener
	to     string
	silent atomic.Bool
	greets atomic.Int64 // after so many greetings of new connections it falls silent; 0: it does not
	asked  atomic.Bool  // it falls silent when facts are asked for

	mu  sync.Mutex
	all []net.Conn
}

// cut ends every connection.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.all {
		c.Close()
	}
	w.all = nil
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	w := &wire{Listener: ln, to: to}
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			w.mu.Lock()
			w.all = append(w.all, in, out)
			w.mu.Unlock()
			go w.pass(in, out)
			go w.pass(out, in)
		}
	}()
	return w
}

func (w *wire) pass(to io.WriteCloser, from io.ReadCloser) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		for w.silent.Load() {
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
		if bytes.HasPrefix(buf[:n], []byte("PONG")) && w.greets.Load() > 0 && w.greets.Add(-1) == 0 {
			w.silent.Store(true)
		}
		if w.asked.Load() && bytes.Contains(buf[:n], []byte("DIRECT.GET.")) && bytes.Contains(buf[:n], []byte("_CONSENT")) {
			w.asked.Store(false)
			w.silent.Store(true)
		}
	}
}

// TestSilentServer: a server that says nothing any more, over a connection that
// stays, is noticed; everything ends in time, and goes on when it speaks again.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	srv := storetest.NewServer(t)
	w := newWire(t, strings.TrimPrefix(srv.URL, "nats://"))
	through := func(c *store.Config) { srv.Use(c); c.URL = "nats://" + w.Addr().String() }
	h := storetest.New(t, through)
	b := h.Beside()
	ctx := t.Context()
	req := h.Asked("alice")

	w.silent.Store(true)
	h.Eventually("the silence to be noticed", func() bool { return h.Healthy() != nil })
	if err := h.Ask(ctx, h.Request("alice")); !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("Ask of a silent server = %v, want %v", err, consent.ErrUnavailable)
	}
	quick := func() context.Context {
		ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	if _, _, err := h.Slot(quick(), req.Pseudonym, req.ID, time.Minute); !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("Slot of a silent server = %v, want %v", err, consent.ErrUnavailable)
	}
	if err := h.AddPerson(quick(), &consent.Person{ID: "bob"}); !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("AddPerson of a silent server = %v, want %v", err, consent.ErrUnavailable)
	}
	if _, err := h.Facts(quick(), 0, 10); !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("Facts of a silent server = %v, want %v", err, consent.ErrUnavailable)
	}
	closing, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	ended := make(chan error, 1)
	other := b.Store
	b.Store = nil
	go func() { ended <- other.Close(closing) }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("Close does not end")
	}

	w.silent.Store(false)
	h.Eventually("the store to go on", func() bool { return h.Healthy() == nil })
	if _, err := h.Decide(ctx, req.ID, h.Decision(req, consent.Denied)); err != nil {
		t.Errorf("Decide afterwards: %v", err)
	}
}

// TestSilentAfterCut: a server that falls silent when a store has just come back to
// it is noticed as soon as another.
func TestSilentAfterCut(t *testing.T) {
	t.Parallel()
	srv := storetest.NewServer(t)
	w := newWire(t, strings.TrimPrefix(srv.URL, "nats://"))
	h := storetest.New(t, func(c *store.Config) { srv.Use(c); c.URL = "nats://" + w.Addr().String() })
	h.Asked("alice")

	for i := range 6 { // at some moments of the second in which it is looked at
		if i%2 == 0 {
			w.greets.Store(3) // the store has three connections
		} else {
			w.asked.Store(true)
		}
		w.cut()
		h.Eventually("the silence", w.silent.Load)
		h.Eventually("the silence to be noticed", func() bool { return h.Healthy() != nil })
		w.silent.Store(false)
		h.Eventually("the store to go on", func() bool { return h.Healthy() == nil })
	}
}
