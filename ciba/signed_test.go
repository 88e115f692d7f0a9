package ciba_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ringback/ciba"
	"ringback/consent"
)

// TestSignedRequest: CIBA Core §7.1.1, and the stricter rules of FAPI-CIBA
// §5.2.2 that hold for every client here.
func TestSignedRequest(t *testing.T) {
	t.Parallel()
	ec, rsa, stranger := newSigner(t, "ES256", "ec"), newSigner(t, "PS256", "rsa"), newSigner(t, "ES256", "ec")
	h := open(t,
		keyed("ec", ec, func(c *consent.Client) { c.MustSign = true }), keyed("rsa", rsa), keyed("other-k", stranger),
		keyed("fapi", ec, func(c *consent.Client) { c.Profile = consent.ProfileFAPI }),
		keyed("es-only", rsa, func(c *consent.Client) { c.RequestAlg = "ES256" }),
	)
	now := h.now()
	asked := func(client string) claims {
		return claims{
			"iss": client, "aud": h.url, "jti": consent.NewID().String(), "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
			"scope": "openid", "login_hint": "alice",
		}
	}
	for _, tt := range []struct {
		name string
		s    *signer
		id   string
		head map[string]any
		with []any
	}{
		{"ES256", ec, "ec", nil, nil},
		{"PS256", rsa, "rsa", nil, nil},
		{"under the profile", ec, "fapi", nil, nil},
		{"typ in odd case", ec, "ec", map[string]any{"typ": "OAuth-AuthZ-Req+JWT"}, nil},
		{"expiry as text", ec, "ec", nil, []any{"requested_expiry", "30"}},
		{"expiry as number", ec, "ec", nil, []any{"requested_expiry", 300}},
		{"aud in a list", ec, "ec", nil, []any{"aud", []string{h.url}}},
		{"a request context", ec, "ec", nil, []any{"request_context", map[string]any{"ip": "192.0.2.1"}}},
		{"something unknown", ec, "ec", nil, []any{"unknown", 5, "also", nil}},
		{"details", ec, "ec", nil, []any{"authorization_details", []any{map[string]any{
			"type": "payment_initiation", "creditorName": "ACME GmbH", "creditorAccount": map[string]any{"iban": "DE89370400440532013000"},
			"instructedAmount": map[string]any{"amount": "50.00", "currency": "EUR"}}}}},
	} {
		res := h.as(tt.s, tt.id, "/bc-authorize", "request", tt.s.sign(tt.head, asked(tt.id).with(tt.with...)))
		if res.status != http.StatusOK {
			t.Errorf("%s: %d %s", tt.name, res.status, res.raw)
		}
	}

	used := ec.sign(nil, asked("ec"))
	h.as(ec, "ec", "/bc-authorize", "request", used)
	before := h.facts()
	for _, tt := range []struct {
		name    string
		request string
		says    string
	}{
		{"twice", used, "used before"},
		{"unsigned", "", "sign"},
		{"alg none", b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(`{}`)) + ".", ""},
		{"a bad signature", flipped(ec.sign(nil, asked("ec"))), "signature"},
		{"another client's key", stranger.sign(nil, asked("ec")), "signature"},
		{"typ of an assertion", ec.sign(map[string]any{"typ": "client-authentication+jwt"}, asked("ec")), "typ"},
		{"no aud", ec.sign(nil, asked("ec").with("aud", nil)), "aud"},
		{"another aud", ec.sign(nil, asked("ec").with("aud", "https://other.example")), "aud"},
		{"no iss", ec.sign(nil, asked("ec").with("iss", nil)), "iss"},
		{"iss in capitals", ec.sign(nil, asked("ec").with("iss", nil, "ISS", "ec")), "iss"},
		{"iss of another client", ec.sign(nil, asked("ec").with("iss", "other-k")), "iss"},
		{"no exp", ec.sign(nil, asked("ec").with("exp", nil)), "exp"},
		{"expired", ec.sign(nil, asked("ec").with("exp", now.Add(-time.Minute).Unix())), "expired"},
		{"exp in 70 minutes", ec.sign(nil, asked("ec").with("exp", now.Add(70*time.Minute).Unix())), "60 minutes"},
		{"no iat", ec.sign(nil, asked("ec").with("iat", nil)), "iat"},
		{"no nbf", ec.sign(nil, asked("ec").with("nbf", nil)), "nbf"},
		{"nbf in 10 minutes", ec.sign(nil, asked("ec").with("nbf", now.Add(10*time.Minute).Unix(), "exp", now.Add(15*time.Minute).Unix())), "clock"},
		{"nbf 70 minutes ago", ec.sign(nil, asked("ec").with("nbf", now.Add(-70*time.Minute).Unix())), "60 minutes"},
		{"no jti", ec.sign(nil, asked("ec").with("jti", nil)), "jti"},
		{"two hints", ec.sign(nil, asked("ec").with("id_token_hint", "x")), "exactly one"},
		{"a scope that is no text", ec.sign(nil, asked("ec").with("scope", []string{"openid"})), "scope"},
		{"a number as hint", ec.sign(nil, asked("ec").with("login_hint", 5)), "login_hint"},
		{"NUL", ec.sign(nil, asked("ec").with("login_hint", "a\x00b")), "NUL"},
		{"a member twice", ec.sign(nil, []byte(fmt.Sprintf(`{"iss":"ec","scope":"openid","scope":"openid payments","aud":%q}`, h.url))), ""},
		{"a member in another case", ec.sign(nil, []byte(fmt.Sprintf(`{"iss":"ec","scope":"openid","SCOPE":"openid payments","aud":%q}`, h.url))), ""},
		{"a list", ec.sign(nil, []byte(`[]`)), ""},
		{"huge", ec.sign(nil, asked("ec").with("x", strings.Repeat("x", 9000))), ""},
	} {
		h.refused(tt.name, h.as(ec, "ec", "/bc-authorize", "request", tt.request), http.StatusBadRequest, ciba.InvalidRequest, tt.says)
	}
	h.refused("RS256", h.as(rsa, "rsa", "/bc-authorize", "request", (&signer{t, "rsa", "RS256", rsa.key}).sign(nil, asked("rsa"))), http.StatusBadRequest, ciba.InvalidRequest, "")
	h.refused("another than the registered", h.as(rsa, "es-only", "/bc-authorize", "request", rsa.sign(nil, asked("es-only"))), http.StatusBadRequest, ciba.InvalidRequest, "")
	h.refused("a parameter beside it", h.as(ec, "ec", "/bc-authorize", "request", ec.sign(nil, asked("ec")), "scope", "openid"), http.StatusBadRequest, ciba.InvalidRequest, "inside")
	h.refused("not signed under the profile", h.as(ec, "fapi", "/bc-authorize", "scope", "openid", "login_hint", "alice"), http.StatusBadRequest, ciba.InvalidRequest, "sign")
	h.refused("of a client without keys", h.post("/bc-authorize", "agent", params("request", ec.sign(nil, asked("agent")))), http.StatusBadRequest, ciba.InvalidRequest, "keys")
	if got := h.facts(); got != before {
		t.Errorf("refused requests left %d facts", got-before)
	}
}

// flipped has another signature.
func flipped(token string) string {
	i := strings.LastIndexByte(token, '.') + 3
	letter := "A"
	if token[i] == 'A' {
		letter = "B"
	}
	return token[:i] + letter + token[i+1:]
}

// TestInteractionID: x-fapi-interaction-id comes back as it was sent (FAPI 1.0
// Baseline §6.2.1), and nothing else does.
func TestInteractionID(t *testing.T) {
	t.Parallel()
	h := open(t)
	for id, want := range map[string]string{
		"c770aef3-6784-41f7-8e0e-ff5f97bddb3a": "c770aef3-6784-41f7-8e0e-ff5f97bddb3a",
		"<script>alert(1)</script>-0123456789": "", "c770aef3": "",
	} {
		if got := h.post("/bc-authorize", "agent", params("scope", "openid"), "X-Fapi-Interaction-Id", id).header.Get("X-Fapi-Interaction-Id"); got != want {
			t.Errorf("%s: %q", id, got)
		}
	}
}
