package templates

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
	"ringback/details"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// scopes of the samples.
var scopes = map[string]map[string]string{
	"calendar.read": {"en": "read your calendar", "de": "Ihren Kalender lesen"},
	"mail.send":     {"en": "send mail as you", "de": "in Ihrem Namen E-Mails senden"},
}

func newSet(t testing.TB) *Set {
	t.Helper()
	reg, err := details.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Details: reg, Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var asked = time.Date(2026, 11, 22, 13, 30, 0, 0, time.UTC)

// sample returns a request of the Travel Agent, changed by edit.
func sample(edit func(*consent.Request)) *consent.Request {
	req := &consent.Request{
		V: 1, ID: consent.ID{1}, Issuer: "https://consent.example.com", Door: consent.DoorCIBA,
		Client: consent.Party{ID: "c1", Name: "Travel Agent", Host: "travel.example"}, Approver: "alice",
		Scope: []string{"openid"}, ACR: []string{consent.ACRTap}, Salt: make([]byte, 16),
		AskedAt: asked, ExpiresAt: asked.Add(5 * time.Minute), GrantLifetime: 300,
	}
	if edit != nil {
		edit(req)
	}
	return req
}

const (
	paymentDetail = `{"type":"payment_initiation","instructedAmount":{"currency":"EUR","amount":"50.00"},"creditorName":"ACME GmbH","creditorAccount":{"iban":"DE02100100109307118603"},"remittanceInformationUnstructured":"Hotel deposit"}`
	accessDetail  = `{"type":"data_access","locations":["https://api.example/people"],"actions":["read","write"],"datatypes":["contacts","calendar"]}`
	callDetail    = `{"type":"tool_call","server":"mail.example","tool":"send_email","arguments":{"to":["bob@shop.example"],"subject":"Your order","body":"Hi Bob,\nit is on its way."}}`
)

// requests are the samples that pages and messages are made of.
var requests = map[string]*consent.Request{
	"payment": sample(func(r *consent.Request) { r.Details = json.RawMessage("[" + paymentDetail + "]") }),
	"payment-long": sample(func(r *consent.Request) {
		r.Client.Name, r.Client.Host = "The Wonderful Worldwide Travel Agent of Every Day", "agents.travel-and-more.example"
		r.Details = json.RawMessage(`[{"type":"payment_initiation","instructedAmount":{"currency":"EUR","amount":"1234567.89"},"creditorName":"Donaudampfschifffahrtsgesellschaft und Söhne, Linz","creditorAccount":{"iban":"DE02100100109307118603"}}]`)
		r.BindingMessage = "trip-4711"
	}),
	"access": sample(func(r *consent.Request) {
		r.Details, r.Resource = json.RawMessage("["+accessDetail+"]"), "https://api.example"
	}),
	"call":   sample(func(r *consent.Request) { r.Details = json.RawMessage("[" + callDetail + "]") }),
	"scope":  sample(func(r *consent.Request) { r.Scope = []string{"openid", "calendar.read"} }),
	"scopes": sample(func(r *consent.Request) { r.Scope = []string{"openid", "calendar.read", "mail.send", "files"} }),
	"own": sample(func(r *consent.Request) {
		r.Grant, r.Scope = consent.GrantClientCredentials, nil
		r.Details, r.BindingMessage = json.RawMessage("["+paymentDetail+"]"), "Order 7"
	}),
	"own-scope": sample(func(r *consent.Request) {
		r.Grant, r.Scope = consent.GrantClientCredentials, []string{"calendar.read"}
	}),
	"identity": sample(func(r *consent.Request) { r.BindingMessage = "Login 4711" }),
	"several": sample(func(r *consent.Request) {
		r.Details = json.RawMessage("[" + paymentDetail + "," + accessDetail + "]")
		r.Scope = []string{"openid", "calendar.read"}
	}),
	"renewable": sample(func(r *consent.Request) {
		r.Details, r.Scope, r.Renewable = json.RawMessage("["+paymentDetail+"]"), []string{"openid", "offline_access"}, 12*3600
	}),
	"renewable-scope": sample(func(r *consent.Request) {
		r.Scope, r.Renewable, r.Resource = []string{"openid", "calendar.read", "offline_access"}, 5400, "https://api.example"
	}),
	"unknown": sample(func(r *consent.Request) {
		r.Client.Host = ""
		r.Details = json.RawMessage(`[{"type":"door_control","door":{"id":7,"open":true},"reason":"maintenance"}]`)
		r.Actors = []consent.Party{{ID: "c2", Name: "House Bot", Host: "house.example"}, {ID: "c3"}}
	}),
}

var people = map[string]*consent.Person{
	"en": {ID: "alice", Locale: "en", Zoneinfo: "Europe/Berlin"},
	"de": {ID: "alice", Locale: "de-DE", Zoneinfo: "Europe/Berlin"},
}

func mustView(t testing.TB, s *Set, req *consent.Request, person *consent.Person, waiting int) View {
	t.Helper()
	v, err := s.View(req, person, waiting)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// golden compares got with a file under testdata, or rewrites it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run go test ./templates -update)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; if it should, run go test ./templates -update (-want +got):\n%s", name, diff)
	}
}
