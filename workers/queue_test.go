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
			q.done(id, start, Answer) // no worker has it
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
		counted := 0
		for cause, n := range q.counts() {
			if counted += n; n < 0 {
				t.Fatalf("step %d: %d wait for %s", step, n, Cause(cause))
			}
		}
		if counted != q.len() {
			t.Fatalf("step %d: %d by what they wait for, want %d", step, counted, q.len())
		}
	}
	if got := len(q.heap.items); got > len(ids) {
		t.Errorf("%d places for %d requests", got, len(ids))
	}
}

// TestQueueRush: after the clock was set back everything is looked at soon,
// whenever it was due by then, also what a worker has just looked at.
func TestQueueRush(t *testing.T) {
	t.Parallel()
	q := newQueue()
	for i := range 100 {
		q.add(named(byte(i+1)), at(float64(3600+i)))
	}
	q.add(named(200), at(-5)) // due already
	q.add(named(201), t0)
	q.take(t0)
	if due, ok, _ := q.take(t0); !ok || due.id != named(201) || due.clock {
		t.Fatalf("take = %+v, %v", due, ok)
	}
	<-q.wake
	q.rush(t0)
	<-q.wake // the dispatcher looks
	q.done(named(200), time.Time{}, Answer)
	q.done(named(201), at(7200), Retry) // as the clock was
	seen := map[consent.ID]bool{}
	for range 102 {
		due, ok, next := q.take(at(1))
		if !ok || !due.clock || seen[due.id] {
			t.Fatalf("after %d: take = %+v, %v, %v", len(seen), due, ok, next)
		}
		seen[due.id] = true
		q.done(due.id, at(9000), Retry)
	}
	if due, ok, next := q.take(at(8999)); ok || !next.Equal(at(9000)) {
		t.Errorf("take = %+v, %v, %v, want nothing: all were looked at", due, ok, next)
	}
	if due, _, _ := q.take(at(9000)); due.clock {
		t.Error("it was looked at since")
	}
}

// TestQueueMarks: a mark is for one look, but whose request it is.
func TestQueueMarks(t *testing.T) {
	t.Parallel()
	q := newQueue()
	q.mark(named(1), func(*item) { t.Error("marked what is not there") })
	q.add(named(1), t0)
	q.mark(named(1), func(it *item) { it.foreign, it.alone = true, true })
	for i := range 2 {
		due, ok, _ := q.take(t0)
		if !ok || !due.foreign || due.alone != (i == 0) {
			t.Errorf("take %d = %+v, %v", i, due, ok)
		}
		q.done(named(1), t0, Ending)
	}
	if why, known := q.cause(named(1)); why != Ending || !known {
		t.Errorf("cause = %v, %v", why, known)
	}
	if late := q.behind(at(3)); late != 3*time.Second {
		t.Errorf("behind = %v, want 3 s", late)
	}
	q.take(t0)
	if late := q.behind(at(3)); late != 0 {
		t.Errorf("behind = %v, want nothing", late)
	}
	q.done(named(1), time.Time{}, Answer)
	if _, known := q.cause(named(1)); known || q.len() != 0 {
		t.Error("a request that is over is remembered")
	}
	q.done(named(1), t0, Answer)
	q.done(named(2), t0, Answer)
	if q.len() != 0 || len(q.heap.order) != 0 {
		t.Error("what nobody has was given back")
	}
}
