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
	heap   schedule
	causes [len(causes)]int // requests by what they wait for
	wake   chan struct{}    // capacity 1: the head of the heap has changed
}

// schedule is the heap of those that wait, for container/heap.
type schedule struct {
	items []item  // by place
	order []int32 // places
}

type item struct {
	id      consent.ID
	at      int64 // by the clock on the wall, as facts have it, in nanoseconds; while a worker has it: when it was woken for, or never
	pos     int32 // in the heap; -1 while a worker has it
	why     Cause // what it waits for
	foreign bool  // another process asked, and is the first to act
	alone   bool  // could not be ended together with others
	clock   bool  // the clock was set back since it was last looked at
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
	it := &q.heap.items[n]
	if at.UnixNano() >= it.at {
		return
	}
	it.at = at.UnixNano()
	if it.pos >= 0 {
		heap.Fix(&q.heap, int(it.pos))
		q.nudge(n)
	}
}

// take hands out a request that is due, or says when the next one will be.
func (q *queue) take(now time.Time) (due item, ok bool, next time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.heap.order) == 0 {
		return due, false, time.Time{}
	}
	it := &q.heap.items[q.heap.order[0]]
	if it.at > now.UnixNano() {
		return due, false, time.Unix(0, it.at)
	}
	heap.Pop(&q.heap)
	due = *it
	it.at, it.pos, it.alone, it.clock = never, -1, false, false
	return due, true, time.Time{}
}

// done gives a request back, to be looked at again at the given time; a zero
// time forgets it unless it was woken meanwhile. why is what it waits for. What
// no worker has cannot be given back.
func (q *queue) done(id consent.ID, at time.Time, why Cause) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, ok := q.places[id]
	if !ok || q.heap.items[n].pos >= 0 {
		return
	}
	it := &q.heap.items[n]
	q.causes[it.why]--
	it.why = why
	q.causes[why]++
	next := it.at
	if !at.IsZero() {
		next = min(next, at.UnixNano())
	}
	if next == never {
		delete(q.places, id)
		q.causes[why]--
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
		q.heap.items[n] = item{id: id}
	} else {
		n = int32(len(q.heap.items))
		q.heap.items = append(q.heap.items, item{id: id})
	}
	q.places[id] = n
	q.causes[Answer]++
	return n
}

// push lets a request wait. q.mu is held.
func (q *queue) push(n int32, at int64) {
	q.heap.items[n].at = at
	heap.Push(&q.heap, n)
	q.nudge(n)
}

// nudge wakes the dispatcher if the request is the next one. q.mu is held.
func (q *queue) nudge(n int32) {
	if q.heap.order[0] == n {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// cause is what a request waits for; false where it is not here.
func (q *queue) cause(id consent.ID) (Cause, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, ok := q.places[id]
	if !ok {
		return 0, false
	}
	return q.heap.items[n].why, true
}

// mark changes what is known of a request.
func (q *queue) mark(id consent.ID, how func(*item)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n, ok := q.places[id]; ok {
		how(&q.heap.items[n])
	}
}

// rush lets every request be looked at soon, one after the other: the clock that
// their times are read from was set back.
func (q *queue) rush(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := now.UnixNano()
	for _, n := range q.places {
		it := &q.heap.items[n]
		it.at, it.clock = min(it.at, at), true
		at += int64(catchUp)
	}
	heap.Init(&q.heap)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// behind is how long the head of the queue has been due.
func (q *queue) behind(now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.heap.order) == 0 {
		return 0
	}
	return max(0, time.Duration(now.UnixNano()-q.heap.items[q.heap.order[0]].at))
}

// len is the number of requests here.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.places)
}

// counts are the numbers of requests by what they wait for.
func (q *queue) counts() [len(causes)]int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.causes
}

func (t *schedule) Len() int           { return len(t.order) }
func (t *schedule) Less(i, j int) bool { return t.items[t.order[i]].at < t.items[t.order[j]].at }
func (t *schedule) Swap(i, j int) {
	h := t.order
	h[i], h[j] = h[j], h[i]
	t.items[h[i]].pos, t.items[h[j]].pos = int32(i), int32(j)
}
func (t *schedule) Push(x any) {
	n := x.(int32)
	t.items[n].pos = int32(len(t.order))
	t.order = append(t.order, n)
}
func (t *schedule) Pop() any {
	last := len(t.order) - 1
	n := t.order[last]
	t.order = t.order[:last]
	return n
}
