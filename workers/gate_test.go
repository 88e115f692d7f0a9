package workers

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// yard is a gate, how far the house behind it is behind, and what time it is.
type yard struct {
	*Gate
	late  atomic.Int64
	clock atomic.Int64
}

func newYard() *yard {
	y := &yard{}
	y.clock.Store(t0.UnixNano())
	y.Gate = NewGate(func() time.Duration { return time.Duration(y.late.Load()) }, func() time.Time { return time.Unix(0, y.clock.Load()) })
	return y
}

// pass lets one request through at the next time when the gate is judged.
func (y *yard) pass(t *testing.T) {
	t.Helper()
	y.clock.Add(int64(gateEvery))
	leave, err := y.Enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leave()
}

// counts are those inside, those that wait, and how many are let in.
func (y *yard) counts() (inside, waiting, most int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.inside, len(y.waiting), y.most
}

// await returns when that many wait.
func (y *yard) await(t *testing.T, want int) {
	t.Helper()
	eventually(t, "those who wait", func() bool { _, waiting, _ := y.counts(); return waiting == want })
}

// eventually returns when holds does.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// receive returns what comes out of a channel.
func receive[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(30 * time.Second):
		t.Fatal("waited too long for what was to come")
	}
	return v
}

func TestGateSlowsDownAndRecovers(t *testing.T) {
	t.Parallel()
	y := newYard()
	passes := func(n int) int {
		for range n {
			y.pass(t)
		}
		_, _, most := y.counts()
		return most
	}
	if got := passes(5); got != gateMost {
		t.Errorf("%d are let in while all is well, want %d", got, gateMost)
	}
	y.late.Store(int64(gateSlow + 1))
	if first := passes(1); first >= gateMost {
		t.Errorf("%d are let in while the house is behind, want fewer", first)
	}
	if got := passes(50); got != 1 {
		t.Errorf("%d are let in after a while, want 1: nobody is refused", got)
	}
	y.late.Store(int64(gateFast))
	if got := passes(5); got != 1 {
		t.Errorf("%d are let in between, want as before", got)
	}
	y.late.Store(int64(gateFast - 1))
	if got := passes(2); got < 2 || got > 8 {
		t.Errorf("%d are let in at first, want a few more", got)
	}
	if got := passes(100); got != gateMost {
		t.Errorf("%d are let in when all has been well for a while, want %d", got, gateMost)
	}
	for range 5 { // in no time at all
		leave, _ := y.Enter(t.Context())
		y.late.Store(int64(time.Hour))
		leave()
	}
	if _, _, most := y.counts(); most != gateMost {
		t.Errorf("judged more often than each %s", gateEvery)
	}
}

// TestGateInTurn: who comes first is let in first, a cancelled one counts no
// longer, and when more are let in than before nobody waits for a leave.
func TestGateInTurn(t *testing.T) {
	t.Parallel()
	y := newYard()
	y.most = 1
	y.late.Store(int64(gateSlow))
	leave, err := y.Enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	in, out := make(chan int, 10), make(chan error, 10)
	var leaves [10]func()
	enter := func(ctx context.Context, i int) {
		_, waiting, _ := y.counts()
		go func() {
			l, err := y.Enter(ctx)
			if err != nil {
				out <- err
				return
			}
			leaves[i] = l
			in <- i
		}()
		y.await(t, waiting+1)
	}
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 4 {
		if i == 1 {
			enter(ctx, i)
			continue
		}
		enter(t.Context(), i)
	}
	cancel()
	if err := receive(t, out); !errors.Is(err, context.Canceled) {
		t.Errorf("Enter = %v, want that it was cancelled", err)
	}
	y.await(t, 3)
	leave()
	if first := receive(t, in); first != 0 {
		t.Fatalf("%d is let in first, want 0", first)
	}
	if inside, waiting, _ := y.counts(); inside != 1 || waiting != 2 {
		t.Fatalf("%d inside and %d wait, want 1 and 2", inside, waiting)
	}
	leaves[0]()
	if second := receive(t, in); second != 2 {
		t.Fatalf("%d is let in second, want 2", second)
	}
	y.late.Store(0)
	y.clock.Add(int64(gateEvery))
	enter4 := make(chan struct{})
	go func() { defer close(enter4); leaves[4], _ = y.Enter(t.Context()) }() // more are let in from now on
	if third := receive(t, in); third != 3 {
		t.Fatalf("%d is let in third, want 3", third)
	}
	leaves[2]()
	leaves[3]()
	receive(t, enter4)
	leaves[4]()
	if inside, waiting, _ := y.counts(); inside != 0 || waiting != 0 {
		t.Errorf("%d inside and %d wait in the end, want nobody", inside, waiting)
	}
}

// TestGateForgetsNobody sends very many through a narrow gate, some of whom give
// up: everybody else gets in, never too many at once.
func TestGateForgetsNobody(t *testing.T) {
	t.Parallel()
	y := newYard()
	y.most = 3
	y.late.Store(int64(gateSlow)) // so it stays
	var all sync.WaitGroup
	var inside, entered, gaveUp atomic.Int64
	const many = 2000
	for i := range many {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if rnd.IntN(3) == 0 {
				time.AfterFunc(time.Duration(rnd.IntN(2000))*time.Microsecond, cancel)
			}
			leave, err := y.Enter(ctx)
			if err != nil {
				gaveUp.Add(1)
				return
			}
			if n := inside.Add(1); n > 3 {
				t.Errorf("%d inside, want at most 3", n)
			}
			entered.Add(1)
			inside.Add(-1)
			leave()
		})
	}
	all.Wait()
	if n := entered.Load() + gaveUp.Load(); n != many || entered.Load() < many/2 {
		t.Errorf("%d entered and %d gave up, of %d", entered.Load(), gaveUp.Load(), many)
	}
	if inside, waiting, _ := y.counts(); inside != 0 || waiting != 0 {
		t.Errorf("%d inside and %d wait in the end, want nobody", inside, waiting)
	}
}
