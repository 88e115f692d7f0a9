package workers

import (
	"context"
	"time"

	"ringback/consent"
)

// first is who is first in a person's line.
func (s *sim) first(p consent.Pseudonym) (id consent.ID, ok bool) {
	s.e.turns.mu.Lock()
	defer s.e.turns.mu.Unlock()
	l := s.e.turns.people[p]
	if l == nil || len(l.parties) == 0 {
		return id, false
	}
	q := l.parties[0]
	if len(l.parties) > 1 && q.name == l.last {
		q = l.parties[1]
	}
	return q.waiting[0], true
}

// check sees to it that nobody is forgotten: while nothing is due, whoever waits
// for a person's prompt has somebody who rings before it, and whoever is next will
// be looked at when that is over.
func (s *sim) check(when string) {
	s.t.Helper()
	q := s.e.queue
	q.mu.Lock()
	for id, n := range q.places {
		if q.heap.items[n].pos < 0 {
			s.t.Errorf("seed %d, %s: %v is in nobody's hands", s.seed, when, id)
		}
	}
	q.mu.Unlock()
	for id, req := range s.live {
		if b, known := s.h.Peek(id); !known || b.Decided != "" {
			continue
		}
		if _, known := q.cause(id); !known && s.now().Before(req.ExpiresAt) {
			s.t.Errorf("seed %d, %s: a request is forgotten", s.seed, when)
		}
	}
	people := map[consent.Pseudonym]bool{}
	for _, req := range s.live {
		people[req.Pseudonym] = true
	}
	for p := range people {
		slot := s.slot(p)
		if next, ok := s.first(p); ok && s.e.waits(next) { // else it leaves when its end is written
			q.mu.Lock()
			at := time.Unix(0, q.heap.items[q.places[next]].at)
			q.mu.Unlock()
			if slot.until.IsZero() { // or will be, when the other process has had time to give it back
				if late := at.Sub(s.now()); late > time.Second {
					s.t.Errorf("seed %d, %s: the prompt is free, and the next one is looked at in %v", s.seed, when, late)
				}
			} else if late := at.Sub(slot.until); late > time.Second+slotLook { // that much after a decision in another process
				s.t.Errorf("seed %d, %s: the next one is looked at %v too late", s.seed, when, late)
			}
		}
		if slot.until.IsZero() || s.e.fails[slot.id] > 0 { // that is looked at again in a while
			continue
		}
		st, err := s.h.Get(context.Background(), slot.id)
		if err != nil {
			s.t.Fatal(err)
		}
		if st.Decided != nil || !rings(st, slot.until.Add(-slotLife)) {
			s.t.Errorf("seed %d, %s: the prompt belongs to one that does not ring: decided %v, %d attempts", s.seed, when, st.Decided != nil, len(st.Tried))
		}
	}
	if s.t.Failed() {
		s.t.FailNow()
	}
}

// empty sees to it that nothing is remembered when all is over.
func (s *sim) empty() {
	s.t.Helper()
	e := s.e
	for name, n := range map[string]int{
		"requests": e.queue.len(), "lines": len(e.turns.people), "places": len(e.turns.places), "kept lines": len(e.turns.kept),
		"failures": len(e.fails), "ends": len(e.ends.waiting), "ends written": len(e.ends.written),
	} {
		if n != 0 {
			s.t.Errorf("seed %d: %d %s are remembered", s.seed, n, name)
		}
	}
	for name, b := range e.breakers {
		if len(b.held)+len(b.calls) != 0 {
			s.t.Errorf("seed %d: channel %s remembers %d held, %d calls", s.seed, name, len(b.held), len(b.calls))
		}
	}
}
