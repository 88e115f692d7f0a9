package workers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"ringback/consent"
)

// TestNobodyIsForgotten does random things to a few people's requests, of several
// clients, and lets their steps fail in random ways. After each of them nobody who
// waits is forgotten, and no prompt is kept by one that does not ring.
func TestNobodyIsForgotten(t *testing.T) {
	t.Parallel()
	const people = 3
	h, clock := simHouse(t, people)
	for seed := range uint64(25) {
		s := newSim(t, h, clock, seed)
		s.odds = []int{0, 12, 5}[seed%3]
		pick := func() *consent.Request {
			ids := make([]consent.ID, 0, len(s.live))
			for id := range s.live {
				ids = append(ids, id)
			}
			slices.SortFunc(ids, func(a, b consent.ID) int { return s.live[a].AskedAt.Compare(s.live[b].AskedAt) })
			return s.live[ids[s.draw(len(ids))]]
		}
		var reqs []*consent.Request
		for n := range 60 {
			act := s.draw(12)
			when := fmt.Sprint(n, ".", act)
			switch {
			case act < 4 || len(s.live) == 0:
				life := []time.Duration{40 * time.Second, 5 * time.Minute, time.Hour}[s.draw(3)]
				mode := []consent.DeliveryMode{consent.Poll, consent.Ping, consent.Push}[s.draw(3)]
				req := s.ask(fmt.Sprint("p", s.draw(people)), []string{"a", "b", "c", "d"}[s.draw(4)], life, mode, s.draw(4) > 0)
				if s.odds > 0 && s.draw(10) == 0 {
					s.poor[req.ID] = true
				}
				reqs = append(reqs, req)
			case act < 6:
				s.decide(pick(), []consent.Verb{consent.Approved, consent.Denied, consent.Withdrawn}[s.draw(3)], s.draw(3) > 0)
			case act < 7: // the other process has not given the slot back
				req := pick()
				delete(s.live, req.ID)
				s.Decide(t.Context(), req.ID, s.h.Decision(req, consent.Denied))
				s.event(req, consent.FactDecided, false)
				s.settle()
				s.forward(5 * time.Second)
			case act < 8: // somebody sets the clock back
				s.back(time.Duration(s.draw(100)) * time.Second)
				s.forward(time.Second)
			default:
				s.forward(time.Duration(s.draw(45_000)) * time.Millisecond)
			}
			s.watch()
			s.settle()
			s.check(when)
		}
		// In the end nothing fails any more, and all are answered.
		s.odds, s.poor = 0, map[consent.ID]bool{}
		for range 30 {
			s.forward(10 * time.Minute)
			s.watch()
			s.settle()
			s.check("at the end")
		}
		for _, req := range reqs {
			st, err := h.Get(t.Context(), req.ID)
			if err != nil {
				t.Fatal(err)
			}
			if st.Decided == nil || st.Decided.Verb == consent.Approved && st.Settled == nil {
				t.Errorf("seed %d: a request has not ended", seed)
			}
			if tells := req.Mode == consent.Push && !(st.Decided.Verb == consent.Withdrawn && st.Decided.Means == consent.ByClient); tells && s.told[req.ID] == 0 {
				t.Errorf("seed %d: a client was not told of %s", seed, st.Status())
			}
		}
		s.empty()
		if t.Failed() {
			t.FailNow()
		}
	}
}

// TestEndsModel lets many requests end at random times, in every way in which an
// end can be written or not. Each ends once, whoever is to be told is told, and
// what somebody else is to be told of costs no look.
func TestEndsModel(t *testing.T) {
	t.Parallel()
	h, clock := simHouse(t, 0)
	for seed := range uint64(6) {
		s := newSim(t, h, clock, seed)
		s.odds = []int{0, 4, 2}[seed%3]
		var reqs []*consent.Request
		for range 60 {
			mode := []consent.DeliveryMode{consent.Poll, consent.Poll, consent.Ping, consent.Push}[s.draw(4)]
			req := s.ask("nobody", "c", time.Duration(40+s.draw(300))*time.Second, mode, s.draw(4) > 0)
			reqs = append(reqs, req)
			s.poor[req.ID] = s.odds > 0 && s.draw(15) == 0
			if s.draw(3) == 0 {
				s.decide(req, consent.Approved, true)
			}
			s.settle()
		}
		looks := map[consent.ID]int{}
		s.forward(10 * time.Second) // the other process has left them to this one
		s.settle()
		for id, n := range s.gets {
			looks[id] = n
		}
		for range 40 {
			s.forward(time.Duration(s.draw(20_000)) * time.Millisecond)
			s.settle()
			s.check("while they end")
		}
		s.odds, s.poor = 0, map[consent.ID]bool{}
		for range 12 {
			s.forward(10 * time.Minute)
			s.settle()
		}
		for _, req := range reqs {
			st, err := h.Get(t.Context(), req.ID)
			if err != nil {
				t.Fatal(err)
			}
			if got := st.Status(); got != consent.StatusExpired {
				t.Errorf("seed %d: a request is %s", seed, got)
			}
			if told := s.told[req.ID] > 0; told != (req.Mode == consent.Push || req.Mode == consent.Ping && st.Decided.Verb == consent.Approved) {
				t.Errorf("seed %d: %s client told: %v, of %s", seed, req.Mode, told, st.Decided.Verb)
			}
			if n := s.gets[req.ID] - looks[req.ID]; seed%3 == 0 && req.Mode == consent.Poll && n > 0 {
				t.Errorf("seed %d: %d looks at a request that ended by itself", seed, n)
			}
		}
		s.empty()
		if t.Failed() {
			t.FailNow()
		}
	}
}

// TestGoesOnInVain: a request that has the prompt and fails to go on, in the moment
// when the time of the next in line is over, and that one's end is not written yet.
func TestGoesOnInVain(t *testing.T) {
	t.Parallel()
	h, clock := simHouse(t, 1)
	s := newSim(t, h, clock, 1)
	first := s.ask("p0", "a", time.Hour, consent.Poll, true)
	s.settle()
	s.ask("p0", "b", 29*time.Second, consent.Poll, true)
	s.settle()
	s.ask("p0", "c", time.Hour, consent.Poll, true)
	s.settle()
	s.forward(30 * time.Second) // first escalates
	s.barred = first.ID
	s.settle()
	s.forward(5 * time.Second)
	s.settle()
	s.check("at the end")
}
