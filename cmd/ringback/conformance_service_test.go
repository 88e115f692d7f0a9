//go:build e2e

package main

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"ringback/ciba"
	"ringback/consent"
)

// discovery is discovery-end-point-verification, and what every module looks
// at before it starts: the service's keys, and its own configuration.
func (h *host) discovery(t *testing.T) {
	t.Parallel()
	t.Run("keys", h.keys)
	t.Run("plans", h.plans)
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
	for url, status := range map[string]int{h.issuer + "/.well-known/openid-configuration": 200, h.meta["authorization_endpoint"].(string): 400} {
		res, err := h.client(nil).Get(url)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if kind := res.Header.Get("Content-Type"); res.StatusCode != status || kind != "application/json" {
			t.Errorf("%s answers %d as %s", url, res.StatusCode, kind)
		}
	}
}

// keys checks the service's own: public ones that everybody can use, each of
// its own name and algorithm.
func (h *host) keys(t *testing.T) {
	res, err := h.client(nil).Get(h.meta["jwks_uri"].(string))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.NewDecoder(res.Body).Decode(&set); err != nil || res.StatusCode != http.StatusOK || len(set.Keys) == 0 {
		t.Fatalf("jwks_uri: %d, %d keys, %v", res.StatusCode, len(set.Keys), err)
	}
	kids := map[any]bool{"": true, nil: true}
	for _, k := range set.Keys {
		if kids[k["kid"]] || k["use"] != "sig" {
			t.Errorf("kid %v, use %v", k["kid"], k["use"])
		}
		kids[k["kid"]] = true
		sizes := map[string]int{"n": 256, "e": 3} // bytes
		if k["kty"] == "EC" && k["crv"] == "P-256" && k["alg"] == "ES256" {
			sizes = map[string]int{"x": 32, "y": 32}
		} else if k["kty"] != "RSA" || k["alg"] != "PS256" {
			t.Errorf("a key that not everybody can use: %v", k)
		}
		for member, size := range sizes {
			text, _ := k[member].(string)
			if raw, err := base64.RawURLEncoding.DecodeString(text); err != nil || len(raw) < size {
				t.Errorf("%s of %v: %d bytes, %v", member, k["kid"], len(raw), err)
			}
		}
		for _, member := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
			if k[member] != nil {
				t.Errorf("%v: %s is published", k["kid"], member)
			}
		}
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
		// A refusal is an alert that says so; a connection that breaks is not one.
		refused := func(what string, err error, alerts ...string) {
			t.Helper()
			if err == nil || !slices.ContainsFunc(alerts, func(a string) bool { return strings.HasSuffix(err.Error(), a) }) {
				t.Errorf("%s, %s: %v", base, what, err)
			}
		}
		const failure, version = "remote error: tls: handshake failure", "remote error: tls: protocol version not supported"
		for _, s := range others {
			refused(tls.CipherSuiteName(s), dial(tls.VersionTLS12, tls.VersionTLS12, []uint16{s}), failure)
		}
		refused("all other suites", dial(tls.VersionTLS12, tls.VersionTLS12, others), failure)
		for _, v := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
			refused(tls.VersionName(v), dial(v, v, append(fapi, others...)), failure, version)
		}
	}
	// Every endpoint is at one of the two.
	for name, v := range h.meta {
		if s, ok := v.(string); ok && strings.HasSuffix(name, "_endpoint") && !strings.HasPrefix(s, h.issuer+"/") {
			t.Errorf("%s is elsewhere: %s", name, s)
		}
	}
}
