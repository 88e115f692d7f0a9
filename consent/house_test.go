package consent_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/consent"
	"ringback/details"
)

var t0 = time.Date(2026, 11, 22, 14, 30, 0, 0, time.UTC)

// request is one for a payment, which ends five minutes after t0.
func request() *consent.Request {
	return &consent.Request{
		V: 1, ID: consent.ID{1}, Issuer: "https://as.example", Door: consent.DoorCIBA,
		Client:   consent.Party{ID: "agent", Name: "Travel Agent", Host: "travel.example"},
		Approver: "alice", Pseudonym: "p", Scope: []string{"openid"}, Resource: "https://api.example",
		Details:        json.RawMessage(payment),
		BindingMessage: "Hotel 1", ACR: []string{consent.ACRTap, consent.ACRMatch, consent.ACRPhr},
		Salt: []byte("0123456789abcdef"), AskedAt: t0, ExpiresAt: t0.Add(5 * time.Minute), GrantLifetime: 300,
		Mode: consent.Poll, Interval: 5, Narrowable: true,
	}
}

const (
	payment = `[{"creditorAccount":{"iban":"DE89370400440532013000"},"creditorName":"ACME GmbH","instructedAmount":{"amount":"50.00","currency":"EUR"},"type":"payment_initiation"}]`
	access  = `[{"actions":["read","write","delete"],"datatypes":["mail"],"locations":["https://a.example","https://b.example"],"type":"data_access"}]`
	tool    = `[{"arguments":{"n":1,"path":"/tmp"},"server":"files","tool":"remove","type":"tool_call"}]`
)

// replaced is text with one part in another's place, which must be there.
func replaced(t testing.TB, text, from, to string) json.RawMessage {
	t.Helper()
	if strings.Count(text, from) != 1 {
		t.Fatalf("%s is not once in %s", from, text)
	}
	return json.RawMessage(strings.Replace(text, from, to, 1))
}

// shipped is the registry of the built-in types, which never changes.
var shipped = sync.OnceValues(func() (*details.Registry, error) { return details.New(nil) })

func registry(t testing.TB) *details.Registry {
	t.Helper()
	reg, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

func askedDigest(t testing.TB, r *consent.Request) consent.Digest {
	t.Helper()
	d, err := r.AskedDigest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// shown is what a page puts before the approver of r.
func shown(t testing.TB, r *consent.Request) *consent.Presentation {
	t.Helper()
	return &consent.Presentation{
		AskedDigest: askedDigest(t, r), Channel: "page", Template: "card", TemplateDigest: consent.Digest{7}, Locale: "en", Rendered: "Pay 50.00 EUR",
	}
}

// yes is good evidence for r, on which change may do its worst.
func yes(t testing.TB, r *consent.Request, change func(*consent.Evidence)) consent.Evidence {
	t.Helper()
	ev := consent.Evidence{
		Verb: consent.Approved, By: r.Approver, Means: consent.ByPage, Attempt: 2, ACR: consent.ACRPhr, AMR: []string{"hwk", "user"},
		Credential: "credential-1", Signature: []byte{1, 2, 3}, Presentation: shown(t, r), Nonce: "nonce-1",
	}
	if change != nil {
		change(&ev)
	}
	return ev
}

// dice are the same for everybody who asks with the same seed.
func dice(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }
