package ciba_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/ciba"
	"ringback/consent"
)

// TestClientAuthentication: RFC 6749 §2.3 and §5.2, CIBA Core §7.1 and §13, at
// every endpoint.
func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	const odd = "https://agent.example/id:1"
	h := open(t,
		client(odd, func(c *consent.Client) { c.SecretHashes = []consent.Digest{sha("old+ %:secret"), sha("new+ %:secret")} }),
		client("poster", func(c *consent.Client) { c.AuthMethod = "client_secret_post" }),
		client("nobody", func(c *consent.Client) { c.SecretHashes = nil }),
	)
	with := func(pairs ...string) string {
		return params(append([]string{"scope", "openid", "login_hint", "alice", "grant_type", ciba.GrantCIBA, "auth_req_id", "x", "token", "x"}, pairs...)...).Encode()
	}
	const passes = ciba.Code("")
	rows := []struct {
		name, header, body string
		code               ciba.Code
		says               string
	}{
		{"basic", basic("agent", secret), with(), passes, ""},
		{"post", "", with("client_id", "agent", "client_secret", secret), passes, ""},
		{"basic with its client_id", basic("agent", secret), with("client_id", "agent"), passes, ""},
		{"form-encoded", basic(odd, "new+ %:secret"), with(), passes, ""},
		{"the secret that is rotated out", basic(odd, "old+ %:secret"), with(), passes, ""},
		{"registered for post", "", with("client_id", "poster", "client_secret", secret), passes, ""},

		{"registered for post, sent as basic", basic("poster", secret), with(), ciba.InvalidClient, "registered"},
		{"nothing", "", with(), ciba.InvalidClient, "client_secret_basic"},
		{"client_id alone", "", with("client_id", "agent"), ciba.InvalidClient, "client_secret_basic"},
		{"secret alone", "", with("client_secret", secret), ciba.InvalidClient, "client_id: "},
		{"wrong secret", basic("agent", secret+"x"), with(), ciba.InvalidClient, "secret"},
		{"wrong secret by post", "", with("client_id", "agent", "client_secret", "x"), ciba.InvalidClient, "secret"},
		{"hash for a secret", basic("agent", sha(secret).String()), with(), ciba.InvalidClient, "secret"},
		{"another client's secret", basic(odd, secret), with(), ciba.InvalidClient, "secret"},
		{"unknown client", basic("ghost", secret), with(), ciba.InvalidClient, "secret"},
		{"client without a secret", basic("nobody", secret), with(), ciba.InvalidClient, "secret"},
		{"basic without base64", "Basic agent:" + secret, with(), ciba.InvalidClient, "Authorization: "},
		{"bearer", "Bearer " + secret, with(), ciba.InvalidClient, "Authorization: "},
		{"assertion", "", with("client_id", "agent", "client_assertion", "x", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), ciba.InvalidClient, "registered"},
		{"client_id of another", basic("agent", secret), with("client_id", "other"), ciba.InvalidClient, "client_id: "},
		{"two methods", basic("agent", secret), with("client_id", "agent", "client_secret", secret), ciba.InvalidRequest, "one method"},
		{"two methods, one an assertion", basic("agent", secret), with("client_assertion", "x"), ciba.InvalidRequest, "one method"},
	}
	for _, path := range []string{"/bc-authorize", "/token", "/oauth/token", "/introspect", "/revoke"} {
		for _, tt := range rows {
			before := h.facts()
			res := h.send(http.MethodPost, path, tt.body, "Authorization", tt.header)
			name := path + " " + tt.name
			if tt.code == passes {
				if res.status == http.StatusUnauthorized {
					t.Errorf("%s: %d %s", name, res.status, res.raw)
				}
				continue
			}
			status := http.StatusBadRequest
			if tt.code == ciba.InvalidClient {
				status = http.StatusUnauthorized
				if got := res.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Basic ") {
					t.Errorf("%s: WWW-Authenticate %q", name, got)
				}
			}
			h.refused(name, res, status, tt.code, tt.says)
			if h.facts() != before {
				t.Errorf("%s: a fact was stored", name)
			}
		}
	}
	if strings.Contains(h.logged(), secret) || strings.Contains(h.logged(), "+ %:secret") {
		t.Error("the log has a client's secret")
	}
	res := h.send(http.MethodPost, "/token?client_id=agent&client_secret="+secret, with())
	h.refused("secret in the query", res, http.StatusUnauthorized, ciba.InvalidClient, "client_secret_basic")
}

// TestDiscovery: OpenID Connect Discovery §3, RFC 8414 §2, CIBA Core §4.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.change(func(p *consent.Policy) { p.Reach = consent.ACRMatch })
	list := func(v ...any) []any { return v }
	methods := list("client_secret_basic", "client_secret_post", "private_key_jwt", "self_signed_tls_client_auth", "tls_client_auth")
	algs := list("PS256", "ES256", "EdDSA", "Ed25519")
	want := map[string]any{
		"issuer": h.url, "token_endpoint": h.url + "/token", "jwks_uri": h.url + "/jwks",
		"introspection_endpoint": h.url + "/introspect", "revocation_endpoint": h.url + "/revoke",
		"backchannel_authentication_endpoint":                             h.url + "/bc-authorize",
		"backchannel_token_delivery_modes_supported":                      list("poll", "ping", "push"),
		"backchannel_user_code_parameter_supported":                       true,
		"scopes_supported":                                                list("calendar", "openid", "payments"),
		"response_types_supported":                                        []any{},
		"grant_types_supported":                                           list(ciba.GrantCIBA, ciba.GrantClientCredentials, ciba.GrantDeferred),
		"acr_values_supported":                                            list(consent.ACRTap, consent.ACRMatch),
		"subject_types_supported":                                         list("public"),
		"id_token_signing_alg_values_supported":                           list("ES256", "PS256"),
		"token_endpoint_auth_signing_alg_values_supported":                algs,
		"backchannel_authentication_request_signing_alg_values_supported": algs,
		"dpop_signing_alg_values_supported":                               algs,
		"tls_client_certificate_bound_access_tokens":                      true,
		"mtls_endpoint_aliases": map[string]any{
			"token_endpoint": h.mtls.URL + "/token", "backchannel_authentication_endpoint": h.mtls.URL + "/bc-authorize",
			"introspection_endpoint": h.mtls.URL + "/introspect", "revocation_endpoint": h.mtls.URL + "/revoke",
		},
		"token_endpoint_auth_methods_supported":           methods,
		"introspection_endpoint_auth_methods_supported":   methods,
		"revocation_endpoint_auth_methods_supported":      methods,
		"authorization_details_types_supported":           list("data_access", "payment_initiation", "tool_call"),
		"authorization_details_types_metadata_endpoint":   h.url + "/authorization-details-types",
		"claims_supported":                                list("iss", "sub", "aud", "exp", "iat", "auth_time", "acr", "amr", "at_hash", "urn:openid:params:jwt:claim:auth_req_id"),
		"claims_parameter_supported":                      false,
		"request_parameter_supported":                     true,
		"request_uri_parameter_supported":                 false,
		"deferred_token_response_supported":               true,
		"revocation_endpoint_token_type_values_supported": list("urn:ietf:params:oauth:token-type:deferral-code"),
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		res := h.send(http.MethodGet, path, "")
		h.sealed(path, res)
		if diff := cmp.Diff(want, res.body); res.status != http.StatusOK || diff != "" {
			t.Errorf("%s: %d %s", path, res.status, diff)
		}
		if res := h.send(http.MethodHead, path, ""); res.status != http.StatusOK {
			t.Errorf("HEAD %s: %d", path, res.status)
		}
	}
	res := h.send(http.MethodGet, "/jwks", "")
	h.sealed("/jwks", res)
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(res.raw), &set); err != nil || len(set.Keys) < 2 {
		t.Fatalf("/jwks: %s", res.raw)
	}
	for _, k := range set.Keys {
		if k["kty"] != "EC" || k["crv"] != "P-256" || k["alg"] != "ES256" || k["use"] != "sig" || k["kid"] == "" || k["d"] != nil {
			t.Errorf("/jwks: key %v", k)
		}
	}
}

// TestNewServer: an issuer that would send credentials in the clear is refused.
func TestNewServer(t *testing.T) {
	t.Parallel()
	for issuer, ok := range map[string]bool{
		"https://as.example": true, "https://as.example/tenant": true, "http://127.0.0.1:8663": true, "http://localhost": true, "http://[::1]:1": true,
		"http://as.example": false, "http://10.0.0.1": false, "as.example": false, "": false, "https://as.example?x": false, "https://as.example#x": false, "https://u@as.example": false,
	} {
		if _, err := ciba.NewServer(ciba.Config{Issuer: issuer}); (err == nil) != ok {
			t.Errorf("NewServer(%q) = %v, want ok %v", issuer, err, ok)
		}
	}
}
