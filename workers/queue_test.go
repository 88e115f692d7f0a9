package workers

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"ringback/consent"
)

// TestItemsHoldNoPointers: there may be millions, and the garbage collector
// would follow each.
func TestItemsHoldNoPointers(t *testing.T) {
	t.Parallel()
	for f := range reflect.TypeFor[item]().Fields() {
		kind := f.Type.Kind()
		if kind == reflect.Array {
			kind = f.Type.Elem().Kind()
		}
		if kind < reflect.Bool || kind > reflect.Float64 {
			t.Errorf("an item has %s, which is a %s", f.Name, f.Type)
		}
	}
}

// TestQueueHasOneTurnEach makes random calls, and compares with a list of who
// is due when.
func TestQueueHasOneTurnEach(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	q := newQueue()
	waiting, taken := map[consent.ID]time.Time{}, map[consent.ID]time.Time{}
	var ids []consent.ID
	for range 40 {
		ids = append(ids, consent.NewID())
	}
	wake := func(in map[consent.ID]time.Time, id consent.ID, at time.Time) {
		if old := in[id]; old.IsZero() || at.Before(old) {
			in[id] = at
		}
	}
	for step := range 50_000 {
		id, at := ids[rnd.IntN(len(ids))], start.Add(time.Duration(rnd.IntN(1000))*time.Second)
		again, busy := taken[id]
		switch rnd.IntN(4) {
		case 0:
			q.add(id, at)
			if busy {
				wake(taken, id, at)
			} else {
				wake(waiting, id, at)
			}
		case 1:
			if !busy {
				continue
			}
			if rnd.IntN(2) == 0 {
				at = time.Time{}
			}
			q.done(id, at, Cause(rnd.IntN(len(causes))))
			delete(taken, id)
			for _, at := range []time.Time{again, at} {
				if !at.IsZero() {
					wake(waiting, id, at)
				}
			}
		default:
			var first time.Time
			for _, at := range waiting {
				if first.IsZero() || at.Before(first) {
					first = at
				}
			}
			due, ok, next := q.take(at)
			got := due.id
			switch is := !first.IsZero() && !first.After(at); {
			case ok != is:
				t.Fatalf("step %d: take = %v, want %v", step, ok, is)
			case !ok && !next.Equal(first):
				t.Fatalf("step %d: the next is due at %v, want %v", step, next, first)
			case ok && !waiting[got].Equal(first):
				t.Fatalf("step %d: take = one that is due at %v, want one of %v", step, waiting[got], first)
			case ok:
				delete(waiting, got)
				taken[got] = time.Time{}
			}
		}
		if got, want := q.len(), len(waiting)+len(taken); got != want {
			t.Fatalf("step %d: %d in mind, want %d", step, got, want)
		}
	}
	if got := len(q.heap.items); got > len(ids) {
		t.Errorf("%d places for %d requests", got, len(ids))
	}
}
