package consent

import (
	"fmt"
	"time"
)

// Remains is what is left of a request in a store that has lost facts.
type Remains struct {
	ID      ID
	Person  Pseudonym
	Asked   uint64 // sequence of its asked; 0: gone, and nothing can be said of the request any more
	Decided Verb   // empty: not decided, or that is lost
	Settled SettleVerb
	Revoked bool
}

// Open reports whether something may still be allowed by the request, as far as
// is left of it: it could be answered, redeemed or renewed.
func (r *Remains) Open() bool {
	return r.Decided == "" || r.Decided == Approved && (r.Settled == "" || r.Settled == Redeemed && !r.Revoked)
}

// repairer stands where somebody is named who did something.
const repairer = "repair"

// Forfeit returns what ends a request of which facts may be lost, so that nothing
// is allowed twice: who is undecided may have been answered or taken back, what is
// approved may have been redeemed, and what can be renewed may have been revoked.
func Forfeit(s *State, nonce string, now time.Time) (Ending, error) {
	switch {
	case s.Decided == nil:
		asked, err := s.Request.AskedDigest()
		if err != nil {
			return Ending{}, fmt.Errorf("ending a request: %w", err)
		}
		d := Decision{V: Version, Verb: Withdrawn, By: repairer, Means: ByRepair, At: now, AskedDigest: asked, GrantedDigest: asked, Nonce: nonce}
		d.DecisionDigest, err = d.Digest()
		return Ending{Decision: &d}, err
	case s.Decided.Verb == Approved && s.Settled == nil:
		return Ending{Settlement: &Settlement{
			V: Version, Verb: Lapsed, GrantedDigest: s.Decided.GrantedDigest, At: now, Nonce: nonce, Means: ByRepair,
		}}, nil
	case s.Decided.Verb == Approved && s.Settled.Verb == Redeemed && s.Revoked == nil && s.Request.Renewable > 0 && now.Before(s.RenewUntil()):
		return Ending{Revocation: &Revocation{V: Version, By: repairer, At: now}}, nil
	}
	return Ending{}, nil
}
