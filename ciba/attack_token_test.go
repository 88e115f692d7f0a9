package ciba_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/ciba"
	"ringback/consent"
)

// TestStolenTokens: a token is short, for one API, bound to one key, says what
// the person granted and nothing else, and cannot be renewed. A thief of
// anything on the way to it gets none: the handle is nothing without the
// client, the client nothing without its key.
func TestStolenTokens(t *testing.T) {
	t.Parallel()
	key, thief := newSigner(t, "ES256", "k"), newSigner(t, "ES256", "thief")
	h := open(t, client("proved", func(c *consent.Client) { c.DPoPBound = true }))
	const uri, elsewhere = "/token", "https://other.example"
	rnd := rand.New(rand.NewPCG(17, 0))
	seen := map[string]bool{}
	for range manyTokens {
		asked := 100 + rnd.IntN(9000)
		granted := 1 + rnd.IntN(asked)
		euros := func(cents int) string {
			return strings.Replace(payment, "50.00", fmt.Sprintf("%d.%02d", cents/100, cents%100), 1)
		}
		pairs := []string{"authorization_details", euros(asked)}
		want := resource
		if rnd.IntN(2) == 0 {
			want = elsewhere
			pairs = append(pairs, "resource", want)
		}
		res := h.directAs("proved", "/bc-authorize", asking(append(pairs, "scope", "openid calendar offline_access")...), "DPoP", key.proof(h, "POST", h.url+"/bc-authorize"))
		if res.status != http.StatusOK {
			t.Fatalf("asking: %d %s", res.status, res.raw)
		}
		handle := res.str("auth_req_id")
		id := h.idOf(handle)
		h.decide(id, consent.Approved, func(e *consent.Evidence) {
			if granted < asked {
				e.Granted = json.RawMessage(euros(granted))
			}
		})
		steal := func(name string, res *response, code ciba.Code) {
			t.Helper()
			if res.status == http.StatusOK || res.str("error") != string(code) {
				t.Fatalf("%s: %d %s, want %s", name, res.status, res.raw, code)
			}
		}
		steal("no proof", h.directAs("proved", uri, collecting(handle)), ciba.InvalidRequest)
		steal("the thief's proof", h.directAs("proved", uri, collecting(handle), "DPoP", thief.proof(h, "POST", h.url+uri)), ciba.InvalidDPoPProof)
		steal("the genuine proof, of another address", h.directAs("proved", uri, collecting(handle), "DPoP", key.proof(h, "POST", h.url+"/bc-authorize")), ciba.InvalidDPoPProof)
		steal("another client", h.directAs("other", uri, collecting(handle), "DPoP", thief.proof(h, "POST", h.url+uri)), ciba.InvalidGrant)
		steal("no client", h.direct(uri, collecting(handle), "DPoP", key.proof(h, "POST", h.url+uri)), ciba.InvalidClient)

		res = h.directAs("proved", uri, collecting(handle), "DPoP", key.proof(h, "POST", h.url+uri))
		if res.status != http.StatusOK {
			t.Fatalf("redeeming: %d %s", res.status, res.raw)
		}
		st := h.state(id)
		claims := h.verified(res.str("access_token"), "at+jwt")
		if life := claims["exp"].(float64) - claims["iat"].(float64); life > 300 || claims["aud"] != want || claims["aud"] == claims["iss"] {
			t.Fatalf("an access token lives %v s, for %v", life, claims["aud"])
		}
		if _, ok := res.body["refresh_token"]; ok || claims["scope"] != "openid calendar" {
			t.Fatalf("a renewal that nobody agreed to: %s", res.raw)
		}
		if diff := cmp.Diff(unmarshal(t, euros(granted)), claims["authorization_details"]); diff != "" {
			t.Fatalf("granted and in the token: %s", diff)
		}
		digest, err := st.Request.GrantedDigest(st.Decided.Granted)
		if st.Decided.Granted == nil {
			digest, err = st.Request.AskedDigest()
		}
		if err != nil || claims["granted_digest"] != digest.String() || st.Settled.GrantedDigest != digest {
			t.Fatalf("granted_digest %v, want %v, %v", claims["granted_digest"], digest, err)
		}
		if h.confirmed(res.str("access_token"))["jkt"] != key.thumbprint() || res.str("token_type") != "DPoP" {
			t.Fatalf("a token that is not bound: %s", res.raw)
		}
		var names []string
		for name := range claims {
			names = append(names, name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != "acr amr aud auth_time authorization_details client_id cnf exp granted_digest iat iss jti scope sub" {
			t.Fatalf("an access token says %s", got)
		}

		// What somebody else holds of all this opens nothing here.
		access := res.str("access_token")
		if seen[access] {
			t.Fatal("a token was made twice")
		}
		seen[access] = true
		if res := h.directAs("agent", "/introspect", params("token", access)); len(res.body) != 1 || res.body["active"] != false {
			t.Fatalf("another client's token: %s", res.raw)
		}
		steal("revoked by another client", h.directAs("agent", "/revoke", params("token", access)), ciba.InvalidGrant)
		for name, form := range map[string][]string{
			"as an assertion": {"client_assertion", access, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"as a secret":     {"client_id", "proved", "client_secret", access},
		} {
			steal(name, h.direct("/bc-authorize", asking(form...)), ciba.InvalidClient)
		}
		for name, form := range map[string][]string{"as a hint": {"login_hint", "", "id_token_hint", access}, "as a signed request": {"scope", "", "login_hint", "", "request", access}} {
			steal(name, h.directAs("agent", "/bc-authorize", asking(form...)), ciba.InvalidRequest)
		}
		steal("another client's ID token", h.directAs("agent", "/bc-authorize", asking("login_hint", "", "id_token_hint", res.str("id_token"))), ciba.InvalidRequest)
	}
}
