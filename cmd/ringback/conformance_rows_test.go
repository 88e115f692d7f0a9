//go:build e2e

package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"ringback/ciba"
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
	if r.auth == "mtls" {
		r.in("client_id of another client", (*run).otherClientID)
	} else {
		r.in("assertions that fail", (*run).badAssertions)
	}
	r.in("holder of key", (*run).holderOfKey)
	r.in("protected resource", (*run).protected)
	r.in("refresh-token", (*run).renewed)
	if r.mode == "ping" {
		r.in("pings", (*run).pinged)
	}
}

// twoClients is the module fapi-ciba-id1. The second client has a notification
// token of the longest length, an expiry and an acr value.
func (r *run) twoClients() {
	r.flow(&r.one)
	changes := []any{"requested_expiry", 300, "acr_values", r.two.plan["acr_value"]}
	if r.mode == "ping" {
		changes = append(changes, "client_notification_token", notificationToken(1024))
	}
	id := r.agreed(&r.two, changes...)
	for _, aud := range []string{r.issuer, r.endpoint("token_endpoint", false), r.endpoint("backchannel_authentication_endpoint", false)} {
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
	ping := r.expect(claims)
	id := r.acknowledged(r.ask(&r.one, r.sign(&r.one, claims)))
	r.decide(id, "deny")
	if ping != nil {
		r.arrived(ping, id)
	}
	r.refused("denied", r.redeem(&r.one, id), http.StatusBadRequest, ciba.AccessDenied)
}

func (r *run) manyPolls() {
	id, finish := r.open(&r.one)
	for range 20 {
		r.refused("one of many", r.redeem(&r.one, id), http.StatusBadRequest, ciba.AuthorizationPending, ciba.SlowDown)
	}
	finish()
}

// expired may end with a ping, which is then as any other.
func (r *run) expired() {
	claims := r.asked(&r.one, "requested_expiry", 10)
	ping := r.expect(claims)
	a := r.ask(&r.one, r.sign(&r.one, claims))
	id := r.acknowledged(a)
	if a.body["expires_in"].(float64) != 10 {
		r.t.Errorf("requested_expiry: %s", a.raw)
	}
	r.refused("while pending", r.redeem(&r.one, id), http.StatusBadRequest, ciba.AuthorizationPending, ciba.SlowDown)
	time.Sleep(11 * time.Second)
	for range 2 {
		r.refused("expired", r.redeem(&r.one, id), http.StatusBadRequest, ciba.ExpiredToken)
	}
	if ping != nil {
		if n, _ := r.pings.counted(ping); n > 0 {
			r.arrived(ping, id)
		}
	}
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
	id := r.acknowledged(a)
	if a.body["expires_in"].(float64) != 30 {
		r.t.Errorf("requested_expiry as text: %s", a.raw)
	}
	r.decide(id, "allow")
	r.token(&r.one, id)
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
		// What they name is nobody and nothing: that there are two comes first.
		{"multiple-hints", r.sign(one, r.asked(one, "login_hint", "nobody@elsewhere.example", "login_hint_token", "x", "binding_message", nil))},
		{"multiple-hints, one an ID token", r.sign(one, r.asked(one, "login_hint", "alice", "id_token_hint", "x"))},
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

// protected calls the resource, as every flow of the suite does at its end.
func (r *run) protected() {
	one, two := &r.one, &r.two
	mine, theirs := r.flow(one).str("access_token"), r.flow(two).str("access_token")
	id := "c770aef3-6784-41f7-8e0e-ff5f97bddb3a"
	said := []string{"X-Fapi-Interaction-Id", id, "X-Fapi-Auth-Date", "Sun, 22 Nov 2026 16:41:35 GMT", "X-Fapi-Customer-Ip-Address", "2001:db8::1893:25c8:1946"}
	var a *response
	for _, accept := range []string{acceptJSON, "application/json", "application/json, application/*+json, */*"} {
		a = r.send(one.http, http.MethodGet, r.resource, nil, append(said, "Authorization", "Bearer "+mine, "Accept", accept, "Accept-Charset", "utf-8")...)
		r.opened(a)
		if a.header.Get("X-Fapi-Interaction-Id") != id {
			r.t.Errorf("the resource with %s: %v", accept, a.header)
		}
	}
	a = r.send(two.http, http.MethodGet, r.resource, nil, "Authorization", "Bearer "+theirs, "Accept", acceptJSON)
	r.opened(a)
	if a.header.Get("X-Fapi-Interaction-Id") == id {
		r.t.Errorf("the interaction id of another: %v", a.header)
	}
	a = r.send(one.http, http.MethodGet, r.resource+"?access_token="+url.QueryEscape(mine), nil, append(said, "Accept", acceptJSON)...)
	if a.status != http.StatusBadRequest && a.status != http.StatusUnauthorized {
		r.t.Errorf("a token in the query: %d", a.status)
	}
	for name, c := range map[string]*http.Client{"another client's certificate": one.http, "no certificate": r.bare} {
		if a := r.send(c, http.MethodGet, r.resource, nil, "Authorization", "Bearer "+theirs); a.status/100 != 4 {
			r.t.Errorf("%s: %d", name, a.status)
		}
	}
}

// opened checks what the resource answers to a token that it takes.
func (r *run) opened(a *response) {
	r.t.Helper()
	if _, err := http.ParseTime(a.header.Get("Date")); err != nil || a.status != http.StatusOK {
		r.t.Errorf("the resource: %d %v %s", a.status, a.header, a.raw)
	}
	if !uuid.MatchString(a.header.Get("X-Fapi-Interaction-Id")) || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		r.t.Errorf("the resource: %v", a.header)
	}
}

// pinged are the modules about what the notification endpoint answers.
func (r *run) pinged() {
	one := &r.one
	for name, plan := range map[string]*pinged{
		"401": {status: http.StatusUnauthorized}, "403": {status: http.StatusForbidden},
		"200 and a body": {status: http.StatusOK, body: "any text"}, "301": {status: http.StatusMovedPermanently, location: r.pings.server.URL + "/elsewhere"},
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
