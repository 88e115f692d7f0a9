package ciba_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"testing"

	"ringback/ciba"
	"ringback/consent"
)

// spoofs are header fields in which proxies tell what they know about a
// caller: certificates, addresses, names and methods.
func spoofs(cert tls.Certificate) map[string]string {
	der := base64.StdEncoding.EncodeToString(cert.Certificate[0])
	block := url.QueryEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})))
	return map[string]string{
		"X-SSL-Cert": block, "X-SSL-Client-Cert": block, "X-Client-Cert": block, "Ssl-Client-Cert": block, "X-Client-Certificate": der,
		"X-Forwarded-Client-Cert":     `Hash=` + certificateThumbprint(cert) + `;Cert="` + block + `";Subject="CN=own,O=Example,C=DE"`,
		"X-Forwarded-Tls-Client-Cert": der, "Client-Cert": ":" + der + ":", "Client-Cert-Chain": ":" + der + ":",
		"X-Amzn-Mtls-Clientcert": block, "X-Amzn-Mtls-Clientcert-Leaf": block, "X-Arr-Clientcert": der, "Cf-Client-Cert-Der-Base64": der,
		"X-SSL-Client-Verify": "SUCCESS", "X-Client-Verify": "SUCCESS", "X-SSL-Client-S-Dn": "CN=own,O=Example,C=DE",
		"X-Forwarded-For": "127.0.0.1", "X-Real-Ip": "127.0.0.1", "True-Client-Ip": "127.0.0.1", "Cf-Connecting-Ip": "127.0.0.1", "X-Client-Ip": "127.0.0.1",
		"X-Forwarded-Host": "attacker.example", "X-Forwarded-Server": "attacker.example", "X-Host": "attacker.example", "X-Original-Host": "attacker.example",
		"X-Forwarded-Proto": "https", "X-Forwarded-Scheme": "https", "X-Forwarded-Ssl": "on", "Front-End-Https": "on", "X-Forwarded-Port": "443",
		"X-Forwarded-Prefix": "/evil", "Forwarded": `for=127.0.0.1;host=attacker.example;proto=https`,
		"X-Original-Url": "/jwks", "X-Rewrite-Url": "/jwks", "X-Forwarded-Uri": "/jwks",
		"X-Http-Method-Override": "GET", "X-Http-Method": "GET", "X-Method-Override": "GET",
		"X-Remote-User": "other", "Remote-User": "other", "X-Forwarded-User": "other", "X-Auth-Request-User": "other", "X-Client-Id": "other",
	}
}

// TestSpoofedHeaders: what a request says about its own connection counts for
// nothing: a certificate is what the handshake proved, an address of ours is
// what was configured, and a client is who authenticated.
func TestSpoofedHeaders(t *testing.T) {
	t.Parallel()
	own, other := newSigner(t, "ES256", "own"), newSigner(t, "ES256", "other")
	cert, another := own.certificate(nil), other.certificate(nil)
	set, err := json.Marshal(map[string]any{"keys": []any{own.jwk(map[string]any{"x5c": []string{base64.StdEncoding.EncodeToString(cert.Certificate[0])}})}})
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, client("self", func(c *consent.Client) {
		c.AuthMethod, c.SecretHashes, c.JWKS = "self_signed_tls_client_auth", nil, set
	}), client("bound", func(c *consent.Client) { c.CertificateBound = true }))
	over := func(r *http.Request, with *tls.Certificate) *response {
		if with != nil {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{with.Leaf}}
		}
		return h.arrive(r)
	}
	if res := over(h.request("/bc-authorize", asking("client_id", "self")), &cert); res.status != http.StatusOK {
		t.Fatalf("the genuine certificate: %d %s", res.status, res.raw)
	}
	res := over(h.request("/bc-authorize", asking(), "Authorization", basic("agent", secret)), &cert)
	pinned := res.str("auth_req_id")
	h.decide(h.idOf(pinned), consent.Approved)
	unpinned := h.askedDirectly("bound")
	h.decide(h.idOf(unpinned), consent.Approved)
	read := func(path string, spoof []string) *response {
		r := h.request(path, nil, spoof...)
		r.Method, r.Body = http.MethodGet, http.NoBody
		return h.arrive(r)
	}
	before := map[string]*response{}
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks"} {
		before[path] = read(path, nil)
	}

	all := spoofs(cert)
	if len(all) < 20 {
		t.Fatalf("%d header fields, want 20", len(all))
	}
	var every []string
	rows := map[string][]string{}
	for name, value := range all {
		rows[name] = []string{name, value}
		every = append(every, name, value)
	}
	rows["all at once"] = every
	facts := h.facts()
	for name, spoof := range rows {
		for where, with := range map[string]*tls.Certificate{"": nil, ", beside another certificate": &another} {
			name := name + where
			h.refused(name, over(h.request("/bc-authorize", asking("client_id", "self"), spoof...), with), http.StatusUnauthorized, ciba.InvalidClient, "")
			as := append([]string{"Authorization", basic("agent", secret)}, spoof...)
			h.refused(name+": a pinned request", over(h.request("/token", collecting(pinned), as...), with), http.StatusBadRequest, ciba.InvalidGrant, "certificate")
		}
		h.refused(name+": a token that must be bound", h.directAs("bound", "/token", collecting(unpinned), spoof...), http.StatusBadRequest, ciba.InvalidRequest, "bound")
		proof := own.proof(h, "POST", "https://attacker.example/bc-authorize")
		h.refused(name+": a proof for elsewhere", h.directAs("agent", "/bc-authorize", asking(), append([]string{"DPoP", proof}, spoof...)...), http.StatusBadRequest, ciba.InvalidDPoPProof, "htu")
		for path, want := range before {
			if res := read(path, spoof); !same(want, res) {
				t.Errorf("%s changes %s: %d %v %s", name, path, res.status, res.header, res.raw)
			}
		}
	}
	if got := h.facts(); got != facts {
		t.Errorf("%d facts were stored", got-facts)
	}
	for name, spoof := range rows {
		handle := h.directAs("agent", "/bc-authorize", asking(), spoof...).str("auth_req_id")
		if got := h.state(h.idOf(handle)).Request; got.Client.ID != "agent" || got.Issuer != h.url || got.Binding != "" {
			t.Errorf("%s: asked by %s, from %s, bound to %q", name, got.Client.ID, got.Issuer, got.Binding)
		}
	}
}
