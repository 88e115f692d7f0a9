//go:build e2e

package main

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// registered are the members of our metadata that the registry of
// authorization server metadata (RFC 8414 §7.1) or OpenID has. Of any other
// the suite warns unless its plan names it.
var registered = strings.Fields(`issuer authorization_endpoint token_endpoint jwks_uri registration_endpoint
	introspection_endpoint introspection_endpoint_auth_methods_supported revocation_endpoint revocation_endpoint_auth_methods_supported
	backchannel_authentication_endpoint backchannel_token_delivery_modes_supported backchannel_user_code_parameter_supported
	backchannel_authentication_request_signing_alg_values_supported scopes_supported response_types_supported grant_types_supported
	acr_values_supported subject_types_supported id_token_signing_alg_values_supported token_endpoint_auth_methods_supported
	token_endpoint_auth_signing_alg_values_supported authorization_details_types_supported dpop_signing_alg_values_supported
	tls_client_certificate_bound_access_tokens mtls_endpoint_aliases claims_supported claims_parameter_supported
	request_parameter_supported request_uri_parameter_supported client_id_metadata_document_supported`)

// planFile is the suite's configuration for a variant, as far as it is read
// there.
type planFile struct {
	Alias    string `json:"alias"`
	Approval string `json:"automated_ciba_approval_url"`
	Server   struct {
		Discovery  string   `json:"discoveryUrl"`
		Unexpected []string `json:"allow_unexpected_metadata_fields"`
	} `json:"server"`
	Resource struct {
		URL string `json:"resourceUrl"`
	} `json:"resource"`
	Client  planClient `json:"client"`
	Client2 planClient `json:"client2"`
	MTLS    planPair   `json:"mtls"`
	MTLS2   planPair   `json:"mtls2"`
}

type planClient struct {
	ID        string             `json:"client_id"`
	Name      string             `json:"client_name"`
	Token     string             `json:"initial_access_token"`
	Scope     string             `json:"scope"`
	HintType  string             `json:"hint_type"`
	HintValue string             `json:"hint_value"`
	ACR       string             `json:"acr_value"`
	Keys      jose.JSONWebKeySet `json:"jwks"`
}

// planPair is a certificate and its key, each as PEM.
type planPair struct {
	Certificate string `json:"cert"`
	Key         string `json:"key"`
}

// plans checks what deploy/conformance makes for the suite.
func (h *host) plans(t *testing.T) {
	for _, registration := range []string{"static", "dynamic"} {
		for _, rest := range []string{"-poll-private_key_jwt", "-poll-mtls", "-ping-private_key_jwt", "-ping-mtls"} {
			t.Run(registration+rest, func(t *testing.T) {
				raw, err := os.ReadFile(filepath.Join(h.dir, "plan-"+registration+rest+".json"))
				if err != nil {
					t.Fatal(err)
				}
				var p planFile
				if err := json.Unmarshal(raw, &p); err != nil {
					t.Fatal(err)
				}
				h.plan(t, &p, registration == "static")
			})
		}
	}
}

func (h *host) plan(t *testing.T, p *planFile, static bool) {
	if p.Alias != "ringback" || p.Server.Discovery != h.issuer+"/.well-known/openid-configuration" || !strings.HasPrefix(p.Resource.URL, h.mtls+"/") {
		t.Errorf("alias %q, discovery %q, resource %q", p.Alias, p.Server.Discovery, p.Resource.URL)
	}
	if !strings.HasPrefix(p.Approval, h.issuer+"/") || strings.Count(p.Approval, "{auth_req_id}") != 1 || strings.Count(p.Approval, "{action}") != 1 {
		t.Errorf("approval at %q", p.Approval)
	}
	for member := range h.meta {
		if slices.Contains(registered, member) == slices.Contains(p.Server.Unexpected, member) {
			t.Errorf("%s: must be either registered or named in the plan, %v", member, p.Server.Unexpected)
		}
	}
	for _, member := range p.Server.Unexpected {
		if h.meta[member] == nil {
			t.Errorf("the plan names %s, which is not in the metadata", member)
		}
	}
	acrs, _ := h.meta["acr_values_supported"].([]any)
	for _, c := range []*planClient{&p.Client, &p.Client2} {
		if !slices.Contains(strings.Fields(c.Scope), "openid") || len(strings.Fields(c.Scope)) < 2 || c.HintType != "login_hint" || c.HintValue == "" || !slices.Contains(acrs, any(c.ACR)) {
			t.Errorf("a client: %+v", c)
		}
		// The name becomes one of a certificate: nothing there may need an escape.
		if !static && (c.ID != "" || c.Token == "" || c.Name == "" || strings.ContainsAny(c.Name, `,+"\<>;=#`)) {
			t.Errorf("a client that registers: %q, name %q", c.ID, c.Name)
		}
	}
	if !static {
		return
	}
	if p.Client.ID == "" || p.Client2.ID == "" || p.Client.ID == p.Client2.ID || p.MTLS.Certificate == p.MTLS2.Certificate {
		t.Errorf("the two clients are the same: %q, %q", p.Client.ID, p.Client2.ID)
	}
	p.Client.signs(t, "PS256")
	p.Client2.signs(t, "ES256")
	p.MTLS.matches(t)
	p.MTLS2.matches(t)
}

// signs checks that there is one private key, which says all of itself.
func (c *planClient) signs(t *testing.T, alg string) {
	t.Helper()
	if len(c.Keys.Keys) != 1 {
		t.Fatalf("%s has %d keys", c.ID, len(c.Keys.Keys))
	}
	if k := c.Keys.Keys[0]; k.IsPublic() || !k.Valid() || k.KeyID == "" || k.Use != "sig" || k.Algorithm != alg {
		t.Errorf("the key of %s: public %t, kid %q, use %q, alg %q, want %s", c.ID, k.IsPublic(), k.KeyID, k.Use, k.Algorithm, alg)
	}
}

func (p *planPair) matches(t *testing.T) {
	t.Helper()
	for want, text := range map[string]string{"CERTIFICATE": p.Certificate, "PRIVATE KEY": p.Key} {
		if block, rest := pem.Decode([]byte(text)); block == nil || block.Type != want || len(rest) > 0 {
			t.Errorf("want one %s as PEM", want)
		}
	}
	pair, err := tls.X509KeyPair([]byte(p.Certificate), []byte(p.Key))
	if err != nil {
		t.Fatal(err)
	}
	if now := time.Now(); now.Before(pair.Leaf.NotBefore) || now.AddDate(0, 1, 0).After(pair.Leaf.NotAfter) {
		t.Errorf("a certificate from %v to %v", pair.Leaf.NotBefore, pair.Leaf.NotAfter)
	}
}

// url is where the suite is.
func (e *pingEndpoint) url() string { return "https://" + e.server.Listener.Addr().String() }

// start serves with the certificate that is made for the suite's front.
func (e *pingEndpoint) start(t *testing.T, cert, key string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	e.server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	e.server.StartTLS()
}
