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
// are shared, times are nanoseconds, lists run through the entries, and there
// is no pointer for the garbage collector to follow.
type entry struct {
	id       consent.ID
	digest   consent.Digest // asked digest; zero: not known
	same     [8]byte
	binding  [8]byte
	asked    int64
	expires  int64
	tried    int64 // time of the last attempt
	ended    int64 // time of the decision, or of the settlement
	seq      uint64
	person   links // among the requests of one person, oldest first
	all      links // among all, oldest first
	who      who
	asker    number
	attempts uint16 // highest number
	outcomes uint16 // bit n-1: attempt n has an outcome
	interval uint16
	decided  verb
	settled  verb
	revoked  bool
	notified uint8 // highest number
	owed     bool  // the client is told once more: that one did not come through
	mode     mode
}

type links struct{ prev, next number }

// mode is a consent.DeliveryMode in one byte.
type mode uint8

var modes = [...]consent.DeliveryMode{"", consent.Poll, consent.Ping, consent.Push}

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
	id    consent.ID
	asked int64
	ended int64
	asker number
	next  number // another one of the same person
	verb  verb
}

func (e *entry) past() past {
	return past{id: e.id, asked: e.asked, ended: e.ended, asker: e.asker, verb: e.decided}
}

// index knows the requests of the last day, fed by one consumer and, ahead of
// it, by the writes of this process.
type index struct {
	now func() time.Time

	mu      sync.RWMutex
	entries slab[entry]
	byID    map[consent.ID]number
	people  map[who]chain
	all     chain
	pasts   slab[past]
	past    map[who]number // the first of a person, in no order
	askers  slab[asker]
	byName  map[identity]number // askers
	waiters map[consent.ID]*waiter
	open    int // entries that are not over
	count   map[consent.Status]int
}

type chain struct{ first, last number }

func newIndex(now func() time.Time) *index {
	x := &index{now: now, waiters: make(map[consent.ID]*waiter)}
	x.reset()
	return x
}

// reset forgets everything but who waits.
func (x *index) reset() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.entries, x.byID = slab[entry]{}, make(map[consent.ID]number)
	x.people, x.all = make(map[who]chain), chain{}
	x.pasts, x.past = slab[past]{}, make(map[who]number)
	x.askers, x.byName = slab[asker]{}, make(map[identity]number)
	x.open, x.count = 0, make(map[consent.Status]int)
}

// apply takes a fact into memory. Taking it twice is the same as once.
func (x *index) apply(p place, l *label, seq uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.entries.at(x.byID[p.ID])
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
	case consent.FactNotified:
		if n := uint8(min(p.N, 1<<8-1)); n >= e.notified {
			e.notified, e.owed = n, l.Verb == verbAgain
		}
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
	e := entry{
		id: id, same: l.Same, binding: l.Binding, asked: l.At.UnixNano(), expires: l.Expires.UnixNano(), seq: seq,
		asker: x.known(identity{client: l.Client, group: l.Group}), interval: uint16(min(max(l.Interval, 0), 1<<16-1)),
		digest: l.Digest, mode: mode(max(0, slices.Index(modes[:], l.Mode))),
	}
	copy(e.who[:], l.Pseudonym)
	x.link(e)
}

// known returns the number of an asker, a new one's if need be. x.mu is held.
func (x *index) known(name identity) number {
	n := x.byName[name]
	if n == 0 {
		n = x.askers.add(asker{identity: name})
		x.byName[name] = n
	}
	return n
}

// quit gives up one use of an asker: where a client_id costs nothing, there
// is no end of them. x.mu is held.
func (x *index) quit(n number) {
	a := x.askers.at(n)
	if a.users--; a.users == 0 {
		delete(x.byName, a.identity)
		x.askers.remove(n)
	}
}

// link puts a new entry where it belongs. x.mu is held.
func (x *index) link(e entry) {
	n := x.entries.add(e)
	x.byID[e.id] = n
	x.askers.at(e.asker).users++
	x.tally(&e)
	mine := x.people[e.who]
	mine.append(&x.entries, n, ofPerson)
	x.people[e.who] = mine
	x.all.append(&x.entries, n, ofAll)
}

func ofPerson(e *entry) *links { return &e.person }
func ofAll(e *entry) *links    { return &e.all }

// append adds entry n in the order of the stream: facts of this process come
// ahead of those that others wrote a moment before.
func (c *chain) append(s *slab[entry], n number, of func(*entry) *links) {
	e := s.at(n)
	in := of(e)
	in.prev = c.last
	for in.prev != 0 && s.at(in.prev).seq > e.seq {
		in.prev = of(s.at(in.prev)).prev
	}
	if in.prev == 0 {
		in.next, c.first = c.first, n
	} else {
		before := of(s.at(in.prev))
		in.next, before.next = before.next, n
	}
	if in.next == 0 {
		c.last = n
	} else {
		of(s.at(in.next)).prev = n
	}
}

func (c *chain) remove(s *slab[entry], e *entry, of func(*entry) *links) {
	in := of(e)
	if in.prev == 0 {
		c.first = in.next
	} else {
		of(s.at(in.prev)).next = in.next
	}
	if in.next == 0 {
		c.last = in.prev
	} else {
		of(s.at(in.next)).prev = in.prev
	}
}

// remove forgets an entry. x.mu is held.
func (x *index) remove(n number) {
	e := x.entries.at(n)
	x.uncount(e)
	delete(x.byID, e.id)
	x.quit(e.asker)
	x.all.remove(&x.entries, e, ofAll)
	mine := x.people[e.who]
	mine.remove(&x.entries, e, ofPerson)
	if mine.first == 0 {
		delete(x.people, e.who)
	} else {
		x.people[e.who] = mine
	}
	x.entries.remove(n)
}

// keep remembers what is past. x.mu is held.
func (x *index) keep(w who, p past) {
	p.next = x.past[w]
	x.past[w] = x.pasts.add(p)
	x.askers.at(p.asker).users++
}

// sweepStep is the number of steps that sweep takes under one lock.
const sweepStep = 2000

// sweep turns requests that ended into past ones and forgets old ones. An
// ended one is kept in full for keepFor; where its client is to be told once
// more for sumUp, so that a start announces it. Only one sweep runs at a time,
// and nothing else removes anything.
func (x *index) sweep(keepFor time.Duration) {
	now := x.now()
	ago := func(d time.Duration) int64 { return now.Add(-d).UnixNano() }
	ended, owed, old, lost := ago(keepFor), ago(max(keepFor, sumUp)), ago(keepPast), ago(keepAny)
	steps := 0
	breathe := func() {
		if steps++; steps%sweepStep == 0 {
			x.mu.Unlock()
			x.mu.Lock()
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for n := x.all.first; n != 0; {
		e := x.entries.at(n)
		next := e.all.next // only a sweep removes: it is still there after breathing
		if e.over() && e.ended < ended && (!e.owed || e.ended < owed) {
			if e.asked > old {
				x.keep(e.who, e.past())
			}
			x.remove(n)
		} else if e.asked < lost {
			x.remove(n)
		}
		n = next
		breathe()
	}
	for w, first := range x.past {
		kept := first
		for at := &kept; *at != 0; { // where the number is that is looked at
			n := *at
			if p := x.pasts.at(n); p.asked > old {
				at = &p.next
			} else {
				*at = p.next
				x.quit(p.asker)
				x.pasts.remove(n)
			}
		}
		if kept == 0 {
			delete(x.past, w)
		} else if kept != first {
			x.past[w] = kept
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
