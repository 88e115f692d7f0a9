package workers

import (
	"container/heap"
	"math"
	"sync"
	"time"

	"ringback/consent"
)

// queue is the engine's memory of when to look at which request. It is
// derived from facts and rebuilt from them at start, so it is never saved.
// A request is handed out to one worker at a time. There may be very many, so
// that they have places in a list, and the garbage collector no pointer to
// follow.
type queue struct {
	mu     sync.Mutex
	places map[consent.ID]int32
	free   []int32 // places to be given again
	turns  turns
	wake   chan struct{} // capacity 1: the head of the heap has changed
}

// turns is the heap of those that wait, for container/heap.
type turns struct {
	items []item  // by place
	heap  []int32 // places
}

type item struct {
	id  consent.ID
	at  int64 // by the clock on the wall, as facts have it, in nanoseconds; while a worker has it: when it was woken for, or never
	pos int32 // in the heap; -1 while a worker has it
}

const never = math.MaxInt64

func newQueue() *queue {
	return &queue{places: make(map[consent.ID]int32), wake: make(chan struct{}, 1)}
}

// add makes id due at the given time, or earlier if it was already.
func (q *queue) add(id consent.ID, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, ok := q.places[id]
	if !ok {
		q.push(q.place(id), at.UnixNano())
		return
	}
	it := &q.turns.items[n]
	if at.UnixNano() >= it.at {
		return
	}
	it.at = at.UnixNano()
	if it.pos >= 0 {
		heap.Fix(&q.turns, int(it.pos))
		q.nudge(n)
	}
}

// take hands out a request that is due, or says when the next one will be.
func (q *queue) take(now time.Time) (id consent.ID, ok bool, next time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.turns.heap) == 0 {
		return id, false, time.Time{}
	}
	it := &q.turns.items[q.turns.heap[0]]
	if it.at > now.UnixNano() {
		return id, false, time.Unix(0, it.at)
	}
	heap.Pop(&q.turns)
	it.at, it.pos = never, -1
	return it.id, true, time.Time{}
}

// done gives a request back, to be looked at again at the given time; a zero
// time forgets it unless it was woken meanwhile.
func (q *queue) done(id consent.ID, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.places[id]
	next := q.turns.items[n].at
	if !at.IsZero() {
		next = min(next, at.UnixNano())
	}
	if next == never {
		delete(q.places, id)
		q.free = append(q.free, n)
		return
	}
	q.push(n, next)
}

// place gives a new request a place. q.mu is held.
func (q *queue) place(id consent.ID) int32 {
	var n int32
	if last := len(q.free) - 1; last >= 0 {
		n, q.free = q.free[last], q.free[:last]
		q.turns.items[n].id = id
	} else {
		n = int32(len(q.turns.items))
		q.turns.items = append(q.turns.items, item{id: id})
	}
	q.places[id] = n
	return n
}

// push lets a request wait. q.mu is held.
func (q *queue) push(n int32, at int64) {
	q.turns.items[n].at = at
	heap.Push(&q.turns, n)
	q.nudge(n)
}

// nudge wakes the dispatcher if the request is the next one. q.mu is held.
func (q *queue) nudge(n int32) {
	if q.turns.heap[0] == n {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.places)
}

func (t *turns) Len() int           { return len(t.heap) }
func (t *turns) Less(i, j int) bool { return t.items[t.heap[i]].at < t.items[t.heap[j]].at }
func (t *turns) Swap(i, j int) {
	h := t.heap
	h[i], h[j] = h[j], h[i]
	t.items[h[i]].pos, t.items[h[j]].pos = int32(i), int32(j)
}
func (t *turns) Push(x any) {
	n := x.(int32)
	t.items[n].pos = int32(len(t.heap))
	t.heap = append(t.heap, n)
}
func (t *turns) Pop() any {
	last := len(t.heap) - 1
	n := t.heap[last]
	t.heap = t.heap[:last]
	return n
}
