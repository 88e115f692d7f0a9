package store

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"ringback/consent"
)

// goldenStory is one request of the golden house, and what became of it.
type goldenStory struct {
	status consent.Status
	state  *consent.State
}

// goldenStories are requests of every status, in the order in which they were
// asked. All of them are open or ended within the last minute.
func goldenStories(t testing.TB) []goldenStory {
	t.Helper()
	ago := func(seconds int) time.Time { return goldenNow.Add(-time.Duration(seconds) * time.Second) }
	var out []goldenStory
	// add begins a story; the steps tell the rest of it.
	add := func(status consent.Status, person string, p consent.Pseudonym, asked, expires int, steps ...func(*consent.State)) {
		n := byte(len(out) + 1)
		st := &consent.State{Request: &consent.Request{
			V: 1, ID: consent.ID{0: 0x10, 15: n}, Issuer: "https://consent.example", Door: consent.DoorCIBA,
			Client: consent.Party{ID: "agent", Name: "Agent", Host: "agent.example", Group: "registrant acme"}, Approver: person, Pseudonym: p,
			Scope: []string{"openid", "offline_access"}, Resource: "https://api.example",
			Details:        json.RawMessage(`[{"actions":["read","write"],"note":"a<b>&c","type":"data_access"}]`),
			BindingMessage: fmt.Sprintf("W4SC%d", n), ACR: []string{consent.ACRTap}, Salt: []byte("0123456789abcdef"),
			AskedAt: ago(asked), ExpiresAt: ago(expires), GrantLifetime: 300, Renewable: 3600, Mode: consent.Ping, Interval: 5, Narrowable: true,
			Bearers: consent.Bearers{MatchCode: "4711", NotificationToken: "8d67dc78-7faa"},
		}}
		for _, step := range steps {
			step(st)
		}
		out = append(out, goldenStory{status, st})
	}
	digest := func(d consent.Digest, err error) consent.Digest {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	tried := func(st *consent.State) {
		at := st.Request.AskedAt.Add(time.Second)
		st.Tried = []consent.Attempt{{
			V: 1, N: 1, Channel: "sms", Device: "cpohasdsjl3cqc2f", Reply: true, At: at, TicketUntil: at.Add(time.Minute), CodeUntil: at.Add(time.Minute),
			Presentation: &consent.Presentation{AskedDigest: digest(st.Request.AskedDigest()), Channel: "sms", Template: "ask", Locale: "en", Rendered: "Agent asks <to> read & write. YES ······"},
		}}
		st.Outcomes = map[int]consent.Outcome{1: {V: 1, N: 1, Status: consent.Accepted, ProviderID: "SM0001", At: at.Add(1)}}
		st.Receipts = map[int]consent.Receipt{1: {V: 1, N: 1, Delivered: true, At: at.Add(2)}}
		st.Misses = []consent.Miss{{V: 1, N: 1, Channel: "sms", At: at.Add(3), Nonce: "guess"}}
	}
	decided := func(seconds int, d consent.Decision) func(*consent.State) {
		return func(st *consent.State) {
			d := d
			d.V, d.At, d.Nonce = 1, ago(seconds), "nonce"
			if d.By == "" {
				d.By = st.Request.Approver
			}
			if d.Means == consent.ByReply {
				d.Attempt, d.Presentation, d.AMR = 1, st.Tried[0].Presentation, []string{"sms"}
			}
			d.AskedDigest = digest(st.Request.AskedDigest())
			d.GrantedDigest = digest(st.Request.GrantedDigest(d.Granted))
			d.DecisionDigest = digest(d.Digest())
			st.Decided = &d
			st.Notices = []consent.Notice{{V: 1, N: 1, At: d.At.Add(1)}}
			st.Notified = map[int]consent.Notified{1: {V: 1, N: 1, Done: true, Code: "204", At: d.At.Add(2)}}
		}
	}
	settled := func(seconds int, verb consent.SettleVerb) func(*consent.State) {
		return func(st *consent.State) {
			s := consent.Settlement{V: 1, Verb: verb, GrantedDigest: st.Decided.GrantedDigest, At: ago(seconds), Nonce: "nonce"}
			if verb == consent.Redeemed {
				s.JTI, s.IssuedAt, s.ExpiresAt = st.Request.ID.String(), ago(seconds).Truncate(time.Second), ago(seconds).Truncate(time.Second).Add(5*time.Minute)
			}
			st.Settled = &s
		}
	}
	renewed := func(st *consent.State) {
		for n := 1; n <= 2; n++ {
			r := consent.Renewal{V: 1, N: n, JTI: fmt.Sprintf("%s.%d", st.Request.ID, n), IssuedAt: ago(n).Truncate(time.Second), ExpiresAt: ago(n).Truncate(time.Second).Add(5 * time.Minute), At: ago(n), Nonce: "nonce"}
			st.Renewals = append(st.Renewals, r)
		}
	}
	revoked := func(st *consent.State) { st.Revoked = &consent.Revocation{V: 1, By: "agent", At: goldenNow} }
	yes := consent.Decision{Verb: consent.Approved, Means: consent.ByReply, ACR: consent.ACRTap}
	less := yes
	less.Granted = json.RawMessage(`[{"actions":["read"],"note":"a<b>&c","type":"data_access"}]`)

	add(consent.StatusPending, "alice", alicePseudonym, 20, -280)
	add(consent.StatusApproved, "bob", bobPseudonym, 50, -250, tried, decided(40, yes))
	add(consent.StatusDenied, "alice", alicePseudonym, 50, -250, tried, decided(40, consent.Decision{Verb: consent.Denied, NotMe: true, Means: consent.ByReply}))
	add(consent.StatusWithdrawn, "bob", bobPseudonym, 50, -250, decided(40, consent.Decision{Verb: consent.Withdrawn, By: "agent", Means: consent.ByClient}))
	add(consent.StatusExpired, "carol", carolPseudonym, 300, 30, tried, decided(28, consent.Decision{Verb: consent.Expired, By: "clock", Means: consent.ByClock}))
	add(consent.StatusRedeemed, "alice", alicePseudonym, 50, -250, tried, decided(40, less), settled(30, consent.Redeemed))
	add(consent.StatusRedeemed, "bob", bobPseudonym, 50, -250, tried, decided(40, yes), settled(30, consent.Redeemed), renewed)
	add(consent.StatusCancelled, "bob", bobPseudonym, 50, -250, tried, decided(40, yes), settled(30, consent.Cancelled))
	add(consent.StatusExpired, "carol", carolPseudonym, 300, 30, tried, decided(100, yes), settled(29, consent.Lapsed))
	add(consent.StatusRevoked, "alice", alicePseudonym, 50, -250, tried, decided(40, yes), settled(30, consent.Redeemed), revoked)
	return out
}

// goldenErased is the request of somebody who was erased afterwards.
func goldenErased(t testing.TB) *consent.State {
	t.Helper()
	st := *goldenStories(t)[2].state
	req := *st.Request
	req.ID, req.Approver, req.Pseudonym = consent.ID{0: 0x20}, "erin", erinPseudonym
	asked, err := req.AskedDigest()
	if err != nil {
		t.Fatal(err)
	}
	d := *st.Decided
	d.By, d.AskedDigest, d.GrantedDigest, d.Presentation, d.Attempt, d.Means = "erin", asked, asked, nil, 0, consent.ByPage
	if d.DecisionDigest, err = d.Digest(); err != nil {
		t.Fatal(err)
	}
	return &consent.State{Request: &req, Decided: &d}
}
