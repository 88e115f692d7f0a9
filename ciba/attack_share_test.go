package ciba_test

import (
	"net/http"
	"testing"

	"ringback/ciba"
	"ringback/consent"
	"ringback/outbound"
	"ringback/store"
)

// TestShareOfUses: a client that signs as much as it can, in every way there
// is, fills its share of what is remembered and nobody else's. Clients of one
// registrant have one share.
func TestShareOfUses(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "ES256", "k")
	of := func(registrant string) func(*consent.Client) {
		return func(c *consent.Client) { c.Registrant, c.JWKS = registrant, jwks(key) }
	}
	const most = 1280
	h := keeping(t, func(c *store.Config) { c.Uses = most }, outbound.Config{},
		keyed("keyed", key), client("signing", func(c *consent.Client) { c.JWKS = jwks(key) }),
		client("greedy-1", of("greedy")), client("greedy-2", of("greedy")), client("modest", of("modest")))
	h.trust(hintIssuer, consent.HintIssuer{JWKS: jwks(key)})
	busy := func(res *response) bool {
		switch res.status {
		case http.StatusOK:
			return false
		case http.StatusServiceUnavailable:
			if res.str("error") != string(ciba.Unavailable) || res.header.Get("Retry-After") == "" {
				t.Errorf("refused with %s and Retry-After %q", res.raw, res.header.Get("Retry-After"))
			}
			return true
		}
		t.Fatalf("%d %s", res.status, res.raw)
		return false
	}
	prove := func(client string) *response {
		return h.directAs(client, "/revoke", params("token", "x"), "DPoP", key.proof(h, "POST", h.url+"/revoke"))
	}
	flood := func(client string) (taken int) {
		for range most * 3 / 4 {
			if !busy(prove(client)) {
				taken++
			}
		}
		return taken
	}
	if n := flood("greedy-1"); n < most/2-128 || n > most/2 {
		t.Errorf("one client has %d of %d uses", n, most)
	}
	if n := flood("greedy-2"); n > 64 { // another of the same registrant
		t.Errorf("a second client of the same registrant has %d more", n)
	}
	kinds := map[string]func() *response{
		"proof": func() *response { return prove("modest") },
		"assertion": func() *response {
			return h.direct("/revoke", params("token", "x", "client_assertion", key.sign(nil, h.asserted("keyed")),
				"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"))
		},
		"signed request": func() *response {
			return h.directAs("signing", "/bc-authorize", params("request", key.sign(nil, h.signedRequest("signing"))))
		},
		"hint": func() *response {
			return h.directAs("other", "/bc-authorize", params("scope", "openid", "login_hint_token", key.sign(nil, h.hinted())))
		},
	}
	for kind, send := range kinds {
		for i := range 20 {
			if i%10 == 0 {
				prove("greedy-1")
			}
			if busy(send()) {
				t.Errorf("%s %d of a client that has none is refused", kind, i+1)
			}
		}
	}
}
