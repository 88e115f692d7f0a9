package ciba_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"ringback/ciba"
	"ringback/consent"
)

// TestClockSteps: when the clock is set, by minutes or an hour, nothing that
// is over by it is taken, nothing that was made for later, and what ended stays
// ended; when it is set back right, what was not used still works.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ES256", "k")
	for _, step := range []time.Duration{5*time.Minute + 2*time.Second, time.Hour, -5 * time.Minute, -time.Hour} {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			t.Parallel()
			h := open(t, keyed("keyed", s), client("signing", func(c *consent.Client) { c.JWKS = jwks(s) }))
			now := h.now()
			soon := now.Add(4 * time.Minute).Unix() // over after every step ahead
			granted, redeemed, handle := h.granted("agent", nil)
			token := granted.str("access_token")
			over := h.askedDirectly("agent", "requested_expiry", "10")
			used := s.sign(nil, h.asserted("keyed").with("exp", soon))
			unused := s.sign(nil, h.asserted("keyed").with("exp", soon, "nbf", now.Unix()))
			request := s.sign(nil, h.signedRequest("signing").with("exp", soon))
			proof := s.proof(h, "POST", h.url+"/revoke")
			nonce := s.proof(h, "POST", h.url+"/revoke", "nonce", h.nonce(s))

			assertion := func(token string) *response {
				return h.direct("/revoke", params("token", "x", "client_assertion", token, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"))
			}
			if res := assertion(used); res.status != http.StatusOK {
				t.Fatalf("an assertion: %d %s", res.status, res.raw)
			}
			h.forward(11 * time.Second)
			h.refused("expired", h.directAs("agent", "/token", collecting(over)), http.StatusBadRequest, ciba.ExpiredToken, "")
			h.forward(-11 * time.Second)

			h.forward(step)
			for name, old := range map[string]string{"used": used, "unused": unused} {
				h.refused(name+" assertion", assertion(old), http.StatusUnauthorized, ciba.InvalidClient, "")
			}
			h.refused("signed request", h.directAs("signing", "/bc-authorize", params("request", request)), http.StatusBadRequest, ciba.InvalidRequest, "")
			h.refused("proof", h.directAs("agent", "/revoke", params("token", "x"), "DPoP", proof), http.StatusBadRequest, ciba.InvalidDPoPProof, "clock")
			if step > 0 {
				if res := h.directAs("agent", "/introspect", params("token", token)); res.body["active"] != false {
					t.Errorf("a token that is over: %s", res.raw)
				}
			}
			ended := func(when string) {
				h.refused(when+": an expired request", h.directAs("agent", "/token", collecting(over)), http.StatusBadRequest, ciba.ExpiredToken, "")
				h.refused(when+": a redeemed one", h.directAs("agent", "/token", collecting(handle)), http.StatusBadRequest, ciba.InvalidGrant, "")
				if got := h.state(redeemed).Status(); got != consent.StatusRedeemed {
					t.Errorf("%s: a redeemed request is %s", when, got)
				}
			}
			ended("by the wrong clock")

			h.forward(-step)
			ended("by the right clock")
			h.refused("used assertion, later", assertion(used), http.StatusUnauthorized, ciba.InvalidClient, "before")
			for name, res := range map[string]*response{
				"assertion": assertion(unused), "signed request": h.directAs("signing", "/bc-authorize", params("request", request)),
				"proof":            h.directAs("agent", "/revoke", params("token", "x"), "DPoP", proof),
				"proof of a nonce": h.directAs("agent", "/revoke", params("token", "x"), "DPoP", nonce),
			} {
				if res.status != http.StatusOK {
					t.Errorf("%s by the right clock: %d %s", name, res.status, res.raw)
				}
			}
			if res := h.directAs("agent", "/introspect", params("token", token)); res.body["active"] != true {
				t.Errorf("a live token by the right clock: %s", res.raw)
			}
		})
	}
}

// nonce is a live one of ours.
func (h *house) nonce(s *signer) string {
	h.t.Helper()
	res := h.directAs("agent", "/revoke", params("token", "x"), "DPoP", s.proof(h, "POST", h.url+"/revoke", "nonce", "x"))
	h.refused("no nonce", res, http.StatusBadRequest, ciba.UseDPoPNonce, "")
	return res.header.Get("DPoP-Nonce")
}
