package ciba_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/ciba"
	"ringback/consent"
)

// verified returns the claims of a token of ours.
func (h *house) verified(token, typ string) map[string]any {
	h.t.Helper()
	payload, err := h.ring.Verify(token, typ)
	if err != nil {
		h.t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		h.t.Fatal(err)
	}
	return claims
}

// granted asks, approves and redeems.
func (h *house) granted(client string, change func(*consent.Evidence), pairs ...string) (res *response, request consent.ID, handle string) {
	h.t.Helper()
	ack := h.ask(client, pairs...)
	request = h.pending().Request.ID
	if change == nil {
		change = func(*consent.Evidence) {}
	}
	h.decide(request, consent.Approved, change)
	if res = h.poll(client, ack.str("auth_req_id")); res.status != http.StatusOK {
		h.t.Fatalf("redeeming: %d %s", res.status, res.raw)
	}
	return res, request, ack.str("auth_req_id")
}

func unmarshal(t *testing.T, s string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestTokens: RFC 9068 §2.2, RFC 9396 §7 and §9, CIBA Core §10.1.1, OpenID
// Connect Core §2 and §3.1.3.6; and one digest from question to token.
func TestTokens(t *testing.T) {
	t.Parallel()
	h := open(t)
	res, request, handle := h.granted("agent", nil, "scope", "openid calendar offline_access", "resource", "https://other.example",
		"authorization_details", payment, "acr_values", consent.ACRMatch)
	st := h.state(request)
	iat, at := float64(st.Settled.IssuedAt.Unix()), float64(st.Decided.At.Unix())
	wantAccess := map[string]any{
		"iss": h.url, "sub": "alice", "aud": "https://other.example", "client_id": "agent", "iat": iat, "exp": iat + 300,
		"jti": request.String(), "scope": "openid calendar", "authorization_details": unmarshal(t, payment),
		"acr": consent.ACRMatch, "amr": []any{"dev"}, "auth_time": at, "granted_digest": st.Decided.GrantedDigest.String(),
	}
	if diff := cmp.Diff(wantAccess, h.verified(res.str("access_token"), "at+jwt")); diff != "" {
		t.Errorf("access token: %s", diff)
	}
	hash := sha256.Sum256([]byte(res.str("access_token")))
	wantID := map[string]any{
		"iss": h.url, "sub": "alice", "aud": "agent", "iat": iat, "exp": iat + 300, "auth_time": at, "acr": consent.ACRMatch, "amr": []any{"dev"},
		"at_hash": base64.RawURLEncoding.EncodeToString(hash[:16]), "urn:openid:params:jwt:claim:auth_req_id": handle,
	}
	if diff := cmp.Diff(wantID, h.verified(res.str("id_token"), "JWT")); diff != "" {
		t.Errorf("ID token: %s", diff)
	}
	wantBody := map[string]any{
		"access_token": res.body["access_token"], "id_token": res.body["id_token"], "token_type": "Bearer", "expires_in": 300.0,
		"scope": "openid calendar", "authorization_details": unmarshal(t, payment),
	}
	if diff := cmp.Diff(wantBody, res.body); diff != "" {
		t.Errorf("token response: %s", diff)
	}
	s := st.Settled
	if s.JTI != request.String() || s.ExpiresAt.Sub(s.IssuedAt) != 300*time.Second || s.GrantedDigest != st.Decided.GrantedDigest || s.Binding != "" {
		t.Errorf("settlement %+v", s)
	}
	asked, err := st.Request.AskedDigest()
	if err != nil || asked != st.Decided.GrantedDigest {
		t.Errorf("granted_digest %v, want the asked digest %v", st.Decided.GrantedDigest, asked)
	}
}

// TestSmallerYes: what was granted, not what was asked, reaches token, response
// and introspection.
func TestSmallerYes(t *testing.T) {
	t.Parallel()
	h := open(t)
	less := strings.Replace(payment, "50.00", "20.00", 1)
	res, request, _ := h.granted("agent", func(e *consent.Evidence) { e.Granted = json.RawMessage(less) }, "authorization_details", payment)
	want := unmarshal(t, less)
	access := h.verified(res.str("access_token"), "at+jwt")
	inspected := h.post("/introspect", "agent", params("token", res.str("access_token")))
	for name, got := range map[string]any{
		"response": res.body["authorization_details"], "token": access["authorization_details"], "introspection": inspected.body["authorization_details"],
	} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	digest, err := h.state(request).Request.GrantedDigest(json.RawMessage(less))
	if err != nil || access["granted_digest"] != digest.String() {
		t.Errorf("granted_digest %v, want %v (%v)", access["granted_digest"], digest, err)
	}
}

// TestIDTokenHint: an ID token names its subject to the client that it was
// issued to, also when it is over.
func TestIDTokenHint(t *testing.T) {
	t.Parallel()
	h := open(t)
	res, _, _ := h.granted("agent", nil)
	ask := func(client, token string) *response {
		return h.post("/bc-authorize", client, params("scope", "openid", "id_token_hint", token))
	}
	id := res.str("id_token")
	if res := ask("agent", id); res.status != http.StatusOK || h.pending().Request.Approver != "alice" {
		t.Errorf("own ID token: %d %s", res.status, res.raw)
	}
	h.forward(30 * 24 * time.Hour)
	if res := ask("agent", id); res.status != http.StatusOK {
		t.Errorf("own ID token after a month: %d %s", res.status, res.raw)
	}
	h.refused("of another client", ask("other", id), http.StatusBadRequest, ciba.InvalidRequest, "id_token_hint: ")
	h.refused("access token", ask("agent", res.str("access_token")), http.StatusBadRequest, ciba.InvalidRequest, "id_token_hint: ")
	h.refused("tampered", ask("agent", id[:len(id)-4]+"AAAA"), http.StatusBadRequest, ciba.InvalidRequest, "id_token_hint: ")
	h.forward(61 * 24 * time.Hour)
	h.refused("after three months", ask("agent", id), http.StatusBadRequest, ciba.InvalidRequest, "id_token_hint: ")
}

// TestIntrospection: RFC 7662. Only the token's client and who is configured
// for its audience learn anything.
func TestIntrospection(t *testing.T) {
	t.Parallel()
	h := open(t, client("third"))
	mine, _, _ := h.granted("agent", nil, "scope", "openid calendar")
	shared, request, _ := h.granted("agent", nil, "resource", "https://other.example")
	inspect := func(client, token string) *response {
		res := h.post("/introspect", client, params("token", token, "token_type_hint", "access_token"))
		h.sealed("introspection", res)
		return res
	}
	inactive := func(name, client, token string) {
		t.Helper()
		if res := inspect(client, token); res.status != http.StatusOK || cmp.Diff(map[string]any{"active": false}, res.body) != "" {
			t.Errorf("%s: %d %s, want only active: false", name, res.status, res.raw)
		}
	}
	want := h.verified(mine.str("access_token"), "at+jwt")
	want["active"], want["token_type"] = true, "Bearer"
	if diff := cmp.Diff(want, inspect("agent", mine.str("access_token")).body); diff != "" {
		t.Errorf("own token: %s", diff)
	}
	for _, c := range []string{"agent", "other"} {
		if res := inspect(c, shared.str("access_token")); res.body["active"] != true || res.body["aud"] != "https://other.example" {
			t.Errorf("token for other.example, asked by %s: %s", c, res.raw)
		}
	}
	inactive("not configured for this audience", "other", mine.str("access_token"))
	inactive("configured for nothing", "third", shared.str("access_token"))
	inactive("ID token", "agent", mine.str("id_token"))
	inactive("tampered", "agent", mine.str("access_token")[:80]+"A"+mine.str("access_token")[81:])
	inactive("made up", "agent", "x")
	h.refused("no token", h.post("/introspect", "agent", params("x", "y")), http.StatusBadRequest, ciba.InvalidRequest, "token: ")
	h.refused("no client", h.send(http.MethodPost, "/introspect", params("token", "x").Encode()), http.StatusUnauthorized, ciba.InvalidClient, "client_secret_basic")

	if res := h.post("/revoke", "agent", params("token", shared.str("access_token"))); res.status != http.StatusOK || res.raw != "" {
		t.Errorf("revoking: %d %s", res.status, res.raw)
	}
	if h.state(request).Status() != consent.StatusRevoked {
		t.Errorf("status %s, want revoked", h.state(request).Status())
	}
	inactive("revoked", "agent", shared.str("access_token"))
	inactive("revoked, asked by an API", "other", shared.str("access_token"))
	h.forward(280 * time.Second)
	if res := inspect("agent", mine.str("access_token")); res.body["active"] != true {
		t.Errorf("shortly before its end: %s", res.raw)
	}
	h.forward(20 * time.Second)
	inactive("over", "agent", mine.str("access_token"))
}

// TestRevocation: RFC 7009 §2. Another client's token is refused, what is no
// token is none any more.
func TestRevocation(t *testing.T) {
	t.Parallel()
	h := open(t)
	res, request, handle := h.granted("agent", nil)
	token := res.str("access_token")
	before := h.facts()
	h.refused("no token", h.post("/revoke", "agent", params("x", "y")), http.StatusBadRequest, ciba.InvalidRequest, "token: ")
	h.refused("of another client", h.post("/revoke", "other", params("token", token)), http.StatusBadRequest, ciba.InvalidGrant, "token: ")
	for _, none := range []string{"x", res.str("id_token"), token + "x", handle} {
		if res := h.post("/revoke", "agent", params("token", none, "token_type_hint", "refresh_token")); res.status != http.StatusOK {
			t.Errorf("revoking what is no token: %d %s", res.status, res.raw)
		}
	}
	if after := h.facts(); after != before {
		t.Errorf("%d facts were stored", after-before)
	}
	for range 2 {
		if res := h.post("/revoke", "agent", params("token", token)); res.status != http.StatusOK {
			t.Errorf("revoking: %d %s", res.status, res.raw)
		}
	}
	if after := h.facts(); after != before+1 || h.state(request).Revoked.By != "agent" {
		t.Errorf("%d facts were stored, want 1", after-before)
	}
}

// TestTakeBack: an agent withdraws what it asked for and cancels what it did
// not redeem; a token or a cancellation, never both.
func TestTakeBack(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, tt := range []struct {
		name   string
		before func(id consent.ID)
		want   consent.Status
		code   ciba.Code
	}{
		{"pending", func(consent.ID) {}, consent.StatusWithdrawn, ciba.AccessDenied},
		{"approved", func(id consent.ID) { h.decide(id, consent.Approved) }, consent.StatusCancelled, ciba.AccessDenied},
		{"denied", func(id consent.ID) { h.decide(id, consent.Denied) }, consent.StatusDenied, ciba.AccessDenied},
		{"over", func(consent.ID) { h.forward(301 * time.Second) }, consent.StatusExpired, ciba.ExpiredToken},
	} {
		handle := h.ask("agent").str("auth_req_id")
		id := h.pending().Request.ID
		tt.before(id)
		for range 2 {
			if res := h.post("/revoke", "agent", params("token", handle)); res.status != http.StatusOK {
				t.Errorf("%s: %d %s", tt.name, res.status, res.raw)
			}
		}
		if got := h.state(id).Status(); got != tt.want {
			t.Errorf("%s: status %s, want %s", tt.name, got, tt.want)
		}
		h.refused(tt.name, h.poll("agent", handle), http.StatusBadRequest, tt.code, "")
	}
}

// TestIntrospectRemoved: RFC 7592 §2.3, nothing is valid any more that a client
// was issued which has been removed since.
func TestIntrospectRemoved(t *testing.T) {
	t.Parallel()
	h := openSelf(t, client("gone"), self("gone-self"))
	const api = "https://other.example"
	asked, _, _ := h.granted("gone", nil, "resource", api)
	unasked := h.own("gone-self", "scope", "reports", "resource", api)
	for _, token := range []string{asked.str("access_token"), unasked.str("access_token")} {
		if !h.active("other", token) {
			t.Error("not active before")
		}
	}
	if err := h.SetFile([]consent.Client{client("other")}, people, nil); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{asked.str("access_token"), unasked.str("access_token")} {
		if h.active("other", token) {
			t.Error("active although its client has been removed")
		}
	}
}
