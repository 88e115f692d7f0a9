//go:build e2e

package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"ringback/ciba"
)

// register makes the variant's clients as the suite does (RFC 7591): with one
// key of its own that signs and has the client's certificate too, and without
// what can be left out.
func (r *run) register() {
	r.t.Helper()
	for _, p := range []*party{&r.one, &r.two} {
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			r.t.Fatal(err)
		}
		name := p.plan["client_name"].(string) + " " + rand.Text()[:15]
		leaf := ownCertificate(r.t, private, name, time.Now(), time.Now().AddDate(1, 0, 0))
		p.cert = tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: private}
		p.http = r.client(&p.cert)
		p.signing = jose.JSONWebKey{Key: private, Algorithm: "PS256"}
		sum, err := p.signing.Thumbprint(crypto.SHA256)
		if err != nil {
			r.t.Fatal(err)
		}
		p.signing.KeyID = base64.RawURLEncoding.EncodeToString(sum)
		public := p.signing.Public()
		public.Certificates = []*x509.Certificate{leaf}
		asked := map[string]any{
			"client_name": name, "grant_types": []string{ciba.GrantCIBA, ciba.GrantRefresh}, "response_types": []string{},
			"jwks": jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}}, "tls_client_certificate_bound_access_tokens": true,
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
			asked["backchannel_client_notification_endpoint"] = r.pings.url() + "/test/a/ringback/ciba-notification-endpoint"
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
		a := r.send(p.http, http.MethodPost, endpoint, bytes.NewReader(body), "Content-Type", "application/json", "Authorization", "Bearer "+token,
			"Accept", "application/json", "Accept-Charset", "utf-8")
		if a.status != http.StatusCreated || a.str("client_id") == "" || !strings.HasPrefix(a.str("registration_client_uri"), "https://") || a.str("registration_access_token") == "" {
			r.t.Fatalf("registering: %d %s", a.status, a.raw)
		}
		if kind := a.header.Get("Content-Type"); kind != "application/json" || a.body["error"] != nil || a.body["client_secret"] != nil {
			r.t.Errorf("registered as %s: %s", kind, a.raw)
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

// ownCertificate is a certificate that a key signs itself, of a name and
// nothing more.
func ownCertificate(t *testing.T, key *rsa.PrivateKey, name string, from, until time.Time) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixMilli()), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until,
		BasicConstraintsValid: true, IsCA: true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(raw); err != nil {
		t.Fatal(err)
	}
	return c
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
