package store

import (
	"slices"
	"sync"
	"time"

	"ringback/consent"
)

const (
	// keepEnded is how long the index remembers a request in full after its
	// end; afterwards only that it was there.
	keepEnded = time.Minute
	// keepPast is how long a request counts in its person's history.
	keepPast = 24 * time.Hour
	// keepAny bounds the life of an entry that nobody ended.
	keepAny = 26 * time.Hour
)

// who is a pseudonym; subjects and headers hold no others.
type who [16]byte

func (w who) String() string { return string(w[:]) }

// identity is who asks, as the header of asked names it.
type identity struct {
	client string // client id
	group  string // what freezes and budgets count instead; empty: the client
}

// asker is an identity that many requests share.
type asker struct {
	identity
	users int // entries and past requests
}

func (a *asker) counted() string {
	if a.group != "" {
		return a.group
	}
	return a.client
}

// entry is what memory holds of one request. There may be millions: askers
// are shared, times are nanoseconds, lists run through the entries.
type entry struct {
	id       consent.ID
	same     [8]byte
	binding  [8]byte
	asker    *asker
	asked    int64
	expires  int64
	tried    int64 // time of the last attempt
	ended    int64 // time of the decision, or of the settlement
	seq      uint64
	person   links // among the requests of one person, oldest first
	all      links // among all, oldest first
	who      who
	attempts uint16 // highest number
	outcomes uint16 // bit n-1: attempt n has an outcome
	interval uint16
	decided  verb
	settled  verb
	revoked  bool
}

type links struct{ prev, next *entry }

// verb is a consent.Verb or consent.SettleVerb in one byte.
type verb uint8

var verbs = [...]string{
	"", string(consent.Approved), string(consent.Denied), string(consent.Withdrawn), string(consent.Expired),
	string(consent.Redeemed), string(consent.Cancelled), string(consent.Lapsed),
}

func (v verb) String() string { return verbs[v] }

func parseVerb(s string) verb {
	for v, name := range verbs {
		if name == s {
			return verb(v)
		}
	}
	return 0
}

// over reports whether nothing is expected of the request any more.
func (e *entry) over() bool {
	return e.decided != 0 && (e.settled != 0 || e.decided.String() != string(consent.Approved))
}

// past is what remains of a request for the limits.
type past struct {
	asker *asker
	asked int64
	ended int64
	verb  verb
}

// index knows the requests of the last day, fed by one consumer and, ahead of
// it, by the writes of this process.
type index struct {
	now func() time.Time

	mu      sync.RWMutex
	byID    map[consent.ID]*entry
	people  map[who]chain
	all     chain
	past    map[who][]past
	askers  map[identity]*asker
	waiters map[consent.ID]*waiter
	open    int // entries that are not over
	count   map[consent.Status]int
}

type chain struct{ first, last *entry }

func newIndex(now func() time.Time) *index {
	x := &index{now: now, waiters: make(map[consent.ID]*waiter)}
	x.reset()
	return x
}

// reset forgets everything but who waits.
func (x *index) reset() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.byID, x.people, x.all = make(map[consent.ID]*entry), make(map[who]chain), chain{}
	x.past, x.askers = make(map[who][]past), make(map[identity]*asker)
	x.open, x.count = 0, make(map[consent.Status]int)
}

// apply takes a fact into memory. Taking it twice is the same as once.
func (x *index) apply(p place, l *label, seq uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.byID[p.ID]
	if e == nil {
		if p.Kind == consent.FactAsked {
			x.insert(p.ID, l, seq)
		}
		return
	}
	x.uncount(e)
	switch p.Kind {
	case consent.FactTried:
		if n := uint16(min(p.N, 1<<16-1)); n > e.attempts {
			e.attempts, e.tried = n, l.At.UnixNano()
		}
	case consent.FactOutcome:
		if p.N <= 16 {
			e.outcomes |= 1 << (p.N - 1)
		}
	case consent.FactDecided:
		e.decided = parseVerb(l.Verb)
		e.ended = max(e.ended, l.At.UnixNano())
		x.wake(p.ID)
	case consent.FactSettled:
		e.settled = parseVerb(l.Verb)
		e.ended = max(e.ended, l.At.UnixNano())
		x.wake(p.ID)
	case consent.FactRevoked:
		e.revoked = true
	}
	x.tally(e)
}

// tally counts an entry, uncount takes it back.
func (x *index) tally(e *entry) {
	x.count[e.status()]++
	if !e.over() {
		x.open++
	}
}

func (x *index) uncount(e *entry) {
	x.count[e.status()]--
	if !e.over() {
		x.open--
	}
}

func (x *index) insert(id consent.ID, l *label, seq uint64) {
	e := &entry{
		id: id, same: l.Same, binding: l.Binding, asked: l.At.UnixNano(), expires: l.Expires.UnixNano(), seq: seq,
		interval: uint16(min(max(l.Interval, 0), 1<<16-1)),
	}
	copy(e.who[:], l.Pseudonym)
	name := identity{client: l.Client, group: l.Group}
	if e.asker = x.askers[name]; e.asker == nil {
		e.asker = &asker{identity: name}
		x.askers[name] = e.asker
	}
	x.link(e)
}

// quit gives up one use of an asker: where a client_id costs nothing, there
// is no end of them. x.mu is held.
func (x *index) quit(a *asker) {
	if a.users--; a.users == 0 {
		delete(x.askers, a.identity)
	}
}

// link puts a new entry where it belongs. x.mu is held.
func (x *index) link(e *entry) {
	x.byID[e.id] = e
	e.asker.users++
	x.tally(e)
	mine := x.people[e.who]
	mine.append(e, func(e *entry) *links { return &e.person })
	x.people[e.who] = mine
	x.all.append(e, func(e *entry) *links { return &e.all })
}

// append adds e in the order of the stream: facts of this process come ahead
// of those that others wrote a moment before.
func (l *chain) append(e *entry, of func(*entry) *links) {
	after := l.last
	for after != nil && after.seq > e.seq {
		after = of(after).prev
	}
	in := of(e)
	in.prev = after
	if after == nil {
		in.next, l.first = l.first, e
	} else {
		in.next, of(after).next = of(after).next, e
	}
	if in.next == nil {
		l.last = e
	} else {
		of(in.next).prev = e
	}
}

func (l *chain) remove(e *entry, of func(*entry) *links) {
	in := of(e)
	if in.prev == nil {
		l.first = in.next
	} else {
		of(in.prev).next = in.next
	}
	if in.next == nil {
		l.last = in.prev
	} else {
		of(in.next).prev = in.prev
	}
	*in = links{}
}

// remove forgets an entry. x.mu is held.
func (x *index) remove(e *entry) {
	x.uncount(e)
	delete(x.byID, e.id)
	x.quit(e.asker)
	x.all.remove(e, func(e *entry) *links { return &e.all })
	mine := x.people[e.who]
	mine.remove(e, func(e *entry) *links { return &e.person })
	if mine.first == nil {
		delete(x.people, e.who)
	} else {
		x.people[e.who] = mine
	}
}

// sweepStep is the number of steps that sweep takes under one lock.
const sweepStep = 2000

// sweep turns requests that ended into past ones and forgets old ones. An
// ended one is kept in full for keepFor. Only one sweep runs at a time, and
// nothing else removes anything.
func (x *index) sweep(keepFor time.Duration) {
	now := x.now()
	ended, old, lost := now.Add(-keepFor).UnixNano(), now.Add(-keepPast).UnixNano(), now.Add(-keepAny).UnixNano()
	steps := 0
	breathe := func() {
		if steps++; steps%sweepStep == 0 {
			x.mu.Unlock()
			x.mu.Lock()
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for e := x.all.first; e != nil; {
		next := e.all.next
		if e.over() && e.ended < ended {
			if e.asked > old {
				x.past[e.who] = append(x.past[e.who], past{e.asker, e.asked, e.ended, e.decided})
				e.asker.users++
			}
			x.remove(e)
		} else if e.asked < lost {
			x.remove(e)
		}
		e = next
		breathe()
	}
	for w, list := range x.past {
		for _, p := range list {
			if p.asked <= old {
				x.quit(p.asker)
			}
		}
		keep := slices.DeleteFunc(list, func(p past) bool { return p.asked <= old })
		if len(keep) == 0 {
			delete(x.past, w)
		} else if len(keep) < len(list) {
			x.past[w] = slices.Clip(keep)
		}
		breathe()
	}
}

// size is the number of requests in memory.
func (x *index) size() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.byID)
}
