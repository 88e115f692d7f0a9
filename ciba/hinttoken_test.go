package ciba_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/ciba"
	"ringback/consent"
)

const hintIssuer = "https://people.example.com"

// trust lets hints of an issuer count.
func (h *house) trust(iss string, from consent.HintIssuer) {
	h.change(func(p *consent.Policy) { p.HintIssuers[iss] = from })
}

// hinted are the claims of a good hint about alice.
func (h *house) hinted(changes ...any) claims {
	now := h.now()
	return claims{"iss": hintIssuer, "aud": h.url, "sub": "alice", "jti": consent.NewID().String(), "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}.with(changes...)
}

// withHint asks with a login_hint_token.
func (h *house) withHint(token string, more ...string) *response {
	h.t.Helper()
	return h.post("/bc-authorize", "agent", params(append([]string{"scope", "openid", "login_hint_token", token}, more...)...))
}

// TestHintToken: login_hint_token (CIBA Core §7.1).
func TestHintToken(t *testing.T) {
	t.Parallel()
	key, stranger, rsa := newSigner(t, "ES256", "k"), newSigner(t, "ES256", "k"), newSigner(t, "RS256", "rsa")
	h := open(t)
	h.refused("where nobody is trusted", h.withHint(key.sign(nil, h.hinted())), http.StatusBadRequest, ciba.InvalidRequest, "not supported")
	h.trust(hintIssuer, consent.HintIssuer{JWKS: jwks(key, rsa)})
	h.trust("https://others.example.com", consent.HintIssuer{JWKS: jwks(stranger)})
	names := func(name, person string, changes ...any) {
		t.Helper()
		before := h.History(h.Pseudonym(person)).Open
		if res := h.withHint(key.sign(map[string]any{"typ": "JWT"}, h.hinted(changes...))); res.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, res.status, res.raw)
		} else if after := h.History(h.Pseudonym(person)).Open; len(after) != len(before)+1 {
			t.Errorf("%s: %s was not asked", name, person)
		}
	}
	names("by sub", "alice")
	names("without typ", "alice", "typ", nil)
	names("for one in a list", "alice", "aud", []string{h.url})
	names("by id", "alice", "sub", nil, "sub_id", map[string]any{"format": "opaque", "id": "alice"})
	names("by e-mail address", "bob", "sub", nil, "sub_id", map[string]any{"format": "email", "email": "bob@example.com"})
	names("by number", "bob", "sub", nil, "sub_id", map[string]any{"format": "phone_number", "phone_number": "+12025550102"})
	names("by our own name", "alice", "sub", nil, "sub_id", map[string]any{"format": "iss_sub", "iss": h.url, "sub": "alice"})
	names("by sub_id beside sub", "bob", "sub_id", map[string]any{"format": "opaque", "id": "bob"})
	names("at its end", "alice", "exp", h.now().Add(-9*time.Second).Unix())
	names("as far as it goes", "alice", "exp", h.now().Add(59*time.Minute).Unix())
	names("of a clock ahead", "alice", "iat", h.now().Add(20*time.Second).Unix(), "nbf", h.now().Add(20*time.Second).Unix())

	used := key.sign(nil, h.hinted())
	h.withHint(used)
	before := h.facts()
	now := h.now()
	good := h.hinted()
	twice, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, token string
		code        ciba.Code
		says        string
	}{
		{"expired", key.sign(nil, h.hinted("exp", now.Add(-11*time.Second).Unix())), ciba.ExpiredLoginHintToken, "get a new one"},
		{"expired long ago", key.sign(nil, h.hinted("exp", 1000000000, "iat", 999999999)), ciba.ExpiredLoginHintToken, ""},
		{"expired and for others", key.sign(nil, h.hinted("exp", 1000000000, "aud", "https://other.example")), ciba.InvalidRequest, "aud"},
		{"expired and forged", stranger.sign(nil, h.hinted("exp", 1000000000)), ciba.InvalidRequest, "signature"},
		{"used before", used, ciba.InvalidRequest, "used before"},
		{"used before, signed anew", key.sign(nil, h.hinted("jti", jtiOf(t, used))), ciba.InvalidRequest, "used before"},
		{"no JWT", "alice", ciba.InvalidRequest, "not a JWT"},
		{"huge", key.sign(nil, h.hinted("x", strings.Repeat("x", 8<<10))), ciba.InvalidRequest, ""},
		{"by a stranger", stranger.sign(nil, good), ciba.InvalidRequest, "signature"},
		{"by a stranger who says who he is", stranger.sign(nil, h.hinted("iss", "https://stranger.example")), ciba.InvalidRequest, "nobody whose hints count"},
		{"by another whom we trust", stranger.sign(nil, h.hinted()), ciba.InvalidRequest, ""},
		{"of another whom we trust", key.sign(nil, h.hinted("iss", "https://others.example.com")), ciba.InvalidRequest, ""},
		{"by the client itself", newSigner(t, "ES256", "c").sign(nil, h.hinted("iss", "agent")), ciba.InvalidRequest, ""},
		{"by us", key.sign(nil, h.hinted("iss", h.url)), ciba.InvalidRequest, ""},
		{"no iss", key.sign(nil, h.hinted("iss", nil)), ciba.InvalidRequest, ""},
		{"iss in a list", key.sign(nil, h.hinted("iss", []string{hintIssuer})), ciba.InvalidRequest, ""},
		{"alg none", b64([]byte(`{"alg":"none"}`)) + "." + b64(twice) + ".", ciba.InvalidRequest, ""},
		{"RS256", rsa.sign(nil, good), ciba.InvalidRequest, "alg"},
		{"an access token", key.sign(map[string]any{"typ": "at+jwt"}, good), ciba.InvalidRequest, "typ"},
		{"a client's assertion", key.sign(map[string]any{"typ": "client-authentication+jwt"}, good), ciba.InvalidRequest, "typ"},
		{"a key of its own", stranger.sign(map[string]any{"jwk": stranger.jwk(nil)}, good), ciba.InvalidRequest, ""},
		{"iss in capitals", key.sign(nil, h.hinted("iss", nil, "ISS", hintIssuer)), ciba.InvalidRequest, "iss"},
		{"sub_id in capitals", key.sign(nil, h.hinted("sub", nil, "SUB_ID", map[string]any{"format": "opaque", "id": "alice"})), ciba.InvalidRequest, "sub_id"},
		{"no aud", key.sign(nil, h.hinted("aud", nil)), ciba.InvalidRequest, "aud"},
		{"for many", key.sign(nil, h.hinted("aud", []string{h.url, "https://other.example"})), ciba.InvalidRequest, "aud"},
		{"for an endpoint", key.sign(nil, h.hinted("aud", h.url+"/bc-authorize")), ciba.InvalidRequest, "aud"},
		{"for the client", key.sign(nil, h.hinted("aud", "agent")), ciba.InvalidRequest, "aud"},
		{"no jti", key.sign(nil, h.hinted("jti", nil)), ciba.InvalidRequest, "jti"},
		{"a huge jti", key.sign(nil, h.hinted("jti", strings.Repeat("x", 257))), ciba.InvalidRequest, "jti"},
		{"no exp", key.sign(nil, h.hinted("exp", nil)), ciba.InvalidRequest, "exp"},
		{"no iat", key.sign(nil, h.hinted("iat", nil)), ciba.InvalidRequest, "iat"},
		{"for two hours", key.sign(nil, h.hinted("exp", now.Add(2*time.Hour).Unix())), ciba.InvalidRequest, "60 minutes"},
		{"from the future", key.sign(nil, h.hinted("iat", now.Add(time.Minute).Unix())), ciba.InvalidRequest, "clock"},
		{"not yet", key.sign(nil, h.hinted("nbf", now.Add(time.Minute).Unix())), ciba.InvalidRequest, "clock"},
		{"a claim twice", key.sign(nil, append(twice[:len(twice)-1:len(twice)-1], `,"sub":"bob"}`...)), ciba.InvalidRequest, ""},
		{"a claim twice in capitals", key.sign(nil, append(twice[:len(twice)-1:len(twice)-1], `,"SUB":"bob"}`...)), ciba.InvalidRequest, ""},
		{"nobody", key.sign(nil, h.hinted("sub", nil)), ciba.InvalidRequest, "sub_id"},
		{"an empty sub", key.sign(nil, h.hinted("sub", "")), ciba.InvalidRequest, "sub_id"},
		{"sub_id as text", key.sign(nil, h.hinted("sub_id", "alice")), ciba.InvalidRequest, "sub_id"},
		{"sub_id null", key.sign(nil, h.hinted("sub", nil, "sub_id", json.RawMessage("null"))), ciba.InvalidRequest, "sub_id"},
		{"sub_id of another format", key.sign(nil, h.hinted("sub_id", map[string]any{"format": "did", "url": "did:example:alice"})), ciba.InvalidRequest, "sub_id"},
		{"sub_id without format", key.sign(nil, h.hinted("sub_id", map[string]any{"id": "alice"})), ciba.InvalidRequest, "sub_id"},
		{"somebody unknown", key.sign(nil, h.hinted("sub", "carol")), ciba.UnknownUserID, ""},
		{"another issuer's person", key.sign(nil, h.hinted("sub_id", map[string]any{"format": "iss_sub", "iss": hintIssuer, "sub": "alice"})), ciba.UnknownUserID, ""},
	} {
		res := h.withHint(tt.token)
		h.refused(tt.name, res, http.StatusBadRequest, tt.code, tt.says)
		if len(tt.token) > 16 && strings.Contains(res.raw+h.logged(), tt.token[len(tt.token)-16:]) {
			t.Errorf("%s: the token is repeated", tt.name)
		}
	}
	h.refused("two hints", h.withHint(key.sign(nil, good), "login_hint", "bob"), http.StatusBadRequest, ciba.InvalidRequest, "exactly one")
	if got := h.facts(); got != before {
		t.Errorf("refused requests left %d facts", got-before)
	}
}

// jtiOf reads the jti of a token.
func jtiOf(t testing.TB, token string) string {
	t.Helper()
	var c struct{ JTI string }
	raw, err := unb64(strings.Split(token, ".")[1])
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c.JTI
}

// TestHintTokenPerson: a hint names a person, and lets nobody ask whom the
// client may not ask.
func TestHintTokenPerson(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "ES256", "k")
	h := open(t, client("linked", func(c *consent.Client) { c.People = "linked" }), client("fapi", func(c *consent.Client) { c.MustSign, c.JWKS = true, jwks(key) }))
	h.trust(hintIssuer, consent.HintIssuer{JWKS: jwks(key)})
	for person, code := range map[string]ciba.Code{"alice": "", "bob": ciba.UnknownUserID} {
		res := h.post("/bc-authorize", "linked", params("scope", "openid", "login_hint_token", key.sign(nil, h.hinted("sub", person))))
		if res.str("error") != string(code) {
			t.Errorf("%s: %d %s", person, res.status, res.raw)
		}
	}
	now := h.now()
	request := key.sign(nil, claims{"iss": "fapi", "aud": h.url, "jti": "1", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		"scope": "openid", "login_hint_token": key.sign(nil, h.hinted())})
	if res := h.post("/bc-authorize", "fapi", params("request", request)); res.status != http.StatusOK {
		t.Errorf("inside a signed request: %d %s", res.status, res.raw)
	}
}

// TestHintTokenOnce: of many requests with one hint, one is asked.
func TestHintTokenOnce(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "ES256", "k")
	h := open(t)
	h.trust(hintIssuer, consent.HintIssuer{JWKS: jwks(key)})
	h.trust(hintIssuer+"/2", consent.HintIssuer{JWKS: jwks(key)})
	same := h.hinted()
	var all sync.WaitGroup
	var asked atomic.Int64
	for i := range 32 {
		form := params("scope", "openid", "login_hint_token", key.sign(nil, same)).Encode()
		all.Go(func() {
			res, err := h.try(t.Context(), http.MethodPost, "/bc-authorize", form, "Authorization", basic([]string{"agent", "other"}[i%2], secret))
			if err != nil {
				t.Error(err)
			} else if res.status == http.StatusOK {
				asked.Add(1)
			}
		})
	}
	if all.Wait(); asked.Load() != 1 {
		t.Errorf("one hint served %d times", asked.Load())
	}
	// A jti belongs to its issuer.
	if res := h.withHint(key.sign(nil, same.with("iss", hintIssuer+"/2"))); res.status != http.StatusOK {
		t.Errorf("another issuer with the same jti: %d %s", res.status, res.raw)
	}
}

// TestHintTokenKeys: the keys of an issuer may stand at an address.
func TestHintTokenKeys(t *testing.T) {
	t.Parallel()
	e := newElsewhere(t)
	key, next := newSigner(t, "ES256", "first"), newSigner(t, "ES256", "second")
	h := reaching(t, e.cfg)
	h.trust(hintIssuer, consent.HintIssuer{JWKSURI: e.say("/people", jwks(key))})
	for i := range 3 {
		if res := h.withHint(key.sign(nil, h.hinted())); res.status != http.StatusOK {
			t.Errorf("hint %d: %d %s", i, res.status, res.raw)
		}
	}
	e.say("/people", jwks(next))
	h.forward(time.Minute)
	if res := h.withHint(next.sign(nil, h.hinted())); res.status != http.StatusOK {
		t.Errorf("its next key: %d %s", res.status, res.raw)
	}
	if e.times("/people") != 2 {
		t.Errorf("fetched %d times", e.times("/people"))
	}
	for rule, address := range map[string]string{"status": e.url("/nothing"), "address": "https://inside.example.com/people", "syntax": e.say("/broken", []byte(fmt.Sprintf(`{"keys":[%q]}`, canary)))} {
		h.trust(hintIssuer, consent.HintIssuer{JWKSURI: address})
		res := h.withHint(key.sign(nil, h.hinted()))
		h.refused(rule, res, http.StatusBadRequest, ciba.InvalidRequest, "login_hint_token: the keys of its iss are refused by rule "+rule+" (")
		if strings.Contains(res.raw+h.logged(), canary) || !strings.Contains(h.logged(), "refused by rule "+rule) {
			t.Errorf("%s: %s; %s", rule, res.raw, h.logged())
		}
	}
}
