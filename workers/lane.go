package workers

import (
	"context"
	"slices"
	"sync"
)

// lane bounds the calls to the outside that are under way at once, and how many
// of them one holder (a client) or one endpoint may have. What has no room waits,
// and holders take turns.
type lane struct {
	limit int // calls at once
	share int // of them one holder's
	each  int // of them one endpoint's

	mu      sync.Mutex
	closed  bool
	busy    int
	held    map[string]int // by holder
	calling map[string]int // by endpoint
	waiting map[string][]call
	order   []string // holders with something that waits, in turn
	running sync.WaitGroup
}

// call is one to the outside. All without an endpoint have the lane's own.
type call struct {
	holder, endpoint string
	run              func()
}

func newLane(limit, share, each int) *lane {
	return &lane{limit: limit, share: share, each: each, held: make(map[string]int), calling: make(map[string]int), waiting: make(map[string][]call)}
}

// enter runs a call in a goroutine of its own, now or when there is room; full is
// called first where there is none. A call that still waits when the lane is
// closed is never run.
func (l *lane) enter(c call, full func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if l.room(c) {
		l.start(c)
		return
	}
	full()
	if len(l.waiting[c.holder]) == 0 {
		l.order = append(l.order, c.holder)
	}
	l.waiting[c.holder] = append(l.waiting[c.holder], c)
}

// room reports whether a call may begin. l.mu is held.
func (l *lane) room(c call) bool {
	return l.busy < l.limit && l.held[c.holder] < l.share && l.calling[c.endpoint] < l.each
}

// start runs a call. l.mu is held.
func (l *lane) start(c call) {
	l.busy++
	l.held[c.holder]++
	l.calling[c.endpoint]++
	l.running.Go(func() {
		defer l.leave(c)
		c.run()
	})
}

// leave gives room to the next holder that may have it.
func (l *lane) leave(c call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy--
	if l.held[c.holder]--; l.held[c.holder] == 0 {
		delete(l.held, c.holder)
	}
	if l.calling[c.endpoint]--; l.calling[c.endpoint] == 0 {
		delete(l.calling, c.endpoint)
	}
	for i := 0; i < len(l.order) && l.busy < l.limit; {
		next := l.order[i]
		if !l.room(l.waiting[next][0]) {
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
		l.start(calls[0])
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
