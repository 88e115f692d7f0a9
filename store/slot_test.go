package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/consent"
	"ringback/keys"
)

func TestSlot(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	a, b, ctx := g.open(t), g.open(t), t.Context()
	p, first, second := a.Pseudonym("p"), consent.NewID(), consent.NewID()
	take := func(s *Store, id consent.ID, want bool) {
		t.Helper()
		got, until, err := s.Slot(ctx, p, id, time.Minute)
		if err != nil || got != want {
			t.Fatalf("Slot = %v, %v, want %v", got, err, want)
		}
		if left := until.Sub(g.clock.now()); left <= 0 || left > time.Minute {
			t.Errorf("Slot ends in %v, want within a minute", left)
		}
	}
	take(a, first, true)
	take(b, first, true) // it has it already
	take(b, second, false)
	if err := b.Release(ctx, p, second); err != nil { // not its own
		t.Fatal(err)
	}
	take(b, second, false)
	if err := b.Release(ctx, p, first); err != nil {
		t.Fatal(err)
	}
	take(b, second, true)
	take(a, first, false)
	g.clock.forward(61 * time.Second) // second does not give it back
	take(a, first, true)
	take(b, second, false)
	if err := a.Release(ctx, a.Pseudonym("nobody"), first); err != nil {
		t.Errorf("Release of a free slot: %v", err)
	}

	// The server forgets on its own, too.
	q := a.Pseudonym("q")
	if got, _, err := a.Slot(ctx, q, first, 10*time.Millisecond); !got || err != nil {
		t.Fatalf("Slot = %v, %v", got, err)
	}
	eventually(t, "the server forgetting a slot", func() bool {
		_, err := a.lastMessage(ctx, streamSlot, a.names.subject("slot", string(q)))
		return errors.Is(err, consent.ErrNotFound)
	})

	// What is not a holder holds nothing.
	r := a.Pseudonym("r")
	if _, err := a.js.Publish(ctx, a.names.subject("slot", string(r)), []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	if got, _, err := a.Slot(ctx, r, first, time.Minute); !got || err != nil {
		t.Errorf("Slot over garbage = %v, %v, want true", got, err)
	}
}

func TestSlotRace(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	stores, ctx := []*Store{g.open(t), g.open(t)}, t.Context()
	for round := range 20 {
		p := stores[0].Pseudonym(fmt.Sprint("p", round))
		var winners atomic.Int32
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				got, _, err := stores[i%2].Slot(ctx, p, consent.NewID(), time.Minute)
				if err != nil {
					t.Errorf("Slot: %v", err)
				}
				if got {
					winners.Add(1)
				}
			})
		}
		all.Wait()
		if n := winners.Load(); n != 1 {
			t.Fatalf("%d requests have one person's slot", n)
		}
	}
}

// TestSlotsRunOut lets many find a slot that is over by our clock at once, and
// many give one back at once: whoever comes second finds it done.
func TestSlotsRunOut(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	stores, ctx := []*Store{g.open(t), g.open(t)}, t.Context()
	together := func(call func(s *Store) error) {
		t.Helper()
		start := make(chan struct{})
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				<-start
				if err := call(stores[i%2]); err != nil {
					t.Errorf("one of many at once: %v", err)
				}
			})
		}
		close(start)
		all.Wait()
	}
	for round := range 10 {
		p, first, second := stores[0].Pseudonym(fmt.Sprint("p", round)), consent.NewID(), consent.NewID()
		if got, _, err := stores[0].Slot(ctx, p, first, time.Minute); !got || err != nil {
			t.Fatalf("Slot = %v, %v", got, err)
		}
		g.clock.forward(61 * time.Second)
		together(func(s *Store) error {
			got, _, err := s.Slot(ctx, p, second, time.Minute)
			if err == nil && !got {
				err = errors.New("the slot is free and was not taken")
			}
			return err
		})
		together(func(s *Store) error { return s.Release(ctx, p, second) })
		if got, _, err := stores[1].Slot(ctx, p, first, time.Minute); !got || err != nil {
			t.Errorf("Slot after a release = %v, %v", got, err)
		}
	}
}

// TestExpunge removes a message that is there, is gone, has been replaced, or
// cannot be removed.
func TestExpunge(t *testing.T) {
	t.Parallel()
	s, ctx := newGround(t).open(t), t.Context()
	p := s.Pseudonym("p")
	hold := func() message {
		t.Helper()
		if got, _, err := s.Slot(ctx, p, consent.NewID(), time.Minute); !got || err != nil {
			t.Fatalf("Slot = %v, %v", got, err)
		}
		held, err := s.lastMessage(ctx, streamSlot, s.names.subject("slot", string(p)))
		if err != nil {
			t.Fatal(err)
		}
		return held
	}
	first := hold()
	for _, what := range []string{"there", "gone"} {
		if err := s.expunge(ctx, streamSlot, first, s.dir.slots.DeleteMsg); err != nil {
			t.Errorf("expunge of what is %s: %v", what, err)
		}
	}
	second := hold()
	if err := s.expunge(ctx, streamSlot, first, s.dir.slots.DeleteMsg); err != nil {
		t.Errorf("expunge of what was replaced: %v", err)
	}
	refusal := errors.New("no")
	if err := s.expunge(ctx, streamSlot, second, func(context.Context, uint64) error { return refusal }); !errors.Is(err, refusal) {
		t.Errorf("expunge of what stays = %v, want the server's refusal", err)
	}
	if m, err := s.lastMessage(ctx, streamSlot, second.subject); err != nil || m.seq != second.seq {
		t.Errorf("what was not removed is %d, %v, want %d", m.seq, err, second.seq)
	}
}

func FuzzParseSlot(f *testing.F) {
	f.Add([]byte("aaaaaaaaaaaaaaaaaaaaaaaaaa 1700000000000"))
	f.Add([]byte(" "))
	f.Fuzz(func(t *testing.T, data []byte) {
		id, until := parseSlot(data)
		if until.IsZero() && id != (consent.ID{}) {
			t.Errorf("parseSlot(%q) = %v without an end", data, id)
		}
	})
}

func TestFreeze(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	a, b, ctx := g.open(t), g.open(t), t.Context()
	p, now := a.Pseudonym("p"), g.clock.now().Truncate(time.Second)
	client := "https://agent.example/?a.b.>"
	freeze := func(s *Store, until time.Time) {
		t.Helper()
		if err := s.Freeze(ctx, p, client, until); err != nil {
			t.Fatalf("Freeze: %v", err)
		}
	}
	if got := a.frozen(p); got != nil {
		t.Errorf("frozen = %v, want none", got)
	}
	freeze(a, now.Add(24*time.Hour))
	freeze(a, now.Add(time.Hour)) // does not shorten it
	for i, s := range []*Store{a, b, g.open(t)} {
		eventually(t, fmt.Sprint("the freeze in store ", i), func() bool {
			got := s.frozen(p)
			return len(got) == 1 && got[client].Equal(now.Add(24*time.Hour))
		})
	}
	if got := a.History(p).Frozen; !got[client].Equal(now.Add(24 * time.Hour)) {
		t.Errorf("History.Frozen = %v", got)
	}
	if got := a.frozen(a.Pseudonym("q")); got != nil {
		t.Errorf("frozen(another) = %v", got)
	}
	freeze(b, now.Add(-time.Second)) // the person takes it back
	eventually(t, "the end of the freeze", func() bool { return a.frozen(p) == nil })
	freeze(b, now.Add(time.Hour))
	eventually(t, "the next freeze", func() bool { return a.frozen(p) != nil })
	g.clock.forward(2 * time.Hour)
	if got := a.frozen(p); got != nil {
		t.Errorf("frozen after its end = %v", got)
	}
}

// TestFreezeAtOnce has two processes freeze for different times: the later end
// stays, whoever comes first.
func TestFreezeAtOnce(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	a, b, ctx := g.open(t), g.open(t), t.Context()
	now := g.clock.now().Truncate(time.Second)
	for round := range 20 {
		p := a.Pseudonym(fmt.Sprint("p", round))
		freeze := func(s *Store, d time.Duration) func() {
			return func() {
				if err := s.Freeze(ctx, p, "agent", now.Add(d)); err != nil {
					t.Errorf("Freeze: %v", err)
				}
			}
		}
		together(freeze(a, time.Hour), freeze(b, 24*time.Hour), freeze(a, 2*time.Hour))
		for _, s := range []*Store{a, b} {
			eventually(t, "the later end", func() bool { return s.frozen(p)["agent"].Equal(now.Add(24 * time.Hour)) })
		}
	}
}

func TestSigningKeys(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	a, b, ctx := g.open(t), g.open(t), t.Context()
	if data, rev, err := a.LoadKeys(ctx); data != nil || rev != 0 || err != nil {
		t.Fatalf("LoadKeys = %q, %d, %v, want none", data, rev, err)
	}
	var saved atomic.Int32
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			switch err := []*Store{a, b}[i%2].SaveKeys(ctx, []byte(fmt.Sprint(i)), 0); {
			case err == nil:
				saved.Add(1)
			case !errors.Is(err, consent.ErrClaimed):
				t.Errorf("SaveKeys = %v, want ErrClaimed", err)
			}
		})
	}
	all.Wait()
	if n := saved.Load(); n != 1 {
		t.Fatalf("%d first writers", n)
	}
	_, rev, err := b.LoadKeys(ctx)
	if err != nil || rev == 0 {
		t.Fatalf("LoadKeys: %d, %v", rev, err)
	}
	if err := a.SaveKeys(ctx, []byte("next"), rev); err != nil {
		t.Fatalf("SaveKeys: %v", err)
	}
	if err := b.SaveKeys(ctx, []byte("late"), rev); !errors.Is(err, consent.ErrClaimed) {
		t.Errorf("SaveKeys over another = %v, want ErrClaimed", err)
	}
	if data, _, err := b.LoadKeys(ctx); string(data) != "next" || err != nil {
		t.Errorf("LoadKeys = %q, %v, want next", data, err)
	}
}

var _ keys.RingStore = (*Store)(nil)
