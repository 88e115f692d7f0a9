package audit

import (
	"encoding/json"
	"fmt"

	"ringback/consent"
)

// story is a request's facts, read. It says whether they make sense together;
// [consent.State] says what they add up to.
type story struct {
	asked   *consent.Request
	decided *consent.Decision
	settled *consent.Settlement
	tried   map[int]*consent.Attempt
	notices map[int]bool
	misses  int
	renewed int
	partial bool // some are declared lost: what comes before others may be missing
}

// add reads the next fact.
func (s *story) add(kind consent.FactKind, n int, data []byte) error {
	if kind != consent.FactAsked && s.asked == nil {
		return fmt.Errorf("%s comes before asked", kind)
	}
	switch kind {
	case consent.FactAsked:
		if s.asked != nil {
			return fmt.Errorf("asked twice")
		}
		s.asked = new(consent.Request)
		return read(data, s.asked, &s.asked.V)
	case consent.FactTried:
		a := new(consent.Attempt)
		if s.tried == nil {
			s.tried = make(map[int]*consent.Attempt)
		}
		s.tried[n] = a
		return readNumbered(data, a, &a.V, &a.N, n)
	case consent.FactOutcome:
		o := new(consent.Outcome)
		return s.follows(n, s.tried[n] != nil, kind, readNumbered(data, o, &o.V, &o.N, n))
	case consent.FactReceipt:
		r := new(consent.Receipt)
		return s.follows(n, s.tried[n] != nil, kind, readNumbered(data, r, &r.V, &r.N, n))
	case consent.FactMissed:
		m := new(consent.Miss)
		s.misses++
		if n > consent.MaxMisses {
			return fmt.Errorf("%s: at most %d guesses are allowed", factName(kind, n), consent.MaxMisses)
		}
		return readNumbered(data, m, &m.V, &m.N, n)
	case consent.FactDecided:
		if s.decided != nil {
			return fmt.Errorf("decided twice")
		}
		s.decided = new(consent.Decision)
		return read(data, s.decided, &s.decided.V)
	case consent.FactSettled:
		if s.settled != nil {
			return fmt.Errorf("settled twice")
		}
		if s.decided == nil {
			return fmt.Errorf("settled before it was decided")
		}
		s.settled = new(consent.Settlement)
		return read(data, s.settled, &s.settled.V)
	case consent.FactRenewed:
		r := new(consent.Renewal)
		granted := s.settled == nil && s.partial || s.settled != nil && s.settled.Verb == consent.Redeemed
		if !granted || s.asked.Renewable == 0 {
			return fmt.Errorf("%s: nothing was granted that could be renewed", factName(kind, n))
		}
		if s.renewed++; n != s.renewed && !s.partial {
			return fmt.Errorf("%s follows renewal %d", factName(kind, n), s.renewed-1)
		}
		return readNumbered(data, r, &r.V, &r.N, n)
	case consent.FactRevoked:
		r := new(consent.Revocation)
		return read(data, r, &r.V)
	case consent.FactNotice:
		c := new(consent.Notice)
		if s.notices == nil {
			s.notices = make(map[int]bool)
		}
		s.notices[n] = true
		return readNumbered(data, c, &c.V, &c.N, n)
	case consent.FactNotified:
		c := new(consent.Notified)
		return s.follows(n, s.notices[n], kind, readNumbered(data, c, &c.V, &c.N, n))
	}
	return fmt.Errorf("%q is no fact that this program knows", kind)
}

// follows refuses an answer that comes before its claim.
func (s *story) follows(n int, claimed bool, kind consent.FactKind, err error) error {
	if err == nil && !claimed && !s.partial {
		err = fmt.Errorf("%s comes before its claim", factName(kind, n))
	}
	return err
}

// read decodes a fact and checks its format version. Unknown members are
// ignored, as every reader of facts does.
func read(data []byte, v any, version *int) error {
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("not readable: %w", err)
	}
	if *version != consent.Version {
		return fmt.Errorf("format %d, this program reads %d", *version, consent.Version)
	}
	return nil
}

func readNumbered(data []byte, v any, version, got *int, n int) error {
	if err := read(data, v, version); err != nil {
		return err
	}
	if *got != n {
		return fmt.Errorf("is number %d under the name of %d", *got, n)
	}
	return nil
}
