package audit

import (
	"slices"

	"ringback/consent"
)

// rules checks that a request was decided and settled as the rules of deciding
// have it (the same that consent.Decide enforced when it happened).
func (v *verifier) rules(b *evidenceBody, s *story) {
	req, d := s.asked, s.decided
	if req.ID != b.Request || req.Pseudonym != b.Person {
		v.fail("asked is about another request or person")
	}
	if b.Verb != d.Verb || (s.settled == nil) != (b.Settled == "") || s.settled != nil && b.Settled != s.settled.Verb {
		v.fail("the evidence's summary is not what its facts say")
	}
	last := b.Facts[len(b.Facts)-1].Seq
	byRepair := d.Means == consent.ByRepair || s.settled != nil && s.settled.Means == consent.ByRepair
	if byRepair && !v.repaired(last) {
		v.fail("it was ended by a repair, but no record before it says that anything was lost")
	}
	if !d.Means.Decides(d.Verb) {
		v.fail("%q is not decided by %q", d.Verb, d.Means)
	}
	switch d.Verb {
	case consent.Approved:
		v.approved(req, d, s)
	case consent.Denied:
		if d.By != req.Approver {
			v.fail("somebody other than the approver denied")
		}
	case consent.Withdrawn:
		if d.Means == consent.ByClient && d.By != req.Client.ID {
			v.fail("another client than the asker withdrew")
		}
	case consent.Expired:
		if d.At.Before(req.ExpiresAt) {
			v.fail("it expired before its end")
		}
	default:
		v.fail("%q is no decision", d.Verb)
	}
	if d.Verb != consent.Approved {
		if s.settled != nil {
			v.fail("it was settled without a yes")
		}
		if d.Granted != nil || d.ACR != "" {
			v.fail("something was granted without a yes")
		}
	}
	if d.NotMe && d.Verb != consent.Denied {
		v.fail("\"not me\" came with %q", d.Verb)
	}
	if d.Attempt != 0 && s.tried[d.Attempt] == nil && !s.partial {
		v.fail("the decision names attempt %d, which was not made", d.Attempt)
	}
}

// offline is the scope that asks for renewals (OpenID Connect Core §11).
const offline = "offline_access"

// renewable checks that only what was asked and granted so was renewed.
func (v *verifier) renewable(s *story, t *trace) {
	req := s.asked
	if req.Renewable < 0 || req.Renewable > 0 && !slices.Contains(req.Scope, offline) {
		v.fail("it can be renewed without having been asked so")
	}
	if t == nil || t.renewals == 0 {
		return
	}
	redeemed := s.settled != nil && s.settled.Verb == consent.Redeemed
	switch { // that it was redeemed before is lost
	case s.partial && s.settled == nil && s.decided.Means == consent.ByRepair:
		redeemed = !t.renewedSince(consent.FactDecided)
	case s.partial && s.settled != nil && s.settled.Means == consent.ByRepair:
		redeemed = !t.renewedSince(consent.FactSettled)
	}
	if !redeemed || req.Renewable == 0 || t.renewals > consent.MaxRenewals {
		v.fail("it was renewed %d times, more often than was granted", t.renewals)
	}
}

// approved checks a yes and its settlement.
func (v *verifier) approved(req *consent.Request, d *consent.Decision, s *story) {
	if d.By != req.Approver {
		v.fail("somebody other than the approver approved")
	}
	if !d.At.Before(req.ExpiresAt) {
		v.fail("it was approved after its end")
	}
	if !req.Satisfied(d.ACR) {
		v.fail("the yes does not reach the assurance asked for")
	}
	if d.Presentation == nil && d.Means != consent.ByDev {
		v.fail("nothing was shown to the approver")
	}
	if d.Granted != nil && !req.Narrowable {
		v.fail("less was granted at a door that cannot carry it")
	}
	st := s.settled
	if st == nil {
		v.fail("it is kept as finished, but the yes is not settled")
		return
	}
	state := consent.State{Request: req, Decided: d}
	late := !st.At.Before(state.RedeemUntil())
	if (st.Verb == consent.Redeemed) != (st.JTI != "" && st.ExpiresAt.After(st.IssuedAt)) {
		v.fail("a token was redeemed but not named, or the other way round")
	}
	if st.Means != "" && (st.Means != consent.ByRepair || st.Verb != consent.Lapsed) {
		v.fail("%q is not settled by %q", st.Verb, st.Means)
	}
	switch st.Verb {
	case consent.Redeemed:
		if late {
			v.fail("it was redeemed too late")
		}
		if req.Binding != "" && st.Binding != req.Binding {
			v.fail("it was redeemed with another key than it was asked with")
		}
	case consent.Lapsed:
		if !late && st.Means != consent.ByRepair {
			v.fail("it lapsed before its time")
		}
	case consent.Cancelled:
	default:
		v.fail("%q is no settlement", st.Verb)
	}
}
