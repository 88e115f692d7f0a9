package consent_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"ringback/consent"
	"ringback/details"
)

// TestAskedDigest: every member that the approver is asked to agree to
// changes the digest, and nothing else does.
func TestAskedDigest(t *testing.T) {
	t.Parallel()
	changes := map[string]func(*consent.Request){
		"version":     func(r *consent.Request) { r.V++ },
		"issuer":      func(r *consent.Request) { r.Issuer += "x" },
		"id":          func(r *consent.Request) { r.ID[15]++ },
		"client":      func(r *consent.Request) { r.Client.ID += "x" },
		"name":        func(r *consent.Request) { r.Client.Name += "x" },
		"host":        func(r *consent.Request) { r.Client.Host += "x" },
		"act":         func(r *consent.Request) { r.Actors = []consent.Party{{ID: "x"}} },
		"act, longer": func(r *consent.Request) { r.Actors = []consent.Party{{ID: "x"}, {ID: "y"}} },
		"act, turned": func(r *consent.Request) { r.Actors = []consent.Party{{ID: "y"}, {ID: "x"}} },
		"act, named":  func(r *consent.Request) { r.Actors = []consent.Party{{ID: "x", Name: "X"}} },
		"act, host":   func(r *consent.Request) { r.Actors = []consent.Party{{ID: "x", Host: "h"}} },
		"person":      func(r *consent.Request) { r.Pseudonym = "q" },
		"scope":       func(r *consent.Request) { r.Scope = []string{"openid", "x"} },
		"scope, one":  func(r *consent.Request) { r.Scope = []string{"openid x"} },
		"no scope":    func(r *consent.Request) { r.Scope = nil },
		"aud":         func(r *consent.Request) { r.Resource += "x" },
		"details":     func(r *consent.Request) { r.Details = replaced(t, payment, "50.00", "50.01") },
		"no details":  func(r *consent.Request) { r.Details = nil },
		"message":     func(r *consent.Request) { r.BindingMessage += "x" },
		"acr":         func(r *consent.Request) { r.ACR = r.ACR[1:] },
		"acr, turned": func(r *consent.Request) { r.ACR = []string{phr, match, tap} },
		"expiry":      func(r *consent.Request) { r.ExpiresAt = r.ExpiresAt.Add(1) },
		"life":        func(r *consent.Request) { r.GrantLifetime++ },
		"grant":       func(r *consent.Request) { r.Grant = consent.GrantClientCredentials },
		"renewal":     func(r *consent.Request) { r.Renewable++ },
		"salt":        func(r *consent.Request) { r.Salt = append([]byte{}, 9) },
	}
	seen := map[consent.Digest]string{askedDigest(t, request()): "nothing"}
	for name, change := range changes {
		r := request()
		change(r)
		got := askedDigest(t, r)
		if other, ok := seen[got]; ok {
			t.Errorf("changing %s gives the digest of changing %s", name, other)
		}
		seen[got] = name
	}
	for name, change := range map[string]func(*consent.Request){
		"order and space of details": func(r *consent.Request) {
			r.Details = json.RawMessage(` [ {"type":"payment_initiation", "instructedAmount":{"currency":"EUR","amount":"50.00"},"creditorName":"ACME GmbH","creditorAccount":{"iban":"DE89370400440532013000"}} ] `)
		},
		"escapes in details": func(r *consent.Request) { r.Details = replaced(t, payment, "ACME", `\u0041CME`) },
		"bearers":            func(r *consent.Request) { r.Bearers = consent.Bearers{MatchCode: "1234", NotificationToken: "x"} },
		"pace and mode":      func(r *consent.Request) { r.Interval, r.Mode = 9, consent.Ping },
		"key":                func(r *consent.Request) { r.Binding = "jkt:x" },
		"who it is to us":    func(r *consent.Request) { r.Approver = "the same pseudonym" },
		"time zone":          func(r *consent.Request) { r.ExpiresAt = r.ExpiresAt.In(time.FixedZone("", 3600)) },
		"lists of nothing":   func(r *consent.Request) { r.Actors = []consent.Party{} },
	} {
		r := request()
		change(r)
		if got := askedDigest(t, r); seen[got] != "nothing" {
			t.Errorf("%s changes the digest, as %q does", name, seen[got])
		}
	}
}

// TestPresentationDigest: no byte of what was put before a person can change
// without the digest that is decided on, and signed.
func TestPresentationDigest(t *testing.T) {
	t.Parallel()
	req := request()
	digest := func(change func(*consent.Presentation)) consent.Digest {
		p := shown(t, req)
		change(p)
		d := consent.Decision{V: 1, Verb: consent.Approved, Presentation: p}
		sum, err := d.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	seen := map[consent.Digest]string{digest(func(*consent.Presentation) {}): "nothing"}
	for name, change := range map[string]func(*consent.Presentation){
		"another request":  func(p *consent.Presentation) { p.AskedDigest[0]++ },
		"channel":          func(p *consent.Presentation) { p.Channel = "sms" },
		"template":         func(p *consent.Presentation) { p.Template += "2" },
		"template's bytes": func(p *consent.Presentation) { p.TemplateDigest[31]++ },
		"language":         func(p *consent.Presentation) { p.Locale = "de" },
		"amount":           func(p *consent.Presentation) { p.Rendered = strings.Replace(p.Rendered, "50.00", "500.0", 1) },
		"space":            func(p *consent.Presentation) { p.Rendered += " " },
		"nothing rendered": func(p *consent.Presentation) { p.Rendered = "" },
	} {
		got := digest(change)
		if other, ok := seen[got]; ok {
			t.Errorf("changing %s gives the digest of changing %s", name, other)
		}
		seen[got] = name
	}
}

// TestDecisionDigest: what a key signs is this decision of this request on what
// was shown, once.
func TestDecisionDigest(t *testing.T) {
	t.Parallel()
	digest := func(change func(*consent.Decision)) consent.Digest {
		d := consent.Decision{V: 1, Verb: consent.Approved, By: "alice", AskedDigest: consent.Digest{1}, GrantedDigest: consent.Digest{1}, Presentation: shown(t, request()), Credential: "c", Nonce: "n"}
		change(&d)
		sum, err := d.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	seen := map[consent.Digest]string{digest(func(*consent.Decision) {}): "nothing"}
	for name, change := range map[string]func(*consent.Decision){
		"version":       func(d *consent.Decision) { d.V++ },
		"no":            func(d *consent.Decision) { d.Verb = consent.Denied },
		"not me":        func(d *consent.Decision) { d.NotMe = true },
		"asked":         func(d *consent.Decision) { d.AskedDigest[0]++ },
		"granted":       func(d *consent.Decision) { d.GrantedDigest[0]++ },
		"shown":         func(d *consent.Decision) { d.Presentation.Rendered += "x" },
		"nothing shown": func(d *consent.Decision) { d.Presentation = nil },
		"credential":    func(d *consent.Decision) { d.Credential = "d" },
		"nonce":         func(d *consent.Decision) { d.Nonce = "m" },
	} {
		got := digest(change)
		if other, ok := seen[got]; ok {
			t.Errorf("changing %s gives the digest of changing %s", name, other)
		}
		seen[got] = name
	}
	// A signature cannot be part of what it signs.
	if got := digest(func(d *consent.Decision) { d.Signature, d.DecisionDigest = []byte{1}, consent.Digest{2} }); seen[got] != "nothing" {
		t.Error("a signature changes what it signs")
	}
}

// TestObjectsAreCanonical: C, P and D are what any canonicaliser makes of them
// (RFC 8785), and their digests are those of these very bytes.
func TestObjectsAreCanonical(t *testing.T) {
	t.Parallel()
	r := dice(3)
	word := func() string {
		return pick(r, "", "a", "<b>&c", "ü", "\u2028", "😀", "\u007f\u0080", "\"\\", "\t\n\x00", "\ufb33", "1e2", strings.Repeat("z", 100))
	}
	for range 500 {
		req := request()
		req.Issuer, req.Client.Name, req.Client.Host, req.Resource, req.BindingMessage = word(), word(), word(), word(), word()
		req.Scope, req.GrantLifetime, req.Renewable = []string{word(), word()}, r.IntN(1<<40), r.IntN(10)
		req.Actors = []consent.Party{{ID: word(), Name: word(), Host: word(), Group: word()}}[:r.IntN(2)]
		p := shown(t, req)
		p.Channel, p.Locale, p.Rendered = word(), word(), word()
		d := consent.Decision{V: r.IntN(9), Verb: consent.Verb(word()), NotMe: r.IntN(2) == 0, Presentation: p, Credential: word(), Nonce: word()}
		for name, object := range map[string]func() ([]byte, error){
			"C": func() ([]byte, error) { return req.AskedObject(nil) }, "P": p.Object, "D": d.Object,
		} {
			raw, err := object()
			if err != nil {
				t.Fatal(err)
			}
			var v any
			dec := json.NewDecoder(bytes.NewReader(raw))
			dec.UseNumber()
			if err := dec.Decode(&v); err != nil {
				t.Fatalf("%s is no JSON: %v", name, err)
			}
			again, err := details.Canonical(v)
			if err != nil || !bytes.Equal(again, raw) {
				t.Fatalf("%s = %s\nread and written again: %s, %v", name, raw, again, err)
			}
		}
		c, err := req.AskedObject(nil)
		if err != nil || askedDigest(t, req) != sha256.Sum256(c) {
			t.Fatalf("the asked digest is not that of %s, %v", c, err)
		}
		o, err := d.Object()
		if sum, err2 := d.Digest(); err != nil || err2 != nil || sum != sha256.Sum256(o) {
			t.Fatalf("the decision digest is not that of %s, %v, %v", o, err, err2)
		}
	}
}

func TestBindingTag(t *testing.T) {
	t.Parallel()
	if consent.Binding("").Tag() != ([8]byte{}) {
		t.Error("no key has a tag")
	}
	seen := map[[8]byte]consent.Binding{}
	for _, b := range []consent.Binding{"", "jkt:a", "jkt:b", "x5t#S256:a", "jkt:", "JKT:a"} {
		if other, ok := seen[b.Tag()]; ok {
			t.Errorf("%q and %q have one tag", b, other)
		}
		seen[b.Tag()] = b
	}
}
