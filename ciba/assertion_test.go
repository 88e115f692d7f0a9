package ciba_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/ciba"
	"ringback/consent"
)

// keyed is a client of private_key_jwt.
func keyed(id string, s *signer, change ...func(*consent.Client)) consent.Client {
	return client(id, append([]func(*consent.Client){func(c *consent.Client) {
		c.AuthMethod, c.SecretHashes, c.JWKS = "private_key_jwt", nil, jwks(s)
	}}, change...)...)
}

// as sends a form with an assertion of the client.
func (h *house) as(s *signer, client, path string, pairs ...string) *response {
	h.t.Helper()
	return h.send(http.MethodPost, path, params(append(s.assertion(h, client), pairs...)...).Encode())
}

// TestAssertion: private_key_jwt (OpenID Connect Core §9, RFC 7523 §3).
func TestAssertion(t *testing.T) {
	t.Parallel()
	ec, rsa, ed, stranger := newSigner(t, "ES256", "ec"), newSigner(t, "PS256", "rsa"), newSigner(t, "EdDSA", "ed"), newSigner(t, "ES256", "ec")
	h := open(t, keyed("ec", ec), keyed("rsa", rsa), keyed("ed", ed),
		keyed("lenient", ec, func(c *consent.Client) { c.AssertionAud = consent.AudCIBAFinal }),
		keyed("fapi", ec, func(c *consent.Client) { c.Profile = consent.ProfileFAPI }),
		keyed("fapi-ed", ed, func(c *consent.Client) { c.Profile = consent.ProfileFAPI }),
		keyed("only-ps", rsa, func(c *consent.Client) { c.AuthAlg = "ES256" }),
	)
	for id, s := range map[string]*signer{"ec": ec, "rsa": rsa, "ed": ed, "lenient": ec} {
		if res := h.as(s, id, "/bc-authorize", "scope", "openid", "login_hint", "alice"); res.status != http.StatusOK {
			t.Errorf("%s: %d %s", id, res.status, res.raw)
		}
	}
	kind := "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	send := func(assertion string, more ...string) *response {
		return h.send(http.MethodPost, "/bc-authorize", params(append([]string{
			"scope", "openid", "login_hint", "alice", "client_assertion_type", kind, "client_assertion", assertion}, more...)...).Encode())
	}
	before := h.facts()
	good := h.asserted("ec")
	now := h.now()
	for _, tt := range []struct {
		name      string
		assertion string
		says      string
	}{
		{"another key of the same kid", stranger.sign(nil, good), "wrong signature"},
		{"another client's key", rsa.sign(nil, good), ""},
		{"of another client", ec.sign(nil, h.asserted("rsa")), ""},
		{"alg none", b64([]byte(`{"alg":"none","kid":"ec"}`)) + "." + b64([]byte(`{"sub":"ec"}`)) + ".", ""},
		{"RS256", newSigner(t, "RS256", "rsa").sign(nil, h.asserted("rsa")), ""},
		{"registered another algorithm", rsa.sign(nil, h.asserted("only-ps")), ""},
		{"EdDSA under the profile", ed.sign(nil, h.asserted("fapi-ed")), ""},
		{"a typ of something else", ec.sign(map[string]any{"typ": "oauth-authz-req+jwt"}, good), "typ"},
		{"no iss", ec.sign(nil, good.with("iss", nil)), "iss and sub"},
		{"another iss", ec.sign(nil, good.with("iss", "rsa")), "iss and sub"},
		{"no jti", ec.sign(nil, good.with("jti", nil)), "jti"},
		{"a huge jti", ec.sign(nil, good.with("jti", strings.Repeat("x", 257))), "jti"},
		{"no exp", ec.sign(nil, good.with("exp", nil)), "exp"},
		{"expired", ec.sign(nil, good.with("exp", now.Add(-11*time.Second).Unix())), "expired"},
		{"for two hours", ec.sign(nil, good.with("exp", now.Add(2*time.Hour).Unix())), "60 minutes"},
		{"iat in the future", ec.sign(nil, good.with("iat", now.Add(90*time.Second).Unix())), "clock"},
		{"nbf in the future", ec.sign(nil, good.with("nbf", now.Add(90*time.Second).Unix())), "clock"},
		{"exp in capitals", ec.sign(nil, good.with("exp", nil, "EXP", good["exp"])), "exp is missing"},
		{"aud in capitals", ec.sign(nil, good.with("aud", nil, "Aud", good["aud"])), "aud must be"},
		{"exp beyond all numbers", ec.sign(nil, good.with("exp", json.RawMessage(`1e400`))), "RFC 7519"},
		{"nbf null", ec.sign(nil, good.with("nbf", json.RawMessage(`null`))), "RFC 7519"},
		{"exp as text", ec.sign(nil, good.with("exp", fmt.Sprint(now.Add(time.Minute).Unix()))), "RFC 7519"},
		{"no JWT", "x", "not a JWT"},
		{"none", "", "send a JWT"},
	} {
		h.refused(tt.name, send(tt.assertion), http.StatusUnauthorized, ciba.InvalidClient, tt.says)
	}
	h.refused("another client_id beside it", send(ec.sign(nil, good), "client_id", "rsa"), http.StatusUnauthorized, ciba.InvalidClient, "")
	h.refused("another client_id of the same key", send(ec.sign(nil, good), "client_id", "lenient"), http.StatusUnauthorized, ciba.InvalidClient, "iss and sub")
	h.refused("with a secret", send(ec.sign(nil, good), "client_secret", secret), http.StatusBadRequest, ciba.InvalidRequest, "one method")
	h.refused("another type", send(ec.sign(nil, good), "client_assertion_type", "urn:x"), http.StatusUnauthorized, ciba.InvalidClient, kind)
	h.refused("a secret instead", h.post("/bc-authorize", "ec", params("scope", "openid", "login_hint", "alice")), http.StatusUnauthorized, ciba.InvalidClient, "")
	if got := h.facts(); got != before {
		t.Errorf("refused requests left %d facts", got-before)
	}
}

// TestAssertionAudience: of twelve shapes of aud exactly the issuer counts, and
// where the older rule was chosen also the addresses of our endpoints (RFC
// 7523bis §4, CIBA Core §7.1).
func TestAssertionAudience(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "ES256", "k")
	h := open(t, keyed("strict", key), keyed("lenient", key, func(c *consent.Client) { c.AssertionAud = consent.AudCIBAFinal }))
	for _, tt := range []struct {
		aud             any
		strict, lenient bool
	}{
		{h.url, true, true},
		{json.RawMessage(`"` + strings.ReplaceAll(h.url, "/", `\/`) + `"`), true, true}, // as some libraries write it
		{h.url + "/token", false, true},
		{h.url + "/bc-authorize", false, true},
		{h.mtls.URL + "/token", false, true},
		{h.mtls.URL + "/bc-authorize", false, true},
		{h.url + "/oauth/token", false, false},
		{h.url + "/introspect", false, false},
		{h.url + "/", false, false},
		{strings.ToUpper(h.url), false, false},
		{[]string{h.url}, false, false},
		{[]string{h.url, h.url + "/token"}, false, false},
		{[]string{h.url, "https://attacker.example"}, false, false},
		{h.url + "@attacker.example", false, false},
		{strings.TrimSuffix(h.url, "1"), false, false},
		{"", false, false},
		{nil, false, false},
		{json.RawMessage(`{"0":"` + h.url + `"}`), false, false},
	} {
		if tt.aud == strings.TrimSuffix(h.url, "1") && !strings.HasSuffix(h.url, "1") {
			continue // then it is the issuer itself
		}
		for id, want := range map[string]bool{"strict": tt.strict, "lenient": tt.lenient} {
			assertion := key.sign(nil, h.asserted(id).with("aud", tt.aud))
			res := h.send(http.MethodPost, "/revoke", params("token", "x", "client_assertion", assertion,
				"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer").Encode())
			if got := res.status == http.StatusOK; got != want {
				t.Errorf("%s: aud %v: %d %s", id, tt.aud, res.status, res.raw)
			}
		}
	}
}

// TestAssertionOnce: an assertion opens one endpoint once, however often and
// wherever it is sent (RFC 7523 §3 item 7).
func TestAssertionOnce(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "ES256", "k")
	h := open(t, keyed("agent-k", key), keyed("other-k", key))
	for round := range 20 {
		same := h.asserted("agent-k")
		var all sync.WaitGroup
		var mu sync.Mutex
		opened := 0
		for i := range 16 {
			assertion := key.sign(nil, same) // signed anew, with the same jti
			path := []string{"/revoke", "/introspect", "/token", "/oauth/token", "/bc-authorize"}[i%5]
			all.Go(func() {
				res, err := h.try(t.Context(), http.MethodPost, path, params("token", "x", "client_assertion", assertion,
					"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer").Encode())
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if res.status != http.StatusUnauthorized {
					opened++
				}
			})
		}
		if all.Wait(); opened != 1 {
			t.Fatalf("round %d: one assertion was good %d times", round, opened)
		}
		// A jti belongs to its client.
		if res := h.send(http.MethodPost, "/revoke", params("token", "x", "client_assertion", key.sign(nil, h.asserted("other-k").with("jti", same["jti"])),
			"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer").Encode()); res.status != http.StatusOK {
			t.Fatalf("another client with the same jti: %d %s", res.status, res.raw)
		}
	}
}

// TestCertificate: tls_client_auth and self_signed_tls_client_auth (RFC 8705
// §2), at the address of client certificates and nowhere else.
func TestCertificate(t *testing.T) {
	t.Parallel()
	own, pki, stranger := newSigner(t, "ES256", "own"), newSigner(t, "ES256", "pki"), newSigner(t, "ES256", "own")
	ownCert, strangerCert := own.certificate(nil), stranger.certificate(nil)
	x5c := base64.StdEncoding.EncodeToString(ownCert.Certificate[0])
	selfSigned, err := json.Marshal(map[string]any{"keys": []any{own.jwk(map[string]any{"x5c": []string{x5c}})}})
	if err != nil {
		t.Fatal(err)
	}
	h := open(t,
		client("self", func(c *consent.Client) {
			c.AuthMethod, c.SecretHashes, c.JWKS = "self_signed_tls_client_auth", nil, selfSigned
		}),
		client("dn", func(c *consent.Client) {
			c.AuthMethod, c.SecretHashes, c.TLSSubjectDN = "tls_client_auth", nil, "CN=pki,O=Example,C=DE"
		}),
		client("dns", func(c *consent.Client) {
			c.AuthMethod, c.SecretHashes, c.TLSSANDNS = "tls_client_auth", nil, "agent.example"
		}),
	)
	withDNS := func(name string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.DNSNames = []string{name} }
	}
	otherCA := newSigner(t, "ES256", "Example CA").certificate(nil, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
	})
	issued := pki.certificate(&h.ca, withDNS("agent.example"))
	forged := pki.certificate(&otherCA, withDNS("agent.example"))
	server := pki.certificate(&h.ca, withDNS("agent.example"), func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	old := pki.certificate(&h.ca, withDNS("agent.example"), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	other := pki.certificate(&h.ca, withDNS("other.example"), func(c *x509.Certificate) { c.Subject.CommonName = "other" })
	twoNames := pki.certificate(&h.ca, func(c *x509.Certificate) {
		c.RawSubject = rdns(t, "Example", "mallory", "pki") // the last common name is not the name
	})
	selfIssued := pki.certificate(nil, withDNS("agent.example"))
	ask := func(id string) url.Values { return params("client_id", id, "scope", "openid", "login_hint", "alice") }
	for id, cert := range map[string]*tls.Certificate{"self": &ownCert, "dn": &issued, "dns": &issued} {
		if res := h.over(cert, "/bc-authorize", ask(id)); res.status != http.StatusOK {
			t.Errorf("%s: %d %s", id, res.status, res.raw)
		}
	}
	before := h.facts()
	for _, tt := range []struct {
		name, id string
		cert     *tls.Certificate
	}{
		{"no certificate", "self", nil}, {"no certificate", "dn", nil},
		{"another self-signed one", "self", &strangerCert}, {"an issued one for self_signed", "self", &issued},
		{"the same name by another issuer", "dn", &forged}, {"the same name by another issuer", "dns", &forged},
		{"a server's certificate", "dn", &server}, {"one that has ended", "dn", &old},
		{"another name", "dn", &other}, {"the name and one more", "dn", &twoNames}, {"another name", "dns", &other},
		{"the same name by itself", "dn", &selfIssued}, {"the same name by itself", "dns", &selfIssued},
		{"another client's", "dn", &ownCert}, {"of a client with a secret", "agent", &ownCert},
	} {
		h.refused(tt.name+" for "+tt.id, h.over(tt.cert, "/bc-authorize", ask(tt.id)), http.StatusUnauthorized, ciba.InvalidClient, "")
	}
	// What a proxy might have said about a certificate counts for nothing.
	der := b64(ownCert.Certificate[0])
	for _, name := range []string{"X-SSL-Cert", "X-SSL-Client-Cert", "X-Client-Cert", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert",
		"Client-Cert", "Ssl-Client-Cert", "X-Amzn-Mtls-Clientcert", "X-Arr-Clientcert", "Cf-Client-Cert-Der-Base64"} {
		res := h.send(http.MethodPost, "/bc-authorize", ask("self").Encode(), name, der)
		h.refused(name, res, http.StatusUnauthorized, ciba.InvalidClient, "")
	}
	if got := h.facts(); got != before {
		t.Errorf("refused requests left %d facts", got-before)
	}
}

// rdns is the subject of an organisation in Germany with common names, each a
// part of its own.
func rdns(t testing.TB, organisation string, names ...string) []byte {
	t.Helper()
	part := func(last int, value string) pkix.RelativeDistinguishedNameSET {
		return pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 5, 4, last}, Value: value}}
	}
	all := pkix.RDNSequence{part(6, "DE"), part(10, organisation)}
	for _, name := range names {
		all = append(all, part(3, name))
	}
	der, err := asn1.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestEd25519: the later name of EdDSA with that curve means the same (RFC 9864
// §2.2), wherever an algorithm is named.
func TestEd25519(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "EdDSA", "k")
	named, err := json.Marshal(map[string]any{"keys": []any{key.jwk(map[string]any{"kid": "k", "alg": "Ed25519"})}})
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, keyed("old", key, func(c *consent.Client) { c.AuthAlg = "EdDSA" }), keyed("new", key, func(c *consent.Client) { c.AuthAlg, c.JWKS = "Ed25519", named }))
	for _, id := range []string{"old", "new"} {
		for _, alg := range []string{"EdDSA", "Ed25519"} {
			assertion := key.sign(map[string]any{"alg": alg}, h.asserted(id))
			if res := h.send(http.MethodPost, "/revoke", params("token", "x", "client_assertion", assertion,
				"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer").Encode()); res.status != http.StatusOK {
				t.Errorf("%s, signed as %s: %d %s", id, alg, res.status, res.raw)
			}
		}
	}
}
