package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

func TestOnce(t *testing.T) {
	t.Parallel()
	shared, alone := newGround(t), newAlone(t).open(t)
	for name, stores := range map[string][]*Store{"external": {shared.open(t), shared.open(t)}, "embedded": {alone, alone}} {
		for what, once := range map[string]func(*Store, context.Context, string) (bool, error){
			"Once": func(s *Store, ctx context.Context, key string) (bool, error) {
				return s.Once(ctx, "agent", key, time.Now().Add(time.Minute))
			},
			"First": (*Store).First,
		} {
			for round := range 20 {
				var first atomic.Int32
				var all sync.WaitGroup
				for i := range 64 {
					all.Go(func() {
						got, err := once(stores[i%2], t.Context(), fmt.Sprint("client\x00jti.*> ", round))
						if err != nil {
							t.Errorf("%s, %s: %v", name, what, err)
						}
						if got {
							first.Add(1)
						}
					})
				}
				all.Wait()
				if n := first.Load(); n != 1 {
					t.Fatalf("%s, %s: an assertion was good %d times", name, what, n)
				}
			}
		}
	}
}

// TestOnceUntil: what is over is never first, and nothing can be remembered
// for longer than the stream does.
func TestOnceUntil(t *testing.T) {
	t.Parallel()
	for name, g := range map[string]*ground{"external": newGround(t), "embedded": newAlone(t)} {
		s, ctx := g.open(t), t.Context()
		now := g.clock.now()
		for _, until := range []time.Time{now.Add(-time.Second), now, {}} {
			if first, err := s.Once(ctx, "agent", "over", until); first || err != nil {
				t.Errorf("%s: Once of what was over at %v = %v, %v, want false", name, until, first, err)
			}
		}
		for _, until := range []time.Time{now.Add(62 * time.Minute), now.Add(1 << 62)} {
			if first, err := s.Once(ctx, "agent", "long", until); first || err == nil || errors.Is(err, consent.ErrUnavailable) {
				t.Errorf("%s: Once until %v = %v, %v, want an error of the caller", name, until, first, err)
			}
		}
		for i, want := range []bool{true, false} {
			if first, err := s.Once(ctx, "agent", "long", now.Add(onceFor)); first != want || err != nil {
				t.Errorf("%s: Once for the longest time, call %d = %v, %v, want %v", name, i+1, first, err, want)
			}
		}
	}
}

// TestSeen: looking leaves no trace, and what one process saw another knows.
func TestSeen(t *testing.T) {
	t.Parallel()
	shared, alone := newGround(t), newAlone(t).open(t)
	for name, stores := range map[string][2]*Store{"external": {shared.open(t), shared.open(t)}, "embedded": {alone, alone}} {
		for i, want := range []bool{false, false, true, true} {
			if i == 2 {
				if first, err := stores[0].First(t.Context(), "key\x00> "); !first || err != nil {
					t.Fatalf("%s: First after Seen = %v, %v, want true", name, first, err)
				}
			}
			if seen, err := stores[i%2].Seen(t.Context(), "key\x00> "); seen != want || err != nil {
				t.Errorf("%s: Seen, call %d = %v, %v, want %v", name, i+1, seen, err, want)
			}
		}
		if seen, err := stores[0].Seen(t.Context(), "key"); seen || err != nil {
			t.Errorf("%s: Seen of another key = %v, %v, want false", name, seen, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if seen, err := alone.Seen(ended, "key"); seen || err == nil {
		t.Errorf("Seen without time = %v, %v, want an error", seen, err)
	}
}

// TestEmbeddedStoreForgetsUses: after its end a key may be made anew.
func TestEmbeddedStoreForgetsUses(t *testing.T) {
	t.Parallel()
	g := newAlone(t)
	s, until := g.open(t), g.clock.now().Add(10*time.Minute)
	for i, want := range []bool{true, false} {
		if first, err := s.Once(t.Context(), "agent", "key", until); first != want || err != nil {
			t.Errorf("Once, call %d = %v, %v, want %v", i+1, first, err, want)
		}
	}
	g.clock.forward(11 * time.Minute)
	if first, err := s.Once(t.Context(), "agent", "key", until); first || err != nil {
		t.Errorf("Once of what is over = %v, %v, want false", first, err)
	}
	if first, err := s.Once(t.Context(), "agent", "key", until.Add(10*time.Minute)); !first || err != nil {
		t.Errorf("Once of a key made anew = %v, %v, want true", first, err)
	}
}

// TestExternalServerForgetsUses: it does so by itself, and not too early.
func TestExternalServerForgetsUses(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	cfg := g.config(t)
	now := time.Now()
	cfg.Now = func() time.Time { return now }
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.WithoutCancel(t.Context())) })
	for ahead, want := range map[time.Duration]string{
		1: "6s", time.Second: "6s", time.Minute: "1m5s", time.Hour: "1h0m5s", onceFor - 1: "1h1m0s", onceFor: "1h1m0s",
	} {
		key := fmt.Sprint("for ", ahead)
		if first, err := s.Once(t.Context(), "agent", key, now.Add(ahead)); !first || err != nil {
			t.Fatalf("Once for %v = %v, %v, want true", ahead, first, err)
		}
		m, err := s.lastMessage(t.Context(), streamJTI, s.names.subject("jti", hashed(key)))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.header.Get(jetstream.MsgTTLHeader); got != want {
			t.Errorf("a use that counts for %v is kept for %q, want %q", ahead, got, want)
		}
	}
	m := &nats.Msg{Subject: s.names.subject("jti", hashed("short"))}
	if _, err := s.publishVolatile(t.Context(), m, jetstream.WithMsgTTL(time.Second)); err != nil {
		t.Fatal(err)
	}
	if first, err := s.Once(t.Context(), "agent", "short", now.Add(time.Minute)); first || err != nil {
		t.Errorf("Once of a use that another process remembers = %v, %v, want false", first, err)
	}
	eventually(t, "the server forgetting a use", func() bool {
		first, err := s.Once(t.Context(), "agent", "short", now.Add(time.Minute))
		return first && err == nil
	})
}

// TestFullServerForgetsNoUse floods the stream of an external server.
func TestFullServerForgetsNoUse(t *testing.T) {
	t.Parallel()
	s, ctx := newGround(t).open(t), t.Context()
	streams, _ := s.names.configs(0)
	c := streams[slices.IndexFunc(streams, func(c jetstream.StreamConfig) bool { return c.Name == s.names.stream(streamJTI) })]
	c.MaxMsgs = 3
	if _, err := s.js.UpdateStream(ctx, c); err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(time.Minute)
	for i := range 50 {
		first, err := s.Once(ctx, "agent", fmt.Sprint(i), until)
		if i < 3 && (!first || err != nil) || i >= 3 && (first || !errors.Is(err, consent.ErrUnavailable)) {
			t.Errorf("Once of key %d where three fit = %v, %v", i, first, err)
		}
	}
	for i := range 3 {
		if first, err := s.Once(ctx, "agent", fmt.Sprint(i), until); first || err != nil {
			t.Errorf("Once of key %d after the flood = %v, %v, want false", i, first, err)
		}
	}
}

// TestEarlierStreamOfUses opens where an earlier release runs: what it has
// remembered stays, and it may go on beside this one.
func TestEarlierStreamOfUses(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	before, ctx := g.open(t), t.Context()
	name := before.names.stream(streamJTI)
	if err := before.js.DeleteStream(ctx, name); err != nil {
		t.Fatal(err)
	}
	if _, err := before.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: name, Subjects: []string{before.names.subject("jti.*")}, Storage: jetstream.MemoryStorage,
		MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
		AllowDirect: true, MaxAge: time.Hour, Duplicates: time.Second, Replicas: replicas,
	}); err != nil {
		t.Fatal(err)
	}
	publish := func(key string) error {
		_, err := before.publishVolatile(ctx, &nats.Msg{Subject: before.names.subject("jti", hashed(key))})
		return err
	}
	if err := publish("used"); err != nil {
		t.Fatal(err)
	}
	s, until := g.open(t), time.Now().Add(time.Minute)
	if first, err := s.Once(ctx, "agent", "used", until); first || err != nil {
		t.Errorf("Once of what the earlier release has seen = %v, %v, want false", first, err)
	}
	if first, err := s.Once(ctx, "agent", "new", until); !first || err != nil {
		t.Errorf("Once = %v, %v, want true", first, err)
	}
	if err := publish("new"); !isSecond(err) {
		t.Errorf("the earlier release may use a key again: %v", err)
	}
	if err := publish("newer"); err != nil {
		t.Errorf("the earlier release may use nothing any more: %v", err)
	}
}

// TestOnceWithoutServer refuses rather than believes.
func TestOnceWithoutServer(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s := g.open(t)
	s.nc.Close()
	if first, err := s.Once(t.Context(), "agent", "key", time.Now().Add(time.Minute)); first || !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("Once without a connection = %v, %v, want %v", first, err, consent.ErrUnavailable)
	}
}
