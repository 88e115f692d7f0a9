package workers

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ringback/consent"
)

// send makes one attempt that began and ended as given.
func (b *breaker) send(id consent.ID, status consent.OutcomeStatus, began, ended float64) []consent.ID {
	b.begin(id)
	b.ask(id, at(began))
	return b.end(id, consent.Outcome{Status: status, Code: string(status)}, at(ended))
}

// waits lets requests wait that have lost no attempt.
func (b *breaker) waits(ids ...consent.ID) {
	for _, id := range ids {
		b.hold(id, holding{ready: true}, b.back)
	}
}

// broken is a channel that went down at t0.
func broken() *breaker {
	b := newBreaker()
	b.send(named(200), consent.Unknown, -10, 0)
	b.probed = at(-10)
	return b
}

// TestBreakerTrips: what takes a channel down, and what does not.
func TestBreakerTrips(t *testing.T) {
	t.Parallel()
	const ok, no, gone, lost = consent.Accepted, consent.Refused, consent.Unreachable, consent.Unknown
	for _, tt := range []struct {
		name string
		of   []consent.OutcomeStatus // one after the other, a second each
		want bool
	}{
		{"nothing", nil, false},
		{"accepted", []consent.OutcomeStatus{ok, ok}, false},
		{"four refusals", []consent.OutcomeStatus{no, no, no, no}, false},
		{"five refusals", []consent.OutcomeStatus{no, no, no, no, no}, true},
		{"five refusals, not in a row", []consent.OutcomeStatus{no, no, no, no, ok, no, no, no, no}, false},
		{"five refusals, and somebody whose device does not exist", []consent.OutcomeStatus{no, no, no, gone, no, no}, false},
		{"not answered", []consent.OutcomeStatus{ok, lost}, true},
		{"devices that do not exist", slices.Repeat([]consent.OutcomeStatus{gone}, 9), false},
		{"works again", []consent.OutcomeStatus{lost, ok}, false},
		{"not asked after all", slices.Repeat([]consent.OutcomeStatus{""}, 9), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBreaker()
			for i, status := range tt.of {
				b.probe, b.probing = named(byte(i)), b.down // who may ask
				b.send(named(byte(i)), status, float64(i), float64(i)+0.5)
			}
			if down, _, _, _ := b.state(); down != tt.want {
				t.Errorf("down = %v, want %v", down, tt.want)
			}
			if len(b.calls) != 0 {
				t.Errorf("%d calls are remembered", len(b.calls))
			}
		})
	}
}

// TestBreakerSilence: a provider that answers nobody is down before the first
// call to it ends, one that answers others is not.
func TestBreakerSilence(t *testing.T) {
	t.Parallel()
	down := func(b *breaker, sec float64) bool {
		b.tick(at(sec))
		is, _, _, _ := b.state()
		return is
	}
	b := newBreaker()
	b.begin(named(1))
	if down(b, 100) {
		t.Error("down while the store is waited for")
	}
	b.ask(named(1), at(100))
	if down(b, 102.9) {
		t.Error("down too early")
	}
	b.send(named(2), consent.Accepted, 101, 102.95)
	if down(b, 104) {
		t.Error("down although somebody was answered")
	}
	b.begin(named(3))
	b.ask(named(3), at(103))
	b.send(named(4), consent.Refused, 103, 104)
	if !down(b, 106) {
		t.Error("not down though nobody is answered")
	}
	if _, since, why, _ := b.state(); !since.Equal(at(106)) || why != "timeout" {
		t.Errorf("down since %v (%s)", since, why)
	}

	b = newBreaker() // a call that ends without an answer
	b.begin(named(1))
	b.ask(named(1), t0)
	b.send(named(2), consent.Accepted, 1, 2)
	b.end(named(1), consent.Outcome{Status: consent.Unknown}, at(10))
	if down(b, 10) {
		t.Error("down although another one was answered meanwhile")
	}
}

// TestBreakerProbes: while it is down one request a second may go.
func TestBreakerProbes(t *testing.T) {
	t.Parallel()
	b := broken()
	if _, ok := b.tick(at(0)); ok {
		t.Fatal("a probe though nobody waits")
	}
	for i, h := range []holding{{lost: 2, ready: true}, {lost: 1}, {lost: 3, ready: true}} { // of those who lost
		b.hold(named(byte(10+i)), h, time.Time{})
	}
	b.waits(named(1), named(2), named(3))
	b.forget(named(2))
	b.waits(named(2)) // came last now
	now := 0.0
	for i, want := range []byte{1, 3, 2, 10, 12} {
		id, ok := b.tick(at(now))
		if !ok || id != named(want) {
			t.Fatalf("probe %d is %d, %v, want %d", i, id[0], ok, want)
		}
		if again, ok := b.tick(at(now + 0.1)); ok {
			t.Fatalf("probe %d while there is one", again[0])
		}
		if b.begin(named(99)) {
			t.Fatal("somebody else may be sent")
		}
		if is, _ := b.isDown(named(99)); !is {
			t.Fatal("it is not down for somebody else")
		}
		if is, _ := b.isDown(id); is || !b.begin(id) {
			t.Fatal("the probe may not be sent")
		}
		b.ask(id, at(now))
		b.end(id, consent.Outcome{Status: consent.Refused}, at(now+0.2))
		if early, ok := b.tick(at(now + 0.9)); ok {
			t.Fatalf("probe %d in the same second", early[0])
		}
		now++
	}
	if id, ok := b.tick(at(now)); ok {
		t.Errorf("probe %d, whose pause is not over", id[0])
	}
	b.waits(named(4))
	if id, ok := b.tick(at(-3600)); !ok || id != named(4) {
		t.Error("no probe after the clock was set back")
	}
}

// TestBreakerSpares: a probe that makes no attempt, for whatever reason, keeps
// nobody else from being it, and is not lost.
func TestBreakerSpares(t *testing.T) {
	t.Parallel()
	for name, spare := range map[string]func(b *breaker, id consent.ID){
		"it waits again":            func(b *breaker, id consent.ID) { b.waits(id) },
		"it needs something else":   func(b *breaker, id consent.ID) { b.forget(id) },
		"it waits for its turn":     func(b *breaker, id consent.ID) { b.begin(id); b.end(id, consent.Outcome{}, t0) },
		"it panics when it is sent": func(b *breaker, id consent.ID) { b.begin(id); b.ask(id, t0); b.end(id, consent.Outcome{}, t0) },
	} {
		t.Run(name, func(t *testing.T) {
			b := broken()
			b.waits(named(1), named(2))
			b.tick(t0)
			spare(b, named(1))
			if id, ok := b.tick(at(0.25)); !ok || id != named(2) {
				t.Fatalf("the next probe is %d, %v, want 2 soon", id[0], ok)
			}
			if name == "it waits again" {
				if again := b.send(named(2), consent.Accepted, 1, 2); !slices.Equal(again, []consent.ID{named(1)}) {
					t.Errorf("wakes %v, want the one that waits again", again)
				}
			}
		})
	}
	b := broken()
	b.waits(named(1))
	b.tick(t0)
	b.begin(named(1))
	b.forget(named(1)) // an event about it meanwhile
	if _, ok := b.tick(at(5)); ok {
		t.Error("another probe while one is under way")
	}
}

// TestBreakerWakes: everybody who waits goes on the moment it works, those who
// lost nothing first and as they came.
func TestBreakerWakes(t *testing.T) {
	t.Parallel()
	b := broken()
	b.hold(named(9), holding{lost: 1}, time.Time{})
	b.waits(named(3), named(1), named(2))
	b.tick(t0)
	if again := b.send(named(3), consent.Unreachable, 1, 2); !slices.Equal(again, []consent.ID{named(1), named(2), named(9)}) {
		t.Errorf("wakes %v, want 1, 2 and 9", again)
	}
	if is, back := b.isDown(named(1)); is || !back.Equal(at(2)) {
		t.Errorf("isDown = %v, %v, want that it is back", is, back)
	}
	if len(b.held)+len(b.fresh)+len(b.calls) != 0 {
		t.Error("remembers who waited")
	}
	if b.hold(named(4), holding{ready: true}, time.Time{}) || b.holds(named(4)) {
		t.Error("somebody waits who saw it down, and it has come back meanwhile")
	}
	b.hold(named(5), holding{lost: 1}, at(2)) // pauses
	if again := b.send(named(6), consent.Accepted, 3, 4); again != nil {
		t.Errorf("wakes %v although nothing has changed", again)
	}
	if !b.holds(named(5)) {
		t.Error("forgot who pauses")
	}
}

// TestBreakerModel does random things to a channel: nobody who waits is forgotten,
// nothing is remembered of others, and while somebody can probe somebody does.
func TestBreakerModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		b := newBreaker()
		held, calls := map[consent.ID]holding{}, map[consent.ID]bool{}
		var ids []consent.ID
		for i := range 12 {
			ids = append(ids, named(byte(i+1)))
		}
		probe, probing := consent.ID{}, false
		spare := func(id consent.ID) {
			if probe == id && !calls[id] {
				probing = false
			}
		}
		now := 0.0
		for range 600 {
			now += float64(rnd.IntN(1500)) / 1000
			id := ids[rnd.IntN(len(ids))]
			switch rnd.IntN(5) {
			case 0:
				if calls[id] {
					continue
				}
				h := holding{lost: rnd.IntN(2), ready: true}
				if h.lost > 0 {
					h.ready = rnd.IntN(2) == 0
				}
				b.hold(id, h, b.back)
				held[id] = h
				spare(id)
			case 1:
				b.forget(id)
				delete(held, id)
				spare(id)
			case 2:
				down := b.down
				if calls[id] {
					continue
				}
				may := !down || probing && probe == id
				if got := b.begin(id); got != may {
					t.Fatalf("seed %d: begin = %v, want %v", seed, got, may)
				}
				if may {
					b.ask(id, at(now))
					calls[id] = true
					delete(held, id)
				}
			case 3:
				if !calls[id] {
					continue
				}
				status := []consent.OutcomeStatus{consent.Accepted, consent.Refused, consent.Unknown, consent.Unreachable, ""}[rnd.IntN(5)]
				down := b.down
				again := b.end(id, consent.Outcome{Status: status}, at(now))
				delete(calls, id)
				if probe == id {
					probing = false
				}
				if down && !b.down {
					if len(again) != len(held) {
						t.Fatalf("seed %d: wakes %d of %d", seed, len(again), len(held))
					}
					for _, id := range again {
						if _, waits := held[id]; !waits {
							t.Fatalf("seed %d: wakes one that does not wait", seed)
						}
						delete(held, id)
					}
				} else if len(again) > 0 {
					t.Fatalf("seed %d: wakes %d though nothing has changed", seed, len(again))
				}
			default:
				now += 1.5 // the last probe is longer ago
				ready := 0
				for _, h := range held {
					if h.ready {
						ready++
					}
				}
				id, ok := b.tick(at(now))
				if want := b.down && !probing && ready > 0; ok != want {
					t.Fatalf("seed %d: tick = %v, want %v: down %v, probing %v, %d ready", seed, ok, want, b.down, probing, ready)
				}
				if ok {
					if h, waits := held[id]; !waits || !h.ready {
						t.Fatalf("seed %d: a probe that does not wait", seed)
					}
					delete(held, id)
					probe, probing = id, true
				}
			}
			if len(b.held) != len(held) || len(b.calls) != len(calls) || len(b.fresh) > 2*len(held)+66 {
				t.Fatalf("seed %d: %d held, %d calls, %d fresh, want %d, %d", seed, len(b.held), len(b.calls), len(b.fresh), len(held), len(calls))
			}
		}
	}
	b := broken()
	for range 10_000 { // one that comes and goes
		b.waits(named(1))
		b.forget(named(1))
	}
	if len(b.fresh) > 100 {
		t.Errorf("%d notes of nobody", len(b.fresh))
	}
}
