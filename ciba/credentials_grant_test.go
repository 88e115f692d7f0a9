package ciba_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/ciba"
	"ringback/consent"
)

// TestUnattended: RFC 6749 §4.4, a token of the client's own for which policy
// asks nobody, whether or not the client would take a deferred answer
// (draft-ietf-oauth-deferred-token-response-01 §5.3). Nothing is stored for it
// but its revocation.
func TestUnattended(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "ES256", "k")
	h := openSelf(t, self("alone", func(c *consent.Client) { c.Approver = "" }), self("proved", func(c *consent.Client) { c.DPoPBound = true }))
	before := h.facts()
	seen := map[any]bool{}
	for _, pairs := range [][]string{nil, {"completion_mode", "deferred"}, {"completion_mode", "later deferred"}, {"binding_message", "x", "resource", resource}} {
		res := h.own("alone", append([]string{"scope", "reports"}, pairs...)...)
		h.sealed("token response", res)
		want := map[string]any{"access_token": res.body["access_token"], "token_type": "Bearer", "expires_in": 300.0, "scope": "reports"}
		if diff := cmp.Diff(want, res.body); res.status != http.StatusOK || diff != "" {
			t.Fatalf("%v: %d %s", pairs, res.status, diff)
		}
		claims := h.verified(res.str("access_token"), "at+jwt")
		wantClaims := map[string]any{
			"iss": h.url, "sub": "alone", "client_id": "alone", "aud": resource, "scope": "reports",
			"iat": claims["iat"], "exp": claims["iat"].(float64) + 300, "jti": claims["jti"],
		}
		if diff := cmp.Diff(wantClaims, claims); diff != "" {
			t.Errorf("%v: %s", pairs, diff)
		}
		if seen[claims["jti"]] {
			t.Errorf("%v: jti %v again", pairs, claims["jti"])
		}
		seen[claims["jti"]] = true
	}
	if res := h.post("/token", "proved", params("grant_type", ciba.GrantClientCredentials, "scope", "reports"), "DPoP", key.proof(h, "POST", h.url+"/token")); res.str("token_type") != "DPoP" ||
		h.confirmed(res.str("access_token"))["jkt"] != key.thumbprint() {
		t.Errorf("with a proof: %d %s", res.status, res.raw)
	}
	h.refused("no proof where tokens are bound", h.own("proved", "scope", "reports"), http.StatusBadRequest, ciba.InvalidRequest, "DPoP")

	token, kept := h.own("alone", "scope", "reports").str("access_token"), h.own("alone", "scope", "reports").str("access_token")
	active := func(client, token string) any {
		return h.post("/introspect", client, params("token", token)).body["active"]
	}
	if active("alone", token) != true || active("self", token) != false {
		t.Error("introspection: want active for the client, inactive for another")
	}
	h.refused("revoked by another client", h.post("/revoke", "self", params("token", token)), http.StatusBadRequest, ciba.InvalidGrant, "token: ")
	for range 2 {
		if res := h.post("/revoke", "alone", params("token", token)); res.status != http.StatusOK {
			t.Errorf("revoking: %d %s", res.status, res.raw)
		}
	}
	if active("alone", token) != false || active("alone", kept) != true {
		t.Error("after the revocation of one: want this one inactive, the other active")
	}
	h.forward(301 * time.Second)
	if active("alone", kept) != false {
		t.Error("active after its end")
	}
	if got := h.facts(); got != before {
		t.Errorf("%d facts were stored", got-before)
	}
}

// TestNeedsPerson: whatever policy does not grant to everybody waits for the
// registered approver, and only if the client takes a deferred answer
// (draft-ietf-oauth-deferred-token-response-01 §5.3).
func TestNeedsPerson(t *testing.T) {
	t.Parallel()
	h := openSelf(t, self("alone", func(c *consent.Client) { c.Approver = "" }), self("left", func(c *consent.Client) { c.Approver = "nobody" }))
	h.change(func(p *consent.Policy) { p.Scopes["strong"] = consent.Scope{Unattended: true, MinACR: consent.ACRTap} })
	before := h.facts()
	for name, pairs := range map[string][]string{
		"a scope":                      {"scope", "calendar"},
		"a scope beside an unattended": {"scope", "reports calendar"},
		"a scope that needs assurance": {"scope", "strong"},
		"assurance asked for":          {"scope", "reports", "acr_values", consent.ACRTap},
		"details":                      {"scope", "", "authorization_details", payment},
		"details beside an unattended": {"scope", "reports", "authorization_details", payment},
	} {
		for _, mode := range []string{"", "immediate", "deferred2", "DEFERRED", "deferred,x"} {
			h.refused(name+", mode "+mode, h.own("self", append(pairs, "completion_mode", mode)...), http.StatusBadRequest, ciba.InvalidRequest, "completion_mode: ")
		}
		for _, client := range []string{"alone", "left"} {
			h.refused(name+", "+client, h.own(client, append(pairs, "completion_mode", "deferred")...), http.StatusBadRequest, ciba.AccessDenied, "approver")
		}
		if got := h.facts(); got != before {
			t.Errorf("%s: refused, but %d facts were stored", name, got-before)
		}
		for _, mode := range []string{"deferred", "x deferred", "deferred x"} {
			h.deferred("self", append(pairs, "completion_mode", mode)...)
			h.decide(h.pending().Request.ID, consent.Denied)
		}
		before = h.facts()
	}
}

// TestOwnParameters: what is wrong with a request for a client's own token is
// said in the words of bc-authorize, with the status of the token endpoint.
func TestOwnParameters(t *testing.T) {
	t.Parallel()
	h := openSelf(t,
		self("documented", func(c *consent.Client) { c.FromDocument, c.Approver, c.Host = true, "", "agent.example" }),
		self("narrow", func(c *consent.Client) { c.Scope, c.DetailsTypes = "calendar", []string{"data_access"} }),
		self("bob"), client("plain"), client("silent", func(c *consent.Client) { c.GrantTypes = nil }))
	before := h.facts()
	for _, tt := range []struct {
		name, client string
		pairs        []string
		code         ciba.Code
		says         string
	}{
		{"not registered for it", "plain", nil, ciba.UnauthorizedClient, ciba.GrantClientCredentials},
		{"registered for nothing", "silent", nil, ciba.UnauthorizedClient, ciba.GrantClientCredentials},
		{"known by a document alone", "documented", []string{"scope", "reports"}, ciba.UnauthorizedClient, "document"},
		{"named like a person", "bob", []string{"scope", "reports"}, ciba.UnauthorizedClient, "person's id"},
		{"openid", "self", []string{"scope", "openid reports"}, ciba.InvalidScope, "openid"},
		{"nothing", "self", []string{"scope", ""}, ciba.InvalidScope, "scope: "},
		{"nothing but offline_access", "self", []string{"scope", "offline_access"}, ciba.InvalidScope, "scope: "},
		{"unknown scope", "self", []string{"scope", "reports x"}, ciba.InvalidScope, "scope: x"},
		{"another client's scope", "narrow", []string{"scope", "reports"}, ciba.InvalidScope, "scope: reports"},
		{"resource", "self", []string{"resource", "https://x.example"}, ciba.InvalidTarget, "resource: "},
		{"details", "self", []string{"authorization_details", "[{}]"}, ciba.InvalidDetails, "authorization_details"},
		{"details of a type that is not the client's", "narrow", []string{"authorization_details", payment}, ciba.InvalidDetails, "payment_initiation"},
		{"binding message", "self", []string{"binding_message", "see http://x.example"}, ciba.InvalidBindingMessage, "binding_message: "},
		{"expiry", "self", []string{"requested_expiry", "-1"}, ciba.InvalidRequest, "requested_expiry: "},
	} {
		h.refused(tt.name, h.own(tt.client, append([]string{"completion_mode", "deferred"}, tt.pairs...)...), http.StatusBadRequest, tt.code, tt.says)
	}
	h.change(func(p *consent.Policy) { p.Reach = consent.ACRTap })
	h.refused("assurance out of reach", h.own("self", "completion_mode", "deferred", "acr_values", consent.ACRPhr), http.StatusBadRequest, ciba.AccessDenied, "acr_values: ")
	if err := h.Freeze(t.Context(), h.Pseudonym("alice"), "self", h.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	h.refused("frozen", h.own("self", "completion_mode", "deferred"), http.StatusBadRequest, ciba.AccessDenied, "does not take requests")
	h.refused("no client", h.send(http.MethodPost, "/token", params("grant_type", ciba.GrantClientCredentials, "scope", "reports").Encode()), http.StatusUnauthorized, ciba.InvalidClient, "")
	if got := h.facts(); got != before {
		t.Errorf("%d facts were stored", got-before)
	}
}

// TestDetailsTypes: a client's allow-list holds for people's tokens too.
func TestDetailsTypes(t *testing.T) {
	t.Parallel()
	h := open(t, client("narrow", func(c *consent.Client) { c.DetailsTypes = []string{"data_access"} }))
	ask := func(details string) *response {
		return h.post("/bc-authorize", "narrow", params("scope", "openid", "login_hint", "alice", "authorization_details", details))
	}
	h.refused("not on the list", ask(payment), http.StatusBadRequest, ciba.InvalidDetails, "payment_initiation")
	access := `[{"type":"data_access","locations":["https://api.example"],"actions":["read"],"datatypes":["contacts"]}]`
	if res := ask(access); res.status != http.StatusOK {
		t.Errorf("on the list: %d %s", res.status, res.raw)
	}
}

// TestRecheck: draft-ietf-oauth-deferred-token-response-01 §11.7, what was
// approved is granted only if it would still be.
func TestRecheck(t *testing.T) {
	t.Parallel()
	access := `[{"type":"data_access","locations":["https://api.example"],"actions":["read"],"datatypes":["contacts"]}]`
	now := func(h *house, c consent.Client, people []consent.Person) {
		h.t.Helper()
		if err := h.SetFile([]consent.Client{c}, people, nil); err != nil {
			h.t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		happen func(h *house)
		says   string // empty: it is granted
	}{
		"nothing": {func(*house) {}, ""},
		"more is allowed": {func(h *house) {
			now(h, self("self", func(c *consent.Client) { c.Resources = []string{"https://other.example"} }), people)
		}, ""},
		"grant taken away":  {func(h *house) { now(h, client("self"), people) }, "client_credentials"},
		"another approver":  {func(h *house) { now(h, self("self", func(c *consent.Client) { c.Approver = "bob" }), people) }, "approver"},
		"no approver":       {func(h *house) { now(h, self("self", func(c *consent.Client) { c.Approver = "" }), people) }, "approver"},
		"approver has left": {func(h *house) { now(h, self("self"), people[1:]) }, "approver"},
		"scope taken away":  {func(h *house) { now(h, self("self", func(c *consent.Client) { c.Scope = "reports" }), people) }, "scope: calendar"},
		"scope is gone":     {func(h *house) { h.change(func(p *consent.Policy) { delete(p.Scopes, "calendar") }) }, "scope: calendar"},
		"resource taken away": {func(h *house) {
			now(h, self("self", func(c *consent.Client) {
				c.DefaultResource = "https://x.example"
				c.Resources = []string{"https://y.example"}
			}), people)
		}, "resource"},
		"type taken away": {func(h *house) {
			now(h, self("self", func(c *consent.Client) { c.DetailsTypes = []string{"tool_call"} }), people)
		}, "data_access"},
		"more assurance is needed": {func(h *house) {
			h.change(func(p *consent.Policy) { p.Scopes["calendar"] = consent.Scope{MinACR: consent.ACRMatch} })
		}, "assurance"},
		"less can be reached": {func(h *house) { h.change(func(p *consent.Policy) { p.Reach = consent.ACRTap }) }, ""},
		"client stopped": {func(h *house) {
			if err := h.Freeze(h.t.Context(), h.Pseudonym("alice"), "self", h.now().Add(time.Hour)); err != nil {
				h.t.Fatal(err)
			}
		}, "stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := openSelf(t)
			code := h.deferred("self", "authorization_details", access).str("deferral_code")
			id := h.pending().Request.ID
			h.decide(id, consent.Approved)
			tt.happen(h)
			res := h.collect("self", code)
			if tt.says == "" {
				if res.status != http.StatusOK {
					t.Errorf("%d %s", res.status, res.raw)
				}
				return
			}
			h.refused(name, res, http.StatusBadRequest, ciba.AccessDenied, tt.says)
			if got := h.state(id).Status(); got != consent.StatusCancelled {
				t.Errorf("status %s, want cancelled", got)
			}
			// It stays so when everything is as it was.
			now(h, self("self"), people)
			h.refused("again", h.collect("self", code), http.StatusBadRequest, ciba.AccessDenied, "taken back")
		})
	}
}

// TestDeferredMetadata: draft-ietf-oauth-deferred-token-response-01 §5.1 and §8.4.
func TestDeferredMetadata(t *testing.T) {
	t.Parallel()
	h := open(t)
	body := h.send(http.MethodGet, "/.well-known/oauth-authorization-server", "").body
	grants, _ := body["grant_types_supported"].([]any)
	if body["deferred_token_response_supported"] != true || cmp.Diff([]any{deferralType}, body["revocation_endpoint_token_type_values_supported"]) != "" ||
		!slices.Contains(grants, any(ciba.GrantClientCredentials)) || !slices.Contains(grants, any(ciba.GrantDeferred)) {
		t.Errorf("metadata %v", body)
	}
}
