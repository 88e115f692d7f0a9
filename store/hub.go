package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"ringback/consent"
)

// recheck is how often a waiter looks itself, in case an arrival was missed.
const recheck = 20 * time.Second

// waiter is what everybody who waits for one request shares.
type waiter struct {
	done chan struct{}
	n    int // who wait
}

// wake releases everybody who waits for id. x.mu is held.
func (x *index) wake(id consent.ID) {
	if w := x.waiters[id]; w != nil {
		delete(x.waiters, id)
		close(w.done)
	}
}

// wait registers for the end of id; nil when it is decided already. known
// tells whether the index has the request. leave must be called with what it
// returned.
func (x *index) wait(id consent.ID) (w *waiter, known bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.entries.at(x.byID[id])
	if e != nil && e.decided != 0 {
		return nil, true
	}
	w = x.waiters[id]
	if w == nil {
		w = &waiter{done: make(chan struct{})}
		x.waiters[id] = w
	}
	w.n++
	return w, e != nil
}

func (x *index) leave(id consent.ID, w *waiter) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if w.n--; w.n == 0 && x.waiters[id] == w {
		delete(x.waiters, id)
	}
}

// Wait implements consent.Store.
func (s *Store) Wait(ctx context.Context, id consent.ID) error {
	w, known := s.index.wait(id)
	if w == nil {
		return nil
	}
	defer s.index.leave(id, w)
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	for first := true; ; first = false {
		if !first || !known { // registered, so that nothing falls between this look and the waiting
			st, err := s.Get(ctx, id)
			if err != nil && (first || errors.Is(err, consent.ErrNotFound)) {
				return err
			}
			if err == nil && st.Decided != nil {
				return nil
			}
		}
		select {
		case <-w.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// brief is the exported form of an entry. x.mu is held.
func (x *index) brief(e *entry) consent.Brief {
	b := consent.Brief{
		ID: e.id, Client: x.askers.at(e.asker).client, Binding: e.binding, Pseudonym: consent.Pseudonym(e.who.String()),
		AskedAt: time.Unix(0, e.asked).UTC(), ExpiresAt: time.Unix(0, e.expires).UTC(), Same: e.same,
		Tried: int(e.attempts), Interval: int(e.interval), Mode: modes[e.mode],
		Decided: consent.Verb(e.decided.String()), Settled: consent.SettleVerb(e.settled.String()),
	}
	if e.tried != 0 {
		b.TriedAt = time.Unix(0, e.tried).UTC()
	}
	if e.ended != 0 {
		b.EndedAt = time.Unix(0, e.ended).UTC()
	}
	return b
}

// Peek implements consent.Store.
func (s *Store) Peek(id consent.ID) (consent.Brief, bool) {
	x := s.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	e := x.entries.at(x.byID[id])
	if e == nil {
		return consent.Brief{}, false
	}
	return x.brief(e), true
}

// knows reports whether memory has a request of this person.
func (s *Store) knows(p consent.Pseudonym) bool {
	var w who
	copy(w[:], p)
	x := s.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.people[w].first != 0 || x.past[w] != 0
}

// History implements consent.Store.
func (s *Store) History(p consent.Pseudonym) consent.History {
	h := consent.History{Frozen: s.frozen(p)}
	var w who
	copy(w[:], p)
	x := s.index
	since := x.now().Add(-keepPast).UnixNano()
	x.mu.RLock()
	defer x.mu.RUnlock()
	for p := x.pasts.at(x.past[w]); p != nil; p = x.pasts.at(p.next) {
		if p.asked > since {
			h.Recent = append(h.Recent, x.export(*p))
		}
	}
	for e := x.entries.at(x.people[w].first); e != nil; e = x.entries.at(e.person.next) {
		if e.decided == 0 {
			h.Open = append(h.Open, x.brief(e))
		}
		if e.asked > since {
			h.Recent = append(h.Recent, x.export(e.past()))
		}
	}
	slices.SortStableFunc(h.Recent, func(a, b consent.Past) int { return a.AskedAt.Compare(b.AskedAt) })
	return h
}

// Glance implements consent.Store.
func (s *Store) Glance(p consent.Pseudonym, newest int) consent.History {
	h := consent.History{Frozen: s.frozen(p)}
	var w who
	copy(w[:], p)
	x := s.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	for e := x.entries.at(x.people[w].last); e != nil && len(h.Open) < newest; e = x.entries.at(e.person.prev) {
		if e.decided == 0 {
			h.Open = append(h.Open, x.brief(e))
		}
	}
	slices.Reverse(h.Open)
	return h
}

// export is the exported form of what is past. x.mu is held.
func (x *index) export(p past) consent.Past {
	out := consent.Past{ID: p.id, Client: x.askers.at(p.asker).counted(), AskedAt: time.Unix(0, p.asked).UTC(), Verb: consent.Verb(p.verb.String())}
	if p.verb != 0 {
		out.At = time.Unix(0, p.ended).UTC()
	}
	return out
}
