package ciba_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/ciba"
	"ringback/consent"
	"ringback/keys"
)

// TestProof: DPoP proofs (RFC 9449 §4.3), at either endpoint.
func TestProof(t *testing.T) {
	t.Parallel()
	key, stranger := newSigner(t, "ES256", "k"), newSigner(t, "ES256", "k2")
	h := open(t)
	uri := h.url + "/bc-authorize"
	ask := func(proof ...string) *response {
		return h.post("/bc-authorize", "agent", params("scope", "openid", "login_hint", "alice"), proof...)
	}
	if res := ask("DPoP", key.proof(h, "POST", uri)); res.status != http.StatusOK {
		t.Fatalf("a good proof: %d %s", res.status, res.raw)
	}
	for _, good := range []string{
		key.proof(h, "POST", uri+"?x=y"), key.proof(h, "POST", uri+"#x"), key.proof(h, "POST", strings.Replace(uri, "http", "HTTP", 1)),
		key.proof(h, "POST", h.mtls.URL+"/bc-authorize"), key.proof(h, "POST", uri, "iat", h.now().Add(-50*time.Second).Unix()),
	} {
		if res := ask("DPoP", good); res.status != http.StatusOK {
			t.Errorf("a good proof: %d %s", res.status, res.raw)
		}
	}
	used := key.proof(h, "POST", uri)
	ask("DPoP", used)
	c := claims{"jti": "a", "htm": "POST", "htu": uri, "iat": h.now().Unix()}
	header := map[string]any{"typ": "dpop+jwt", "jwk": key.jwk(nil), "kid": nil}
	before := h.facts()
	for _, tt := range []struct{ name, proof, says string }{
		{"twice", used, "used before"},
		{"no JWT", "x", ""},
		{"another method", key.proof(h, "GET", uri), "htm"},
		{"htm in capitals", key.proof(h, "POST", uri, "htm", nil, "HTM", "POST"), "htm"},
		{"method in lower case", key.proof(h, "post", uri), "htm"},
		{"another path", key.proof(h, "POST", h.url+"/token"), "htu"},
		{"another host", key.proof(h, "POST", "https://attacker.example/bc-authorize"), "htu"},
		{"a longer path", key.proof(h, "POST", uri+"/"), "htu"},
		{"with a user", key.proof(h, "POST", strings.Replace(uri, "://", "://u@", 1)), "htu"},
		{"no htu", key.proof(h, "POST", uri, "htu", nil), "htu"},
		{"no jti", key.proof(h, "POST", uri, "jti", nil), "jti"},
		{"no iat", key.proof(h, "POST", uri, "iat", nil), "iat"},
		{"old", key.proof(h, "POST", uri, "iat", h.now().Add(-2*time.Minute).Unix()), "clock"},
		{"from the future", key.proof(h, "POST", uri, "iat", h.now().Add(2*time.Minute).Unix()), "clock"},
		{"another key in it", stranger.sign(header, c), ""},
		{"no key in it", key.sign(map[string]any{"typ": "dpop+jwt", "kid": nil}, c), ""},
		{"a private key in it", key.sign(map[string]any{"typ": "dpop+jwt", "jwk": key.jwk(map[string]any{"d": b64(make([]byte, 32))}), "kid": nil}, c), ""},
		{"another typ", key.sign(map[string]any{"typ": "JWT", "jwk": key.jwk(nil), "kid": nil}, c), ""},
		{"no typ", key.sign(map[string]any{"jwk": key.jwk(nil), "kid": nil}, c), ""},
	} {
		h.refused(tt.name, ask("DPoP", tt.proof), http.StatusBadRequest, ciba.InvalidDPoPProof, tt.says)
	}
	if got := h.facts(); got != before {
		t.Errorf("refused requests left %d facts", got-before)
	}
}

// TestProofTwice: two DPoP headers are none (RFC 9449 §4.3 item 1).
func TestProofTwice(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "ES256", "k")
	h := open(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/bc-authorize", strings.NewReader(params("scope", "openid", "login_hint", "alice").Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header["Dpop"] = []string{key.proof(h, "POST", h.url+"/bc-authorize"), key.proof(h, "POST", h.url+"/bc-authorize")}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", basic("agent", secret))
	res, err := h.agent.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body map[string]any
	if json.NewDecoder(res.Body).Decode(&body); body["error"] != string(ciba.InvalidDPoPProof) {
		t.Errorf("two proofs: %d %v", res.StatusCode, body)
	}
}

// TestNonce: where policy wants nonces, a proof without a live one gets a new
// one to try again with (RFC 9449 §8).
func TestNonce(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "ES256", "k")
	h := open(t)
	ask := func(changes ...any) *response {
		return h.post("/bc-authorize", "agent", params("scope", "openid", "login_hint", "alice"), "DPoP", key.proof(h, "POST", h.url+"/bc-authorize", changes...))
	}
	h.refused("a nonce of somebody else", ask("nonce", "x"), http.StatusBadRequest, ciba.UseDPoPNonce, "DPoP-Nonce")
	h.change(func(p *consent.Policy) { p.DPoPNonce = true })
	res := ask()
	h.refused("no nonce", res, http.StatusBadRequest, ciba.UseDPoPNonce, "DPoP-Nonce")
	nonce := res.header.Get("DPoP-Nonce")
	if res := ask("nonce", nonce); res.status != http.StatusOK {
		t.Errorf("with the nonce: %d %s", res.status, res.raw)
	}
	h.forward(10 * time.Minute)
	if res := ask("nonce", nonce); res.str("error") != string(ciba.UseDPoPNonce) || res.header.Get("DPoP-Nonce") == nonce {
		t.Errorf("an old nonce: %d %s", res.status, res.raw)
	}
}

// confirmed returns the cnf claim of an access token of ours.
func (h *house) confirmed(token string) map[string]any {
	h.t.Helper()
	payload, err := h.ring.Verify(token, "at+jwt")
	if err != nil {
		h.t.Fatal(err)
	}
	var c struct {
		Confirmation map[string]any `json:"cnf"`
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		h.t.Fatal(err)
	}
	return c.Confirmation
}

// TestSenderKey: the key of the request is pinned for every poll; without one
// the token is bound to the key of the redemption.
func TestSenderKey(t *testing.T) {
	t.Parallel()
	key, other := newSigner(t, "ES256", "k"), newSigner(t, "ES256", "k2")
	cert, otherCert := key.certificate(nil), other.certificate(nil)
	h := open(t, client("bound", func(c *consent.Client) { c.CertificateBound = true }),
		client("proved", func(c *consent.Client) { c.DPoPBound = true }))
	token := h.url + "/token"
	poll := func(client, id string, header ...string) *response {
		h.forward(6 * time.Second)
		return h.poll(client, id, header...)
	}
	with := func(s *signer) []string { return []string{"DPoP", s.proof(h, "POST", token)} }
	pollOver := func(client, id string, over int) *response {
		h.forward(6 * time.Second)
		v := params("grant_type", ciba.GrantCIBA, "auth_req_id", id, "client_id", client, "client_secret", secret)
		switch over {
		case 1:
			return h.over(&cert, "/token", v)
		case 2:
			return h.over(&otherCert, "/token", v)
		}
		return h.over(nil, "/token", v)
	}

	t.Run("a proof with the request", func(t *testing.T) {
		ack := h.post("/bc-authorize", "agent", params("scope", "openid", "login_hint", "alice"), "DPoP", key.proof(h, "POST", h.url+"/bc-authorize"))
		id := ack.str("auth_req_id")
		for _, state := range []string{"pending", "approved"} {
			h.refused(state+": no proof", poll("agent", id), http.StatusBadRequest, ciba.InvalidDPoPProof, "another key")
			h.refused(state+": another key", poll("agent", id, with(other)...), http.StatusBadRequest, ciba.InvalidDPoPProof, "another key")
			h.refused(state+": a certificate", pollOver("agent", id, 1), http.StatusBadRequest, ciba.InvalidDPoPProof, "another key")
			h.refused(state+": another client", poll("other", id, with(key)...), http.StatusBadRequest, ciba.InvalidGrant, "another client")
			if state == "pending" {
				h.refused("pending: the key", poll("agent", id, with(key)...), http.StatusBadRequest, ciba.AuthorizationPending, "")
				h.decide(h.pending().Request.ID, consent.Approved)
			}
		}
		res := poll("agent", id, with(key)...)
		if res.status != http.StatusOK || res.str("token_type") != "DPoP" || h.confirmed(res.str("access_token"))["jkt"] != key.thumbprint() {
			t.Errorf("the key: %d %s", res.status, res.raw)
		}
	})
	t.Run("a certificate with the request", func(t *testing.T) {
		ack := h.over(&cert, "/bc-authorize", params("scope", "openid", "login_hint", "alice", "client_id", "agent", "client_secret", secret))
		id := ack.str("auth_req_id")
		for _, state := range []string{"pending", "approved"} {
			h.refused(state+": no certificate", poll("agent", id), http.StatusBadRequest, ciba.InvalidGrant, "certificate")
			h.refused(state+": another", pollOver("agent", id, 2), http.StatusBadRequest, ciba.InvalidGrant, "certificate")
			if state == "pending" {
				h.decide(h.pending().Request.ID, consent.Approved)
			}
		}
		res := pollOver("agent", id, 1)
		if res.status != http.StatusOK || res.str("token_type") != "Bearer" || h.confirmed(res.str("access_token"))["x5t#S256"] != certificateThumbprint(cert) {
			t.Errorf("the certificate: %d %s", res.status, res.raw)
		}
	})
	t.Run("a proof with the redemption", func(t *testing.T) {
		id := h.ask("agent").str("auth_req_id")
		h.decide(h.pending().Request.ID, consent.Approved)
		res := poll("agent", id, with(other)...)
		if res.status != http.StatusOK || h.confirmed(res.str("access_token"))["jkt"] != other.thumbprint() {
			t.Errorf("%d %s", res.status, res.raw)
		}
		h.refused("again", poll("agent", id, with(other)...), http.StatusBadRequest, ciba.InvalidGrant, "redeemed")
	})
	t.Run("nothing at all", func(t *testing.T) {
		id := h.ask("agent").str("auth_req_id")
		h.decide(h.pending().Request.ID, consent.Approved)
		if res := poll("agent", id); res.status != http.StatusOK || h.confirmed(res.str("access_token")) != nil || res.str("token_type") != "Bearer" {
			t.Errorf("%d %s", res.status, res.raw)
		}
	})
	t.Run("clients that must be bound", func(t *testing.T) {
		for _, client := range []string{"bound", "proved"} {
			id := h.ask(client).str("auth_req_id")
			h.refused(client+": no key while pending", poll(client, id), http.StatusBadRequest, ciba.InvalidRequest, "bound")
			h.decide(h.pending().Request.ID, consent.Approved)
			h.refused(client+": no key", poll(client, id), http.StatusBadRequest, ciba.InvalidRequest, "bound")
			var res *response
			if client == "bound" {
				h.refused("bound: a proof", poll(client, id, with(key)...), http.StatusBadRequest, ciba.InvalidRequest, "certificate")
				res = pollOver(client, id, 1)
			} else {
				h.refused("proved: a certificate", pollOver(client, id, 1), http.StatusBadRequest, ciba.InvalidRequest, "DPoP")
				res = poll(client, id, with(key)...)
			}
			if res.status != http.StatusOK || h.confirmed(res.str("access_token")) == nil {
				t.Errorf("%s: %d %s", client, res.status, res.raw)
			}
		}
	})
}

// blind is a store whose memory does not know any request yet, as in a process
// that others are ahead of.
type blind struct{ consent.Store }

func (blind) Peek(consent.ID) (consent.Brief, bool) { return consent.Brief{}, false }

// TestSenderKeyElsewhere: whoever lacks the pinned key neither learns the state
// of a request nor slows its polls down, also where memory does not know it.
func TestSenderKeyElsewhere(t *testing.T) {
	t.Parallel()
	h := open(t)
	key := newSigner(t, "ES256", "k")
	door, err := ciba.NewServer(ciba.Config{
		Issuer: h.url, Store: blind{h.Store}, Directory: h.Store, Handles: keys.NewHandles(h.Root), Ring: h.ring, Details: h.reg, Clients: h.config.Clients,
		Policy: h.policy.Load, Dev: true, Now: h.now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	door.Register(e)
	there := httptest.NewServer(e)
	t.Cleanup(there.Close)
	id := h.post("/bc-authorize", "agent", params("scope", "openid", "login_hint", "alice"), "DPoP", key.proof(h, "POST", h.url+"/bc-authorize")).str("auth_req_id")
	poll := func(header ...string) *response {
		res, err := h.exchange(t.Context(), there.Client(), http.MethodPost, there.URL+"/token", params("grant_type", ciba.GrantCIBA, "auth_req_id", id).Encode(),
			append([]string{"Authorization", basic("agent", secret)}, header...)...)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	for range 3 {
		h.refused("no proof", poll(), http.StatusBadRequest, ciba.InvalidDPoPProof, "another key")
	}
	h.refused("the key", poll("DPoP", key.proof(h, "POST", h.url+"/token")), http.StatusBadRequest, ciba.AuthorizationPending, "")
}

// TestTakeBackKey: the pinned key is needed for taking a request back as well.
func TestTakeBackKey(t *testing.T) {
	t.Parallel()
	h := open(t)
	key, other := newSigner(t, "ES256", "k"), newSigner(t, "ES256", "k2")
	token := h.post("/bc-authorize", "agent", params("scope", "openid", "login_hint", "alice"), "DPoP", key.proof(h, "POST", h.url+"/bc-authorize")).str("auth_req_id")
	id := h.pending().Request.ID
	back := func(header ...string) *response { return h.post("/revoke", "agent", params("token", token), header...) }
	h.refused("no proof", back(), http.StatusBadRequest, ciba.InvalidDPoPProof, "another key")
	h.refused("another key", back("DPoP", other.proof(h, "POST", h.url+"/revoke")), http.StatusBadRequest, ciba.InvalidDPoPProof, "another key")
	if got := h.state(id).Status(); got != consent.StatusPending {
		t.Errorf("status %s, want pending", got)
	}
	if res := back("DPoP", key.proof(h, "POST", h.url+"/revoke")); res.status != http.StatusOK || h.state(id).Status() != consent.StatusWithdrawn {
		t.Errorf("the key: %d %s", res.status, res.raw)
	}
}
