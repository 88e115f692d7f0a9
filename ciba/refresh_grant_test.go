package ciba_test

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/ciba"
	"ringback/consent"
	"ringback/keys"
)

// renewing is a client that may have refresh tokens.
func renewing(id string, change ...func(*consent.Client)) consent.Client {
	return client(id, append([]func(*consent.Client){func(c *consent.Client) { c.GrantTypes = []string{ciba.GrantCIBA, ciba.GrantRefresh} }}, change...)...)
}

// openRenewing opens a house where "renewing" may renew for an hour.
func openRenewing(t testing.TB, extra ...consent.Client) *house {
	t.Helper()
	h := open(t, append(extra, renewing("renewing"))...)
	h.change(func(p *consent.Policy) { p.Lifetime.Renew = time.Hour })
	return h
}

// renew sends a refresh token.
func (h *house) renew(client, token string, pairs ...string) *response {
	h.t.Helper()
	return h.post("/token", client, params(append([]string{"grant_type", ciba.GrantRefresh, "refresh_token", token}, pairs...)...))
}

// offline is granted with refresh tokens.
func (h *house) offline(client string, pairs ...string) (res *response, request consent.ID) {
	h.t.Helper()
	res, request, _ = h.granted(client, nil, append([]string{"scope", "openid calendar offline_access"}, pairs...)...)
	return res, request
}

func (h *house) handles() *keys.Handles { return keys.NewHandles(h.Root) }

func (h *house) active(client, token string) bool {
	h.t.Helper()
	res := h.post("/introspect", client, params("token", token))
	if res.status != http.StatusOK {
		h.t.Fatalf("introspecting: %d %s", res.status, res.raw)
	}
	active, _ := res.body["active"].(bool)
	return active
}

// TestRefreshTokens: RFC 6749 §6, OpenID Connect Core §11 and §12.2: asked and
// granted like everything else, and then a token without asking again.
func TestRefreshTokens(t *testing.T) {
	t.Parallel()
	h := openRenewing(t)
	res, request := h.offline("renewing", "authorization_details", payment)
	st := h.state(request)
	if diff := cmp.Diff([]string{"openid", "calendar", "offline_access"}, st.Request.Scope); diff != "" || st.Request.Renewable != 3600 || res.str("scope") != "openid calendar offline_access" {
		t.Errorf("asked %+v, answered %s", st.Request, res.raw)
	}
	first := h.verified(res.str("access_token"), "at+jwt")
	hash := sha256.Sum256([]byte(res.str("refresh_token")))
	if id := h.verified(res.str("id_token"), "JWT"); id["urn:openid:params:jwt:claim:rt_hash"] != b64(hash[:16]) {
		t.Errorf("ID token %v, want the hash of the refresh token", id)
	}
	old := res
	for n, jti := range []string{request.String() + ".1", request.String() + ".2", request.String() + ".3"} {
		h.forward(200 * time.Second)
		if !h.active("renewing", old.str("refresh_token")) {
			t.Errorf("renewal %d: the refresh token is not active", n+1)
		}
		next := h.renew("renewing", old.str("refresh_token"))
		if next.status != http.StatusOK || next.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("renewal %d: %d %s", n+1, next.status, next.raw)
		}
		claims := h.verified(next.str("access_token"), "at+jwt")
		r := h.state(request).Renewals[n]
		want := map[string]any{}
		for k, v := range first {
			want[k] = v
		}
		want["jti"], want["iat"], want["exp"] = jti, float64(r.IssuedAt.Unix()), float64(r.ExpiresAt.Unix())
		if diff := cmp.Diff(want, claims); diff != "" || claims["exp"].(float64)-claims["iat"].(float64) != 300 {
			t.Errorf("renewal %d: %s", n+1, diff)
		}
		if r.N != n+1 || r.JTI != jti || r.Nonce == "" || r.Binding != "" {
			t.Errorf("renewal %d: stored %+v", n+1, r)
		}
		wantBody := map[string]any{
			"access_token": next.body["access_token"], "token_type": "Bearer", "expires_in": 300.0, "refresh_token": next.body["refresh_token"],
			"scope": "openid calendar offline_access", "authorization_details": unmarshal(t, payment),
		}
		if diff := cmp.Diff(wantBody, next.body); diff != "" || next.str("refresh_token") == old.str("refresh_token") || len(next.str("refresh_token")) < 43 {
			t.Errorf("renewal %d: %s", n+1, diff)
		}
		if !h.active("renewing", next.str("access_token")) || h.active("renewing", old.str("refresh_token")) {
			t.Errorf("renewal %d: the new access token is not active, or the used refresh token is", n+1)
		}
		old = next
	}
	if strings.Contains(h.logged(), old.str("refresh_token")) || strings.Contains(h.logged(), res.str("refresh_token")) {
		t.Error("the log has a refresh token")
	}
}

// TestRenewalEnds: no token outlives what the person agreed to.
func TestRenewalEnds(t *testing.T) {
	t.Parallel()
	h := openRenewing(t)
	res, request := h.offline("renewing")
	end := h.state(request).Decided.At.Add(time.Hour)
	h.forward(3500 * time.Second)
	next := h.renew("renewing", res.str("refresh_token"))
	claims := h.verified(next.str("access_token"), "at+jwt")
	if claims["exp"] != float64(end.Unix()) || next.body["expires_in"] != claims["exp"].(float64)-claims["iat"].(float64) {
		t.Errorf("exp %v, expires_in %v, want the end at %d", claims["exp"], next.body["expires_in"], end.Unix())
	}
	h.forward(100 * time.Second)
	before := h.facts()
	h.refused("over", h.renew("renewing", next.str("refresh_token")), http.StatusBadRequest, ciba.InvalidGrant, "refresh_token")
	if h.active("renewing", next.str("access_token")) || h.active("renewing", next.str("refresh_token")) {
		t.Error("something is active after the end")
	}
	if res := h.post("/revoke", "renewing", params("token", next.str("refresh_token"))); res.status != http.StatusOK || h.facts() != before {
		t.Errorf("revoking what is over: %d %s", res.status, res.raw)
	}
}

// TestNoRefreshToken: there is none that was not configured, registered and
// asked for.
func TestNoRefreshToken(t *testing.T) {
	t.Parallel()
	h := openRenewing(t)
	token := func(client, scope string) string {
		res, request, _ := h.granted(client, nil, "scope", scope)
		if token := res.str("refresh_token"); (token != "") != (h.state(request).Request.Renewable > 0) || strings.Contains(res.str("scope"), "offline_access") != (token != "") {
			t.Errorf("%s, scope %s: %s", client, scope, res.raw)
		}
		return res.str("refresh_token")
	}
	good := token("renewing", "offline_access openid")
	if good == "" || token("renewing", "openid") != "" || token("agent", "openid offline_access") != "" {
		t.Error("refresh tokens where there should be none, or the other way round")
	}
	h.refused("not registered", h.renew("agent", good), http.StatusBadRequest, ciba.UnauthorizedClient, "grant type refresh_token")
	h.refused("no token", h.renew("renewing", ""), http.StatusBadRequest, ciba.InvalidRequest, "refresh_token: missing")
	h.change(func(p *consent.Policy) { p.Lifetime.Renew = 0 })
	h.refused("not configured any more", h.renew("renewing", good), http.StatusBadRequest, ciba.UnsupportedGrantType, "no refresh tokens")
	if token("renewing", "openid offline_access") != "" {
		t.Error("a refresh token without a configured time")
	}
	// A request from then that is approved now.
	h.change(func(p *consent.Policy) { p.Lifetime.Renew = time.Hour })
	if res := h.renew("renewing", good); res.status != http.StatusOK {
		t.Errorf("configured again: %d %s", res.status, res.raw)
	}
}

// TestRefreshTokenReused: RFC 9700 §4.14.2. Who comes second with a token ends
// it for both.
func TestRefreshTokenReused(t *testing.T) {
	t.Parallel()
	h := openRenewing(t)
	first, request := h.offline("renewing")
	second := h.renew("renewing", first.str("refresh_token"))
	third := h.renew("renewing", second.str("refresh_token"))
	h.refused("used", h.renew("renewing", first.str("refresh_token")), http.StatusBadRequest, ciba.InvalidGrant, "revoked")
	if by := h.state(request).Revoked.By; by != consent.ByReuse {
		t.Errorf("revoked by %q", by)
	}
	before := h.facts()
	for name, res := range map[string]*response{"first": first, "second": second, "third": third} {
		h.refused(name, h.renew("renewing", res.str("refresh_token")), http.StatusBadRequest, ciba.InvalidGrant, "refresh_token")
		if h.active("renewing", res.str("access_token")) || h.active("renewing", res.str("refresh_token")) {
			t.Errorf("%s: still active", name)
		}
	}
	if after := h.facts(); after != before {
		t.Errorf("%d facts were stored about what is revoked", after-before)
	}
	if !strings.Contains(h.logged(), "refresh token came twice") {
		t.Error("nothing is logged")
	}
}

// TestReusedWhateverElseIsWrong: somebody who has a used token and little else
// right gives himself away all the same.
func TestReusedWhateverElseIsWrong(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]func(*house) []string{
		"a scope that was not granted": func(*house) []string { return []string{"scope", "payments"} },
		"another resource":             func(*house) []string { return []string{"resource", "https://other.example"} },
		"its time is over":             func(h *house) []string { h.forward(2 * time.Hour); return nil },
	} {
		h := openRenewing(t)
		first, request := h.offline("renewing")
		h.renew("renewing", first.str("refresh_token"))
		h.refused(name, h.renew("renewing", first.str("refresh_token"), wrong(h)...), http.StatusBadRequest, ciba.InvalidGrant, "revoked")
		if r := h.state(request).Revoked; r == nil || r.By != consent.ByReuse {
			t.Errorf("%s: revoked %+v", name, r)
		}
	}
}

// TestRefreshTokenRace: of fifty with one token at most one gets another, and
// that one is dead.
func TestRefreshTokenRace(t *testing.T) {
	t.Parallel()
	h := openRenewing(t)
	first, request := h.offline("renewing")
	answers := make([]*response, 50)
	var group sync.WaitGroup
	for i := range answers {
		group.Go(func() { answers[i] = h.renew("renewing", first.str("refresh_token")) })
	}
	group.Wait()
	won := 0
	for _, res := range answers {
		if res.status != http.StatusOK {
			h.refused("lost", res, http.StatusBadRequest, ciba.InvalidGrant, "refresh_token")
			continue
		}
		won++
		if h.active("renewing", res.str("access_token")) {
			t.Error("the winner's token is active")
		}
		h.refused("won", h.renew("renewing", res.str("refresh_token")), http.StatusBadRequest, ciba.InvalidGrant, "refresh_token")
	}
	if st := h.state(request); won > 1 || len(st.Renewals) != 1 || st.Revoked == nil {
		t.Errorf("%d won, %d renewals, %+v", won, len(st.Renewals), st.Revoked)
	}
}

// TestRefreshTokenOfOthers: ownership before state. Neither another client nor
// a forgery changes anything.
func TestRefreshTokenOfOthers(t *testing.T) {
	t.Parallel()
	h := openRenewing(t, renewing("thief"))
	first, request := h.offline("renewing")
	second := h.renew("renewing", first.str("refresh_token"))
	before := h.facts()
	token := second.str("refresh_token")
	var texts []string
	for i := range token {
		for _, c := range []string{"A", "B", ""} {
			if forged := token[:i] + c + token[i+1:]; forged != token {
				res := h.renew("renewing", forged)
				h.refused("forged", res, http.StatusBadRequest, ciba.InvalidGrant, "refresh_token")
				texts = append(texts, res.raw)
			}
		}
	}
	for name, used := range map[string]string{"used": first.str("refresh_token"), "live": token} {
		res := h.renew("thief", used)
		h.refused(name, res, http.StatusBadRequest, ciba.InvalidGrant, "refresh_token")
		texts = append(texts, res.raw)
		h.refused(name+", revoking", h.post("/revoke", "thief", params("token", used)), http.StatusBadRequest, ciba.InvalidGrant, "another client")
		if h.active("thief", used) {
			t.Errorf("%s: active for a stranger", name)
		}
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Fatalf("answers differ: %s and %s", text, texts[0])
		}
	}
	for _, other := range []string{first.str("access_token"), first.str("id_token"), "x", strings.Repeat("A", 48), strings.Repeat("A", 9000)} {
		h.refused("something else", h.renew("renewing", other), http.StatusBadRequest, ciba.InvalidGrant, "refresh_token")
	}
	if after := h.facts(); after != before || h.state(request).Revoked != nil {
		t.Errorf("%d facts were stored", after-before)
	}
	if res := h.renew("renewing", token); res.status != http.StatusOK {
		t.Errorf("the client itself: %d %s", res.status, res.raw)
	}
}

// TestRefreshTokenKey: RFC 9449 §5 and RFC 8705 §6: a bound grant is renewed
// with its key alone; without it even a used token revokes nothing.
func TestRefreshTokenKey(t *testing.T) {
	t.Parallel()
	key, other := newSigner(t, "ES256", "k"), newSigner(t, "ES256", "k2")
	cert, otherCert := key.certificate(nil), other.certificate(nil)
	h := openRenewing(t)
	proved := func(client, path string, s *signer, v ...string) *response {
		var header []string
		if s != nil {
			header = []string{"DPoP", s.proof(h, "POST", h.url+path)}
		}
		return h.post(path, client, params(v...), header...)
	}
	t.Run("DPoP", func(t *testing.T) {
		handle := h.ask("renewing", "scope", "openid offline_access").str("auth_req_id")
		request := h.pending().Request.ID
		h.decide(request, consent.Approved)
		first := proved("renewing", "/token", key, "grant_type", ciba.GrantCIBA, "auth_req_id", handle)
		renew := func(s *signer, token string) *response {
			return proved("renewing", "/token", s, "grant_type", ciba.GrantRefresh, "refresh_token", token)
		}
		second := renew(key, first.str("refresh_token"))
		if second.status != http.StatusOK || second.str("token_type") != "DPoP" || h.confirmed(second.str("access_token"))["jkt"] != key.thumbprint() {
			t.Fatalf("the key: %d %s", second.status, second.raw)
		}
		for name, token := range map[string]string{"live": second.str("refresh_token"), "used": first.str("refresh_token")} {
			h.refused(name+", no proof", renew(nil, token), http.StatusBadRequest, ciba.InvalidDPoPProof, "another key")
			h.refused(name+", another key", renew(other, token), http.StatusBadRequest, ciba.InvalidDPoPProof, "another key")
		}
		if st := h.state(request); st.Revoked != nil || len(st.Renewals) != 1 || st.Renewals[0].Binding != consent.Binding("jkt:"+key.thumbprint()) {
			t.Errorf("stored %+v, %+v", st.Renewals, st.Revoked)
		}
		h.refused("used, with the key", renew(key, first.str("refresh_token")), http.StatusBadRequest, ciba.InvalidGrant, "revoked")
	})
	t.Run("certificate", func(t *testing.T) {
		handle := h.ask("renewing", "scope", "openid offline_access").str("auth_req_id")
		h.decide(h.pending().Request.ID, consent.Approved)
		first := h.over(&cert, "/token", params("grant_type", ciba.GrantCIBA, "auth_req_id", handle, "client_id", "renewing", "client_secret", secret))
		v := params("grant_type", ciba.GrantRefresh, "refresh_token", first.str("refresh_token"), "client_id", "renewing", "client_secret", secret)
		h.refused("none", h.over(nil, "/token", v), http.StatusBadRequest, ciba.InvalidGrant, "certificate")
		h.refused("another", h.over(&otherCert, "/token", v), http.StatusBadRequest, ciba.InvalidGrant, "certificate")
		if res := h.over(&cert, "/token", v); res.status != http.StatusOK || h.confirmed(res.str("access_token"))["x5t#S256"] != certificateThumbprint(cert) {
			t.Errorf("the certificate: %d %s", res.status, res.raw)
		}
	})
	t.Run("none before, one now", func(t *testing.T) {
		first, _ := h.offline("renewing")
		res := proved("renewing", "/token", key, "grant_type", ciba.GrantRefresh, "refresh_token", first.str("refresh_token"))
		if res.status != http.StatusOK || h.confirmed(res.str("access_token"))["jkt"] != key.thumbprint() {
			t.Errorf("%d %s", res.status, res.raw)
		}
	})
}

// TestEndlessRenewal: the facts of a request are bounded.
func TestEndlessRenewal(t *testing.T) {
	t.Parallel()
	h := openRenewing(t)
	res, request := h.offline("renewing")
	st := h.state(request)
	for n := 1; n < consent.MaxRenewals; n++ {
		if err := h.Renew(t.Context(), request, consent.Renewal{V: consent.Version, N: n, At: st.Settled.At, Nonce: "n"}); err != nil {
			t.Fatal(err)
		}
	}
	last := h.renew("renewing", h.handles().RefreshToken(request, consent.MaxRenewals))
	if last.status != http.StatusOK || last.str("refresh_token") != "" || last.str("access_token") == "" {
		t.Errorf("the last: %d %s", last.status, last.raw)
	}
	h.refused("one more", h.renew("renewing", h.handles().RefreshToken(request, consent.MaxRenewals+1)), http.StatusBadRequest, ciba.InvalidGrant, "refresh_token")
	if h.state(request).Revoked != nil || res.str("refresh_token") == "" {
		t.Error("it was revoked")
	}
}
