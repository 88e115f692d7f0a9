package consent_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
)

func TestExpire(t *testing.T) {
	t.Parallel()
	s := &consent.State{Request: request()}
	if _, err := consent.Expire(s, "n", t0.Add(300*time.Second-1)); err == nil {
		t.Error("a request expired before its end")
	}
	at := t0.Add(300 * time.Second)
	d, err := consent.Expire(s, "n", at)
	if err != nil {
		t.Fatal(err)
	}
	asked := askedDigest(t, s.Request)
	want := consent.Decision{V: 1, Verb: consent.Expired, By: "clock", Means: consent.ByClock, At: at, AskedDigest: asked, GrantedDigest: asked, Nonce: "n"}
	if want.DecisionDigest, err = want.Digest(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("Expire (-want +got):\n%s", diff)
	}
	// Who knows the digest alone writes the same.
	if again, err := consent.Expiry(asked, "n", at); err != nil || !cmp.Equal(again, d) {
		t.Errorf("Expiry = %+v, %v, want %+v", again, err, d)
	}
	s.Decided = &d
	if _, err := consent.Expire(s, "n", at.Add(time.Hour)); err == nil {
		t.Error("a request expired that was decided")
	}
}

func TestEnd(t *testing.T) {
	t.Parallel()
	decided := func(v consent.Verb, after time.Duration) *consent.Decision {
		return &consent.Decision{Verb: v, At: t0.Add(after), GrantedDigest: consent.Digest{9}}
	}
	for _, tt := range []struct {
		name    string
		decided *consent.Decision
		settled *consent.Settlement
		after   time.Duration
		verb    consent.Verb       // of the decision that ends it
		settle  consent.SettleVerb // of the settlement that does
	}{
		{"pending", nil, nil, 299 * time.Second, "", ""},
		{"pending, over", nil, nil, 300 * time.Second, consent.Expired, ""},
		{"denied", decided(consent.Denied, 0), nil, time.Hour, "", ""},
		{"withdrawn", decided(consent.Withdrawn, 0), nil, time.Hour, "", ""},
		{"expired", decided(consent.Expired, 0), nil, time.Hour, "", ""},
		{"approved", decided(consent.Approved, time.Second), nil, 300*time.Second - 1, "", ""},
		{"approved, over", decided(consent.Approved, time.Second), nil, 300 * time.Second, "", consent.Lapsed},
		{"approved late", decided(consent.Approved, 290*time.Second), nil, 350*time.Second - 1, "", ""},
		{"approved late, over", decided(consent.Approved, 290*time.Second), nil, 350 * time.Second, "", consent.Lapsed},
		{"redeemed", decided(consent.Approved, 0), &consent.Settlement{Verb: consent.Redeemed}, time.Hour, "", ""},
		{"cancelled", decided(consent.Approved, 0), &consent.Settlement{Verb: consent.Cancelled}, time.Hour, "", ""},
		{"lapsed", decided(consent.Approved, 0), &consent.Settlement{Verb: consent.Lapsed}, time.Hour, "", ""},
	} {
		s := &consent.State{Request: request(), Decided: tt.decided, Settled: tt.settled}
		now := t0.Add(tt.after)
		got, err := consent.End(s, "n", now)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		var want consent.Ending
		if tt.verb != "" {
			d, err := consent.Expire(s, "n", now)
			if err != nil {
				t.Fatal(err)
			}
			want.Decision = &d
		}
		if tt.settle != "" {
			want.Settlement = &consent.Settlement{V: 1, Verb: tt.settle, GrantedDigest: consent.Digest{9}, At: now, Nonce: "n"}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: End (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestMemoryAndFactsEndTogether: what memory says is due (by a brief) is what
// the facts say is due, to the nanosecond: else a request would be looked at
// for ever, or never.
func TestMemoryAndFactsEndTogether(t *testing.T) {
	t.Parallel()
	verbs := []consent.Verb{"", consent.Approved, consent.Denied, consent.Withdrawn, consent.Expired}
	settles := []consent.SettleVerb{"", consent.Redeemed, consent.Cancelled, consent.Lapsed}
	r := dice(1)
	for range 2000 {
		req := request()
		req.ExpiresAt = t0.Add(time.Duration(10+r.IntN(3600)) * time.Second)
		s := &consent.State{Request: req}
		b := &consent.Brief{ID: req.ID, ExpiresAt: req.ExpiresAt}
		if b.Decided = pick(r, verbs...); b.Decided != "" {
			b.EndedAt = t0.Add(time.Duration(r.Int64N(int64(req.ExpiresAt.Sub(t0)))))
			s.Decided = &consent.Decision{Verb: b.Decided, At: b.EndedAt}
			if b.Decided == consent.Approved {
				if b.Settled = pick(r, settles...); b.Settled != "" {
					s.Settled = &consent.Settlement{Verb: b.Settled}
				}
			}
		}
		due := func(now time.Time) bool {
			e, err := consent.End(s, "n", now)
			if err != nil {
				t.Fatal(err)
			}
			if e.Decision != nil && e.Settlement != nil {
				t.Fatalf("%q, %q: ended twice", b.Decided, b.Settled)
			}
			return e.Decision != nil || e.Settlement != nil
		}
		at, open := b.Ends()
		if !open {
			if due(t0.Add(1000 * time.Hour)) {
				t.Fatalf("%q, %q: has ended by memory, and is due by its facts", b.Decided, b.Settled)
			}
			continue
		}
		if due(at.Add(-1)) || !due(at) || !due(at.Add(time.Hour)) {
			t.Fatalf("%q, %q, decided %v, end %v: due before %v, or not from then on", b.Decided, b.Settled, b.EndedAt, b.ExpiresAt, at)
		}
	}
}
