package store

import (
	"encoding/binary"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
)

// goldenFull has every fact, and every member of each set, whether or not they
// make sense together.
func goldenFull() *consent.State {
	at := goldenNow
	digest := func(n byte) consent.Digest { return consent.Digest{0: n, 31: 0xff} }
	shown := &consent.Presentation{
		AskedDigest: digest(1), Channel: "sms", Template: "ask", TemplateDigest: digest(2), Locale: "de-AT",
		Rendered: "Träger <Agent> & \"Söhne\" \u2028\nJA ······",
	}
	const binding = "jkt:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	return &consent.State{
		Request: &consent.Request{
			V: 1, ID: consent.ID{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f},
			Issuer: "https://consent.example/a?b&c", Door: consent.DoorCIBA, Grant: consent.GrantClientCredentials,
			Client:   consent.Party{ID: "https://agent.example/client?x=1;y=<2>&z", Name: "Träger & Söhne <Agent>", Host: "agent.example", Group: "host agent.example"},
			Actors:   []consent.Party{{ID: "planner", Name: "Planner", Host: "planner.example", Group: "registrant acme"}, {ID: "inner", Name: "Inner"}},
			Approver: "alice", Pseudonym: alicePseudonym, Scope: []string{"openid", "offline_access"}, Resource: "https://api.example/v1",
			Details:        json.RawMessage(`[{"actions":["read","write"],"note":"a<b>&c \"ü\"","type":"data_access"}]`),
			BindingMessage: "Hotel <1>", ACR: []string{consent.ACRTap, consent.ACRMatch, consent.ACRPhr},
			Salt:    []byte("\x00\x10\x20\x30\x40\x50\x60\x70\x80\x90\xa0\xb0\xc0\xd0\xe0\xff"),
			AskedAt: at, ExpiresAt: at.Add(5 * time.Minute), GrantLifetime: 300, Renewable: 3600,
			Binding: binding, Mode: consent.Ping, Interval: 5, Narrowable: true,
			Bearers: consent.Bearers{MatchCode: "4711", NotificationToken: "8d67dc78<&>7faa"},
		},
		Tried: []consent.Attempt{{
			V: 1, N: 1, Channel: "sms", Device: "n2h4k6m7p5q3r4s6", Reply: true, At: at.Add(1), TicketUntil: at.Add(time.Minute), CodeUntil: at.Add(2 * time.Minute), Presentation: shown,
		}},
		Outcomes: map[int]consent.Outcome{1: {V: 1, N: 1, Status: consent.Refused, ProviderID: "SM0001", Code: "30007", RetryAfter: 12, At: at.Add(2)}},
		Receipts: map[int]consent.Receipt{1: {V: 1, N: 1, Delivered: true, Code: "30003", At: at.Add(3)}},
		Misses:   []consent.Miss{{V: 1, N: 1, Channel: "sms", At: at.Add(4), Nonce: "nonce-of-a-miss"}},
		Decided: &consent.Decision{
			V: 1, Verb: consent.Denied, NotMe: true, By: "alice", Means: consent.ByPage, Attempt: 1, At: at.Add(5),
			ACR: consent.ACRTap, AMR: []string{"sms", "pin"}, Credential: "credential-1", Signature: []byte{0, 1, 0xff},
			Granted:     json.RawMessage(`[{"actions":["read"],"note":"<&>","type":"data_access"}]`),
			AskedDigest: digest(1), GrantedDigest: digest(3), Presentation: shown, DecisionDigest: digest(4), Nonce: "nonce-of-a-decision",
		},
		Settled: &consent.Settlement{
			V: 1, Verb: consent.Redeemed, JTI: "aaaqeayeaudaocajbifqydiob4", IssuedAt: at.Truncate(time.Second), ExpiresAt: at.Add(5 * time.Minute).Truncate(time.Second),
			Binding: binding, GrantedDigest: digest(3), At: at.Add(6), Nonce: "nonce-of-a-settlement",
		},
		Renewals: []consent.Renewal{{
			V: 1, N: 1, JTI: "aaaqeayeaudaocajbifqydiob4.1", IssuedAt: at.Truncate(time.Second), ExpiresAt: at.Add(5 * time.Minute).Truncate(time.Second),
			Binding: "x5t#S256:bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2", At: at.Add(7), Nonce: "nonce-of-a-renewal",
		}},
		Notices:  []consent.Notice{{V: 1, N: 1, At: at.Add(8)}},
		Notified: map[int]consent.Notified{1: {V: 1, N: 1, Done: false, Code: "503", Delay: 30, At: at.Add(9)}},
		Revoked:  &consent.Revocation{V: 1, By: consent.ByReuse, At: at.Add(10)},
	}
}

// goldenBare has every fact, with nothing set that may be left out.
func goldenBare() *consent.State {
	at := goldenNow.Truncate(time.Second)
	return &consent.State{
		Request: &consent.Request{
			V: 1, ID: consent.ID{0xff}, Issuer: "https://consent.example", Door: consent.DoorCIBA, Client: consent.Party{ID: "agent", Name: "Agent"},
			Approver: "bob", Pseudonym: bobPseudonym, ACR: []string{consent.ACRTap}, Salt: []byte("0123456789abcdef"),
			AskedAt: at, ExpiresAt: at.Add(time.Minute), GrantLifetime: 60, Mode: consent.Poll,
		},
		Tried:    []consent.Attempt{{V: 1, N: 12, Channel: "console", At: at, TicketUntil: at, CodeUntil: at}},
		Outcomes: map[int]consent.Outcome{12: {V: 1, N: 12, Status: consent.Accepted, At: at}},
		Receipts: map[int]consent.Receipt{12: {V: 1, N: 12, At: at}},
		Misses:   []consent.Miss{{V: 1, N: 1, Channel: "page", At: at, Nonce: "m"}},
		Decided:  &consent.Decision{V: 1, Verb: consent.Approved, By: "bob", Means: consent.ByDev, At: at, Nonce: "d"},
		Settled:  &consent.Settlement{V: 1, Verb: consent.Cancelled, At: at, Nonce: "s"},
		Renewals: []consent.Renewal{{V: 1, N: 300, JTI: "j", IssuedAt: at, ExpiresAt: at, At: at, Nonce: "r"}},
		Notices:  []consent.Notice{{V: 1, N: 2, At: at}},
		Notified: map[int]consent.Notified{2: {V: 1, N: 2, Done: true, At: at}},
		Revoked:  &consent.Revocation{V: 1, By: "agent", At: at},
	}
}

// tell writes every fact of a request, as doors and engine would.
func tell(t testing.TB, s *Store, st *consent.State) {
	t.Helper()
	ctx, id := t.Context(), st.Request.ID
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Ask(ctx, st.Request))
	for _, a := range st.Tried {
		must(s.Try(ctx, id, a))
		if o, ok := st.Outcomes[a.N]; ok {
			must(s.Conclude(ctx, id, o))
		}
		if r, ok := st.Receipts[a.N]; ok {
			must(s.Report(ctx, id, r))
		}
	}
	for _, m := range st.Misses {
		_, err := s.Miss(ctx, id, m)
		must(err)
	}
	if st.Decided != nil {
		_, err := s.Decide(ctx, id, *st.Decided)
		must(err)
	}
	for _, n := range st.Notices {
		must(s.Claim(ctx, id, n))
		must(s.Notified(ctx, id, st.Notified[n.N]))
	}
	if st.Settled != nil {
		_, err := s.Settle(ctx, id, *st.Settled)
		must(err)
	}
	for _, r := range st.Renewals {
		must(s.Renew(ctx, id, r))
	}
	if st.Revoked != nil {
		must(s.Revoke(ctx, id, *st.Revoked))
	}
}

// goldenFact is a fact as it is stored: its subject, its header, and what is
// sealed with both.
type goldenFact struct{ subject, header, fact, bearers string }

// value is the member of st that stands at a subject.
func (f goldenFact) value(t testing.TB, st *consent.State) any {
	t.Helper()
	p, err := names{"ringback"}.parseFact(f.subject)
	if err != nil {
		t.Fatalf("parseFact(%q): %v", f.subject, err)
	}
	switch p.Kind {
	case consent.FactAsked:
		return st.Request
	case consent.FactTried:
		return &st.Tried[0]
	case consent.FactOutcome:
		o := st.Outcomes[p.N]
		return &o
	case consent.FactReceipt:
		r := st.Receipts[p.N]
		return &r
	case consent.FactMissed:
		return &st.Misses[0]
	case consent.FactDecided:
		return st.Decided
	case consent.FactSettled:
		return st.Settled
	case consent.FactRenewed:
		return &st.Renewals[0]
	case consent.FactRevoked:
		return st.Revoked
	case consent.FactNotice:
		return &st.Notices[0]
	default:
		n := st.Notified[p.N]
		return &n
	}
}

// TestFactsStay pins every kind of fact as it is stored: its subject, its
// header, the bytes of the fact and the bearers beside it, and what all of that
// is sealed as.
func TestFactsStay(t *testing.T) {
	t.Parallel()
	s := openGolden(t, newGolden(t))
	for _, story := range []struct {
		name  string
		state *consent.State
		facts []goldenFact
	}{{"full", goldenFull(), goldenFullFacts}, {"bare", goldenBare(), goldenBareFacts}} {
		before := len(keptIn(t, s, "ringback_CONSENT"))
		tell(t, s, story.state)
		key := rawKey(t, s, story.state.Request.Pseudonym)
		var got []goldenFact
		for _, m := range keptIn(t, s, "ringback_CONSENT")[before:] {
			if len(m.Header["Ringback"]) != 1 {
				t.Fatalf("%s has the headers %v", m.Subject, m.Header)
			}
			header := m.Header["Ringback"][0]
			plain := openRaw(t, key, m.Subject+"\n"+header, m.Data)
			size := 4 + binary.BigEndian.Uint32([]byte(plain))
			got = append(got, goldenFact{m.Subject, header, plain[4:size], plain[size:]})
		}
		if diff := cmp.Diff(story.facts, got, cmp.AllowUnexported(goldenFact{})); diff != "" {
			t.Errorf("facts of the %s request (-want +got):\n%s", story.name, diff)
		}
		for _, f := range story.facts {
			want := f.value(t, story.state)
			if text, err := encodeFact(want); err != nil || string(text) != f.fact {
				t.Errorf("%s is written as %s, %v\nwant %s", f.subject, text, err, f.fact)
			}
			v := reflect.New(reflect.TypeOf(want).Elem()).Interface()
			err := json.Unmarshal([]byte(f.fact), v)
			if req, ok := v.(*consent.Request); ok && err == nil {
				err = json.Unmarshal([]byte(f.bearers), &req.Bearers)
			}
			if err != nil {
				t.Fatalf("%s: %v", f.subject, err)
			}
			if diff := cmp.Diff(want, v); diff != "" {
				t.Errorf("%s is read otherwise (-want +got):\n%s", f.subject, diff)
			}
			l, err := parseLabel(f.header)
			if err != nil || l.String() != f.header {
				t.Errorf("the header %q is read as %+v, %v", f.header, l, err)
			}
		}
	}
}

// TestSealedFactStays opens a fact that was sealed with a key of zeroes, and
// what is sealed with it today.
func TestSealedFactStays(t *testing.T) {
	t.Parallel()
	asked, key := goldenBareFacts[0], make([]byte, 32)
	for what, sealed := range map[string][]byte{
		"then":  decodeText(t, goldenSealed),
		"today": sealFact(testAEAD(t), asked.subject, asked.header, []byte(asked.fact), []byte(asked.bearers)),
	} {
		fact, bearers, err := openFact(testAEAD(t), asked.subject, asked.header, sealed)
		if err != nil || string(fact) != asked.fact || string(bearers) != asked.bearers {
			t.Errorf("sealed %s is %s, %s, %v", what, fact, bearers, err)
		}
		size := string(binary.BigEndian.AppendUint32(nil, uint32(len(asked.fact))))
		if got := openRaw(t, key, asked.subject+"\n"+asked.header, sealed); got != size+asked.fact+asked.bearers {
			t.Errorf("sealed %s is %q", what, got)
		}
	}
}

const goldenSealed = "Af/X3jyMP8MxXLcQjKYsA7MT9MwlUW1trbQ+sdzyGb9r682UaSn+jDhiWojvN0xqhqyBkae1owgOglmk3ciJ21lj9gYInBUCqlChj3CWZaqOSRmi1CShriqQp5ayJUze9ccdnE6rCuJIN+cwFePE9woEfPElxPQKp+bMTjdx383QCJekipizRaRwaYNyGCzK16K5ENNLC6SEGAAWu0CTRutY4SFurDhBOLSCO3qA9D3NxF7wRCJ5mhG+btOqmLkpujl79cPcJkxcAySGI5D+xPYO8LFz/k2tR11fYZM2qmsbbLLIJJId6l7OeepLRhh1J9+13ARvUcX+UCFg1mp+d1/kHiBbY8hsjw8+CyMrnXUPvs+ZyrMnhCZL9INsPZD9HAC22GPdkdJFUW7lcu7tof3qW5wrxIsgg9XRYmQFo8JQMlBsVfho0dOi5vlmX6JWG6It+VwcqsP0IsiuEgOcxCUsjXjMffEum7CvmXAGNdfxa7Dhchroqa/8UXAkN9xc+nypdDRsHYWMH3Cdji1oipf8qyqpsIF4c3F3evY="

var goldenFullFacts = []goldenFact{
	{
		"ringback.consent.aaaqeayeaudaocajbifqydiob4.asked",
		"v=1;p=227d2c5f4gvm6vqz;e=dn9b83d29tsl;a=dn9b49jm0ob9;w=51u7i0;c=https%3A%2F%2Fagent.example%2Fclient%3Fx%3D1%3By%3D%3C2%3E%26z;i=5;s=54c7d9b324c5c38f;g=host+agent.example;b=038f81bbbaab1299",
		`{"v":1,"id":"aaaqeayeaudaocajbifqydiob4","issuer":"https://consent.example/a?b&c","door":"ciba","grant":"client_credentials","client":{"id":"https://agent.example/client?x=1;y=<2>&z","name":"Träger & Söhne <Agent>","host":"agent.example","group":"host agent.example"},"actors":[{"id":"planner","name":"Planner","host":"planner.example","group":"registrant acme"},{"id":"inner","name":"Inner"}],"approver":"alice","pseudonym":"227d2c5f4gvm6vqz","scope":["openid","offline_access"],"resource":"https://api.example/v1","details":[{"actions":["read","write"],"note":"a<b>&c \"ü\"","type":"data_access"}],"binding_message":"Hotel <1>","acr":["urn:ringback:acr:tap","urn:ringback:acr:match","phr"],"salt":"ABAgMEBQYHCAkKCwwNDg/w==","asked_at":"2026-12-01T10:00:00.123456789Z","expires_at":"2026-12-01T10:05:00.123456789Z","grant_lifetime":300,"renewable":3600,"cnf":"jkt:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I","mode":"ping","interval":5,"narrowable":true}`,
		`{"match_code":"4711","notification_token":"8d67dc78\u003c\u0026\u003e7faa"}`,
	},
	{
		"ringback.consent.aaaqeayeaudaocajbifqydiob4.tried.1",
		"v=1;p=227d2c5f4gvm6vqz;e=dn9b83d29tsl;a=dn9b49jm0oba;w=51u7i0",
		`{"v":1,"n":1,"channel":"sms","device":"n2h4k6m7p5q3r4s6","reply":true,"at":"2026-12-01T10:00:00.12345679Z","ticket_until":"2026-12-01T10:01:00.123456789Z","code_until":"2026-12-01T10:02:00.123456789Z","presentation":{"asked_digest":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8","channel":"sms","template":"ask","template_sha256":"AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8","locale":"de-AT","rendered":"Träger <Agent> & \"Söhne\" \u2028\nJA ······"}}`,
		"",
	},
	{
		"ringback.consent.aaaqeayeaudaocajbifqydiob4.outcome.1",
		"v=1;p=227d2c5f4gvm6vqz;e=dn9b83d29tsl;a=dn9b49jm0obb;w=51u7i0",
		`{"v":1,"n":1,"status":"refused","provider_id":"SM0001","code":"30007","retry_after":12,"at":"2026-12-01T10:00:00.123456791Z"}`,
		"",
	},
	{
		"ringback.consent.aaaqeayeaudaocajbifqydiob4.receipt.1",
		"v=1;p=227d2c5f4gvm6vqz;e=dn9b83d29tsl;a=dn9b49jm0obc;w=51u7i0",
		`{"v":1,"n":1,"delivered":true,"code":"30003","at":"2026-12-01T10:00:00.123456792Z"}`,
		"",
	},
	{
		"ringback.consent.aaaqeayeaudaocajbifqydiob4.missed.1",
		"v=1;p=227d2c5f4gvm6vqz;e=dn9b83d29tsl;a=dn9b49jm0obd;w=51u7i0",
		`{"v":1,"n":1,"channel":"sms","at":"2026-12-01T10:00:00.123456793Z","nonce":"nonce-of-a-miss"}`,
		"",
	},
	{
		"ringback.consent.aaaqeayeaudaocajbifqydiob4.decided",
		"v=1;p=227d2c5f4gvm6vqz;e=dn9b83d29tsl;a=dn9b49jm0obe;w=51u7i0;d=denied",
		`{"v":1,"verb":"denied","not_me":true,"by":"alice","means":"page","attempt":1,"at":"2026-12-01T10:00:00.123456794Z","acr":"urn:ringback:acr:tap","amr":["sms","pin"],"credential":"credential-1","signature":"AAH/","granted":[{"actions":["read"],"note":"<&>","type":"data_access"}],"asked_digest":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8","granted_digest":"AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8","presentation":{"asked_digest":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8","channel":"sms","template":"ask","template_sha256":"AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8","locale":"de-AT","rendered":"Träger <Agent> & \"Söhne\" \u2028\nJA ······"},"decision_digest":"BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8","nonce":"nonce-of-a-decision"}`,
		"",
	},
	{
		"ringback.consent.aaaqeayeaudaocajbifqydiob4.notice.1",
		"v=1;p=227d2c5f4gvm6vqz;e=dn9b83d29tsl;a=dn9b49jm0obh;w=51u7i0",
		`{"v":1,"n":1,"at":"2026-12-01T10:00:00.123456797Z"}`,
		"",
	},
	{
		"ringback.consent.aaaqeayeaudaocajbifqydiob4.notified.1",
		"v=1;p=227d2c5f4gvm6vqz;e=dn9b83d29tsl;a=dn9b49jm0obi;w=51u7i0;d=again",
		`{"v":1,"n":1,"done":false,"code":"503","delay":30,"at":"2026-12-01T10:00:00.123456798Z"}`,
		"",
	},
	{
		"ringback.consent.aaaqeayeaudaocajbifqydiob4.settled",
		"v=1;p=227d2c5f4gvm6vqz;e=dn9b83d29tsl;a=dn9b49jm0obf;w=51u7i0;d=redeemed",
		`{"v":1,"verb":"redeemed","jti":"aaaqeayeaudaocajbifqydiob4","iat":"2026-12-01T10:00:00Z","exp":"2026-12-01T10:05:00Z","cnf":"jkt:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I","granted_digest":"AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8","at":"2026-12-01T10:00:00.123456795Z","nonce":"nonce-of-a-settlement"}`,
		"",
	},
	{
		"ringback.consent.aaaqeayeaudaocajbifqydiob4.renewed.1",
		"v=1;p=227d2c5f4gvm6vqz;e=dn9b83d29tsl;a=dn9b49jm0obg;w=51u7i0",
		`{"v":1,"n":1,"jti":"aaaqeayeaudaocajbifqydiob4.1","iat":"2026-12-01T10:00:00Z","exp":"2026-12-01T10:05:00Z","cnf":"x5t#S256:bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2","at":"2026-12-01T10:00:00.123456796Z","nonce":"nonce-of-a-renewal"}`,
		"",
	},
	{
		"ringback.consent.aaaqeayeaudaocajbifqydiob4.revoked",
		"v=1;p=227d2c5f4gvm6vqz;e=dn9b83d29tsl;a=dn9b49jm0obj;w=51u7i0",
		`{"v":1,"by":"reuse","at":"2026-12-01T10:00:00.123456799Z"}`,
		"",
	},
}

var goldenBareFacts = []goldenFact{
	{
		"ringback.consent.74aaaaaaaaaaaaaaaaaaaaaaaa.asked",
		"v=1;p=slekl2ulhjguo5jj;e=dn9b511uysqo;a=dn9b49hkikg0;w=51u7i0;c=agent;i=0;s=c05c4213baeda3e4",
		`{"v":1,"id":"74aaaaaaaaaaaaaaaaaaaaaaaa","issuer":"https://consent.example","door":"ciba","client":{"id":"agent","name":"Agent"},"approver":"bob","pseudonym":"slekl2ulhjguo5jj","acr":["urn:ringback:acr:tap"],"salt":"MDEyMzQ1Njc4OWFiY2RlZg==","asked_at":"2026-12-01T10:00:00Z","expires_at":"2026-12-01T10:01:00Z","grant_lifetime":60,"mode":"poll","interval":0,"narrowable":false}`,
		"{}",
	},
	{
		"ringback.consent.74aaaaaaaaaaaaaaaaaaaaaaaa.tried.12",
		"v=1;p=slekl2ulhjguo5jj;e=dn9b511uysqo;a=dn9b49hkikg0;w=51u7i0",
		`{"v":1,"n":12,"channel":"console","at":"2026-12-01T10:00:00Z","ticket_until":"2026-12-01T10:00:00Z","code_until":"2026-12-01T10:00:00Z"}`,
		"",
	},
	{
		"ringback.consent.74aaaaaaaaaaaaaaaaaaaaaaaa.outcome.12",
		"v=1;p=slekl2ulhjguo5jj;e=dn9b511uysqo;a=dn9b49hkikg0;w=51u7i0",
		`{"v":1,"n":12,"status":"accepted","at":"2026-12-01T10:00:00Z"}`,
		"",
	},
	{
		"ringback.consent.74aaaaaaaaaaaaaaaaaaaaaaaa.receipt.12",
		"v=1;p=slekl2ulhjguo5jj;e=dn9b511uysqo;a=dn9b49hkikg0;w=51u7i0",
		`{"v":1,"n":12,"delivered":false,"at":"2026-12-01T10:00:00Z"}`,
		"",
	},
	{
		"ringback.consent.74aaaaaaaaaaaaaaaaaaaaaaaa.missed.1",
		"v=1;p=slekl2ulhjguo5jj;e=dn9b511uysqo;a=dn9b49hkikg0;w=51u7i0",
		`{"v":1,"n":1,"channel":"page","at":"2026-12-01T10:00:00Z","nonce":"m"}`,
		"",
	},
	{
		"ringback.consent.74aaaaaaaaaaaaaaaaaaaaaaaa.decided",
		"v=1;p=slekl2ulhjguo5jj;e=dn9b511uysqo;a=dn9b49hkikg0;w=51u7i0;d=approved",
		`{"v":1,"verb":"approved","by":"bob","means":"dev","at":"2026-12-01T10:00:00Z","asked_digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","granted_digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","decision_digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","nonce":"d"}`,
		"",
	},
	{
		"ringback.consent.74aaaaaaaaaaaaaaaaaaaaaaaa.notice.2",
		"v=1;p=slekl2ulhjguo5jj;e=dn9b511uysqo;a=dn9b49hkikg0;w=51u7i0",
		`{"v":1,"n":2,"at":"2026-12-01T10:00:00Z"}`,
		"",
	},
	{
		"ringback.consent.74aaaaaaaaaaaaaaaaaaaaaaaa.notified.2",
		"v=1;p=slekl2ulhjguo5jj;e=dn9b511uysqo;a=dn9b49hkikg0;w=51u7i0",
		`{"v":1,"n":2,"done":true,"at":"2026-12-01T10:00:00Z"}`,
		"",
	},
	{
		"ringback.consent.74aaaaaaaaaaaaaaaaaaaaaaaa.settled",
		"v=1;p=slekl2ulhjguo5jj;e=dn9b511uysqo;a=dn9b49hkikg0;w=51u7i0;d=cancelled",
		`{"v":1,"verb":"cancelled","granted_digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","at":"2026-12-01T10:00:00Z","nonce":"s"}`,
		"",
	},
	{
		"ringback.consent.74aaaaaaaaaaaaaaaaaaaaaaaa.renewed.300",
		"v=1;p=slekl2ulhjguo5jj;e=dn9b511uysqo;a=dn9b49hkikg0;w=51u7i0",
		`{"v":1,"n":300,"jti":"j","iat":"2026-12-01T10:00:00Z","exp":"2026-12-01T10:00:00Z","at":"2026-12-01T10:00:00Z","nonce":"r"}`,
		"",
	},
	{
		"ringback.consent.74aaaaaaaaaaaaaaaaaaaaaaaa.revoked",
		"v=1;p=slekl2ulhjguo5jj;e=dn9b511uysqo;a=dn9b49hkikg0;w=51u7i0",
		`{"v":1,"by":"agent","at":"2026-12-01T10:00:00Z"}`,
		"",
	},
}

// Pseudonyms under the golden root key.
const (
	alicePseudonym = "227d2c5f4gvm6vqz"
	bobPseudonym   = "slekl2ulhjguo5jj"
	carolPseudonym = "2tfeqvtigs3kbvjt"
	erinPseudonym  = "gy5edwymrtyia2iz"
)
