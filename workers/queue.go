package workers

import (
	"container/heap"
	"sync"
	"time"

	"ringback/consent"
)

// queue is the engine's memory of when to look at which request. It is
// derived from facts and rebuilt from them at start, so it is never saved.
// A request is handed out to one worker at a time.
type queue struct {
	mu    sync.Mutex
	items map[consent.ID]*entry
	heap  entries
	wake  chan struct{} // capacity 1: the head of the heap has changed
}

type entry struct {
	id    consent.ID
	at    time.Time
	pos   int  // in the heap; -1 while a worker has it
	again bool // woken while a worker has it: at says for when
}

func newQueue() *queue {
	return &queue{items: make(map[consent.ID]*entry), wake: make(chan struct{}, 1)}
}

// add makes id due at the given time, or earlier if it was already.
func (q *queue) add(id consent.ID, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e, ok := q.items[id]
	switch {
	case !ok:
		e = &entry{id: id, at: at}
		q.items[id] = e
		heap.Push(&q.heap, e)
	case e.pos < 0:
		if !e.again || at.Before(e.at) {
			e.again, e.at = true, at
		}
		return
	case at.Before(e.at):
		e.at = at
		heap.Fix(&q.heap, e.pos)
	default:
		return
	}
	if q.heap[0] == e {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// take hands out a request that is due, or says when the next one will be.
func (q *queue) take(now time.Time) (id consent.ID, ok bool, next time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.heap) == 0 {
		return id, false, time.Time{}
	}
	e := q.heap[0]
	if e.at.After(now) {
		return id, false, e.at
	}
	heap.Pop(&q.heap)
	e.pos = -1
	return e.id, true, time.Time{}
}

// done gives a request back, to be looked at again at the given time; a zero
// time forgets it unless it was woken meanwhile.
func (q *queue) done(id consent.ID, at time.Time) {
	q.mu.Lock()
	e := q.items[id]
	if e.again && (at.IsZero() || e.at.Before(at)) {
		at = e.at
	}
	delete(q.items, id)
	q.mu.Unlock()
	if !at.IsZero() {
		q.add(id, at)
	}
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}

type entries []*entry

func (h entries) Len() int           { return len(h) }
func (h entries) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h entries) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}
func (h *entries) Push(x any) {
	e := x.(*entry)
	e.pos = len(*h)
	*h = append(*h, e)
}
func (h *entries) Pop() any {
	old := *h
	n := len(old) - 1
	e := old[n]
	old[n] = nil
	*h = old[:n]
	return e
}
