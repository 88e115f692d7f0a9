package workers

import (
	"context"
	"slices"
	"sync"
)

// lane bounds the calls to the outside that are under way at once, and how many
// of them one holder (a client, an endpoint) may have. What has no room waits,
// and holders take turns.
type lane struct {
	limit int // calls at once
	share int // of them one holder's

	mu      sync.Mutex
	closed  bool
	busy    int
	held    map[string]int
	waiting map[string][]func()
	order   []string // holders with something that waits, in turn
	running sync.WaitGroup
}

func newLane(limit, share int) *lane {
	return &lane{limit: limit, share: share, held: make(map[string]int), waiting: make(map[string][]func())}
}

// enter runs call in a goroutine of its own, now or when there is room; full is
// called first where there is none. A call that still waits when the lane is
// closed is never run.
func (l *lane) enter(holder string, call, full func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if l.busy < l.limit && l.held[holder] < l.share {
		l.start(holder, call)
		return
	}
	full()
	if len(l.waiting[holder]) == 0 {
		l.order = append(l.order, holder)
	}
	l.waiting[holder] = append(l.waiting[holder], call)
}

// start runs a call. l.mu is held.
func (l *lane) start(holder string, call func()) {
	l.busy++
	l.held[holder]++
	l.running.Go(func() {
		defer l.leave(holder)
		call()
	})
}

// leave gives room to the next holder that may have it.
func (l *lane) leave(holder string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy--
	if l.held[holder]--; l.held[holder] == 0 {
		delete(l.held, holder)
	}
	for i := 0; i < len(l.order) && l.busy < l.limit; {
		next := l.order[i]
		if l.held[next] >= l.share {
			i++
			continue
		}
		calls := l.waiting[next]
		l.order = slices.Delete(l.order, i, i+1)
		if len(calls) > 1 {
			l.waiting[next] = calls[1:]
			l.order = append(l.order, next)
		} else {
			delete(l.waiting, next)
		}
		l.start(next, calls[0])
	}
}

// close lets nothing more begin and returns when what is under way has ended,
// or ctx does.
func (l *lane) close(ctx context.Context) {
	l.mu.Lock()
	l.closed = true
	clear(l.waiting)
	l.order = nil
	l.mu.Unlock()
	done := make(chan struct{})
	go func() { l.running.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// load is how many calls are under way and how many wait.
func (l *lane) load() (busy, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, calls := range l.waiting {
		waiting += len(calls)
	}
	return l.busy, waiting
}
