package consent

import (
	"fmt"
	"time"
)

// Reason is why a request is not even stored.
type Reason string

const (
	ReasonFrozen    Reason = "frozen"    // the person, or three denials, stopped this client
	ReasonBudget    Reason = "budget"    // this client asked this person too often
	ReasonDuplicate Reason = "duplicate" // the same is being asked already
	ReasonUserCode  Reason = "user_code" // too many wrong user_codes were given for the person
)

// Refusal is the error of [Policy.Admit] and [AdmitGuess].
type Refusal struct {
	Reason Reason
	Until  time.Time // when asking again makes sense; zero when unknown
}

// Error says what to do next, without telling more about the person.
func (r *Refusal) Error() string {
	switch r.Reason {
	case ReasonDuplicate:
		return "an identical request is open, wait for its answer"
	case ReasonBudget:
		return fmt.Sprintf("too many requests to this person, ask again after %s", r.Until.UTC().Format(time.RFC3339))
	case ReasonUserCode:
		return fmt.Sprintf("too many wrong user codes for this person, ask again after %s", r.Until.UTC().Format(time.RFC3339))
	default:
		return "this person does not take requests from this client now"
	}
}

// Budgets that stand when the configuration names no others.
var defaultLimits = Limits{
	PairPrompts: 5, PersonPrompts: 20, Window: 10 * time.Minute, Notifications: 3, Denials: 3, Freeze: 24 * time.Hour,
}

// DefaultLimits returns the budgets that stand when the configuration is silent.
func DefaultLimits() *Limits { l := defaultLimits; return &l }

// Admit decides whether req may be stored, given the person's recent past.
// same is the request's [Brief.Same] tag. It returns nil or a *Refusal.
func (p *Policy) Admit(req *Request, same [8]byte, h History, now time.Time) error {
	if until, ok := h.Frozen[req.Client.Counted()]; ok && now.Before(until) {
		return &Refusal{ReasonFrozen, until}
	}
	if p.Dedupe {
		for _, b := range h.Open {
			if b.Client == req.Client.ID && b.Same == same && now.Before(b.ExpiresAt) {
				return &Refusal{ReasonDuplicate, b.ExpiresAt}
			}
		}
	}
	if p.Limits == nil {
		return nil
	}
	var in int
	var oldest time.Time
	for _, r := range h.Recent {
		if r.Client != req.Client.Counted() || now.Sub(r.AskedAt) >= p.Limits.Window {
			continue
		}
		if in++; oldest.IsZero() || r.AskedAt.Before(oldest) {
			oldest = r.AskedAt
		}
	}
	if in >= p.Limits.PairPrompts {
		return &Refusal{ReasonBudget, oldest.Add(p.Limits.Window)}
	}
	return nil
}

// Silent reports whether a new prompt must not ring: the person has been
// prompted too often by everybody together, and this client (or its group) was
// not approved before. The request waits in the inbox.
func (p *Policy) Silent(client string, h History, now time.Time) bool {
	if p.Limits == nil {
		return false
	}
	n, known := 0, false
	for _, r := range h.Recent {
		if now.Sub(r.AskedAt) < p.Limits.Window {
			n++
		}
		known = known || r.Client == client && r.Verb == Approved
	}
	if known { // room is reserved for clients that were approved before
		return n > 2*p.Limits.PersonPrompts
	}
	return n > p.Limits.PersonPrompts
}

// FreezeUntil says whether a denial freezes the pair, and until when. h must
// not contain the denial itself yet.
func (p *Policy) FreezeUntil(client string, notMe bool, h History, now time.Time) (time.Time, bool) {
	l := p.Limits
	if l == nil {
		l = &defaultLimits
		if !notMe {
			return time.Time{}, false
		}
	}
	denials := 1
	for _, r := range h.Recent {
		if r.Client == client && r.Verb == Denied && now.Sub(r.At) < l.Freeze {
			denials++
		}
	}
	if notMe || denials >= l.Denials {
		return now.Add(l.Freeze), true
	}
	return time.Time{}, false
}
