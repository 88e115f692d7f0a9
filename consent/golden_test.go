package consent_test

import (
	"crypto/sha256"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
)

// What the golden tests pin is in stores, sealed chains and tokens out there. A
// change that fails one of them needs a new format version, and readers that go
// on reading this one; the literals stay as they are.

// goldenRequest has every member set.
func goldenRequest() *consent.Request {
	at := time.Date(2026, 12, 1, 10, 0, 0, 123456789, time.UTC)
	return &consent.Request{
		V: 1, ID: consent.ID{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f},
		Issuer: "https://consent.example/a?b", Door: consent.DoorCIBA, Grant: consent.GrantClientCredentials,
		Client:   consent.Party{ID: "https://agent.example/client?x=1&y=<2>", Name: "Träger & Söhne <Agent>", Host: "agent.example", Group: "host agent.example"},
		Actors:   []consent.Party{{ID: "planner", Name: "Planner", Host: "planner.example", Group: "registrant acme"}, {ID: "inner", Name: "Inner"}},
		Approver: "alice", Pseudonym: "abcdefghijklmnop",
		Scope: []string{"openid", "offline_access"}, Resource: "https://api.example/v1",
		Details: json.RawMessage(`[{"type":"payment_initiation","instructedAmount":{"currency":"EUR","amount":"50.00"},` +
			`"note":"a<b>&c \u2028 \"ü\" 😀","count":1e2,"share":0.50,"flag":true,"none":null},{"type":"data_access","actions":["read","write"]}]`),
		BindingMessage: `Hotel "Zur Post" <1>`, ACR: []string{consent.ACRTap, consent.ACRMatch, consent.ACRPhr},
		Salt:    []byte("\x00\x10\x20\x30\x40\x50\x60\x70\x80\x90\xa0\xb0\xc0\xd0\xe0\xff"),
		AskedAt: at, ExpiresAt: at.Add(5 * time.Minute), GrantLifetime: 300, Renewable: 3600,
		Binding: "jkt:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", Mode: consent.Ping, Interval: 5, Narrowable: true,
		Bearers: consent.Bearers{MatchCode: "4711", NotificationToken: "8d67dc78-7faa-4d41-aabd-67707b374255"},
	}
}

// bareRequest has only what every request has.
func bareRequest() *consent.Request {
	return &consent.Request{
		V: 1, ID: consent.ID{0xff}, Issuer: "https://consent.example", Door: consent.DoorCIBA, Client: consent.Party{ID: "agent", Name: "Agent"},
		Approver: "bob", Pseudonym: "234567abcdefghij", ACR: []string{consent.ACRTap}, Salt: []byte("0123456789abcdef"),
		AskedAt: time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC), ExpiresAt: time.Date(2026, 12, 1, 12, 5, 0, 0, time.FixedZone("", 7200)),
		GrantLifetime: 60, Mode: consent.Poll, Interval: 5,
	}
}

func goldenPresentation() *consent.Presentation {
	return &consent.Presentation{
		AskedDigest: sha256.Sum256([]byte("asked")), Channel: "sms", Template: "ask", TemplateDigest: sha256.Sum256([]byte("template")),
		Locale: "de-AT", Rendered: "Träger & Söhne <Agent>\nJA ······",
	}
}

// TestDigestedObjectsStay pins the canonical bytes of C, P and D, and with
// them the digests that chains, evidence and tokens carry.
func TestDigestedObjectsStay(t *testing.T) {
	t.Parallel()
	less := json.RawMessage(`[{"type":"data_access","actions":["read"]}]`)
	decision := consent.Decision{
		V: 1, Verb: consent.Denied, NotMe: true, By: "alice", Means: consent.ByPage, Attempt: 2, At: goldenRequest().AskedAt,
		ACR: consent.ACRTap, AMR: []string{"sms"}, Credential: "credential-1", Signature: []byte{1, 2, 3}, Granted: less,
		AskedDigest: sha256.Sum256([]byte("asked")), GrantedDigest: sha256.Sum256([]byte("granted")),
		Presentation: goldenPresentation(), DecisionDigest: sha256.Sum256([]byte("no part of it")), Nonce: "nonce-1",
	}
	bare := consent.Decision{V: 1, Verb: consent.Expired, By: "clock", Means: consent.ByClock, Nonce: "n"}
	object := func(o []byte, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return string(o)
	}
	text := func(d consent.Digest, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return d.String()
	}
	for _, row := range []struct{ name, got, want string }{
		{"C", object(goldenRequest().AskedObject(nil)), goldenC},
		{"digest of C", text(goldenRequest().AskedDigest()), "pG-Tsmsg_B4OxT8q1Z6O74_jKZbcOJSSlnNlFPyxM64"},
		{"C, narrowed", object(goldenRequest().AskedObject(less)), goldenNarrowedC},
		{"digest of C, narrowed", text(goldenRequest().GrantedDigest(less)), "E5qquUVWs5Xn2l4cxrTPKu1GXy_6qQY3MAwwhicBuOs"},
		{"C, narrowed to nothing", text(goldenRequest().GrantedDigest(json.RawMessage(`[]`))), "-CdAhtAxG0UAPX9SOlCPvcc1XP10yyuouFCkyThVx5A"},
		{"C of little", object(bareRequest().AskedObject(nil)), goldenBareC},
		{"digest of C of little", text(bareRequest().AskedDigest()), "biV6Md2gWgRta81N_O_11wSi--9rOITeHS6KhsbTWHg"},
		{"P", object(goldenPresentation().Object()), `{"asked_digest":"xmeQ2llDxEZt2AY03rY_Thnwfn-BYk8iK4b-z5__ZEU","channel":"sms","locale":"de-AT","rendered_sha256":"0-IR605ZHc5x2qA8BM3XEykHWkEm6thXVnFVeZEbpUU","template":"ask","template_sha256":"XN4PEpj0H30ci5B6NpkqelEyJaJhW9bjB78akUmwa0A"}`},
		{"D", object(decision.Object()), `{"asked_digest":"xmeQ2llDxEZt2AY03rY_Thnwfn-BYk8iK4b-z5__ZEU","credential":"credential-1","granted_digest":"3VFdGXW45ag7qzQgvqXazv5UUax89hfSPEOTzHnk25k","nonce":"nonce-1","not_me":true,"presentation_sha256":"lvvsLTpsddXFTGGHPh2xlM0yy_hNaZAXDRi53EqoIqs","v":1,"verb":"denied"}`},
		{"digest of D", text(decision.Digest()), "8kfrbP6R477LCSX7zY1-qEqoFOft2MqldabMD1-1Yno"},
		{"D of little", object(bare.Object()), `{"asked_digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","credential":"","granted_digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","nonce":"n","not_me":false,"presentation_sha256":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","v":1,"verb":"expired"}`},
		{"digest of D of little", text(bare.Digest()), "lsThLtg46CcHbfRi5cERkTLrc7cspzi3Y8_PCKMBkao"},
	} {
		if row.got != row.want {
			t.Errorf("%s = %s\nwant %s", row.name, row.got, row.want)
		}
	}
}

const (
	goldenC         = `{"acr":["urn:ringback:acr:tap","urn:ringback:acr:match","phr"],"act":[{"group":"registrant acme","host":"planner.example","id":"planner","name":"Planner"},{"id":"inner","name":"Inner"}],"approver":"abcdefghijklmnop","authorization_details":[{"count":100,"flag":true,"instructedAmount":{"amount":"50.00","currency":"EUR"},"none":null,"note":"a<b>&c ` + "\u2028" + ` \"ü\" 😀","share":0.5,"type":"payment_initiation"},{"actions":["read","write"],"type":"data_access"}],"binding_message":"Hotel \"Zur Post\" <1>","client_id":"https://agent.example/client?x=1&y=<2>","client_name":"Träger & Söhne <Agent>","expires_at":"2026-12-01T10:05:00.123456789Z","grant":"client_credentials","grant_lifetime":300,"issuer":"https://consent.example/a?b","renewable":3600,"request":"aaaqeayeaudaocajbifqydiob4","resource":"https://api.example/v1","salt":"ABAgMEBQYHCAkKCwwNDg/w==","scope":["openid","offline_access"],"v":1,"verified_host":"agent.example"}`
	goldenNarrowedC = `{"acr":["urn:ringback:acr:tap","urn:ringback:acr:match","phr"],"act":[{"group":"registrant acme","host":"planner.example","id":"planner","name":"Planner"},{"id":"inner","name":"Inner"}],"approver":"abcdefghijklmnop","authorization_details":[{"actions":["read"],"type":"data_access"}],"binding_message":"Hotel \"Zur Post\" <1>","client_id":"https://agent.example/client?x=1&y=<2>","client_name":"Träger & Söhne <Agent>","expires_at":"2026-12-01T10:05:00.123456789Z","grant":"client_credentials","grant_lifetime":300,"issuer":"https://consent.example/a?b","renewable":3600,"request":"aaaqeayeaudaocajbifqydiob4","resource":"https://api.example/v1","salt":"ABAgMEBQYHCAkKCwwNDg/w==","scope":["openid","offline_access"],"v":1,"verified_host":"agent.example"}`
	goldenBareC     = `{"acr":["urn:ringback:acr:tap"],"act":[],"approver":"234567abcdefghij","authorization_details":[],"binding_message":"","client_id":"agent","client_name":"Agent","expires_at":"2026-12-01T10:05:00Z","grant":"","grant_lifetime":60,"issuer":"https://consent.example","renewable":0,"request":"74aaaaaaaaaaaaaaaaaaaaaaaa","resource":"","salt":"MDEyMzQ1Njc4OWFiY2RlZg==","scope":[],"v":1,"verified_host":""}`
)

// TestFormsStay pins the short forms that are kept, or that a key depends on.
func TestFormsStay(t *testing.T) {
	t.Parallel()
	tag := consent.Binding("jkt:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I").Tag()
	var none [8]byte
	if consent.Binding("").Tag() != none {
		t.Error("the tag of no binding is not empty")
	}
	guess, err := json.Marshal(consent.GuessBy("registrant acme", goldenRequest().AskedAt.Local()))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, got, want string }{
		{"id", goldenRequest().ID.String(), "aaaqeayeaudaocajbifqydiob4"},
		{"pseudonym", string(consent.NewPseudonym([]byte("0123456789abcdef"))), "gaytemzugu3doobz"},
		{"digest", consent.Digest(sha256.Sum256([]byte("asked"))).String(), "xmeQ2llDxEZt2AY03rY_Thnwfn-BYk8iK4b-z5__ZEU"},
		{"tag of a binding", string(consent.ID(append(tag[:], none[:]...)).String()), "aohydo52vmjjsaaaaaaaaaaaaa"},
		{"guess", string(guess), `{"p":"2cd552b372c6dbd1","at":"2026-12-01T10:00:00.123456789Z"}`},
		{"group of a client", (&consent.Client{ID: "agent"}).Group(), "agent"},
		{"group of one that registered itself", (&consent.Client{ID: "agent", Registrant: "acme"}).Group(), "registrant acme"},
		{"group of one with a document", (&consent.Client{ID: "https://agent.example/c", Host: "agent.example", FromDocument: true, Registrant: "x"}).Group(), "host agent.example"},
	} {
		if row.got != row.want {
			t.Errorf("%s = %s\nwant %s", row.name, row.got, row.want)
		}
	}
	if id, err := consent.ParseID("aaaqeayeaudaocajbifqydiob4"); err != nil || id != goldenRequest().ID {
		t.Errorf("ParseID = %v, %v, want %v", id, err, goldenRequest().ID)
	}
}

// TestWordsStay pins the closed sets whose values are kept in facts.
func TestWordsStay(t *testing.T) {
	t.Parallel()
	got := map[string][]string{
		"facts": words(consent.FactAsked, consent.FactTried, consent.FactOutcome, consent.FactReceipt, consent.FactMissed, consent.FactDecided,
			consent.FactSettled, consent.FactRevoked, consent.FactRenewed, consent.FactNotice, consent.FactNotified),
		"outcomes":    words(consent.Accepted, consent.Unreachable, consent.Refused, consent.Unknown),
		"decisions":   words(consent.Approved, consent.Denied, consent.Withdrawn, consent.Expired),
		"means":       words(consent.ByReply, consent.ByPage, consent.ByDev, consent.ByClient, consent.ByClock, consent.ByAdmin, consent.ByRepair),
		"settlements": words(consent.Redeemed, consent.Cancelled, consent.Lapsed),
		"modes":       words(consent.Poll, consent.Ping, consent.Push),
		"doors":       words(consent.DoorCIBA),
		"grants":      words(consent.GrantCIBA, consent.GrantClientCredentials),
		"assurance":   words(consent.ACRTap, consent.ACRMatch, consent.ACRPhr),
		"revocations": words(consent.ByReuse),
	}
	want := map[string][]string{
		"facts":       {"asked", "tried", "outcome", "receipt", "missed", "decided", "settled", "revoked", "renewed", "notice", "notified"},
		"outcomes":    {"accepted", "unreachable", "refused", "unknown"},
		"decisions":   {"approved", "denied", "withdrawn", "expired"},
		"means":       {"reply", "page", "dev", "client", "clock", "operator", "repair"},
		"settlements": {"redeemed", "cancelled", "lapsed"},
		"modes":       {"poll", "ping", "push"},
		"doors":       {"ciba"},
		"grants":      {"", "client_credentials"},
		"assurance":   {"urn:ringback:acr:tap", "urn:ringback:acr:match", "phr"},
		"revocations": {"reuse"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("words (-want +got):\n%s", diff)
	}
	if consent.Version != 1 || consent.MaxMisses != 3 {
		t.Errorf("Version = %d, MaxMisses = %d, want 1 and 3", consent.Version, consent.MaxMisses)
	}
}

func words[T ~string](list ...T) (out []string) {
	for _, w := range list {
		out = append(out, string(w))
	}
	return out
}
