package ciba_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/ciba"
	"ringback/consent"
)

const deferralType = "urn:ietf:params:oauth:token-type:deferral-code"

// self is a client that gets tokens of its own, for which alice is asked.
func self(id string, change ...func(*consent.Client)) consent.Client {
	return client(id, append([]func(*consent.Client){func(c *consent.Client) {
		c.GrantTypes, c.Approver, c.People = []string{ciba.GrantClientCredentials}, "alice", ""
	}}, change...)...)
}

// openSelf opens a house with the clients "self" and "self2", and the scope
// "reports", for which nobody is asked.
func openSelf(t testing.TB, extra ...consent.Client) *house {
	t.Helper()
	h := open(t, append(extra, self("self"), self("self2"))...)
	h.change(func(p *consent.Policy) { p.Scopes["reports"] = consent.Scope{Unattended: true} })
	return h
}

// own asks for a client's own token.
func (h *house) own(client string, pairs ...string) *response {
	h.t.Helper()
	return h.post("/token", client, params(append([]string{"grant_type", ciba.GrantClientCredentials, "scope", "calendar"}, pairs...)...))
}

// deferred asks for a client's own token and returns the deferral.
func (h *house) deferred(client string, pairs ...string) *response {
	h.t.Helper()
	res := h.own(client, append([]string{"completion_mode", "deferred"}, pairs...)...)
	if res.str("deferral_code") == "" {
		h.t.Fatalf("asking: %d %s", res.status, res.raw)
	}
	return res
}

// collect polls once for a deferred answer.
func (h *house) collect(client, code string, header ...string) *response {
	h.t.Helper()
	return h.post("/token", client, params("grant_type", ciba.GrantDeferred, "deferral_code", code), header...)
}

// TestDeferred: draft-ietf-oauth-deferred-token-response-01 §6.4 and §6.5, from
// the deferred answer to one token of the client's own, which says how it was
// approved but not by whom.
func TestDeferred(t *testing.T) {
	t.Parallel()
	h := openSelf(t)
	res := h.deferred("self", "authorization_details", payment, "binding_message", "Order 7", "requested_expiry", "600", "acr_values", consent.ACRMatch)
	h.sealed("deferred answer", res)
	code := res.str("deferral_code")
	st := h.pending()
	req := st.Request
	want := map[string]any{
		"error": "authorization_pending", "error_description": "the person has not answered yet",
		"deferral_code": code, "expires_in": 600.0, "interval": 5.0, "match_code": string(req.Bearers.MatchCode),
	}
	if diff := cmp.Diff(want, res.body); res.status != http.StatusBadRequest || diff != "" {
		t.Errorf("deferred answer: %d %s", res.status, diff)
	}
	if req.Grant != consent.GrantClientCredentials || req.Approver != "alice" || req.Client.ID != "self" || req.BindingMessage != "Order 7" ||
		!req.Narrowable || req.Mode != consent.Poll || cmp.Diff([]string{"calendar"}, req.Scope) != "" {
		t.Errorf("request %+v", req)
	}
	h.refused("pending", h.collect("self", code), http.StatusBadRequest, ciba.AuthorizationPending, "")
	h.refused("too early", h.collect("self", code), http.StatusBadRequest, ciba.SlowDown, "10 seconds")
	h.forward(10 * time.Second)
	h.refused("pending still", h.collect("self", code), http.StatusBadRequest, ciba.AuthorizationPending, "")

	h.decide(req.ID, consent.Approved)
	res = h.collect("self", code)
	h.sealed("token response", res)
	st = h.state(req.ID)
	iat := float64(st.Settled.IssuedAt.Unix())
	wantBody := map[string]any{
		"access_token": res.body["access_token"], "token_type": "Bearer", "expires_in": 300.0, "scope": "calendar",
		"authorization_details": unmarshal(t, payment),
	}
	if diff := cmp.Diff(wantBody, res.body); res.status != http.StatusOK || diff != "" {
		t.Fatalf("token response: %d %s %s", res.status, res.raw, diff)
	}
	token := res.str("access_token")
	wantClaims := map[string]any{
		"iss": h.url, "sub": "self", "client_id": "self", "aud": resource, "iat": iat, "exp": iat + 300, "jti": req.ID.String(),
		"scope": "calendar", "authorization_details": unmarshal(t, payment),
		"ringback_approval": map[string]any{
			"acr": consent.ACRMatch, "amr": []any{"dev"}, "approved_at": float64(st.Decided.At.Unix()),
			"granted_digest": st.Decided.GrantedDigest.String(), "request": req.ID.String(),
		},
	}
	claims := h.verified(token, "at+jwt")
	if diff := cmp.Diff(wantClaims, claims); diff != "" {
		t.Errorf("access token: %s", diff)
	}
	wantClaims["active"], wantClaims["token_type"] = true, "Bearer"
	if diff := cmp.Diff(wantClaims, h.post("/introspect", "self", params("token", token)).body); diff != "" {
		t.Errorf("introspection: %s", diff)
	}

	// §6.5: redeemed once; §8.2 item 3: the code is not the token.
	h.refused("redeemed twice", h.collect("self", code), http.StatusBadRequest, ciba.InvalidGrant, "has been redeemed")
	if res := h.post("/revoke", "self", params("token", code, "token_type_hint", deferralType)); res.status != http.StatusOK {
		t.Errorf("revoking a redeemed code: %d %s", res.status, res.raw)
	}
	if res := h.post("/introspect", "self", params("token", token)); res.body["active"] != true {
		t.Error("revoking the code has revoked the token")
	}
	if res := h.post("/revoke", "self", params("token", token)); res.status != http.StatusOK || h.state(req.ID).Status() != consent.StatusRevoked {
		t.Errorf("revoking the token: %d %s", res.status, res.raw)
	}
	if res := h.post("/introspect", "self", params("token", token)); res.body["active"] != false {
		t.Errorf("introspection of a revoked token: %s", res.raw)
	}
	for _, bearer := range []string{code, token} {
		if strings.Contains(h.logged(), bearer) {
			t.Error("the log has a bearer")
		}
	}
}

// TestDeferredSmallerYes: §4.1 item 1, a deferral yields at most what was asked.
func TestDeferredSmallerYes(t *testing.T) {
	t.Parallel()
	h := openSelf(t)
	code := h.deferred("self", "authorization_details", payment).str("deferral_code")
	less := strings.Replace(payment, "50.00", "20.00", 1)
	h.decide(h.pending().Request.ID, consent.Approved, func(e *consent.Evidence) { e.Granted = json.RawMessage(less) })
	res := h.collect("self", code)
	for name, got := range map[string]any{
		"response": res.body["authorization_details"], "token": h.verified(res.str("access_token"), "at+jwt")["authorization_details"],
	} {
		if diff := cmp.Diff(unmarshal(t, less), got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestDeferredEnds: §6.6 and §8.2, every way to get nothing.
func TestDeferredEnds(t *testing.T) {
	t.Parallel()
	h := openSelf(t)
	revoke := func(code string) {
		t.Helper()
		for range 2 { // §8.3
			res := h.post("/revoke", "self", params("token", code, "token_type_hint", deferralType))
			if res.status != http.StatusOK || res.raw != "" {
				t.Errorf("cancelling: %d %s", res.status, res.raw)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		happen func(id consent.ID, code string)
		status consent.Status
		code   ciba.Code
	}{
		{"denied", func(id consent.ID, _ string) { h.decide(id, consent.Denied) }, consent.StatusDenied, ciba.AccessDenied},
		{"cancelled while pending", func(_ consent.ID, code string) { revoke(code) }, consent.StatusWithdrawn, ciba.AccessDenied},
		{"cancelled when approved", func(id consent.ID, code string) { h.decide(id, consent.Approved); revoke(code) }, consent.StatusCancelled, ciba.AccessDenied},
		{"cancelled when denied", func(id consent.ID, code string) { h.decide(id, consent.Denied); revoke(code) }, consent.StatusDenied, ciba.AccessDenied},
		{"nobody answered", func(consent.ID, string) { h.forward(301 * time.Second) }, consent.StatusExpired, ciba.ExpiredToken},
		{"cancelled when over", func(_ consent.ID, code string) { h.forward(301 * time.Second); revoke(code) }, consent.StatusExpired, ciba.ExpiredToken},
		{"nobody came for it", func(id consent.ID, _ string) { h.decide(id, consent.Approved); h.forward(301 * time.Second) }, consent.StatusExpired, ciba.ExpiredToken},
	} {
		code := h.deferred("self").str("deferral_code")
		id := h.pending().Request.ID
		tt.happen(id, code)
		for range 2 {
			h.refused(tt.name, h.collect("self", code), http.StatusBadRequest, tt.code, "")
		}
		if got := h.state(id).Status(); got != tt.status {
			t.Errorf("%s: status %s, want %s", tt.name, got, tt.status)
		}
	}
}

// TestDeferredOwnership: §6.6, unknown and another client's are one answer, at
// both endpoints, and change nothing. A handle of one kind is none of another.
func TestDeferredOwnership(t *testing.T) {
	t.Parallel()
	both := func(c *consent.Client) { c.GrantTypes, c.People = append(c.GrantTypes, ciba.GrantCIBA), "any" }
	h := openSelf(t, self("both", both), self("thief", both))
	code := h.deferred("both").str("deferral_code")
	id := h.pending().Request.ID
	h.decide(id, consent.Approved)
	handle := h.ask("both").str("auth_req_id")
	h.decide(h.pending().Request.ID, consent.Approved)
	before := h.facts()
	foreign := h.collect("thief", code)
	for name, res := range map[string]*response{
		"foreign": foreign, "unknown": h.collect("both", "x"), "cut": h.collect("both", code[:len(code)-1]), "changed": h.collect("both", altered(code)),
		"an auth_req_id": h.collect("both", handle),
	} {
		h.refused(name, res, http.StatusBadRequest, ciba.InvalidGrant, "deferral_code is unknown")
		if res.raw != foreign.raw {
			t.Errorf("%s: %s, want what a foreign one gets, %s", name, res.raw, foreign.raw)
		}
	}
	h.refused("a deferral code as auth_req_id", h.poll("both", code), http.StatusBadRequest, ciba.InvalidGrant, "auth_req_id is unknown")
	h.refused("none", h.collect("both", ""), http.StatusBadRequest, ciba.InvalidRequest, "deferral_code: ")
	h.refused("with completion_mode", h.post("/token", "both", params("grant_type", ciba.GrantDeferred, "deferral_code", code, "completion_mode", "deferred")),
		http.StatusBadRequest, ciba.InvalidRequest, "completion_mode: ")
	for name, token := range map[string]string{"foreign": code, "unknown": "x", "changed": altered(code)} {
		if res := h.post("/revoke", "thief", params("token", token)); res.status != http.StatusOK || res.raw != "" {
			t.Errorf("cancelling %s: %d %s", name, res.status, res.raw)
		}
	}
	if res := h.post("/introspect", "both", params("token", code)); res.body["active"] != false {
		t.Errorf("introspecting a deferral code: %s", res.raw)
	}
	if got := h.facts(); got != before {
		t.Errorf("%d facts were stored", got-before)
	}
	if res := h.collect("both", code); res.status != http.StatusOK {
		t.Errorf("its owner: %d %s", res.status, res.raw)
	}
}

// altered changes a character in the middle of s.
func altered(s string) string {
	i, c := len(s)/2, byte('A')
	if s[i] == c {
		c = 'B'
	}
	return s[:i] + string(c) + s[i+1:]
}

// TestDeferredKey: §11.1, the key of the first request is needed for every
// poll, for the token and for cancelling.
func TestDeferredKey(t *testing.T) {
	t.Parallel()
	key, other := newSigner(t, "ES256", "k"), newSigner(t, "ES256", "k2")
	cert, otherCert := key.certificate(nil), other.certificate(nil)
	h := openSelf(t, self("proved", func(c *consent.Client) { c.DPoPBound = true }))
	first := params("grant_type", ciba.GrantClientCredentials, "scope", "calendar", "completion_mode", "deferred")
	proof := func(s *signer, path string) []string { return []string{"DPoP", s.proof(h, "POST", h.url+path)} }
	h.refused("no proof where tokens are bound", h.post("/token", "proved", first), http.StatusBadRequest, ciba.InvalidRequest, "DPoP")

	code := h.post("/token", "self", first, proof(key, "/token")...).str("deferral_code")
	id := h.pending().Request.ID
	h.decide(id, consent.Approved)
	for name, header := range map[string][]string{"no proof": nil, "another key": proof(other, "/token")} {
		h.refused("polling, "+name, h.collect("self", code, header...), http.StatusBadRequest, ciba.InvalidDPoPProof, "another key")
	}
	for name, header := range map[string][]string{"no proof": nil, "another key": proof(other, "/revoke")} {
		h.refused("cancelling, "+name, h.post("/revoke", "self", params("token", code), header...), http.StatusBadRequest, ciba.InvalidDPoPProof, "another key")
	}
	if res := h.post("/revoke", "self2", params("token", code), proof(other, "/revoke")...); res.status != http.StatusOK {
		t.Errorf("cancelling as another client: %d %s", res.status, res.raw)
	}
	if st := h.state(id); st.Settled != nil {
		t.Fatalf("settled %+v", st.Settled)
	}
	res := h.collect("self", code, proof(key, "/token")...)
	if res.status != http.StatusOK || res.str("token_type") != "DPoP" || h.confirmed(res.str("access_token"))["jkt"] != key.thumbprint() {
		t.Errorf("the key: %d %s", res.status, res.raw)
	}

	code = h.post("/token", "self", first, proof(key, "/token")...).str("deferral_code")
	id = h.pending().Request.ID
	if res := h.post("/revoke", "self", params("token", code), proof(key, "/revoke")...); res.status != http.StatusOK || h.state(id).Status() != consent.StatusWithdrawn {
		t.Errorf("cancelling with the key: %d %s", res.status, res.raw)
	}

	first.Set("client_id", "self")
	first.Set("client_secret", secret)
	code = h.over(&cert, "/token", first).str("deferral_code")
	id = h.pending().Request.ID
	h.decide(id, consent.Approved)
	poll := params("grant_type", ciba.GrantDeferred, "deferral_code", code, "client_id", "self", "client_secret", secret)
	revoke := params("token", code, "client_id", "self", "client_secret", secret)
	h.refused("another certificate", h.over(&otherCert, "/token", poll), http.StatusBadRequest, ciba.InvalidGrant, "certificate")
	h.refused("no certificate", h.collect("self", code), http.StatusBadRequest, ciba.InvalidGrant, "certificate")
	h.refused("cancelling with another certificate", h.over(&otherCert, "/revoke", revoke), http.StatusBadRequest, ciba.InvalidGrant, "certificate")
	if res := h.over(&cert, "/token", poll); res.status != http.StatusOK || h.confirmed(res.str("access_token"))["x5t#S256"] != certificateThumbprint(cert) {
		t.Errorf("the certificate: %d %s", res.status, res.raw)
	}
}

// TestDeferredLongPoll: a held poll returns with the decision; the first
// request is not held.
func TestDeferredLongPoll(t *testing.T) {
	t.Parallel()
	h := openSelf(t)
	res := h.post("/token", "self", params("grant_type", ciba.GrantClientCredentials, "scope", "calendar", "completion_mode", "deferred"), "Prefer", "wait=25")
	if res.header.Get("Preference-Applied") != "" {
		t.Error("the first request says that it was held")
	}
	done := make(chan *response)
	go func() {
		res, err := h.try(t.Context(), http.MethodPost, "/token", params("grant_type", ciba.GrantDeferred, "deferral_code", res.str("deferral_code")).Encode(),
			"Authorization", basic("self", secret), "Prefer", "wait=25")
		if err != nil {
			t.Error(err)
		}
		done <- res
	}()
	h.held(1)
	h.decide(h.pending().Request.ID, consent.Approved)
	if res := <-done; res.status != http.StatusOK || res.header.Get("Preference-Applied") != "wait=25" {
		t.Errorf("%d %s", res.status, res.raw)
	}
}

// TestDeferredRaces: §8.2 item 4, polls and cancellations of one approved
// request yield one token or one cancellation, never both.
func TestDeferredRaces(t *testing.T) {
	t.Parallel()
	h := openSelf(t)
	h.agent.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	send := func(ctx context.Context, path, body string) *response {
		res, err := h.try(ctx, http.MethodPost, path, body, "Authorization", basic("self", secret))
		if err != nil {
			t.Error(err)
		}
		return res
	}
	for range races {
		code := h.deferred("self").str("deferral_code")
		id := h.pending().Request.ID
		h.decide(id, consent.Approved)
		poll := params("grant_type", ciba.GrantDeferred, "deferral_code", code).Encode()
		revoke := params("token", code).Encode()
		var mu sync.Mutex
		var wg sync.WaitGroup
		tokens := 0
		for i := range 50 {
			wg.Go(func() {
				if i%5 == 4 {
					send(t.Context(), "/revoke", revoke)
				} else if res := send(t.Context(), "/token", poll); res != nil && res.status == http.StatusOK {
					mu.Lock()
					tokens++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		want := map[consent.Status]int{consent.StatusRedeemed: 1, consent.StatusCancelled: 0}
		if n, ok := want[h.state(id).Status()]; !ok || n != tokens {
			t.Fatalf("%d tokens and status %s", tokens, h.state(id).Status())
		}
	}
}
