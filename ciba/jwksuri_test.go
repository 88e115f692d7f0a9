package ciba_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/ciba"
	"ringback/consent"
)

// TestJWKSURI: keys behind an address are asked for when they are needed, as
// seldom as their answer permits, and once for everybody who waits.
func TestJWKSURI(t *testing.T) {
	t.Parallel()
	e := newElsewhere(t)
	first, second := newSigner(t, "ES256", "first"), newSigner(t, "PS256", "second")
	uri := e.say("/keys", jwks(first), "Cache-Control", "public, max-age=3600", "Content-Type", "application/jwk-set+json")
	h := reaching(t, e.cfg, byURI("far", uri))
	if e.times("/keys") != 0 {
		t.Error("keys were fetched before anybody needed them")
	}
	opens := func(s *signer) bool { return h.as(s, "far", "/revoke", "token", "x").status == http.StatusOK }
	asked := func(want int) {
		t.Helper()
		if got := e.times("/keys"); got != want {
			t.Fatalf("the address was asked %d times, want %d", got, want)
		}
	}
	var all sync.WaitGroup
	for range 32 {
		assertion := params(append(first.assertion(h, "far"), "token", "x")...).Encode()
		all.Go(func() {
			if res, err := h.try(t.Context(), http.MethodPost, "/revoke", assertion); err != nil || res.status != http.StatusOK {
				t.Errorf("one of many at once: %v, %v", res, err)
			}
		})
	}
	all.Wait()
	asked(1)
	h.forward(59 * time.Minute)
	if !opens(first) {
		t.Error("the key does not open")
	}
	asked(1)

	// A kid that nobody knows is reason to ask, but not again and again.
	e.say("/keys", jwks(first, second), "Cache-Control", "max-age=3600")
	for range 5 {
		if opens(newSigner(t, "ES256", "made-up")) {
			t.Error("a stranger's key opens")
		}
	}
	asked(2)
	if !opens(second) || !opens(first) {
		t.Error("the new key does not open beside the old one")
	}
	e.say("/keys", jwks(second), "Cache-Control", "max-age=3600")
	h.forward(31 * time.Second)
	opens(newSigner(t, "ES256", "made-up"))
	asked(3)
	if opens(first) {
		t.Error("a key that was taken out opens")
	}
	asked(3)
	if !strings.Contains(h.logged(), `"msg":"client keys changed"`) {
		t.Error("the log does not say that the keys changed")
	}

	// What was read serves for a day when nothing newer can be had.
	for i, bad := range []func(){func() { e.fail("/keys", 500) }, func() { e.fail("/keys", 404) }, func() { e.say("/keys", []byte("{}")) }} {
		bad()
		h.forward(2 * time.Hour)
		for range 2 {
			if !opens(second) {
				t.Errorf("failure %d: known keys do not open any more", i)
			}
		}
		asked(4 + i)
	}
	h.forward(24 * time.Hour)
	h.refused("a day later", h.as(second, "far", "/revoke", "token", "x"), http.StatusUnauthorized, ciba.InvalidClient, "jwks_uri: refused by rule syntax (")
	asked(7)
	e.say("/keys", jwks(first))
	if opens(first) {
		t.Error("an address that just failed was asked again at once")
	}
	asked(7)
	if h.forward(30 * time.Second); !opens(first) {
		t.Error("the address recovered, but its keys do not open")
	}
	asked(8)
	h.forward(11 * time.Minute) // it did not say for how long
	opens(first)
	asked(9)
}

// TestJWKSURIRules: what is wrong with an address is said by rule, to the
// client and in one line of the log.
func TestJWKSURIRules(t *testing.T) {
	t.Parallel()
	e := newElsewhere(t)
	key := newSigner(t, "ES256", "k")
	pages := e.bad("/jwks", jwks(key))
	set := func(n int, change map[string]any) map[string]any {
		list := make([]any, n)
		for i := range list {
			list[i] = key.jwk(map[string]any{"kid": fmt.Sprint(canary, i)})
			for k, v := range change {
				list[i].(map[string]any)[k] = v
			}
		}
		return map[string]any{"keys": list}
	}
	twice := strings.Replace(string(jwks(key)), `"kid":`, `"kid":"`+canary+`","kid":`, 1)
	for name, body := range map[string]any{
		"syntax: too many keys":      set(33, nil),
		"syntax: a private key":      set(1, map[string]any{"d": b64(make([]byte, 32))}),
		"syntax: a symmetric key":    map[string]any{"keys": []any{map[string]any{"kty": "oct", "k": b64([]byte(canary)), "kid": "k"}, key.jwk(nil)}},
		"syntax: no keys":            set(0, nil),
		"syntax: none that counts":   set(1, map[string]any{"crv": "P-384"}),
		"syntax: no object":          []any{key.jwk(nil)},
		"syntax: a member twice":     []byte(twice),
		"syntax: keys twice":         []byte(strings.Replace(string(jwks(key)), `{"keys"`, `{"keys":[],"keys"`, 1)),
		"syntax: keys in capitals":   []byte(strings.Replace(string(jwks(key)), `"keys"`, `"KEYS"`, 1)),
		"syntax: a point off curves": set(1, map[string]any{"x": b64(make([]byte, 32))}),
		"syntax: deep":               []byte(`{"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `,` + string(jwks(key))[1:]),
	} {
		pages[name] = e.say("/jwks/"+slug(name), body)
	}
	clients := []consent.Client{byURI("good", e.url("/jwks/good"))}
	for name, uri := range pages {
		clients = append(clients, byURI(slug(name), uri))
	}
	h := reaching(t, e.cfg, clients...)
	if res := h.as(key, "good", "/revoke", "token", "x"); res.status != http.StatusOK {
		t.Fatalf("a good address: %d %s", res.status, res.raw)
	}
	var all sync.WaitGroup
	for name := range pages {
		id := slug(name)
		rule, _, _ := strings.Cut(name, ":")
		assertion := params(append(key.assertion(h, id), "token", "x")...).Encode()
		all.Go(func() {
			for range 2 { // the second time it is not asked for
				res, err := h.try(t.Context(), http.MethodPost, "/revoke", assertion)
				if err != nil {
					t.Error(err)
					return
				}
				h.unfetched(name, res, id, "jwks_uri: refused by rule "+rule+" (")
			}
		})
	}
	all.Wait()
	if e.times("/jwks/good") != 1 {
		t.Errorf("a redirect was followed: %d visits", e.times("/jwks/good"))
	}
	for _, name := range e.names.Questions() {
		if !strings.HasSuffix(name, ".example.com") {
			t.Errorf("the name server was asked for %q", name)
		}
	}
}

// TestTooSlow: neither keys nor a document that come drop by drop are waited
// for. The time is short here because nothing has to come within it.
func TestTooSlow(t *testing.T) {
	t.Parallel()
	e := newElsewhere(t)
	e.cfg.Timeout = 100 * time.Millisecond
	key := newSigner(t, "ES256", "k")
	h := reaching(t, e.cfg, byURI("far", e.set("/keys", drip)))
	h.allow()
	h.unfetched("keys", h.as(key, "far", "/revoke", "token", "x"), "far", "jwks_uri: refused by rule too_slow (")
	id := e.set("/client.json", drip)
	h.unfetched("a document", h.as(key, id, "/revoke", "token", "x"), id, "client_id: the document there is refused by rule too_slow (")
}

// TestJWKSURICertificate: the certificates of self_signed_tls_client_auth may
// stand behind an address as well, and be replaced there (RFC 8705 §2.2).
func TestJWKSURICertificate(t *testing.T) {
	t.Parallel()
	e := newElsewhere(t)
	first, second := newSigner(t, "ES256", "first"), newSigner(t, "ES256", "second")
	cert, next := first.certificate(nil), second.certificate(nil)
	publish := func(s *signer, der []byte) string {
		raw, err := json.Marshal(map[string]any{"keys": []any{s.jwk(map[string]any{"x5c": []string{base64.StdEncoding.EncodeToString(der)}})}})
		if err != nil {
			t.Fatal(err)
		}
		return e.say("/keys", raw)
	}
	h := reaching(t, e.cfg, byURI("self", publish(first, cert.Certificate[0]), func(c *consent.Client) { c.AuthMethod = "self_signed_tls_client_auth" }))
	form := params("client_id", "self", "token", "x")
	if res := h.over(&cert, "/revoke", form); res.status != http.StatusOK {
		t.Fatalf("its certificate: %d %s", res.status, res.raw)
	}
	publish(second, next.Certificate[0])
	h.forward(time.Minute)
	if res := h.over(&next, "/revoke", form); res.status != http.StatusOK {
		t.Errorf("its next certificate: %d %s", res.status, res.raw)
	}
	if res := h.over(&cert, "/revoke", form); res.status != http.StatusUnauthorized {
		t.Errorf("a certificate that was taken out: %d %s", res.status, res.raw)
	}
}

// TestJWKSURISignedRequest: what verifies an assertion verifies a request.
func TestJWKSURISignedRequest(t *testing.T) {
	t.Parallel()
	e := newElsewhere(t)
	key := newSigner(t, "ES256", "k")
	uri := e.say("/keys", jwks(key))
	h := reaching(t, e.cfg, client("signs", func(c *consent.Client) { c.JWKSURI, c.MustSign = uri, true }),
		client("broken", func(c *consent.Client) { c.JWKSURI, c.MustSign = e.url("/nothing"), true }))
	now := h.now()
	for id, status := range map[string]int{"signs": http.StatusOK, "broken": http.StatusUnauthorized} {
		request := key.sign(nil, claims{"iss": id, "aud": h.url, "jti": "1", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Minute).Unix(), "scope": "openid", "login_hint": "alice"})
		if res := h.post("/bc-authorize", id, params("request", request)); res.status != status {
			t.Errorf("%s: %d %s", id, res.status, res.raw)
		}
	}
}
