//go:build e2e

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"ringback/ciba"
)

// clockAhead: the suite makes the certificate of a client right before it
// registers the client, by a clock that may be ahead of ours.
func (h *host) clockAhead(t *testing.T) {
	t.Parallel()
	r := h.variant(t, "dynamic-poll-mtls")
	p := &r.one
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		from, until time.Duration
		ok          bool
	}{
		{20 * time.Second, time.Hour, true},
		{2 * time.Minute, time.Hour, false},
		{-time.Hour, -time.Second, false},
	} {
		leaf := ownCertificate(t, private, "client", time.Now().Add(tt.from), time.Now().Add(tt.until))
		p.http = h.client(&tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: private})
		p.signing = jose.JSONWebKey{Key: private, KeyID: rand.Text(), Algorithm: "PS256", Use: "sig", Certificates: []*x509.Certificate{leaf}}
		body, err := json.Marshal(map[string]any{
			"client_name": "Clock " + rand.Text()[:8], "grant_types": []string{ciba.GrantCIBA}, "response_types": []string{},
			"jwks":                            jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.signing.Public()}},
			"backchannel_token_delivery_mode": "poll", "backchannel_authentication_request_signing_alg": "PS256",
			"token_endpoint_auth_method": "self_signed_tls_client_auth", "tls_client_certificate_bound_access_tokens": true,
		})
		if err != nil {
			t.Fatal(err)
		}
		token, _ := p.plan["initial_access_token"].(string)
		a := r.send(p.http, http.MethodPost, r.endpoint("registration_endpoint", false), bytes.NewReader(body), "Content-Type", "application/json", "Authorization", "Bearer "+token)
		if p.ID = a.str("client_id"); a.status != http.StatusCreated {
			t.Fatalf("registering: %d %s", a.status, a.raw)
		}
		a = r.ask(p, r.sign(p, r.asked(p)))
		if !tt.ok {
			r.refused("a certificate from "+tt.from.String(), a, http.StatusUnauthorized, ciba.InvalidClient)
			continue
		}
		// It asks for offline_access too, but is not registered for refresh tokens.
		id := r.acknowledged(a)
		r.decide(id, "allow")
		if a = r.redeem(p, id); a.status != http.StatusOK || a.body["refresh_token"] != nil {
			t.Errorf("redeeming: %d %s", a.status, a.raw)
		}
	}
}
