package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// TestShares counts what an external server remembers.
func TestShares(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 10, 0, 30, 0, time.UTC)
	s := newShares(now)
	take := func(whose string, ahead time.Duration) (n int) {
		for n < 10_000 && s.fits(whose, now) {
			s.add(whose, now, ahead)
			n++
		}
		return n
	}
	check := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	s.room(1000, 200)
	check("one alone", take("first", time.Minute), 400)
	check("another beside it", take("second", onceFor), 200)
	check("one who has little", take("third", onceFor), 100)
	s.room(1000, 1000)
	check("with no room left", take("fourth", time.Minute), 0)
	s.room(1000, 500)
	check("one that has most of a share", take("first", time.Minute), 50)
	now = now.Add(2 * time.Minute) // what counts for a minute is over
	s.room(1000, 300)
	check("one whose uses are over", take("first", time.Minute), 350)
	s.room(-1, 0)
	check("where an earlier release has set no limit", take("second", time.Minute), 10_000)

	now = now.Add(24 * time.Hour) // and everything is over
	s.room(1000, 0)
	check("a day later", take("second", -time.Second), 500)
	for _, step := range []time.Duration{-24 * time.Hour, time.Hour, 30 * time.Hour} { // the clock is set
		now = now.Add(step)
		take("set", onceFor)
	}
	now = now.Add(48 * time.Hour)
	s.pass(now)
	if len(s.held) != 0 {
		t.Errorf("when all is over %v are held", s.held)
	}
}

// TestExternalUsesAreShared floods an external server through two processes as
// one client: others still find room, at both.
func TestExternalUsesAreShared(t *testing.T) {
	t.Parallel()
	g, ctx := newGround(t), t.Context()
	both := []*Store{g.open(t), g.open(t)}
	streams, _ := both[0].names.configs(0)
	c := streams[slices.IndexFunc(streams, func(c jetstream.StreamConfig) bool { return c.Name == both[0].names.stream(streamJTI) })]
	c.MaxMsgs = 300
	if _, err := both[0].js.UpdateStream(ctx, c); err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(time.Minute)
	greedy := 0
	for i := range 400 {
		if i%10 == 0 {
			for _, s := range both {
				s.lookAtUses(ctx)
			}
		}
		switch first, err := both[i%2].Once(ctx, "greedy", fmt.Sprint("greedy", i), until); {
		case first:
			greedy++
		case !errors.Is(err, consent.ErrUnavailable):
			t.Fatalf("Once = %v", err)
		}
	}
	if greedy < 180 || greedy > 220 { // two of three parts, as seen every ten uses
		t.Errorf("one client has %d of 300 uses", greedy)
	}
	for i := range 50 {
		if first, err := both[i%2].Once(ctx, "modest", fmt.Sprint("modest", i), until); !first || err != nil {
			t.Fatalf("use %d of another client: %v, %v", i, first, err)
		}
	}
}
