package consent_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
	"ringback/details"
)

var t0 = time.Date(2026, 11, 22, 14, 30, 0, 0, time.UTC)

func TestID(t *testing.T) {
	t.Parallel()
	id := consent.NewID()
	if got, err := consent.ParseID(id.String()); err != nil || got != id {
		t.Errorf("ParseID(%q) = %v, %v", id, got, err)
	}
	for _, bad := range []string{"", "a", strings.ToUpper(id.String()), id.String() + "a", id.String()[:25] + "b", strings.Repeat("1", 26)} {
		if got, err := consent.ParseID(bad); err == nil && got.String() != bad {
			t.Errorf("ParseID(%q) = %v, want an error", bad, got)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("aaaaaaaaaaaaaaaaaaaaaaaaaa")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := consent.ParseID(s); err == nil && id.String() != s {
			t.Errorf("ParseID(%q) reads another form than it writes: %v", s, id)
		}
	})
}

// TestPrivateValuesNeverPrint is the attacker's look into logs and errors.
func TestPrivateValuesNeverPrint(t *testing.T) {
	t.Parallel()
	p, s := consent.Phone("+12025550101"), consent.Secret("hunter2")
	req := consent.Request{Bearers: consent.Bearers{MatchCode: "4711", NotificationToken: "hunter2"}}
	dev := consent.Device{ID: "d", Channel: "sms", Address: "+12025550101"}
	raw, _ := json.Marshal(req)
	out := fmt.Sprintf("%v %s %+v %#v %v %s %#v %v %s %v %+v", p, p, p, p, s, s, s, dev, dev, req.Bearers, req.Bearers) + string(raw)
	for _, leak := range []string{"5550101", "hunter2", "4711"} {
		if strings.Contains(out, leak) {
			t.Errorf("printed %q in %s", leak, out)
		}
	}
}

func request() *consent.Request {
	return &consent.Request{
		V: 1, ID: consent.ID{1}, Issuer: "https://as.example", Door: consent.DoorCIBA,
		Client:   consent.Party{ID: "agent", Name: "Travel Agent", Host: "travel.example"},
		Approver: "alice", Pseudonym: "p", Scope: []string{"openid"}, Resource: "https://api.example",
		Details:        json.RawMessage(`[{"creditorAccount":{"iban":"DE89370400440532013000"},"creditorName":"ACME GmbH","instructedAmount":{"amount":"50.00","currency":"EUR"},"type":"payment_initiation"}]`),
		BindingMessage: "Hotel 1", ACR: []string{consent.ACRTap, consent.ACRMatch, consent.ACRPhr},
		Salt: []byte("0123456789abcdef"), AskedAt: t0, ExpiresAt: t0.Add(5 * time.Minute), GrantLifetime: 300,
		Mode: consent.Poll, Interval: 5, Narrowable: true,
	}
}

// TestAskedDigest: every member that the approver is asked to agree to
// changes the digest, and nothing else does.
func TestAskedDigest(t *testing.T) {
	t.Parallel()
	base, err := request().AskedDigest()
	if err != nil {
		t.Fatal(err)
	}
	changes := map[string]func(*consent.Request){
		"issuer": func(r *consent.Request) { r.Issuer += "x" },
		"id":     func(r *consent.Request) { r.ID[15]++ },
		"client": func(r *consent.Request) { r.Client.ID += "x" },
		"name":   func(r *consent.Request) { r.Client.Name += "x" },
		"host":   func(r *consent.Request) { r.Client.Host += "x" },
		"act":    func(r *consent.Request) { r.Actors = []consent.Party{{ID: "x"}} },
		"person": func(r *consent.Request) { r.Pseudonym = "q" },
		"scope":  func(r *consent.Request) { r.Scope = []string{"openid", "x"} },
		"aud":    func(r *consent.Request) { r.Resource += "x" },
		"details": func(r *consent.Request) {
			r.Details = json.RawMessage(strings.Replace(string(r.Details), "50.00", "50.01", 1))
		},
		"message": func(r *consent.Request) { r.BindingMessage += "x" },
		"acr":     func(r *consent.Request) { r.ACR = r.ACR[1:] },
		"expiry":  func(r *consent.Request) { r.ExpiresAt = r.ExpiresAt.Add(1) },
		"life":    func(r *consent.Request) { r.GrantLifetime++ },
		"grant":   func(r *consent.Request) { r.Grant = consent.GrantClientCredentials },
		"renewal": func(r *consent.Request) { r.Renewable++ },
		"salt":    func(r *consent.Request) { r.Salt[0]++ },
	}
	seen := map[consent.Digest]string{base: "nothing"}
	for name, change := range changes {
		r := request()
		change(r)
		got, err := r.AskedDigest()
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("changing %s gives the digest of changing %s", name, other)
		}
		seen[got] = name
	}
	r := request()
	r.Details = json.RawMessage(` [ {"type":"payment_initiation", "instructedAmount":{"currency":"EUR","amount":"50.00"},"creditorName":"ACME GmbH","creditorAccount":{"iban":"DE89370400440532013000"}} ] `)
	r.Bearers.MatchCode, r.Interval = "1234", 9
	if got, _ := r.AskedDigest(); got != base {
		t.Errorf("order, space and bearers change the digest")
	}
}

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
	} {
		st := consent.State{Request: request(), Decided: tt.decided, Settled: tt.settled, Revoked: tt.revoked}
		if got := st.Status(); got != tt.want {
			t.Errorf("%s: Status() = %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestRedeemUntil(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		decided, want time.Duration
	}{{0, 300 * time.Second}, {240 * time.Second, 300 * time.Second}, {299 * time.Second, 359 * time.Second}} {
		s := consent.State{Request: request(), Decided: &consent.Decision{Verb: consent.Approved, At: t0.Add(tt.decided)}}
		if got := s.RedeemUntil(); !got.Equal(t0.Add(tt.want)) {
			t.Errorf("decided after %v: RedeemUntil() = %v, want %v", tt.decided, got.Sub(t0), tt.want)
		}
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	reg, err := details.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	asked, err := request().AskedDigest()
	if err != nil {
		t.Fatal(err)
	}
	shown := &consent.Presentation{AskedDigest: asked, Channel: "page", Locale: "en", Rendered: "Pay 50.00 EUR"}
	less := func(from, to string) json.RawMessage {
		return json.RawMessage(strings.Replace(string(request().Details), from, to, 1))
	}
	yes := func(change func(*consent.Evidence)) consent.Evidence {
		ev := consent.Evidence{Verb: consent.Approved, By: "alice", Means: consent.ByPage, ACR: consent.ACRTap, Presentation: shown, Nonce: "n"}
		if change != nil {
			change(&ev)
		}
		return ev
	}
	for _, tt := range []struct {
		name  string
		state func(*consent.State)
		ev    consent.Evidence
		after time.Duration
		want  error
	}{
		{"yes", nil, yes(nil), 0, nil},
		{"no", nil, consent.Evidence{Verb: consent.Denied, By: "alice", Means: consent.ByReply}, 0, nil},
		{"not me", nil, consent.Evidence{Verb: consent.Denied, NotMe: true, By: "alice", Means: consent.ByPage}, 0, nil},
		{"withdrawn by the client", nil, consent.Evidence{Verb: consent.Withdrawn, By: "agent", Means: consent.ByClient}, 0, nil},
		{"withdrawn by another client", nil, consent.Evidence{Verb: consent.Withdrawn, By: "other", Means: consent.ByClient}, 0, consent.ErrNotNamed},
		{"yes by somebody else", nil, yes(func(e *consent.Evidence) { e.By = "bob" }), 0, consent.ErrNotNamed},
		{"no by somebody else", nil, consent.Evidence{Verb: consent.Denied, By: "bob"}, 0, consent.ErrNotNamed},
		{"yes by the client", nil, yes(func(e *consent.Evidence) { e.By = "agent" }), 0, consent.ErrNotNamed},
		{"yes without having seen", nil, yes(func(e *consent.Evidence) { e.Presentation = nil }), 0, consent.ErrShown},
		{"yes to another request's card", nil, yes(func(e *consent.Evidence) { e.Presentation = &consent.Presentation{} }), 0, consent.ErrShown},
		{"too weak", func(s *consent.State) { s.Request.ACR = []string{consent.ACRMatch} }, yes(nil), 0, consent.ErrAssurance},
		{"unknown strength", nil, yes(func(e *consent.Evidence) { e.ACR = "gold" }), 0, consent.ErrAssurance},
		{"no strength", nil, yes(func(e *consent.Evidence) { e.ACR = "" }), 0, consent.ErrAssurance},
		{"stronger than asked", func(s *consent.State) { s.Request.ACR = []string{consent.ACRMatch} }, yes(func(e *consent.Evidence) { e.ACR = consent.ACRPhr }), 0, nil},
		{"no needs no strength", func(s *consent.State) { s.Request.ACR = []string{consent.ACRPhr} }, consent.Evidence{Verb: consent.Denied, By: "alice"}, 0, nil},
		{"a moment before the end", nil, yes(nil), 300*time.Second - 1, nil},
		{"at the end", nil, yes(nil), 300 * time.Second, consent.ErrEnded},
		{"no after the end", nil, consent.Evidence{Verb: consent.Denied, By: "alice"}, 301 * time.Second, consent.ErrEnded},
		{"already denied", func(s *consent.State) { s.Decided = &consent.Decision{Verb: consent.Denied} }, yes(nil), 0, consent.ErrDecided},
		{"smaller amount", nil, yes(func(e *consent.Evidence) { e.Granted = less("50.00", "20.00") }), 0, nil},
		{"larger amount", nil, yes(func(e *consent.Evidence) { e.Granted = less("50.00", "50.01") }), 0, consent.ErrWider},
		{"nothing", nil, yes(func(e *consent.Evidence) { e.Granted = less("50.00", "0.00") }), 0, consent.ErrWider},
		{"other currency", nil, yes(func(e *consent.Evidence) { e.Granted = less("EUR", "USD") }), 0, consent.ErrWider},
		{"other payee", nil, yes(func(e *consent.Evidence) { e.Granted = less("ACME GmbH", "ACNE GmbH") }), 0, consent.ErrWider},
		{"other account", nil, yes(func(e *consent.Evidence) { e.Granted = less("DE89370400440532013000", "DE89370400440532013001") }), 0, consent.ErrWider},
		{"further payment", nil, yes(func(e *consent.Evidence) {
			e.Granted = json.RawMessage("[" + string(request().Details[1:len(request().Details)-1]) + "," + string(request().Details[1:]))
		}), 0, consent.ErrWider},
		{"no payment", nil, yes(func(e *consent.Evidence) { e.Granted = json.RawMessage("[]") }), 0, consent.ErrWider},
		{"smaller at a door that cannot carry it", func(s *consent.State) { s.Request.Narrowable = false }, yes(func(e *consent.Evidence) { e.Granted = less("50.00", "20.00") }), 0, consent.ErrWider},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &consent.State{Request: request()}
			if tt.state != nil {
				tt.state(s)
			}
			if p := tt.ev.Presentation; p != nil && tt.want == nil {
				q := *p
				q.AskedDigest, _ = s.Request.AskedDigest()
				tt.ev.Presentation = &q
			} else if p != nil && !errors.Is(tt.want, consent.ErrShown) {
				q := *p
				q.AskedDigest, _ = s.Request.AskedDigest()
				tt.ev.Presentation = &q
			}
			d, err := consent.Decide(s, tt.ev, reg, t0.Add(tt.after))
			if !errors.Is(err, tt.want) {
				t.Fatalf("Decide() error = %v, want %v", err, tt.want)
			}
			if err != nil {
				return
			}
			want, _ := d.Digest()
			if d.DecisionDigest != want || d.AskedDigest == (consent.Digest{}) {
				t.Errorf("the decision's digests do not stand for it: %+v", d)
			}
			if narrowed := tt.ev.Granted != nil; narrowed == (d.GrantedDigest == d.AskedDigest) {
				t.Errorf("granted digest equal to asked = %v, narrowed = %v", d.GrantedDigest == d.AskedDigest, narrowed)
			}
			if d.Verb != consent.Approved && d.ACR != "" {
				t.Errorf("a %s decision has acr %q", d.Verb, d.ACR)
			}
		})
	}
}

func TestExpire(t *testing.T) {
	t.Parallel()
	s := &consent.State{Request: request()}
	if _, err := consent.Expire(s, "n", t0.Add(299*time.Second)); err == nil {
		t.Error("a request expired before its end")
	}
	d, err := consent.Expire(s, "n", t0.Add(300*time.Second))
	if err != nil || d.Verb != consent.Expired {
		t.Errorf("Expire() = %+v, %v", d, err)
	}
}

func TestWanted(t *testing.T) {
	t.Parallel()
	const tap, match, phr = consent.ACRTap, consent.ACRMatch, consent.ACRPhr
	for _, tt := range []struct {
		asked   []string
		minimum string
		want    []string
	}{
		{nil, "", []string{tap, match, phr}},
		{nil, tap, []string{tap, match, phr}},
		{nil, match, []string{match, phr}},
		{[]string{"gold"}, match, []string{match, phr}}, // unknown values are ignored
		{[]string{tap}, "", []string{tap}},
		{[]string{phr, "gold", tap}, match, []string{phr}},
		{[]string{tap}, phr, nil}, // policy excludes it
	} {
		if diff := cmp.Diff(tt.want, consent.Wanted(tt.asked, tt.minimum)); diff != "" {
			t.Errorf("Wanted(%q, %q) mismatch (-want +got):\n%s", tt.asked, tt.minimum, diff)
		}
	}
}

func TestMayName(t *testing.T) {
	t.Parallel()
	alice := &consent.Person{ID: "alice", Clients: []string{"linked"}}
	for _, tt := range []struct {
		client consent.Client
		want   bool
	}{
		{consent.Client{ID: "linked"}, true},
		{consent.Client{ID: "stranger"}, false},
		{consent.Client{ID: "linked", People: "linked"}, true},
		{consent.Client{ID: "stranger", People: "any"}, true},
		{consent.Client{ID: "stranger", People: "list", PeopleList: []string{"alice"}}, true},
		{consent.Client{ID: "linked", People: "list", PeopleList: []string{"bob"}}, false},
		{consent.Client{ID: "linked", People: "everybody"}, true},
		{consent.Client{ID: "stranger", People: "everybody"}, false},
	} {
		if got := tt.client.MayName(alice); got != tt.want {
			t.Errorf("%+v.MayName(alice) = %v", tt.client, got)
		}
	}
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	past := func(client string, ago time.Duration, v consent.Verb) consent.Past {
		return consent.Past{Client: client, AskedAt: t0.Add(-ago), Verb: v, At: t0.Add(-ago)}
	}
	many := func(n int, p consent.Past) (out []consent.Past) {
		for range n {
			out = append(out, p)
		}
		return out
	}
	same := [8]byte{7}
	open := consent.Brief{Client: "agent", Same: same, ExpiresAt: t0.Add(time.Minute)}
	other := open
	other.Client = "other"
	for _, tt := range []struct {
		name   string
		policy consent.Policy
		h      consent.History
		want   consent.Reason
	}{
		{"nothing before", consent.Policy{Limits: consent.DefaultLimits(), Dedupe: true}, consent.History{}, ""},
		{"frozen", consent.Policy{}, consent.History{Frozen: map[string]time.Time{"agent": t0.Add(time.Hour)}}, consent.ReasonFrozen},
		{"frozen until now", consent.Policy{}, consent.History{Frozen: map[string]time.Time{"agent": t0}}, ""},
		{"another is frozen", consent.Policy{}, consent.History{Frozen: map[string]time.Time{"other": t0.Add(time.Hour)}}, ""},
		{"the same is open", consent.Policy{Dedupe: true}, consent.History{Open: []consent.Brief{open}}, consent.ReasonDuplicate},
		{"the same is open, allowed", consent.Policy{}, consent.History{Open: []consent.Brief{open}}, ""},
		{"the same of another client", consent.Policy{Dedupe: true}, consent.History{Open: []consent.Brief{other}}, ""},
		{"four before", consent.Policy{Limits: consent.DefaultLimits()}, consent.History{Recent: many(4, past("agent", time.Minute, ""))}, ""},
		{"five before", consent.Policy{Limits: consent.DefaultLimits()}, consent.History{Recent: many(5, past("agent", time.Minute, ""))}, consent.ReasonBudget},
		{"five long ago", consent.Policy{Limits: consent.DefaultLimits()}, consent.History{Recent: many(5, past("agent", 10*time.Minute, ""))}, ""},
		{"five by others", consent.Policy{Limits: consent.DefaultLimits()}, consent.History{Recent: many(5, past("other", time.Minute, ""))}, ""},
		{"limits off", consent.Policy{}, consent.History{Recent: many(50, past("agent", time.Minute, ""))}, ""},
	} {
		err := tt.policy.Admit(request(), same, tt.h, t0)
		var r *consent.Refusal
		if errors.As(err, &r); r == nil && tt.want != "" || r != nil && r.Reason != tt.want {
			t.Errorf("%s: Admit() = %v, want %q", tt.name, err, tt.want)
		}
	}

	p := consent.Policy{Limits: consent.DefaultLimits()}
	if p.Silent("agent", consent.History{Recent: many(20, past("x", time.Minute, ""))}, t0) {
		t.Error("silent within the person's budget")
	}
	if !p.Silent("agent", consent.History{Recent: many(21, past("x", time.Minute, ""))}, t0) {
		t.Error("rings beyond the person's budget")
	}
	known := consent.History{Recent: append(many(21, past("x", time.Minute, "")), past("agent", time.Hour, consent.Approved))}
	if p.Silent("agent", known, t0) {
		t.Error("no room is reserved for a client that was approved before")
	}
	for _, tt := range []struct {
		name   string
		policy consent.Policy
		notMe  bool
		before []consent.Past
		want   bool
	}{
		{"first denial", p, false, nil, false},
		{"third denial", p, false, many(2, past("agent", time.Hour, consent.Denied)), true},
		{"third denial, two of another client", p, false, many(2, past("other", time.Hour, consent.Denied)), false},
		{"third denial, two days ago", p, false, many(2, past("agent", 48*time.Hour, consent.Denied)), false},
		{"not me", p, true, nil, true},
		{"not me, limits off", consent.Policy{}, true, nil, true},
		{"denials, limits off", consent.Policy{}, false, many(9, past("agent", time.Hour, consent.Denied)), false},
	} {
		if _, got := tt.policy.FreezeUntil("agent", tt.notMe, consent.History{Recent: tt.before}, t0); got != tt.want {
			t.Errorf("%s: FreezeUntil() = %v", tt.name, got)
		}
	}
}

func TestRouteFor(t *testing.T) {
	t.Parallel()
	p := consent.Policy{Routes: []consent.Route{
		{ACR: consent.ACRPhr, Steps: []consent.RouteStep{{Channel: "push"}}},
		{Client: "other", Steps: []consent.RouteStep{{Channel: "voice"}}},
		{Type: "payment_initiation", Steps: []consent.RouteStep{{Channel: "sms"}}},
		{Steps: []consent.RouteStep{{Channel: "console"}}},
	}}
	for _, tt := range []struct {
		acr, client, typ, want string
	}{
		{consent.ACRPhr, "agent", "", "push"}, {consent.ACRTap, "other", "", "voice"},
		{consent.ACRTap, "agent", "payment_initiation", "sms"}, {consent.ACRTap, "agent", "tool_call", "console"},
	} {
		r := request()
		r.ACR, r.Client.ID = []string{tt.acr}, tt.client
		if got := p.RouteFor(r, func() []string { return []string{tt.typ} }); got == nil || got.Steps[0].Channel != tt.want {
			t.Errorf("RouteFor(%+v) = %+v", tt, got)
		}
	}
	p.Routes = p.Routes[:2]
	if got := p.RouteFor(request(), func() []string { return nil }); got != nil && got.ACR == "" {
		t.Errorf("RouteFor() = %+v, want nil", got)
	}
}

func FuzzDigest(f *testing.F) {
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		var d consent.Digest
		if err := d.UnmarshalText([]byte(s)); err == nil && d.String() != s {
			t.Errorf("UnmarshalText(%q) reads another form than it writes: %v", s, d)
		}
	})
}
