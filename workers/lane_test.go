package workers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// traffic are calls in a lane, each of which lasts until the test ends it.
type traffic struct {
	*lane
	t *testing.T

	mu    sync.Mutex
	under map[string][]chan struct{} // by holder
	full  map[string]int             // how often a holder had to wait
	order []string                   // as they began
}

func newTraffic(t *testing.T, limit, share int) *traffic {
	return &traffic{lane: newLane(limit, share, limit), t: t, under: map[string][]chan struct{}{}, full: map[string]int{}}
}

func (w *traffic) call(holder string) { w.callAt(holder, "") }

func (w *traffic) callAt(holder, endpoint string) {
	w.enter(call{holder, endpoint, func() {
		end := make(chan struct{})
		w.mu.Lock()
		w.under[holder] = append(w.under[holder], end)
		w.order = append(w.order, holder)
		w.mu.Unlock()
		<-end
	}}, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.full[holder]++
	})
}

// end lets one call of a holder end, and awaits what follows.
func (w *traffic) end(holder string) {
	w.t.Helper()
	began, _ := w.counts()
	busy, waiting := w.load()
	w.mu.Lock()
	end := w.under[holder][0]
	w.under[holder] = w.under[holder][1:]
	w.mu.Unlock()
	close(end)
	eventually(w.t, "a call to end", func() bool {
		b, n := w.load()
		return b < busy || n < waiting
	})
	if _, n := w.load(); n < waiting {
		eventually(w.t, "the next call", func() bool { n, _ := w.counts(); return n > began })
	}
}

// counts are the calls that have begun, and those under way by holder.
func (w *traffic) counts() (began int, under map[string]int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	under = map[string]int{}
	for holder, calls := range w.under {
		if len(calls) > 0 {
			under[holder] = len(calls)
		}
	}
	return len(w.order), under
}

// awaits returns when as many calls as that are under way.
func (w *traffic) awaits(want map[string]int) {
	w.t.Helper()
	eventually(w.t, fmt.Sprint("calls ", want), func() bool {
		_, under := w.counts()
		return fmt.Sprint(under) == fmt.Sprint(want)
	})
}

func TestLaneShares(t *testing.T) {
	t.Parallel()
	w := newTraffic(t, 5, 3)
	for range 10 {
		w.call("a")
	}
	w.awaits(map[string]int{"a": 3}) // there is room for others
	for range 4 {
		w.call("b")
	}
	w.call("c")
	w.awaits(map[string]int{"a": 3, "b": 2})
	if busy, waiting := w.load(); busy != 5 || waiting != 10 {
		t.Fatalf("load = %d, %d, want 5, 10", busy, waiting)
	}
	if w.full["a"] != 7 || w.full["b"] != 2 || w.full["c"] != 1 {
		t.Errorf("had to wait: %v, want all but those under way", w.full)
	}
	w.end("b")
	w.end("a")
	w.end("b")
	w.end("a")
	w.end("b")
	if got, want := w.order[5:10], []string{"b", "a", "c", "b", "a"}; !slices.Equal(got, want) {
		t.Errorf("went on with %v, want everybody in turn: %v", got, want)
	}
}

// TestLaneModel makes random calls: there are never more at once than may be, never
// fewer than there is work for, and nobody is passed over more than once.
func TestLaneModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		limit := 1 + rnd.IntN(6)
		share := 1 + rnd.IntN(limit)
		w := newTraffic(t, limit, share)
		want, holders := map[string]int{}, []string{"a", "b", "c", "d"} // calls that have not ended
		for range 150 {
			holder := holders[rnd.IntN(1+rnd.IntN(len(holders)))]
			if _, under := w.counts(); rnd.IntN(2) == 0 && under[holder] > 0 {
				w.end(holder)
				want[holder]--
			} else {
				w.call(holder)
				want[holder]++
			}
			due, total := 0, 0
			for _, n := range want {
				due += min(n, share)
				total += n
			}
			due = min(due, limit)
			eventually(t, "as many calls as there is room for", func() bool {
				_, under := w.counts()
				n := 0
				for holder, calls := range under {
					if n += calls; calls > share {
						t.Fatalf("seed %d: %d calls of %s, want at most %d", seed, calls, holder, share)
					}
				}
				if n > due {
					t.Fatalf("seed %d: %d calls, want %d", seed, n, due)
				}
				return n == due
			})
			if busy, waiting := w.load(); busy != due || waiting != total-due {
				t.Fatalf("seed %d: load = %d, %d, want %d, %d", seed, busy, waiting, due, total-due)
			}
		}
		for left := true; left; {
			left = false
			for _, holder := range holders {
				if _, under := w.counts(); under[holder] > 0 {
					w.end(holder)
					left = true
				}
			}
		}
		eventually(t, "the last call to end", func() bool { busy, _ := w.load(); return busy == 0 })
		if l := w.lane; len(l.held)+len(l.calling)+len(l.waiting)+len(l.order) != 0 {
			t.Errorf("seed %d: an empty lane remembers %v, %d that wait, %v", seed, l.held, len(l.waiting), l.order)
		}
	}
}

// TestLaneEndpoints: an endpoint that hangs holds what it may, however many holders
// call it, and none of those who call another.
func TestLaneEndpoints(t *testing.T) {
	t.Parallel()
	w := newTraffic(t, 6, 2)
	w.each = 3
	for _, holder := range []string{"a", "b", "c"} {
		w.callAt(holder, "hangs")
		w.callAt(holder, "hangs")
	}
	w.awaits(map[string]int{"a": 2, "b": 1})
	w.callAt("d", "works")
	w.callAt("e", "works")
	w.awaits(map[string]int{"a": 2, "b": 1, "d": 1, "e": 1})
	w.end("a")
	w.awaits(map[string]int{"a": 1, "b": 2, "d": 1, "e": 1})
	w.end("d")
	w.awaits(map[string]int{"a": 1, "b": 2, "e": 1})
	w.end("b")
	w.awaits(map[string]int{"a": 1, "b": 1, "c": 1, "e": 1})
}

// TestLaneInTurn: holders with something that waits take turns, whoever has more.
func TestLaneInTurn(t *testing.T) {
	t.Parallel()
	w := newTraffic(t, 1, 1)
	for range 4 {
		w.call("many")
	}
	w.awaits(map[string]int{"many": 1})
	w.call("one")
	w.call("two")
	w.call("two")
	for range 6 {
		_, under := w.counts()
		for holder := range under {
			w.end(holder)
		}
	}
	want := []string{"many", "many", "one", "two", "many", "two", "many"}
	if !slices.Equal(w.order, want) {
		t.Errorf("calls of %v, want %v", w.order, want)
	}
}

// TestLaneCloses: what waits is never run, what runs is waited for, until there is
// no time left.
func TestLaneCloses(t *testing.T) {
	t.Parallel()
	w := newTraffic(t, 1, 1)
	w.call("a")
	w.call("a")
	w.call("b")
	w.awaits(map[string]int{"a": 1})
	closed := make(chan struct{})
	go func() { defer close(closed); w.close(t.Context()) }()
	eventually(t, "the lane to forget what waits", func() bool { _, waiting := w.load(); return waiting == 0 })
	select {
	case <-closed:
		t.Error("close returned before what is under way has ended")
	default:
	}
	w.call("c") // too late
	w.end("a")
	<-closed
	if began, _ := w.counts(); began != 1 {
		t.Errorf("%d calls began, want the first", began)
	}

	hangs := newTraffic(t, 1, 1)
	hangs.call("a")
	hangs.awaits(map[string]int{"a": 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	hangs.close(ctx) // returns
	hangs.end("a")
}
