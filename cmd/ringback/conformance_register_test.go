//go:build e2e

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/go-jose/go-jose/v4"
)

// register makes the variant's clients as the suite does (RFC 7591): keys are
// its own, and what it does not need it leaves out.
func (r *run) register() {
	r.t.Helper()
	for _, p := range []*party{&r.one, &r.two} {
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			r.t.Fatal(err)
		}
		p.signing = jose.JSONWebKey{Key: private, KeyID: rand.Text(), Algorithm: "PS256", Use: "sig"}
		leaf := p.cert.Leaf
		set := map[string]any{"keys": []any{
			p.signing.Public(),
			jose.JSONWebKey{Key: leaf.PublicKey, KeyID: rand.Text(), Use: "sig"},
		}}
		text, err := json.Marshal(set)
		if err != nil {
			r.t.Fatal(err)
		}
		var jwks struct {
			Keys []map[string]any `json:"keys"`
		}
		if err := json.Unmarshal(text, &jwks); err != nil {
			r.t.Fatal(err)
		}
		jwks.Keys[1]["x5c"] = []string{base64.StdEncoding.EncodeToString(leaf.Raw)}
		asked := map[string]any{
			"client_name": p.plan["client_name"], "grant_types": []string{"urn:openid:params:grant-type:ciba", "client_credentials"},
			"response_types": []string{}, "jwks": jwks, "tls_client_certificate_bound_access_tokens": true,
			"backchannel_token_delivery_mode":                r.mode,
			"backchannel_authentication_request_signing_alg": "PS256",
			"backchannel_user_code_parameter":                false,
			"id_token_signed_response_alg":                   "PS256",
			"token_endpoint_auth_method":                     "private_key_jwt",
			"token_endpoint_auth_signing_alg":                "PS256",
		}
		if r.auth == "mtls" {
			asked["token_endpoint_auth_method"] = "self_signed_tls_client_auth"
			delete(asked, "token_endpoint_auth_signing_alg")
		}
		if r.mode == "ping" {
			asked["backchannel_client_notification_endpoint"] = r.pings.server.URL + "/test/a/ringback/ciba-notification-endpoint"
		}
		body, err := json.Marshal(asked)
		if err != nil {
			r.t.Fatal(err)
		}
		token, _ := p.plan["initial_access_token"].(string)
		endpoint := r.endpoint("registration_endpoint", false)
		for _, wrong := range []string{"", "x" + token} {
			if a := r.send(r.bare, http.MethodPost, endpoint, bytes.NewReader(body), "Content-Type", "application/json", "Authorization", "Bearer "+wrong); a.status != http.StatusUnauthorized {
				r.t.Errorf("registering with the token %q: %d %s", wrong, a.status, a.raw)
			}
		}
		a := r.send(r.bare, http.MethodPost, endpoint, bytes.NewReader(body), "Content-Type", "application/json", "Authorization", "Bearer "+token)
		if a.status != http.StatusCreated || a.str("client_id") == "" || a.str("registration_client_uri") == "" || a.str("registration_access_token") == "" {
			r.t.Fatalf("registering: %d %s", a.status, a.raw)
		}
		for member, want := range asked {
			if s, ok := want.(string); ok && a.str(member) != s {
				r.t.Errorf("registered %s: %v, asked for %v", member, a.body[member], want)
			}
		}
		p.ID, p.manage, p.access = a.str("client_id"), a.str("registration_client_uri"), a.str("registration_access_token")
		p.plan["id_token_signed_response_alg"] = "PS256"
	}
}

// unregister removes the clients again (RFC 7592 §2.3).
func (r *run) unregister() {
	for _, p := range []*party{&r.one, &r.two} {
		if a := r.send(r.bare, http.MethodDelete, p.manage, nil, "Authorization", "Bearer "+p.access); a.status != http.StatusNoContent {
			r.t.Errorf("unregistering: %d %s", a.status, a.raw)
		}
		if a := r.redeem(p, "any"); a.str("error") != "invalid_client" {
			r.t.Errorf("after that: %d %s", a.status, a.raw)
		}
	}
}
