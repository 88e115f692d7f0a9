package store_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
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
