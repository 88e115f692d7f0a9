package consent

import "time"

// State is what has been stored about one request, as far as the reader knew.
// Facts never change, so a stale State can say "not yet", never something
// wrong.
type State struct {
	Request  *Request // never nil
	Tried    []Attempt
	Outcomes map[int]Outcome // by attempt
	Receipts map[int]Receipt // by attempt
	Misses   []Miss
	Decided  *Decision
	Settled  *Settlement
	Renewals []Renewal // by number, from 1 up
	Revoked  *Revocation
	Notices  []Notice
	Notified map[int]Notified // by notice
	Seq      uint64           // highest sequence among the facts read
}

// Status is what the facts of a request add up to.
type Status string

const (
	StatusPending   Status = "pending"
	StatusApproved  Status = "approved"
	StatusDenied    Status = "denied"
	StatusWithdrawn Status = "withdrawn"
	StatusExpired   Status = "expired"
	StatusRedeemed  Status = "redeemed"
	StatusCancelled Status = "cancelled"
	StatusRevoked   Status = "revoked"
)

// Status derives the request's status from its facts alone. A pending request
// past its end stays pending until somebody writes that it expired.
func (s *State) Status() Status {
	switch {
	case s.Decided == nil:
		return StatusPending
	case s.Decided.Verb != Approved:
		return Status(s.Decided.Verb)
	case s.Settled == nil:
		return StatusApproved
	case s.Settled.Verb == Cancelled:
		return StatusCancelled
	case s.Settled.Verb == Lapsed:
		return StatusExpired
	case s.Revoked != nil:
		return StatusRevoked
	default:
		return StatusRedeemed
	}
}

// Overdue reports whether the request is undecided past its end, so that
// whoever looks must write that it expired.
func (s *State) Overdue(now time.Time) bool {
	return s.Decided == nil && !now.Before(s.Request.ExpiresAt)
}

// RedeemGrace is how long an approval can be redeemed after the decision when
// the request itself ends earlier.
const RedeemGrace = time.Minute

// RedeemUntil is the time from which an approval is too late to redeem: the
// later of the request's end and one minute after the decision. Only for an
// approved request.
func (s *State) RedeemUntil() time.Time {
	return redeemUntil(s.Request.ExpiresAt, s.Decided.At)
}

func redeemUntil(end, decided time.Time) time.Time {
	if grace := decided.Add(RedeemGrace); grace.After(end) {
		return grace
	}
	return end
}

// Ends is the time from which nothing is expected of a request any more, so
// that its end is due to be written (see [End]); false when it has ended.
func (b *Brief) Ends() (time.Time, bool) {
	switch {
	case b.Decided == "":
		return b.ExpiresAt, true
	case b.Decided == Approved && b.Settled == "":
		return redeemUntil(b.ExpiresAt, b.EndedAt), true
	}
	return time.Time{}, false
}

// MaxRenewals is how often one grant is renewed: the facts of a request are
// read together, and are bounded.
const MaxRenewals = 500

// RenewUntil is the time from which no refresh token of a request works. Only
// for an approved request.
func (s *State) RenewUntil() time.Time {
	return s.Decided.At.Add(time.Duration(s.Request.Renewable) * time.Second)
}
