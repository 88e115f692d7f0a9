package consent

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ringback/details"
)

// Why [Decide] refuses evidence. Nothing was changed.
var (
	ErrEnded     = errors.New("the request has ended")
	ErrAssurance = errors.New("the answer does not reach the assurance asked for")
	ErrNotNamed  = errors.New("somebody other than the approver answered")
	ErrWider     = errors.New("the answer grants more than, or something else than, was asked")
	ErrShown     = errors.New("what was shown is not what was asked")
	ErrMeans     = errors.New("nothing of this kind is decided in this way")
)

// Evidence is what a door saw. It is a proposal; only [Decide] makes a
// decision of it.
type Evidence struct {
	Verb         Verb // Approved, Denied or Withdrawn; expiry is written by Expire
	NotMe        bool
	By           string // person id, client id or "operator"
	Means        Means
	Attempt      int
	ACR          string   // what was reached
	AMR          []string // how (RFC 8176)
	Credential   string
	Signature    []byte
	Granted      json.RawMessage // authorization_details of a smaller yes; nil: as asked
	Presentation *Presentation   // what the person saw; needed for Approved by a person
	Nonce        string          // fresh; tells our own retry from another writer
}

// Decide turns evidence into the decision to store, or says why not. The
// caller stores it; the first stored decision wins. A request that has ended
// yields ErrEnded: call [Expire] and store that instead.
func Decide(s *State, ev Evidence, reg *details.Registry, now time.Time) (Decision, error) {
	req := s.Request
	if s.Decided != nil {
		return *s.Decided, ErrDecided
	}
	if s.Overdue(now) {
		return Decision{}, ErrEnded
	}
	d := Decision{
		V: Version, Verb: ev.Verb, NotMe: ev.NotMe, By: ev.By, Means: ev.Means, Attempt: ev.Attempt, At: now,
		AMR: ev.AMR, Credential: ev.Credential, Signature: ev.Signature, Presentation: ev.Presentation, Nonce: ev.Nonce,
	}
	var err error
	if d.AskedDigest, err = req.AskedDigest(); err != nil {
		return Decision{}, err
	}
	if p := ev.Presentation; p != nil && p.AskedDigest != d.AskedDigest {
		return Decision{}, ErrShown
	}
	switch ev.Verb {
	case Approved:
		if ev.By != req.Approver {
			return Decision{}, ErrNotNamed
		}
		if ev.Presentation == nil && ev.Means != ByDev {
			return Decision{}, ErrShown
		}
		if !req.Satisfied(ev.ACR) {
			return Decision{}, ErrAssurance
		}
		d.ACR = ev.ACR
		if ev.Granted != nil {
			if err := narrower(req, ev.Granted, reg); err != nil {
				return Decision{}, err
			}
			d.Granted = ev.Granted
		}
	case Denied:
		if ev.By != req.Approver {
			return Decision{}, ErrNotNamed
		}
	case Withdrawn:
		if ev.Means == ByClient && ev.By != req.Client.ID {
			return Decision{}, ErrNotNamed
		}
	default: // expiry is no evidence
		return Decision{}, fmt.Errorf("%w: %q", ErrMeans, ev.Verb)
	}
	if !ev.Means.Decides(ev.Verb) || ev.Means == ByRepair || ev.NotMe && ev.Verb != Denied {
		return Decision{}, fmt.Errorf("%w: %q by %q", ErrMeans, ev.Verb, ev.Means)
	}
	d.GrantedDigest = d.AskedDigest
	if d.Granted != nil {
		if d.GrantedDigest, err = req.GrantedDigest(d.Granted); err != nil {
			return Decision{}, err
		}
	}
	if d.DecisionDigest, err = d.Digest(); err != nil {
		return Decision{}, err
	}
	return d, nil
}

// narrower checks a smaller yes against what was asked.
func narrower(req *Request, granted json.RawMessage, reg *details.Registry) error {
	if !req.Narrowable {
		return fmt.Errorf("%w: this request came in by a door that cannot carry a smaller yes", ErrWider)
	}
	asked, err := reg.Read(req.Details)
	if err != nil {
		return err
	}
	less, err := reg.Read(granted)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrWider, err)
	}
	if err := asked.Narrow(less); err != nil {
		return fmt.Errorf("%w: %v", ErrWider, err)
	}
	return nil
}

// Ending ends a request. One member is set, or none where nothing is due.
type Ending struct {
	Decision   *Decision
	Settlement *Settlement
	Revocation *Revocation // of [Forfeit] alone
}

// End returns what ends a request whose time is over: that nobody answered, or
// that nobody came for the approval. The zero Ending says that nothing is due.
func End(s *State, nonce string, now time.Time) (Ending, error) {
	switch {
	case s.Overdue(now):
		d, err := Expire(s, nonce, now)
		return Ending{Decision: &d}, err
	case s.Decided != nil && s.Decided.Verb == Approved && s.Settled == nil && !now.Before(s.RedeemUntil()):
		return Ending{Settlement: &Settlement{V: Version, Verb: Lapsed, GrantedDigest: s.Decided.GrantedDigest, At: now, Nonce: nonce}}, nil
	}
	return Ending{}, nil
}

// Expire returns the decision that ends an undecided request past its end.
func Expire(s *State, nonce string, now time.Time) (Decision, error) {
	if !s.Overdue(now) {
		return Decision{}, fmt.Errorf("expiring a request before its end")
	}
	asked, err := s.Request.AskedDigest()
	if err != nil {
		return Decision{}, err
	}
	return Expiry(asked, nonce, now)
}

// Expiry is Expire for a request that is known to be undecided past its end, by
// its asked digest alone.
func Expiry(asked Digest, nonce string, now time.Time) (d Decision, err error) {
	d = Decision{V: Version, Verb: Expired, By: "clock", Means: ByClock, At: now, AskedDigest: asked, GrantedDigest: asked, Nonce: nonce}
	d.DecisionDigest, err = d.Digest()
	return d, err
}
