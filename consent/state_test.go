package consent_test

import (
	"testing"
	"time"

	"ringback/consent"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	d := func(v consent.Verb) *consent.Decision { return &consent.Decision{Verb: v} }
	s := func(v consent.SettleVerb) *consent.Settlement { return &consent.Settlement{Verb: v} }
	for _, tt := range []struct {
		name    string
		decided *consent.Decision
		settled *consent.Settlement
		revoked *consent.Revocation
		want    consent.Status
	}{
		{"asked", nil, nil, nil, consent.StatusPending},
		{"approved", d(consent.Approved), nil, nil, consent.StatusApproved},
		{"denied", d(consent.Denied), nil, nil, consent.StatusDenied},
		{"withdrawn", d(consent.Withdrawn), nil, nil, consent.StatusWithdrawn},
		{"expired", d(consent.Expired), nil, nil, consent.StatusExpired},
		{"redeemed", d(consent.Approved), s(consent.Redeemed), nil, consent.StatusRedeemed},
		{"cancelled", d(consent.Approved), s(consent.Cancelled), nil, consent.StatusCancelled},
		{"lapsed", d(consent.Approved), s(consent.Lapsed), nil, consent.StatusExpired},
		{"revoked", d(consent.Approved), s(consent.Redeemed), &consent.Revocation{}, consent.StatusRevoked},
		{"revoked but never redeemed", d(consent.Approved), nil, &consent.Revocation{}, consent.StatusApproved},
		{"revoked but cancelled", d(consent.Approved), s(consent.Cancelled), &consent.Revocation{}, consent.StatusCancelled},
		{"settled before it was decided", nil, s(consent.Redeemed), nil, consent.StatusPending},
		{"settled after a no", d(consent.Denied), s(consent.Redeemed), nil, consent.StatusDenied},
		{"revoked after a no", d(consent.Denied), s(consent.Redeemed), &consent.Revocation{}, consent.StatusDenied},
		{"settled after it expired", d(consent.Expired), s(consent.Redeemed), nil, consent.StatusExpired},
	} {
		st := consent.State{Request: request(), Decided: tt.decided, Settled: tt.settled, Revoked: tt.revoked}
		if got := st.Status(); got != tt.want {
			t.Errorf("%s: Status() = %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestOnlyARedeemedYesIsLive goes through every set of facts: nothing counts
// as granted that was not approved and then redeemed, whatever else is stored.
func TestOnlyARedeemedYesIsLive(t *testing.T) {
	t.Parallel()
	for _, dv := range []consent.Verb{"", consent.Approved, consent.Denied, consent.Withdrawn, consent.Expired} {
		for _, sv := range []consent.SettleVerb{"", consent.Redeemed, consent.Cancelled, consent.Lapsed} {
			for _, revoked := range []bool{false, true} {
				st := consent.State{Request: request()}
				if dv != "" {
					st.Decided = &consent.Decision{Verb: dv}
				}
				if sv != "" {
					st.Settled = &consent.Settlement{Verb: sv}
				}
				if revoked {
					st.Revoked = &consent.Revocation{By: "x"}
				}
				got := st.Status()
				if live := dv == consent.Approved && sv == consent.Redeemed && !revoked; live != (got == consent.StatusRedeemed) {
					t.Errorf("decided %q, settled %q, revoked %v: %s", dv, sv, revoked, got)
				}
				if open := dv == consent.Approved && sv == ""; open != (got == consent.StatusApproved) {
					t.Errorf("decided %q, settled %q, revoked %v: %s", dv, sv, revoked, got)
				}
				if pending := dv == ""; pending != (got == consent.StatusPending) {
					t.Errorf("decided %q, settled %q, revoked %v: %s", dv, sv, revoked, got)
				}
			}
		}
	}
}

func TestRedeemUntil(t *testing.T) {
	t.Parallel()
	if consent.RedeemGrace != time.Minute {
		t.Errorf("RedeemGrace = %v", consent.RedeemGrace)
	}
	for _, tt := range []struct {
		decided, want time.Duration
	}{
		{0, 300 * time.Second}, {240 * time.Second, 300 * time.Second}, {240*time.Second + 1, 300*time.Second + 1}, {299 * time.Second, 359 * time.Second},
	} {
		s := consent.State{Request: request(), Decided: &consent.Decision{Verb: consent.Approved, At: t0.Add(tt.decided)}}
		if got := s.RedeemUntil(); !got.Equal(t0.Add(tt.want)) {
			t.Errorf("decided after %v: RedeemUntil() = %v, want %v", tt.decided, got.Sub(t0), tt.want)
		}
	}
}

func TestRenewUntil(t *testing.T) {
	t.Parallel()
	for renewable, want := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 86400: 24*time.Hour + time.Second} {
		r := request()
		r.Renewable = renewable
		s := consent.State{Request: r, Decided: &consent.Decision{Verb: consent.Approved, At: t0.Add(time.Second)}}
		if got := s.RenewUntil().Sub(t0); got != want {
			t.Errorf("renewable for %d s: RenewUntil() is %v after the request, want %v", renewable, got, want)
		}
	}
	if consent.MaxRenewals != 500 {
		t.Errorf("MaxRenewals = %d: the facts of a request are read together", consent.MaxRenewals)
	}
}

func TestOverdue(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		decided *consent.Decision
		after   time.Duration
		want    bool
	}{
		{"just asked", nil, 0, false},
		{"a moment before its end", nil, 300*time.Second - 1, false},
		{"at its end", nil, 300 * time.Second, true},
		{"long ago", nil, 1000 * time.Hour, true},
		{"clock set back", nil, -time.Hour, false},
		{"decided, past its end", &consent.Decision{Verb: consent.Denied}, 1000 * time.Hour, false},
		{"expired already", &consent.Decision{Verb: consent.Expired}, 1000 * time.Hour, false},
	} {
		s := consent.State{Request: request(), Decided: tt.decided}
		if got := s.Overdue(t0.Add(tt.after)); got != tt.want {
			t.Errorf("%s: Overdue() = %v", tt.name, got)
		}
	}
}
