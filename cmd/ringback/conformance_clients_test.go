//go:build e2e

package main

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"

	"ringback/ciba"
)

// tokenErrors are the statuses of what the token endpoint may say of a client
// that is not who it has to be.
var tokenErrors = map[string]int{"invalid_request": 400, "invalid_client": 401, "invalid_grant": 400}

// open asks as a client and leaves the request with the person. finish lets
// them agree: whatever was refused in between, the ping comes and the token is
// there.
func (r *run) open(p *party) (id string, finish func()) {
	r.t.Helper()
	claims := r.asked(p)
	ping := r.expect(claims)
	id = r.acknowledged(r.ask(p, r.sign(p, claims)))
	return id, func() {
		r.t.Helper()
		r.decide(id, "allow")
		if ping != nil {
			r.arrived(ping, id)
		}
		r.token(p, id)
	}
}

// wrongID is ensure-wrong-auth-req-id-in-token-endpoint-request.
func (r *run) wrongID() {
	id, finish := r.open(&r.one)
	r.refused("the other client", r.redeem(&r.two, id), http.StatusBadRequest, ciba.InvalidGrant)
	finish()
}

// holderOfKey is ensure-mtls-holder-of-key-required.
func (r *run) holderOfKey() {
	one := &r.one
	id, finish := r.open(one)
	v := r.identified(one, url.Values{"grant_type": {ciba.GrantCIBA}, "auth_req_id": {id}}, r.issuer)
	a := r.form(r.bare, r.endpoint("token_endpoint", true), v)
	if r.auth == "mtls" {
		r.refused("no certificate", a, tokenErrors[a.str("error")], ciba.InvalidClient, ciba.InvalidRequest)
	} else {
		r.refused("no certificate", a, tokenErrors[a.str("error")], ciba.InvalidClient, ciba.InvalidRequest, ciba.InvalidGrant)
	}
	finish()
}

// otherClientID has the modules for clients with certificates: the form names
// the second client, and the certificate is the first one's.
func (r *run) otherClientID() {
	one, two := &r.one, &r.two
	named := func(v url.Values) { v.Set("client_id", two.ID) }
	r.refused("beside certificate and request",
		r.ask(one, r.sign(one, r.asked(one)), named), http.StatusUnauthorized, ciba.InvalidClient)
	r.refused("in the request too, which the first client signed",
		r.ask(one, r.signed(one, one.alg(), "oAuTh-AuThZ-ReQ+jWt", r.asked(one, "iss", two.ID)), named), http.StatusUnauthorized, ciba.InvalidClient)
	id, finish := r.open(one)
	r.refused("for the token", r.redeem(one, id, named), http.StatusUnauthorized, ciba.InvalidClient)
	finish()
}

// badAssertions has the modules about assertions, one of which sends all of
// these to the backchannel authentication endpoint. They fail at the token
// endpoint as well, and a right one passes after them.
func (r *run) badAssertions() {
	one := &r.one
	id, finish := r.open(one)
	asking := r.endpoint("backchannel_authentication_endpoint", false)
	claims := func(changes ...any) map[string]any {
		now := time.Now()
		return with(map[string]any{
			"iss": one.ID, "sub": one.ID, "aud": asking, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		}, changes...)
	}
	asserted := func(sign func() string) func(url.Values) {
		return func(v url.Values) { v.Set("client_assertion", sign()) }
	}
	changed := func(changes ...any) func(url.Values) {
		return asserted(func() string { return r.sign(one, claims(changes...)) })
	}
	for _, tt := range []struct {
		name   string
		change func(url.Values)
	}{
		{"none, client_id alone", func(v url.Values) {
			v.Del("client_assertion")
			v.Del("client_assertion_type")
			v.Set("client_id", one.ID)
		}},
		{"nothing at all", func(v url.Values) { v.Del("client_assertion"); v.Del("client_assertion_type") }},
		{"no client_assertion_type", func(v url.Values) { v.Del("client_assertion_type") }},
		{"another client_assertion_type", func(v url.Values) {
			v.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:invalid")
		}},
		{"no sub", changed("sub", nil)},
		{"another sub", changed("sub", "somebody-else")},
		{"no iss", changed("iss", nil)},
		{"another iss", changed("iss", "somebody-else")},
		{"no aud", changed("aud", nil)},
		{"an unrelated aud", changed("aud", "https://unrelated.example/api/userinfo")},
		{"ended five minutes ago", changed("exp", time.Now().Add(-5*time.Minute).Unix())},
		{"RS256", asserted(func() string { return r.signed(one, jose.RS256, "", claims()) })},
		{"alg none", asserted(func() string { return unsigned(claims()) })},
		{"a bad signature", asserted(func() string { return badly(r.sign(one, claims())) })},
		{"by the other client", asserted(func() string { return r.sign(&r.two, claims()) })},
	} {
		r.refused(tt.name, r.ask(one, r.sign(one, r.asked(one)), tt.change), http.StatusUnauthorized, ciba.InvalidClient)
		r.refused(tt.name+", for the token", r.redeem(one, id, tt.change), http.StatusUnauthorized, ciba.InvalidClient)
	}
	finish()
	r.flow(one)
}
