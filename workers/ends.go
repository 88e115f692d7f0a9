package workers

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"ringback/consent"
)

const (
	// endsTogether is how many ends are written at once.
	endsTogether = 256
	// endsRest is the least pause between two times, and endsLeave how many times
	// as long as the last one took it is while nothing is late: asks, answers and
	// tokens go first.
	endsRest  = 5 * time.Millisecond
	endsLeave = 3
	// endsPatience is how late ends may be before they take all that they need.
	endsPatience = 500 * time.Millisecond
	// endsKnown bounds the ends whose arrival is still awaited.
	endsKnown = 1 << 16
)

// ends are the requests whose time is over. When many end at once nothing else
// may suffer: they are known from memory, are written together, and wait for
// everything that somebody waits for.
type ends struct {
	mu      sync.Mutex
	waiting []overdue
	written map[consent.ID]bool // whose fact is on its way back to us
	wake    chan struct{}       // capacity 1: something waits
}

// overdue is one of them, and when its end was due.
type overdue struct {
	id consent.ID
	at int64 // nanoseconds
}

func newEnds() *ends {
	return &ends{written: make(map[consent.ID]bool), wake: make(chan struct{}, 1)}
}

// add lets a request be ended.
func (q *ends) add(id consent.ID, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, overdue{id, at.UnixNano()})
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns the next of them.
func (q *ends) take() []consent.ID {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.written) > endsKnown {
		clear(q.written) // their arrival costs a look, and no more
	}
	n := min(len(q.waiting), endsTogether)
	batch := make([]consent.ID, n)
	for i, o := range q.waiting[:n] {
		batch[i] = o.id
		q.written[o.id] = true
	}
	if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
		q.waiting = nil
	}
	return batch
}

// unwritten says that nothing was written for a request.
func (q *ends) unwritten(id consent.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.written, id)
}

// wrote reports whether a fact that arrives was written here, so that nothing
// follows from it any more.
func (q *ends) wrote(ev consent.Event) bool {
	if ev.Kind != consent.FactDecided && ev.Kind != consent.FactSettled {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.written[ev.ID] {
		return false
	}
	delete(q.written, ev.ID)
	return true
}

// behind is how many wait, and for how long the first one has been due.
func (q *ends) behind(now time.Time) (n int, late time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return 0, 0
	}
	return len(q.waiting), max(0, time.Duration(now.UnixNano()-q.waiting[0].at))
}

// ending lets a request be ended whose end is due, as memory says. Where another
// process asked it is the first to write it.
func (e *Engine) ending(due item, now time.Time) bool {
	b, known := e.cfg.Store.Peek(due.id)
	if !known || due.alone {
		return false
	}
	end, open := b.Ends()
	at := end.Add(expiryDelay)
	if !open || now.Before(at) {
		return false
	}
	if p, waited := e.turns.leave(due.id); waited {
		e.wakeNext(p, now) // it need not wait until the end is written
	}
	if due.foreign {
		at = at.Add(othersDelay(due.id))
	}
	if now.Before(at) {
		e.queue.done(due.id, at, due.why)
	} else {
		e.ends.add(due.id, at)
	}
	return true
}

// endAll ends requests until ctx ends.
func (e *Engine) endAll(ctx, steps context.Context) {
	rest := time.NewTimer(endsRest)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.ends.wake:
		}
		for ctx.Err() == nil {
			batch := e.ends.take()
			if len(batch) == 0 {
				break
			}
			began := e.cfg.Now()
			e.endSome(steps, batch)
			now := e.cfg.Now()
			_, late := e.ends.behind(now)
			if late >= endsPatience {
				continue
			}
			leave := endsLeave * float64(endsPatience-late) / float64(endsPatience)
			rest.Reset(max(time.Duration(leave*float64(now.Sub(began))), endsRest))
			select {
			case <-ctx.Done():
				return
			case <-rest.C:
			}
		}
	}
}

// endSome ends requests together. One that could not be ended with the others
// is looked at by itself.
func (e *Engine) endSome(ctx context.Context, batch []consent.ID) {
	now := e.cfg.Now()
	var ended []consent.ID
	var err error
	panicked := e.shield(func() { ended, err = e.cfg.Store.End(ctx, batch, now) })
	if panicked != nil {
		e.cfg.Log.ErrorContext(ctx, "ending requests failed", slog.Any("err", panicked))
	}
	left := make(map[consent.ID]bool, len(batch))
	for _, id := range batch {
		left[id] = true
	}
	for _, id := range ended {
		delete(left, id)
		e.guard(ctx, id, func() { e.rest(ctx, id, e.follow(ctx, id)) })
	}
	for id := range left {
		e.ends.unwritten(id)
		if err != nil && len(ended) == 0 { // the store's fault, not its own
			e.fail(ctx, id, err)
			continue
		}
		e.queue.mark(id, func(it *item) { it.alone = true })
		e.queue.done(id, now, Ending)
	}
}

// follow follows up an end that was written here, from memory. Only a client that
// is told of it, or a message that can be taken back, takes a look of its own.
func (e *Engine) follow(ctx context.Context, id consent.ID) result {
	now := e.cfg.Now()
	b, known := e.cfg.Store.Peek(id)
	if !known {
		return result{until: now, why: Ending}
	}
	rang := b.Tried > 0 && now.Before(b.TriedAt.Add(slotLife))
	e.stepAside(ctx, b.Pseudonym, id, e.turns.yield(b.Pseudonym, id, unused) || rang)
	if b.Mode != consent.Poll || e.recalls && b.Tried > 0 {
		return result{until: now, why: Ending}
	}
	return result{}
}

// end ends one request.
func (e *Engine) end(ctx context.Context, s *consent.State) error {
	id := s.Request.ID
	end, err := consent.End(s, rand.Text(), e.cfg.Now())
	switch {
	case err != nil:
		return err
	case end.Decision != nil:
		_, err = e.cfg.Store.Decide(ctx, id, *end.Decision)
	case end.Settlement != nil:
		_, err = e.cfg.Store.Settle(ctx, id, *end.Settlement)
	}
	return err
}
