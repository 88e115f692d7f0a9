package store

import (
	"container/list"
	"maps"
	"slices"
	"sync"
	"time"

	"ringback/consent"
)

const (
	// cacheSize is the number of requests whose decrypted facts are kept.
	cacheSize = 2048
	// doubtFor is how long a request is read from the stream after a write of
	// it went unanswered. By then the write has happened or never will.
	doubtFor = time.Minute
	// doubtMany is when doubts that are over are looked for.
	doubtMany = 4096
)

// cache keeps the facts of requests that were read or written lately. Facts
// never change, so what it holds is right; where this process is the only
// writer it is also complete.
type cache struct {
	now func() time.Time

	mu    sync.Mutex
	size  int
	byID  map[consent.ID]*list.Element // of *consent.State, which is never changed in place
	order *list.List                   // most recently used first
	loads map[consent.ID]*load
	doubt map[consent.ID]time.Time // since when the stream may hold more
	under map[consent.ID]int       // writes under way: the follower may see them before they are acknowledged
}

// load is a read of the stream under way. What is written meanwhile spoils it
// for the cache.
type load struct {
	readers int
	spoiled bool
}

func newCache(size int, now func() time.Time) *cache {
	return &cache{
		now: now, size: size, byID: make(map[consent.ID]*list.Element), order: list.New(),
		loads: make(map[consent.ID]*load), doubt: make(map[consent.ID]time.Time), under: make(map[consent.ID]int),
	}
}

// get returns what is known of a request, nil for nothing. whole says that
// nothing this process wrote is missing. The State must not be changed.
func (c *cache) get(id consent.ID) (st *consent.State, whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[id]
	if e == nil {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*consent.State), c.under[id] == 0
}

// writing announces a write, written that it ended one way or another.
func (c *cache) writing(id consent.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.under[id]++
}

func (c *cache) written(id consent.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.under[id]--; c.under[id] == 0 {
		delete(c.under, id)
	}
}

// begin announces a read of the stream, end takes its result.
func (c *cache) begin(id consent.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.loads[id]
	if l == nil {
		l = new(load)
		c.loads[id] = l
	}
	l.readers++
}

// end keeps st, unless it is nil or something was written since begin.
func (c *cache) end(id consent.ID, st *consent.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.loads[id]
	if st != nil && !l.spoiled {
		c.keep(id, st)
	}
	if l.readers--; l.readers == 0 {
		delete(c.loads, id)
	}
}

// add notes a fact that this process has written.
func (c *cache) add(p place, req *consent.Request, v any, seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spoil(p.ID)
	var st consent.State
	if p.Kind == consent.FactAsked {
		r := *req
		v = &r
	} else if e := c.byID[p.ID]; e != nil {
		st = copyState(e.Value.(*consent.State))
	} else {
		return
	}
	insert(&st, p, v)
	st.Seq = max(st.Seq, seq)
	c.keep(p.ID, &st)
}

// lost notes that a write went unanswered: it may happen yet.
func (c *cache) lost(id consent.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.doubt) >= doubtMany {
		maps.DeleteFunc(c.doubt, func(id consent.ID, _ time.Time) bool { return !c.doubtful(id) })
	}
	c.doubt[id] = c.now()
	c.remove(id)
}

// drop forgets a request, because somebody else wrote about it.
func (c *cache) drop(id consent.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(id)
}

// dropAll forgets everything about one person.
func (c *cache) dropAll(p consent.Pseudonym) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, e := range c.byID {
		if e.Value.(*consent.State).Request.Pseudonym == p {
			c.remove(id)
		}
	}
	for _, l := range c.loads {
		l.spoiled = true // whoever they are of
	}
}

func (c *cache) doubtful(id consent.ID) bool {
	since, ok := c.doubt[id]
	return ok && c.now().Sub(since) < doubtFor
}

func (c *cache) spoil(id consent.ID) {
	if l := c.loads[id]; l != nil {
		l.spoiled = true
	}
}

func (c *cache) remove(id consent.ID) {
	c.spoil(id)
	if e := c.byID[id]; e != nil {
		c.order.Remove(e)
		delete(c.byID, id)
	}
}

func (c *cache) keep(id consent.ID, st *consent.State) {
	if c.doubtful(id) {
		return // what is not there yet may still come
	}
	if e := c.byID[id]; e != nil {
		e.Value = st
		c.order.MoveToFront(e)
		return
	}
	c.byID[id] = c.order.PushFront(st)
	if c.order.Len() > c.size {
		last := c.order.Back()
		c.order.Remove(last)
		delete(c.byID, last.Value.(*consent.State).Request.ID)
	}
}

// copyState returns a State that may be changed without changing st. The
// facts themselves are shared and immutable.
func copyState(st *consent.State) consent.State {
	c := *st
	c.Tried = slices.Clone(st.Tried)
	c.Misses = slices.Clone(st.Misses)
	c.Renewals = slices.Clone(st.Renewals)
	c.Notices = slices.Clone(st.Notices)
	c.Outcomes = maps.Clone(st.Outcomes)
	c.Receipts = maps.Clone(st.Receipts)
	c.Notified = maps.Clone(st.Notified)
	return c
}

// insert puts a fact into a State. v is the type of the kind's fact; of those
// that a State points to it may be a pointer.
func insert(st *consent.State, p place, v any) {
	switch v := v.(type) {
	case *consent.Request:
		st.Request = v
	case consent.Attempt:
		st.Tried = ordered(st.Tried, v, func(a consent.Attempt) int { return a.N })
	case consent.Outcome:
		set(&st.Outcomes, p.N, v)
	case consent.Receipt:
		set(&st.Receipts, p.N, v)
	case consent.Miss:
		st.Misses = ordered(st.Misses, v, func(m consent.Miss) int { return m.N })
	case consent.Decision:
		st.Decided = &v
	case consent.Settlement:
		st.Settled = &v
	case consent.Renewal:
		st.Renewals = ordered(st.Renewals, v, func(r consent.Renewal) int { return r.N })
	case consent.Revocation:
		st.Revoked = &v
	case consent.Notice:
		st.Notices = ordered(st.Notices, v, func(n consent.Notice) int { return n.N })
	case consent.Notified:
		set(&st.Notified, p.N, v)
	}
}

// ordered inserts v by its number; one with the same number is there already.
func ordered[T any](list []T, v T, n func(T) int) []T {
	i, found := slices.BinarySearchFunc(list, n(v), func(t T, want int) int { return n(t) - want })
	if found {
		return list
	}
	return slices.Insert(list, i, v)
}

func set[T any](m *map[int]T, n int, v T) {
	if *m == nil {
		*m = make(map[int]T)
	}
	(*m)[n] = v
}
