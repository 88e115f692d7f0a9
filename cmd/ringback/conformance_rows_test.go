//go:build e2e

package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"ringback/ciba"
	"ringback/consent"
)

// rows are the plan's modules, by their names without prefix.
func (r *run) rows() {
	r.in("two clients", (*run).twoClients)
	r.in("user-rejects-authentication", (*run).rejected)
	r.in("multiple-call-to-token-endpoint", (*run).manyPolls)
	r.in("auth-req-id-expired", (*run).expired)
	r.in("binding messages", (*run).bindingMessages)
	r.in("parameters that succeed", (*run).succeeding)
	r.in("request objects that fail", (*run).badRequests)
	r.in("wrong auth_req_id", (*run).wrongID)
	r.in("client authentication that fails", (*run).badClients)
	r.in("holder of key", (*run).holderOfKey)
	r.in("protected resource", (*run).protected)
	if r.mode == "ping" {
		r.in("pings", (*run).pinged)
	}
}

var (
	handle   = regexp.MustCompile(`^[A-Za-z0-9._-]{22,}$`)
	textual  = regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]*$`)
	bcErrors = map[string]int{"invalid_request": 400, "invalid_client": 401, "access_denied": 403}
)

// entropy is the Shannon estimate that the suite makes, in bits.
func entropy(s string) float64 {
	counts := map[rune]int{}
	for _, c := range s {
		counts[c]++
	}
	sum := 0.0
	for _, n := range counts {
		p := float64(n) / float64(len(s))
		sum -= p * math.Log2(p)
	}
	return sum * float64(len(s))
}

// acknowledged checks an acknowledgement and returns the auth_req_id.
func (r *run) acknowledged(a *response) string {
	r.t.Helper()
	id := a.str("auth_req_id")
	expires, _ := a.body["expires_in"].(float64)
	interval, ok := a.body["interval"].(float64)
	if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		r.t.Fatalf("asking: %d %s", a.status, a.raw)
	}
	if !handle.MatchString(id) || entropy(id) < 96 || expires <= 0 || !ok || interval < 0 {
		r.t.Errorf("an acknowledgement: %s", a.raw)
	}
	return id
}

// refused checks an error of either endpoint.
func (r *run) refused(what string, a *response, status int, codes ...ciba.Code) {
	r.t.Helper()
	if !slices.Contains(codes, ciba.Code(a.str("error"))) || status != 0 && a.status != status {
		r.t.Errorf("%s: %d %s, want %d %v", what, a.status, a.raw, status, codes)
	}
	for member := range a.body {
		if member != "error" && member != "error_description" && member != "error_uri" {
			r.t.Errorf("%s: a member %s", what, member)
		}
	}
	if !textual.MatchString(a.str("error_description")) || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		r.t.Errorf("%s: %q as %s", what, a.str("error_description"), a.header.Get("Content-Type"))
	}
}

// flow asks, polls twice, decides, and returns the token response.
func (r *run) flow(p *party, changes ...any) *response {
	r.t.Helper()
	claims := r.asked(p, changes...)
	var ping *pinged
	if bearer, _ := claims["client_notification_token"].(string); bearer != "" {
		ping = r.pings.expect(bearer, &pinged{status: http.StatusNoContent})
	}
	id := r.acknowledged(r.ask(p, r.signed(p, p.alg(), "oAuTh-AuThZ-ReQ+jWt", claims)))
	for range 2 {
		r.refused("while pending", r.redeem(p, id), http.StatusBadRequest, ciba.AuthorizationPending, ciba.SlowDown)
	}
	r.decide(id, "allow")
	if ping != nil {
		r.arrived(ping, id)
	}
	return r.token(p, id)
}

// arrived waits for a ping and checks it.
func (r *run) arrived(p *pinged, id string) {
	r.t.Helper()
	select {
	case req := <-p.arrived:
		_, body := r.pings.counted(p)
		if len(body) != 1 || body["auth_req_id"] != id || !strings.HasPrefix(req.Header.Get("Content-Type"), "application/json") || req.TLS.Version < tls.VersionTLS13 {
			r.t.Errorf("a ping: %v %v", req.Header, body)
		}
	case <-time.After(30 * time.Second):
		r.t.Fatal("no ping")
	}
}

// token redeems and checks the token response.
func (r *run) token(p *party, id string) *response {
	r.t.Helper()
	a := r.redeem(p, id)
	access := a.str("access_token")
	if a.status != http.StatusOK || a.header.Get("Cache-Control") != "no-store" || entropy(access) < 128 || a.body["expires_in"].(float64) <= 0 {
		r.t.Fatalf("redeeming: %d %v %s", a.status, a.header, a.raw)
	}
	if a.str("refresh_token") != "" {
		r.t.Error("a refresh token that nobody saw")
	}
	r.idToken(p, id, a)
	return a
}

func (r *run) idToken(p *party, id string, a *response) {
	r.t.Helper()
	jws, err := jose.ParseSignedCompact(a.str("id_token"), []jose.SignatureAlgorithm{jose.PS256, jose.ES256})
	if err != nil {
		r.t.Fatal(err)
	}
	head := jws.Signatures[0].Header
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(r.send(r.bare, http.MethodGet, r.meta["jwks_uri"].(string), nil).raw), &set); err != nil {
		r.t.Fatal(err)
	}
	if head.KeyID == "" || len(set.Key(head.KeyID)) != 1 {
		r.t.Fatalf("kid %q is not one of the service's keys", head.KeyID)
	}
	payload, err := jws.Verify(set.Key(head.KeyID)[0])
	if err != nil {
		r.t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(payload, &c); err != nil {
		r.t.Fatal(err)
	}
	now := float64(time.Now().Unix())
	if c["iss"] != r.issuer || c["aud"] != p.ID || c["sub"] != "alice" || c["exp"].(float64) < now || math.Abs(c["iat"].(float64)-now) > 300 || c["acr"] != consent.ACRTap {
		r.t.Errorf("the ID token says %s", payload)
	}
	if c["c_hash"] != nil || c["s_hash"] != nil || c["urn:openid:params:jwt:claim:auth_req_id"] != id || c["at_hash"] != half(a.str("access_token")) {
		r.t.Errorf("the ID token's hashes: %s", payload)
	}
	if want := p.plan["id_token_signed_response_alg"]; want != nil && head.Algorithm != want {
		r.t.Errorf("the ID token is signed by %s, registered was %v", head.Algorithm, want)
	}
}

// half is the left half of a token's hash, as at_hash has it.
func half(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// twoClients is the module fapi-ciba-id1.
func (r *run) twoClients() {
	for _, p := range []*party{&r.one, &r.two} {
		r.flow(p)
	}
	// The second client's: assertions for the token endpoint, a notification
	// token of the longest length, an expiry and an acr value.
	changes := []any{"requested_expiry", 300, "acr_values", r.two.plan["acr_value"]}
	if r.mode == "ping" {
		changes = append(changes, "client_notification_token", rand.Text()+strings.Repeat("aB3-._~+/", 110)+"========")
	}
	claims := r.asked(&r.two, changes...)
	if bearer, _ := claims["client_notification_token"].(string); bearer != "" {
		r.pings.expect(bearer, &pinged{status: http.StatusOK})
	}
	id := r.acknowledged(r.ask(&r.two, r.sign(&r.two, claims)))
	r.decide(id, "allow")
	for _, aud := range []string{r.endpoint("token_endpoint", false), r.endpoint("token_endpoint", true), r.endpoint("backchannel_authentication_endpoint", false)} {
		if r.auth == "private_key_jwt" {
			wrong := r.redeem(&r.two, "unknown", func(v url.Values) { r.identified(&r.two, v, aud) })
			r.refused("an assertion for "+aud, wrong, http.StatusBadRequest, ciba.InvalidGrant)
		}
	}
	r.token(&r.two, id)
	r.refused("redeemed again", r.redeem(&r.two, id), http.StatusBadRequest, ciba.InvalidGrant)
}

func (r *run) rejected() {
	claims := r.asked(&r.one)
	var ping *pinged
	if bearer, _ := claims["client_notification_token"].(string); bearer != "" {
		ping = r.pings.expect(bearer, &pinged{status: http.StatusNoContent})
	}
	id := r.acknowledged(r.ask(&r.one, r.sign(&r.one, claims)))
	r.decide(id, "deny")
	if ping != nil {
		r.arrived(ping, id)
	}
	r.refused("denied", r.redeem(&r.one, id), http.StatusBadRequest, ciba.AccessDenied)
}

func (r *run) manyPolls() {
	id := r.acknowledged(r.ask(&r.one, r.sign(&r.one, r.asked(&r.one))))
	for range 20 {
		r.refused("one of many", r.redeem(&r.one, id), http.StatusBadRequest, ciba.AuthorizationPending, ciba.SlowDown)
	}
	r.decide(id, "allow")
	r.token(&r.one, id)
}

func (r *run) expired() {
	a := r.ask(&r.one, r.sign(&r.one, r.asked(&r.one, "requested_expiry", 10)))
	id := r.acknowledged(a)
	time.Sleep(time.Duration(a.body["expires_in"].(float64)+1) * time.Second)
	r.refused("expired", r.redeem(&r.one, id), http.StatusBadRequest, ciba.ExpiredToken)
}

func (r *run) bindingMessages() {
	r.token(&r.one, r.decided(r.sign(&r.one, r.asked(&r.one, "binding_message", "1234"))))
	bad := "1234 \U0001F44D\U0001F3FF 品川 قضية Lorem ipsum dolor sit amet, consectetur adipiscing elit. " + strings.Repeat("Sed do eiusmod tempor. ", 16)
	r.refused("a bad one", r.ask(&r.one, r.sign(&r.one, r.asked(&r.one, "binding_message", bad))), http.StatusBadRequest, ciba.InvalidBindingMessage)
}

// decided asks as the first client and lets the person agree.
func (r *run) decided(request string) string {
	r.t.Helper()
	id := r.acknowledged(r.ask(&r.one, request))
	r.decide(id, "allow")
	return id
}

func (r *run) succeeding() {
	scope := strings.Fields(r.one.plan["scope"].(string))
	slices.Reverse(scope)
	r.token(&r.one, r.decided(r.sign(&r.one, r.asked(&r.one, "scope", strings.Join(scope, " ")))))
	a := r.ask(&r.one, r.sign(&r.one, r.asked(&r.one, "requested_expiry", "30")))
	if r.acknowledged(a); a.body["expires_in"].(float64) != 30 {
		r.t.Errorf("requested_expiry as text: %s", a.raw)
	}
}

func (r *run) badRequests() {
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	one := &r.one
	for _, tt := range []struct {
		name    string
		request string
	}{
		{"missing-aud", r.sign(one, r.asked(one, "aud", nil))},
		{"bad-aud", r.sign(one, r.asked(one, "aud", "https://www.other1.example.com/"))},
		{"missing-iss", r.sign(one, r.asked(one, "iss", nil))},
		{"bad-iss", r.sign(one, r.asked(one, "iss", r.two.ID))},
		{"missing-exp", r.sign(one, r.asked(one, "exp", nil))},
		{"expired-exp", r.sign(one, r.asked(one, "exp", at(-5*time.Minute)))},
		{"exp-is-70-minutes-in-future", r.sign(one, r.asked(one, "exp", at(70*time.Minute)))},
		{"missing-iat", r.sign(one, r.asked(one, "iat", nil))},
		{"missing-nbf", r.sign(one, r.asked(one, "nbf", nil))},
		{"nbf-is-10-minutes-in-future", r.sign(one, r.asked(one, "nbf", at(10*time.Minute), "exp", at(15*time.Minute)))},
		{"nbf-is-70-minutes-in-past", r.sign(one, r.asked(one, "nbf", at(-70*time.Minute)))},
		{"missing-jti", r.sign(one, r.asked(one, "jti", nil))},
		{"algorithm-is-none", unsigned(r.asked(one))},
		{"algorithm-is-bad", badly(r.sign(one, r.asked(one)))},
		{"algorithm-is-RS256", r.signed(one, jose.RS256, "", r.asked(one))},
		{"signed-by-other-client", r.signed(&r.two, r.two.alg(), "", r.asked(one))},
		{"multiple-hints", r.sign(one, r.asked(one, "login_hint", "alice", "id_token_hint", "x"))},
	} {
		r.refused(tt.name, r.ask(one, tt.request), http.StatusBadRequest, ciba.InvalidRequest)
	}
	v := url.Values{"scope": {"openid"}, "login_hint": {"alice"}, "binding_message": {"1234"}}
	if r.mode == "ping" {
		v.Set("client_notification_token", rand.Text())
	}
	plain := r.form(one.http, r.endpoint("backchannel_authentication_endpoint", r.auth == "mtls"), r.identified(one, v, r.issuer))
	r.refused("unsigned-backchannel-authorization-request", plain, http.StatusBadRequest, ciba.InvalidRequest)
}

func unsigned(claims map[string]any) string {
	body, _ := json.Marshal(claims)
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(body) + "."
}

// badly has another signature.
func badly(token string) string {
	i := strings.LastIndexByte(token, '.') + 1
	raw, err := base64.RawURLEncoding.DecodeString(token[i:])
	if err != nil {
		panic(err)
	}
	for j := range raw {
		raw[j] ^= 0x5A
	}
	return token[:i] + base64.RawURLEncoding.EncodeToString(raw)
}

func (r *run) wrongID() {
	id := r.decided(r.sign(&r.one, r.asked(&r.one)))
	r.refused("the other client", r.redeem(&r.two, id), http.StatusBadRequest, ciba.InvalidGrant)
	r.token(&r.one, id)
}

func (r *run) badClients() {
	one, two := &r.one, &r.two
	id := r.decided(r.sign(one, r.asked(one)))
	if r.auth == "mtls" {
		r.refused("another client_id beside certificate and request",
			r.ask(one, r.sign(one, r.asked(one)), func(v url.Values) { v.Set("client_id", two.ID) }), http.StatusUnauthorized, ciba.InvalidClient)
		r.refused("another client_id for the token",
			r.redeem(one, id, func(v url.Values) { v.Set("client_id", two.ID) }), http.StatusUnauthorized, ciba.InvalidClient)
	} else {
		without := func(v url.Values) { v.Del("client_assertion"); v.Del("client_assertion_type") }
		r.refused("no assertion for the token", r.redeem(one, id, without), 0, ciba.InvalidClient, ciba.InvalidRequest)
		a := r.ask(one, r.sign(one, r.asked(one)), without)
		r.refused("no assertion", a, bcErrors[a.str("error")], ciba.InvalidClient, ciba.InvalidRequest, ciba.AccessDenied)
		rs256 := func(v url.Values) {
			v.Set("client_assertion", r.signed(one, jose.RS256, "", map[string]any{
				"iss": one.ID, "sub": one.ID, "aud": r.issuer, "jti": rand.Text(), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
			}))
		}
		a = r.ask(one, r.sign(one, r.asked(one)), rs256)
		r.refused("an assertion by RS256", a, bcErrors[a.str("error")], ciba.InvalidClient, ciba.InvalidRequest, ciba.AccessDenied)
		r.refused("an assertion by RS256 for the token", r.redeem(one, id, rs256), http.StatusUnauthorized, ciba.InvalidClient)
	}
	r.token(one, id)
}

// holderOfKey is ensure-mtls-holder-of-key-required.
func (r *run) holderOfKey() {
	one := &r.one
	id := r.decided(r.sign(one, r.asked(one)))
	v := r.identified(one, url.Values{"grant_type": {ciba.GrantCIBA}, "auth_req_id": {id}}, r.issuer)
	a := r.form(r.bare, r.endpoint("token_endpoint", true), v)
	if a.status/100 != 4 {
		r.t.Errorf("no certificate: %d %s", a.status, a.raw)
	}
	r.refused("no certificate", a, 0, ciba.InvalidClient, ciba.InvalidRequest, ciba.InvalidGrant)
	r.token(one, id)
}

// protected calls the resource, as every flow of the suite does at its end.
func (r *run) protected() {
	one, two := &r.one, &r.two
	mine, theirs := r.flow(one).str("access_token"), r.flow(two).str("access_token")
	id := "c770aef3-6784-41f7-8e0e-ff5f97bddb3a"
	a := r.send(one.http, http.MethodGet, r.resource, nil, "Authorization", "Bearer "+mine, "X-Fapi-Interaction-Id", id, "Accept", "application/json; charset=UTF-8, */*")
	if a.status != http.StatusOK || a.header.Get("Date") == "" || a.header.Get("X-Fapi-Interaction-Id") != id || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		r.t.Errorf("the resource: %d %v %s", a.status, a.header, a.raw)
	}
	a = r.send(two.http, http.MethodGet, r.resource, nil, "Authorization", "Bearer "+theirs)
	if made := a.header.Get("X-Fapi-Interaction-Id"); a.status != http.StatusOK || len(made) != 36 || made == id {
		r.t.Errorf("the resource without an interaction id: %d %v", a.status, a.header)
	}
	a = r.send(one.http, http.MethodGet, r.resource+"?access_token="+url.QueryEscape(mine), nil)
	if a.status != http.StatusBadRequest && a.status != http.StatusUnauthorized {
		r.t.Errorf("a token in the query: %d", a.status)
	}
	for name, c := range map[string]*http.Client{"another client's certificate": one.http, "no certificate": r.bare} {
		if a := r.send(c, http.MethodGet, r.resource, nil, "Authorization", "Bearer "+theirs); a.status/100 != 4 {
			r.t.Errorf("%s: %d", name, a.status)
		}
	}
}

// pinged are the modules about what the notification endpoint answers.
func (r *run) pinged() {
	one := &r.one
	for name, plan := range map[string]*pinged{
		"401": {status: http.StatusUnauthorized}, "403": {status: http.StatusForbidden},
		"200 and a body": {status: http.StatusOK, body: `{"any":"thing"}`}, "301": {status: http.StatusMovedPermanently, location: "https://redirected.example/"},
	} {
		claims := r.asked(one)
		p := r.pings.expect(claims["client_notification_token"].(string), plan)
		id := r.acknowledged(r.ask(one, r.sign(one, claims)))
		r.decide(id, "allow")
		r.arrived(p, id)
		r.token(one, id)
		if name == "401" {
			time.Sleep(6 * time.Second) // the suite waits five
		}
		if n, _ := r.pings.counted(p); n != 1 {
			r.t.Errorf("%s: pinged %d times", name, n)
		}
	}
	missing := r.ask(one, r.sign(one, r.asked(one, "client_notification_token", nil)))
	r.refused("no notification token", missing, http.StatusBadRequest, ciba.InvalidRequest)
}

// discovery is discovery-end-point-verification.
func (h *host) discovery(t *testing.T) {
	t.Parallel()
	has := func(name string, any ...string) {
		t.Helper()
		list, _ := h.meta[name].([]interface{})
		for _, v := range list {
			if s, _ := v.(string); slices.Contains(any, s) {
				return
			}
		}
		t.Errorf("%s: %v has none of %v", name, h.meta[name], any)
	}
	has("id_token_signing_alg_values_supported", "PS256", "ES256")
	has("token_endpoint_auth_methods_supported", "private_key_jwt")
	has("token_endpoint_auth_methods_supported", "self_signed_tls_client_auth")
	has("token_endpoint_auth_signing_alg_values_supported", "PS256", "ES256")
	has("grant_types_supported", ciba.GrantCIBA)
	has("backchannel_token_delivery_modes_supported", "poll")
	has("backchannel_token_delivery_modes_supported", "ping")
	has("backchannel_authentication_request_signing_alg_values_supported", "PS256", "ES256")
	has("acr_values_supported", consent.ACRTap)
	if h.meta["issuer"] != h.issuer || h.meta["tls_client_certificate_bound_access_tokens"] != true {
		t.Errorf("metadata: %v", h.meta)
	}
	if _, ok := h.meta["backchannel_user_code_parameter_supported"].(bool); !ok {
		t.Error("whether there are user codes is not said")
	}
	if v, ok := h.meta["response_types_supported"].([]interface{}); !ok || len(v) != 0 {
		t.Errorf("response_types_supported: %v", h.meta["response_types_supported"])
	}
	for name, v := range h.meta {
		if strings.HasSuffix(name, "_endpoint") && !strings.HasPrefix(v.(string), "https://") {
			t.Errorf("%s: %v", name, v)
		}
	}
	aliases, _ := h.meta["mtls_endpoint_aliases"].(map[string]any)
	for name, v := range aliases {
		if !strings.HasSuffix(name, "_endpoint") || name == "authorization_endpoint" || h.meta[name] == nil || !strings.HasPrefix(v.(string), h.mtls) {
			t.Errorf("mtls_endpoint_aliases.%s: %v", name, v)
		}
	}
	res, err := h.client(nil).Get(h.meta["authorization_endpoint"].(string))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode/100 != 4 {
		t.Errorf("the authorization endpoint answers %d", res.StatusCode)
	}
}

// tlsVersions: TLS 1.2 with the suites that FAPI leaves, or 1.3, at every
// endpoint that the suite looks at.
func (h *host) tlsVersions(t *testing.T) {
	t.Parallel()
	fapi := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}
	var others []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !slices.Contains(fapi, s.ID) && slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
			others = append(others, s.ID)
		}
	}
	for _, base := range []string{h.issuer, h.mtls} {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		dial := func(low, high uint16, suites []uint16) error {
			c, err := tls.Dial("tcp", u.Host, &tls.Config{RootCAs: h.roots, MinVersion: low, MaxVersion: high, CipherSuites: suites})
			if err == nil {
				c.Close()
			}
			return err
		}
		if err := dial(tls.VersionTLS13, tls.VersionTLS13, nil); err != nil {
			t.Errorf("%s: TLS 1.3: %v", base, err)
		}
		for _, s := range fapi {
			if err := dial(tls.VersionTLS12, tls.VersionTLS12, []uint16{s}); err != nil {
				t.Errorf("%s: %s: %v", base, tls.CipherSuiteName(s), err)
			}
		}
		for _, s := range others {
			if dial(tls.VersionTLS12, tls.VersionTLS12, []uint16{s}) == nil {
				t.Errorf("%s takes %s", base, tls.CipherSuiteName(s))
			}
		}
		if dial(tls.VersionTLS10, tls.VersionTLS11, nil) == nil {
			t.Errorf("%s takes TLS 1.1", base)
		}
	}
}
