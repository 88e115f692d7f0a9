package ciba_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/ciba"
	"ringback/consent"
)

// TestRefreshScope: RFC 6749 §6: less is renewed where less is asked for, and
// never more; what is refused uses nothing up.
func TestRefreshScope(t *testing.T) {
	t.Parallel()
	h := openRenewing(t)
	res, request := h.offline("renewing")
	token := res.str("refresh_token")
	for _, scope := range []string{"payments", "openid payments", "openid  calendar", " ", "Calendar", "calendar offline_access x"} {
		h.refused(scope, h.renew("renewing", token, "scope", scope), http.StatusBadRequest, ciba.InvalidScope, "scope: ")
	}
	if n := len(h.state(request).Renewals); n != 0 {
		t.Fatalf("%d renewals", n)
	}
	for _, tt := range []struct{ scope, want string }{{"calendar", "calendar"}, {"", "openid calendar offline_access"}, {"offline_access openid", "offline_access openid"}} {
		res = h.renew("renewing", token, "scope", tt.scope)
		if res.status != http.StatusOK || res.str("scope") != tt.want || h.verified(res.str("access_token"), "at+jwt")["scope"] != tt.want {
			t.Errorf("scope %q: %d %s", tt.scope, res.status, res.raw)
		}
		token = res.str("refresh_token")
	}
}

// TestNoLongerGranted: what the operator or the person changed since counts at
// once, and uses nothing up.
func TestNoLongerGranted(t *testing.T) {
	t.Parallel()
	linked := func(c *consent.Client) { c.People = "list"; c.PeopleList = []string{"alice"} }
	h := openRenewing(t)
	if err := h.SetFile([]consent.Client{renewing("renewing", linked)}, people, nil); err != nil {
		t.Fatal(err)
	}
	res, request := h.offline("renewing", "authorization_details", payment)
	token := res.str("refresh_token")
	registered := func(change func(*consent.Client)) {
		if err := h.SetFile([]consent.Client{renewing("renewing", linked, change)}, people, nil); err != nil {
			t.Fatal(err)
		}
	}
	policy := h.policy.Load()
	for name, change := range map[string]func(){
		"another person's client": func() { registered(func(c *consent.Client) { c.PeopleList = []string{"bob"} }) },
		"another scope":           func() { registered(func(c *consent.Client) { c.Scope = "payments" }) },
		"another resource": func() {
			registered(func(c *consent.Client) { c.DefaultResource = "https://other.example"; c.Resources = []string{"urn:x"} })
		},
		"other details":    func() { registered(func(c *consent.Client) { c.DetailsTypes = []string{"data_access"} }) },
		"an unknown scope": func() { h.change(func(p *consent.Policy) { p.Scopes = nil }) },
		"no such person": func() {
			if err := h.SetFile([]consent.Client{renewing("renewing", linked)}, people[1:], nil); err != nil {
				t.Fatal(err)
			}
		},
	} {
		change()
		h.refused(name, h.renew("renewing", token), http.StatusBadRequest, ciba.InvalidGrant, "refresh_token")
		registered(func(*consent.Client) {})
		h.policy.Store(policy)
	}
	if err := h.Freeze(t.Context(), h.Pseudonym("alice"), "renewing", h.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	h.refused("stopped by the person", h.renew("renewing", token), http.StatusBadRequest, ciba.InvalidGrant, "refresh_token")
	if st := h.state(request); len(st.Renewals) != 0 || st.Revoked != nil {
		t.Errorf("stored %+v, %+v", st.Renewals, st.Revoked)
	}
	h.forward(59*time.Minute + 50*time.Second)
	if err := h.Freeze(t.Context(), h.Pseudonym("alice"), "renewing", h.now()); err != nil {
		t.Fatal(err)
	}
	if res := h.renew("renewing", token); res.status != http.StatusOK {
		t.Errorf("as before: %d %s", res.status, res.raw)
	}
}

// TestRevokeGranted: RFC 7009 §2.1: with one token goes all that came of the
// same yes.
func TestRevokeGranted(t *testing.T) {
	t.Parallel()
	h := openRenewing(t)
	for name, pick := range map[string]func(first, second *response) string{
		"refresh token":        func(_, second *response) string { return second.str("refresh_token") },
		"used refresh token":   func(first, _ *response) string { return first.str("refresh_token") },
		"access token":         func(first, _ *response) string { return first.str("access_token") },
		"renewed access token": func(_, second *response) string { return second.str("access_token") },
		"access token that is over": func(first, _ *response) string {
			h.forward(301 * time.Second)
			return first.str("access_token")
		},
	} {
		first, request := h.offline("renewing")
		second := h.renew("renewing", first.str("refresh_token"))
		token := pick(first, second)
		for range 2 {
			if res := h.post("/revoke", "renewing", params("token", token, "token_type_hint", "access_token")); res.status != http.StatusOK {
				t.Errorf("%s: %d %s", name, res.status, res.raw)
			}
		}
		h.refused(name, h.renew("renewing", second.str("refresh_token")), http.StatusBadRequest, ciba.InvalidGrant, "refresh_token")
		if st := h.state(request); st.Status() != consent.StatusRevoked || st.Revoked.By != "renewing" || h.active("renewing", second.str("access_token")) {
			t.Errorf("%s: %s, %+v", name, st.Status(), st.Revoked)
		}
	}
}

// TestRefreshTokenIntrospected: RFC 7662 §2.2; what it says fits no access
// token, and only its client learns it.
func TestRefreshTokenIntrospected(t *testing.T) {
	t.Parallel()
	h := openRenewing(t)
	res, request := h.offline("renewing", "resource", "https://other.example")
	got := h.post("/introspect", "renewing", params("token", res.str("refresh_token")))
	want := map[string]any{
		"active": true, "iss": h.url, "sub": "alice", "client_id": "renewing", "scope": "openid calendar offline_access",
		"exp": float64(h.state(request).Decided.At.Add(time.Hour).Unix()),
	}
	if diff := cmp.Diff(want, got.body); diff != "" {
		t.Errorf("introspection: %s", diff)
	}
	if !h.active("other", res.str("access_token")) || h.active("other", res.str("refresh_token")) {
		t.Error("the API learns about the refresh token, or nothing about the access token")
	}
}

// TestTokenResource: RFC 8707 §2.2. A token request that names another API than
// the approved one gets no token that is good there, and uses nothing up.
func TestTokenResource(t *testing.T) {
	t.Parallel()
	h := openRenewing(t, self("self"))
	const other = "https://other.example"
	for name, tt := range map[string]struct {
		client string
		form   func() url.Values
	}{
		"CIBA": {"agent", func() url.Values {
			return params("grant_type", ciba.GrantCIBA, "auth_req_id", h.ask("agent").str("auth_req_id"))
		}},
		"deferred": {"self", func() url.Values {
			return params("grant_type", ciba.GrantDeferred, "deferral_code", h.deferred("self").str("deferral_code"))
		}},
		"refresh": {"renewing", func() url.Values {
			res, _ := h.offline("renewing")
			return params("grant_type", ciba.GrantRefresh, "refresh_token", res.str("refresh_token"))
		}},
	} {
		agent, form := tt.client, tt.form()
		if name != "refresh" {
			h.decide(h.pending().Request.ID, consent.Approved)
		}
		before := h.facts()
		for _, member := range []string{"resource", "audience"} {
			form.Set(member, other)
			h.refused(name+", another "+member, h.post("/token", agent, form), http.StatusBadRequest, ciba.InvalidTarget, member+": ")
			form.Set(member, resource)
		}
		if got := h.facts(); got != before {
			t.Errorf("%s: %d facts were stored", name, got-before)
		}
		if res := h.post("/token", agent, form); res.status != http.StatusOK || h.verified(res.str("access_token"), "at+jwt")["aud"] != resource {
			t.Errorf("%s, the same resource: %d %s", name, res.status, res.raw)
		}
	}
}
