package workers

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// gateSlow is how far the house may be behind its own work before new
	// requests are let in fewer at a time, and gateFast from when on more.
	gateSlow = time.Second
	gateFast = 500 * time.Millisecond
	// gateEvery is how often that is judged.
	gateEvery = 100 * time.Millisecond
	// gateMost is how many new requests are let in at a time while all is well.
	gateMost = 1024
)

// Gate lets new requests in, fewer at a time while the house is behind with what
// it owes for earlier ones (sealing them, ending them), so that it never gets far
// behind: everything else goes before new requests.
type Gate struct {
	behind func() time.Duration
	now    func() time.Time

	mu      sync.Mutex
	judged  time.Time
	most    int // let in at a time
	inside  int
	waiting []chan struct{} // as they came
}

// NewGate returns an open gate. behind says how far the house is behind.
func NewGate(behind func() time.Duration, now func() time.Time) *Gate {
	return &Gate{behind: behind, now: now, most: gateMost}
}

// Enter waits until a request is let in, or until ctx ends. leave must be called
// when it has been stored.
func (g *Gate) Enter(ctx context.Context) (leave func(), err error) {
	g.mu.Lock()
	g.judge()
	g.admit() // it may be more than before
	if len(g.waiting) == 0 && g.inside < g.most {
		g.inside++
		g.mu.Unlock()
		return g.leave, nil
	}
	turn := make(chan struct{})
	g.waiting = append(g.waiting, turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return g.leave, nil
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		for i, w := range g.waiting {
			if w == turn {
				g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
				return nil, fmt.Errorf("waiting to be let in: %w", ctx.Err())
			}
		}
		g.inside-- // it was let in at this moment
		g.admit()
		return nil, fmt.Errorf("waiting to be let in: %w", ctx.Err())
	}
}

func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.judge()
	g.admit()
}

// admit lets in as many as there is room for. g.mu is held.
func (g *Gate) admit() {
	for len(g.waiting) > 0 && g.inside < g.most {
		close(g.waiting[0])
		g.waiting = g.waiting[1:]
		g.inside++
	}
}

// judge looks how far behind the house is. g.mu is held.
func (g *Gate) judge() {
	now := g.now()
	if since := now.Sub(g.judged).Abs(); since < gateEvery {
		return
	}
	g.judged = now
	switch late := g.behind(); {
	case late > gateSlow:
		g.most = max(1, min(g.most, g.inside+1)*3/4)
	case late < gateFast && g.most < gateMost:
		g.most = min(gateMost, g.most+1+g.most/8)
	}
}
