package consent_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
)

// TestDecideIsWhole compares a decision with everything that evidence says:
// what is left out here is in no store, no chain and no token.
func TestDecideIsWhole(t *testing.T) {
	t.Parallel()
	req, now := request(), t0.Add(time.Minute)
	asked := askedDigest(t, req)
	less := replaced(t, payment, "50.00", "20.00")
	granted, err := req.GrantedDigest(less)
	if err != nil {
		t.Fatal(err)
	}
	view := shown(t, req)
	for _, tt := range []struct {
		name string
		ev   consent.Evidence
		want consent.Decision
	}{
		{"yes", yes(t, req, nil), consent.Decision{
			V: 1, Verb: consent.Approved, By: "alice", Means: consent.ByPage, Attempt: 2, At: now, ACR: phr, AMR: []string{"hwk", "user"},
			Credential: "credential-1", Signature: []byte{1, 2, 3}, AskedDigest: asked, GrantedDigest: asked, Presentation: view, Nonce: "nonce-1",
		}},
		{"a smaller yes", yes(t, req, func(e *consent.Evidence) { e.Granted = less }), consent.Decision{
			V: 1, Verb: consent.Approved, By: "alice", Means: consent.ByPage, Attempt: 2, At: now, ACR: phr, AMR: []string{"hwk", "user"},
			Credential: "credential-1", Signature: []byte{1, 2, 3}, Granted: less, AskedDigest: asked, GrantedDigest: granted, Presentation: view, Nonce: "nonce-1",
		}},
		{"not me", consent.Evidence{
			Verb: consent.Denied, NotMe: true, By: "alice", Means: consent.ByReply, Attempt: 1, ACR: tap, AMR: []string{"sms"},
			Credential: "c", Signature: []byte{9}, Granted: less, Presentation: view, Nonce: "n",
		}, consent.Decision{
			V: 1, Verb: consent.Denied, NotMe: true, By: "alice", Means: consent.ByReply, Attempt: 1, At: now, AMR: []string{"sms"},
			Credential: "c", Signature: []byte{9}, AskedDigest: asked, GrantedDigest: asked, Presentation: view, Nonce: "n",
		}},
		{"taken back", consent.Evidence{Verb: consent.Withdrawn, By: "agent", Means: consent.ByClient, Nonce: "n"}, consent.Decision{
			V: 1, Verb: consent.Withdrawn, By: "agent", Means: consent.ByClient, At: now, AskedDigest: asked, GrantedDigest: asked, Nonce: "n",
		}},
	} {
		got, err := consent.Decide(&consent.State{Request: req}, tt.ev, registry(t), now)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if tt.want.DecisionDigest, err = tt.want.Digest(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: Decide (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	wants := func(acr ...string) func(*consent.State) {
		return func(s *consent.State) { s.Request.ACR = acr }
	}
	reached := func(acr string) func(*consent.Evidence) { return func(e *consent.Evidence) { e.ACR = acr } }
	no := consent.Evidence{Verb: consent.Denied, By: "alice", Means: consent.ByReply}
	for _, tt := range []struct {
		name   string
		state  func(*consent.State)
		change func(*consent.Evidence) // of a good yes
		after  time.Duration
		want   error
	}{
		{"yes", nil, nil, 0, nil},
		{"no", nil, func(e *consent.Evidence) { *e = no }, 0, nil},
		{"a development decision shows nothing", nil, func(e *consent.Evidence) { e.Means, e.Presentation = consent.ByDev, nil }, 0, nil},
		{"a development decision about something else", nil, func(e *consent.Evidence) { e.Means, e.Presentation = consent.ByDev, &consent.Presentation{} }, 0, consent.ErrShown},
		{"withdrawn by the client", nil, func(e *consent.Evidence) {
			*e = consent.Evidence{Verb: consent.Withdrawn, By: "agent", Means: consent.ByClient}
		}, 0, nil},
		{"withdrawn by the operator", nil, func(e *consent.Evidence) {
			*e = consent.Evidence{Verb: consent.Withdrawn, By: "operator", Means: consent.ByAdmin}
		}, 0, nil},

		{"tap is enough", wants(tap), reached(tap), 0, nil},
		{"tap is too weak", wants(match), reached(tap), 0, consent.ErrAssurance},
		{"match is too weak", wants(phr), reached(match), 0, consent.ErrAssurance},
		{"stronger than asked", wants(match), reached(phr), 0, nil},
		{"one of several", wants(phr, tap), reached(tap), 0, nil},
		{"unknown strength", nil, reached("gold"), 0, consent.ErrAssurance},
		{"strength in another spelling", wants(phr), reached("PHR"), 0, consent.ErrAssurance},
		{"no strength", nil, reached(""), 0, consent.ErrAssurance},
		{"a request that nothing satisfies", wants(), reached(phr), 0, consent.ErrAssurance},
		{"no needs no strength", wants(phr), func(e *consent.Evidence) { *e = no }, 0, nil},

		{"without having seen", nil, func(e *consent.Evidence) { e.Presentation = nil }, 0, consent.ErrShown},
		{"no without having seen", nil, func(e *consent.Evidence) { e.Verb, e.Presentation = consent.Denied, nil }, 0, nil},
		{"another request's card", nil, func(e *consent.Evidence) { e.Presentation.AskedDigest[31]++ }, 0, consent.ErrShown},
		{"no to another request's card", nil, func(e *consent.Evidence) { e.Verb = consent.Denied; e.Presentation.AskedDigest[31]++ }, 0, consent.ErrShown},
		{"a card of nothing", nil, func(e *consent.Evidence) { e.Presentation = &consent.Presentation{} }, 0, consent.ErrShown},

		{"a moment before the end", nil, nil, 300*time.Second - 1, nil},
		{"at the end", nil, nil, 300 * time.Second, consent.ErrEnded},
		{"no at the end", nil, func(e *consent.Evidence) { *e = no }, 300 * time.Second, consent.ErrEnded},
		{"withdrawn after the end", nil, func(e *consent.Evidence) {
			*e = consent.Evidence{Verb: consent.Withdrawn, By: "agent", Means: consent.ByClient}
		}, time.Hour, consent.ErrEnded},

		{"not me, but yes", nil, func(e *consent.Evidence) { e.NotMe = true }, 0, consent.ErrMeans},
		{"a repair is no evidence", nil, func(e *consent.Evidence) { e.Verb, e.By, e.Means = consent.Withdrawn, "repair", consent.ByRepair }, 0, consent.ErrMeans},
		{"expiry is no evidence", nil, func(e *consent.Evidence) { e.Verb, e.Means = consent.Expired, consent.ByClock }, 0, consent.ErrMeans},
		{"no verb", nil, func(e *consent.Evidence) { e.Verb = "" }, 0, consent.ErrMeans},
		{"another verb", nil, func(e *consent.Evidence) { e.Verb = "APPROVED" }, 0, consent.ErrMeans},
		{"no means", nil, func(e *consent.Evidence) { e.Means = "" }, 0, consent.ErrMeans},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &consent.State{Request: request()}
			if tt.state != nil {
				tt.state(s)
			}
			got, err := consent.Decide(s, yes(t, s.Request, tt.change), registry(t), t0.Add(tt.after))
			if !errors.Is(err, tt.want) {
				t.Fatalf("Decide() error = %v, want %v", err, tt.want)
			}
			if err != nil && !cmp.Equal(got, consent.Decision{}) {
				t.Errorf("refused evidence leaves a decision: %+v", got)
			}
		})
	}
}

// TestDecidedStands: whatever comes after the first decision gets that one, and
// changes nothing of it.
func TestDecidedStands(t *testing.T) {
	t.Parallel()
	for _, verb := range []consent.Verb{consent.Approved, consent.Denied, consent.Withdrawn, consent.Expired} {
		first := consent.Decision{V: 1, Verb: verb, By: "x", At: t0, Nonce: "first"}
		for _, after := range []time.Duration{0, time.Hour} {
			s := &consent.State{Request: request(), Decided: &first}
			got, err := consent.Decide(s, yes(t, s.Request, nil), registry(t), t0.Add(after))
			if !errors.Is(err, consent.ErrDecided) || !cmp.Equal(got, first) {
				t.Errorf("%s, then yes after %v: Decide() = %+v, %v", verb, after, got, err)
			}
		}
	}
}

func TestMeansDecide(t *testing.T) {
	t.Parallel()
	verbs := []consent.Verb{"", consent.Approved, consent.Denied, consent.Withdrawn, consent.Expired, "APPROVED"}
	for means, want := range map[consent.Means][]consent.Verb{
		consent.ByReply: {consent.Approved, consent.Denied}, consent.ByPage: {consent.Approved, consent.Denied}, consent.ByDev: {consent.Approved, consent.Denied},
		consent.ByClient: {consent.Withdrawn}, consent.ByAdmin: {consent.Withdrawn}, consent.ByClock: {consent.Expired}, "": nil, "voicemail": nil,
	} {
		var got []consent.Verb
		for _, v := range verbs {
			if means.Decides(v) {
				got = append(got, v)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q decides (-want +got):\n%s", means, diff)
		}
	}
}

// TestSmallerYes: what may be granted of what was asked, by the type's own
// rules, and what may not.
func TestSmallerYes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, asked, from, to string
		ok                    bool
	}{
		{"as asked", payment, "50.00", "50.00", true},
		{"smaller amount", payment, "50.00", "20.00", true},
		{"the smallest amount", payment, "50.00", "0.01", true},
		{"the same amount otherwise", payment, "50.00", "50.0", true},
		{"larger amount", payment, "50.00", "50.01", false},
		{"much larger amount", payment, "50.00", "500", false},
		{"nothing", payment, "50.00", "0.00", false},
		{"a negative amount", payment, "50.00", "-1.00", false},
		{"an exponent", payment, "50.00", "1e9", false},
		{"an amount that is none", payment, "50.00", "", false},
		{"an amount of another kind", payment, `"50.00"`, "20", false},
		{"other currency", payment, "EUR", "USD", false},
		{"other payee", payment, "ACME GmbH", "ACNE GmbH", false},
		{"other account", payment, "DE89370400440532013000", "DE89370400440532013001", false},
		{"a member more", payment, `"creditorName"`, `"remittanceInformationUnstructured":"x","creditorName"`, false},
		{"a member less", payment, `"creditorName":"ACME GmbH",`, "", false},
		{"a member twice", payment, `"amount":"50.00"`, `"amount":"20.00","amount":"5000.00"`, false},
		{"a member in another case", payment, `"amount":"50.00"`, `"amount":"20.00","Amount":"5000.00"`, false},
		{"another type", payment, "payment_initiation", "data_access", false},
		{"an unknown type", payment, "payment_initiation", "gift", false},

		{"some actions", access, `"read","write","delete"`, `"read"`, true},
		{"two of three actions", access, `"read","write","delete"`, `"read","delete"`, true},
		{"actions in another order", access, `"read","write","delete"`, `"delete","write","read"`, true},
		{"no action", access, `"read","write","delete"`, "", false},
		{"another action", access, `"read","write","delete"`, `"read","share"`, false},
		{"one action twice", access, `"read","write","delete"`, `"read","read"`, false},
		{"an action in another case", access, `"read","write","delete"`, `"READ"`, false},
		{"one place", access, `"https://a.example","https://b.example"`, `"https://b.example"`, true},
		{"another place", access, `"https://a.example","https://b.example"`, `"https://a.example.evil"`, false},
		{"some of both", access, `"read","write","delete"],"datatypes":["mail"],"locations":["https://a.example","https://b.example"`, `"read"],"datatypes":["mail"],"locations":["https://a.example"`, true},

		{"a tool call as asked", tool, "/tmp", "/tmp", true},
		{"a tool call elsewhere", tool, "/tmp", "/", false},
		{"another tool", tool, "remove", "read", false},
	} {
		req := request()
		req.Details = json.RawMessage(tt.asked)
		granted := replaced(t, tt.asked, tt.from, tt.to)
		s := &consent.State{Request: req}
		d, err := consent.Decide(s, yes(t, req, func(e *consent.Evidence) { e.Granted = granted }), registry(t), t0)
		if tt.ok != (err == nil) || !tt.ok && !errors.Is(err, consent.ErrWider) {
			t.Errorf("%s: Decide() error = %v, want ok %v", tt.name, err, tt.ok)
			continue
		}
		if err != nil {
			continue
		}
		want, err := req.GrantedDigest(granted)
		if err != nil || d.GrantedDigest != want || d.AskedDigest != askedDigest(t, req) {
			t.Errorf("%s: the digests are not of what was asked and granted: %+v, %v", tt.name, d, err)
		}
		req.Narrowable = false
		if _, err := consent.Decide(s, yes(t, req, func(e *consent.Evidence) { e.Granted = granted }), registry(t), t0); !errors.Is(err, consent.ErrWider) {
			t.Errorf("%s: at a door that cannot carry it: %v", tt.name, err)
		}
	}
}

// TestSmallerLists: a smaller yes has the elements that were asked for, each in
// its place.
func TestSmallerLists(t *testing.T) {
	t.Parallel()
	one, two := payment[1:len(payment)-1], access[1:len(access)-1]
	for _, tt := range []struct {
		name, granted string
		ok            bool
	}{
		{"as asked", "[" + one + "," + two + "]", true},
		{"one left out", "[" + one + "]", false},
		{"the other left out", "[" + two + "]", false},
		{"turned round", "[" + two + "," + one + "]", false},
		{"one twice", "[" + one + "," + one + "]", false},
		{"a third", "[" + one + "," + two + "," + one + "]", false},
		{"none", "[]", false},
		{"no list", one, false},
		{"null", "null", false},
		{"no JSON", "[", false},
		{"two lists", "[" + one + "," + two + "][]", false},
		{"nothing at all", "", false},
	} {
		req := request()
		req.Details = json.RawMessage("[" + one + "," + two + "]")
		s := &consent.State{Request: req}
		_, err := consent.Decide(s, yes(t, req, func(e *consent.Evidence) { e.Granted = json.RawMessage(tt.granted) }), registry(t), t0)
		if tt.ok != (err == nil) || !tt.ok && !errors.Is(err, consent.ErrWider) {
			t.Errorf("%s: Decide() error = %v, want ok %v", tt.name, err, tt.ok)
		}
	}
	// Where nothing was asked in detail, nothing can be granted in detail.
	req := request()
	req.Details = nil
	if _, err := consent.Decide(&consent.State{Request: req}, yes(t, req, func(e *consent.Evidence) { e.Granted = json.RawMessage(payment) }), registry(t), t0); err == nil {
		t.Error("a payment was granted that was never asked for")
	}
}
