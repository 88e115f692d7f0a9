package admin_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"ringback/admin"
	"ringback/consent"
)

// publicKey is a P-256 key of RFC 7517 appendix A.1.
const publicKey = `{"kty":"EC","crv":"P-256","kid":"1","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}`

const jwks = `{"keys":[` + publicKey + `]}`

// certified returns a set with a key and its certificate.
func certified(t *testing.T) json.RawMessage {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b := base64.RawURLEncoding.EncodeToString
	return json.RawMessage(fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","x":%q,"y":%q,"x5c":[%q]}]}`,
		b(point[1:33]), b(point[33:]), base64.StdEncoding.EncodeToString(der)))
}

// everything is what the largest deployment offers.
var everything = admin.Offer{MTLS: true, ClientCA: true, Types: []string{"tool_call"}, Resources: 1}

// TestCheckClient has one row for each thing that can be wrong with a client's
// metadata; the one problem names the member and says what to do.
func TestCheckClient(t *testing.T) {
	t.Parallel()
	const ping, doc = "https://agent.example/ping", "https://agent.example/client.json"
	signer := func(c *consent.Client) { c.AuthMethod, c.JWKS = consent.MethodPrivateKeyJWT, json.RawMessage(jwks) }
	strict := func(c *consent.Client) { signer(c); c.Profile = consent.ProfileFAPI }
	machine := func(c *consent.Client) { c.GrantTypes = []string{consent.GrantTypeClientCredentials} }
	none := func(*consent.Client) {}
	type client = func(*consent.Client)
	all := func(list ...client) client {
		return func(c *consent.Client) {
			for _, f := range list {
				f(c)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		change client
		offer  admin.Offer
		member string // of the only problem; empty: there is none
		want   string // part of it
	}{
		{"least", none, everything, "", ""},
		{"id", func(c *consent.Client) { c.ID = "a b" }, everything, "client_id", "is not a client_id"},
		{"method", func(c *consent.Client) { c.AuthMethod = "none" }, everything, "token_endpoint_auth_method", "use client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth or self_signed"},
		{"symmetric assertion", func(c *consent.Client) { c.AuthMethod = "client_secret_jwt" }, everything, "token_endpoint_auth_method", "is not supported"},
		{"assertion", signer, everything, "", ""},
		{"assertion by address", func(c *consent.Client) {
			c.AuthMethod, c.JWKSURI = consent.MethodPrivateKeyJWT, "https://agent.example/jwks.json"
		}, everything, "", ""},
		{"assertion without keys", func(c *consent.Client) { c.AuthMethod = consent.MethodPrivateKeyJWT }, everything, "jwks", "missing: private_key_jwt needs the client's public keys"},
		{"keys twice", all(signer, func(c *consent.Client) { c.JWKSURI = "https://agent.example/jwks.json" }), everything, "jwks_uri", "keep one of the two"},
		{"keys in the open", func(c *consent.Client) {
			c.AuthMethod, c.JWKSURI = consent.MethodPrivateKeyJWT, "http://agent.example/jwks.json"
		}, everything, "jwks_uri", "must begin with https://"},
		{"keys by a fragment", func(c *consent.Client) {
			c.AuthMethod, c.JWKSURI = consent.MethodPrivateKeyJWT, "https://agent.example/jwks.json#1"
		}, everything, "jwks_uri", "is not a URL without user and fragment"},
		{"keys on this machine", func(c *consent.Client) {
			c.AuthMethod, c.JWKSURI = consent.MethodPrivateKeyJWT, "http://127.0.0.1:9876/jwks.json"
		}, admin.Offer{Dev: true, Resources: 1}, "", ""},
		{"no keys in the set", func(c *consent.Client) {
			c.AuthMethod, c.JWKS = consent.MethodPrivateKeyJWT, json.RawMessage(`{"keys":[]}`)
		}, everything, "jwks", "give at least one public key"},
		{"a private key", func(c *consent.Client) {
			c.AuthMethod, c.JWKS = consent.MethodPrivateKeyJWT, json.RawMessage(`{"keys":[`+publicKey[:len(publicKey)-1]+`,"d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}]}`)
		}, everything, "jwks", "private"},
		{"a short RSA key", func(c *consent.Client) {
			c.AuthMethod, c.JWKS = consent.MethodPrivateKeyJWT, json.RawMessage(`{"keys":[{"kty":"RSA","e":"AQAB","n":"`+strings.Repeat("q", 171)+`"}]}`)
		}, everything, "jwks", "2048"},
		{"no set", func(c *consent.Client) {
			c.AuthMethod, c.JWKS = consent.MethodPrivateKeyJWT, json.RawMessage(publicKey)
		}, everything, "jwks", "reading a JWKS"},
		{"algorithm of assertions", all(signer, func(c *consent.Client) { c.AuthAlg = "EdDSA" }), everything, "", ""},
		{"RS256", all(signer, func(c *consent.Client) { c.AuthAlg = "RS256" }), everything, "token_endpoint_auth_signing_alg", "use ES256, PS256, EdDSA or Ed25519"},
		{"none", all(signer, func(c *consent.Client) { c.RequestAlg = "none" }), everything, "backchannel_authentication_request_signing_alg", "is not supported"},
		{"algorithm without assertion", func(c *consent.Client) { c.AuthAlg = "ES256" }, everything, "token_endpoint_auth_signing_alg", "the client sends none"},
		{"ID token", func(c *consent.Client) { c.IDTokenAlg = "PS256" }, everything, "", ""},
		{"ID token of an algorithm of clients", func(c *consent.Client) { c.IDTokenAlg = "EdDSA" }, everything, "id_token_signed_response_alg", "use ES256 or PS256"},
		{"audience of assertions", all(signer, func(c *consent.Client) { c.AssertionAud = "any" }), everything, "assertion_aud", "use issuer-only, or ciba-final"},
		{"signing without keys", func(c *consent.Client) { c.MustSign = true }, everything, "jwks", "a client that signs its requests"},
		{"signing with a secret", func(c *consent.Client) { c.MustSign, c.JWKS = true, json.RawMessage(jwks) }, everything, "", ""},

		{"certificate", func(c *consent.Client) { c.AuthMethod, c.TLSSANDNS = consent.MethodTLS, "agent.example" }, everything, "", ""},
		{"certificate of nobody", func(c *consent.Client) { c.AuthMethod = consent.MethodTLS }, everything, "tls_client_auth_subject_dn", "needs one name of the certificate's subject"},
		{"certificate of two", func(c *consent.Client) {
			c.AuthMethod, c.TLSSANDNS, c.TLSSubjectDN = consent.MethodTLS, "agent.example", "CN=agent"
		}, everything, "tls_client_auth_san_dns", "keep one"},
		{"certificate of no address", func(c *consent.Client) { c.AuthMethod, c.TLSSANIP = consent.MethodTLS, "fe80::1%eth0" }, everything, "tls_client_auth_san_ip", "is not an address"},
		{"certificate of a wildcard", func(c *consent.Client) { c.AuthMethod, c.TLSSANDNS = consent.MethodTLS, "*.agent.example" }, everything, "tls_client_auth_san_dns", "is not a host name"},
		{"subject beside a secret", func(c *consent.Client) { c.TLSSubjectDN = "CN=agent" }, everything, "tls_client_auth_subject_dn", "is for tls_client_auth only"},
		{"certificate without listener", func(c *consent.Client) { c.AuthMethod, c.TLSSANDNS = consent.MethodTLS, "agent.example" }, admin.Offer{Resources: 1}, "token_endpoint_auth_method", "add `mtls`"},
		{"certificate without authority", func(c *consent.Client) { c.AuthMethod, c.TLSSANDNS = consent.MethodTLS, "agent.example" }, admin.Offer{MTLS: true, Resources: 1}, "token_endpoint_auth_method", "add mtls.client_ca"},
		{"own certificate", func(c *consent.Client) { c.AuthMethod, c.JWKS = consent.MethodSelfSignedTLS, certified(t) }, admin.Offer{MTLS: true, Resources: 1}, "", ""},
		{"own certificate missing", func(c *consent.Client) {
			c.AuthMethod, c.JWKS = consent.MethodSelfSignedTLS, json.RawMessage(jwks)
		}, everything, "jwks", "no key has its certificate beside it"},
		{"tokens bound to a certificate", func(c *consent.Client) { c.CertificateBound = true }, admin.Offer{Resources: 1}, "tls_client_certificate_bound_access_tokens", "add `mtls`"},
		{"tokens bound twice", func(c *consent.Client) { c.CertificateBound, c.DPoPBound = true, true }, everything, "dpop_bound_access_tokens", "keep one of the two"},

		{"profile", strict, everything, "", ""},
		{"profile misspelt", func(c *consent.Client) { c.Profile = "fapi" }, everything, "profile", "use fapi-ciba"},
		{"profile with a secret", func(c *consent.Client) { c.Profile, c.JWKS = consent.ProfileFAPI, json.RawMessage(jwks) }, everything, "token_endpoint_auth_method", "takes no secret: use private_key_jwt, tls_client_auth or"},
		{"profile and push", all(strict, func(c *consent.Client) { c.Mode, c.NotificationEndpoint = consent.Push, ping }), everything, "backchannel_token_delivery_mode", "has no push"},
		{"profile and EdDSA", all(strict, func(c *consent.Client) { c.RequestAlg = "EdDSA" }), everything, "backchannel_authentication_request_signing_alg", "use ES256 or PS256"},
		{"profile without keys", func(c *consent.Client) {
			c.AuthMethod, c.TLSSANDNS, c.Profile = consent.MethodTLS, "agent.example", consent.ProfileFAPI
		}, everything, "jwks", "the profile fapi-ciba needs"},

		{"poll with endpoint", func(c *consent.Client) { c.NotificationEndpoint = ping }, everything, "backchannel_client_notification_endpoint", "a client that polls is not notified"},
		{"ping", func(c *consent.Client) { c.Mode, c.NotificationEndpoint = consent.Ping, ping }, everything, "", ""},
		{"push", func(c *consent.Client) { c.Mode, c.NotificationEndpoint = consent.Push, ping }, everything, "", ""},
		{"push to nowhere", func(c *consent.Client) { c.Mode = consent.Push }, everything, "backchannel_client_notification_endpoint", "missing: a client of delivery mode push"},
		{"ping with a password", func(c *consent.Client) { c.Mode, c.NotificationEndpoint = consent.Ping, "https://a:b@agent.example/" }, everything, "backchannel_client_notification_endpoint", "is not a URL without user"},
		{"mode", func(c *consent.Client) { c.Mode = "pull" }, everything, "backchannel_token_delivery_mode", "use poll, ping or push"},

		{"machine", machine, everything, "", ""},
		{"machine deferred", func(c *consent.Client) {
			c.GrantTypes, c.DeferredEndpoint, c.Approver = []string{consent.GrantTypeClientCredentials, consent.GrantTypeDeferred}, ping, "alice"
		}, everything, "", ""},
		{"machine deferred in the open", all(machine, func(c *consent.Client) { c.DeferredEndpoint = "http://agent.example/ping" }), everything, "deferred_client_notification_endpoint", "must begin with https://"},
		{"nothing to defer", func(c *consent.Client) { c.DeferredEndpoint = ping }, everything, "deferred_client_notification_endpoint", "only client_credentials is deferred"},
		{"deferred alone", func(c *consent.Client) { c.GrantTypes = []string{consent.GrantTypeCIBA, consent.GrantTypeDeferred} }, everything, "grant_types", "completes client_credentials"},
		{"machine that refreshes", func(c *consent.Client) {
			c.GrantTypes = []string{consent.GrantTypeClientCredentials, consent.GrantTypeRefresh}
		}, everything, "grant_types", "renews what a person has approved"},
		{"refresh", func(c *consent.Client) { c.GrantTypes = []string{consent.GrantTypeCIBA, consent.GrantTypeRefresh} }, everything, "", ""},
		{"password", func(c *consent.Client) { c.GrantTypes = []string{consent.GrantTypeCIBA, "password"} }, everything, "grant_types", "is not offered here"},
		{"approver", all(machine, func(c *consent.Client) { c.Approver = "+12025550101" }), everything, "approver", "is not the id of a person"},
		{"type", func(c *consent.Client) { c.DetailsTypes = []string{"tool_call", "tool_cal"} }, everything, "authorization_details_types", "known are tool_call"},
		{"no API", none, admin.Offer{}, "default_resource", "missing, and no resources are configured"},

		{"document", func(c *consent.Client) { *c = consent.Client{ID: doc, People: "any"} }, everything, "", ""},
		{"document of the profile", func(c *consent.Client) { *c = consent.Client{ID: doc, Profile: consent.ProfileFAPI} }, everything, "", ""},
		{"document in the open", func(c *consent.Client) { *c = consent.Client{ID: "http://agent.example/client.json"} }, everything, "client_id", "must begin with https://"},
		{"document without path", func(c *consent.Client) { *c = consent.Client{ID: "https://agent.example/"} }, everything, "client_id", "is not the URL of a metadata document"},
		{"document up a path", func(c *consent.Client) { *c = consent.Client{ID: "https://agent.example/a/../b"} }, everything, "client_id", "is not the URL"},
		{"document with a fragment", func(c *consent.Client) { *c = consent.Client{ID: doc + "#a"} }, everything, "client_id", "is not the URL"},
		{"document and keys here", func(c *consent.Client) {
			*c = consent.Client{ID: doc, JWKS: json.RawMessage(jwks), Mode: consent.Ping, NotificationEndpoint: ping}
		}, everything, "", ""},
		{"document and mode here", func(c *consent.Client) { *c = consent.Client{ID: doc, Mode: consent.Push} }, everything, "backchannel_token_delivery_mode", "says this in the document there"},
		{"document and a secret", func(c *consent.Client) {
			*c = consent.Client{ID: doc, JWKS: json.RawMessage(jwks), AuthMethod: consent.MethodPost}
		}, everything, "token_endpoint_auth_method", "has no secret: use private_key_jwt"},
		{"document in the open with keys here", func(c *consent.Client) {
			*c = consent.Client{ID: "http://agent.example/client.json", JWKS: json.RawMessage(jwks)}
		}, everything, "client_id", "must begin with https://"},
		{"document with another host", func(c *consent.Client) { *c = consent.Client{ID: doc, Host: "bank.example"} }, everything, "verified_host", "says this in the document there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := &consent.Client{ID: "agent"}
			tt.change(c)
			admin.Complete(c)
			got := admin.CheckClient(c, tt.offer)
			switch {
			case tt.member == "" && len(got) > 0:
				t.Errorf("CheckClient = %q, want none", got)
			case tt.member != "" && (len(got) != 1 || got[0].Member != tt.member || !strings.Contains(got[0].What, tt.want)):
				t.Errorf("CheckClient = %q, want one about %s with %q", got, tt.member, tt.want)
			}
		})
	}
}

// TestKeyClients adds clients that have keys and no secret, and reads back what
// was written.
func TestKeyClients(t *testing.T) {
	t.Parallel()
	h := open(t)
	a := h.want(201, "POST", "/clients", `{"client_id":"signer","client_name":"Signer","token_endpoint_auth_method":"private_key_jwt","jwks":`+jwks+
		`,"profile":"fapi-ciba","id_token_signed_response_alg":"PS256","grant_types":["`+consent.GrantTypeCIBA+`","client_credentials"],"approver":"alice","backchannel_user_code_parameter":true}`)
	if a.body["client_secret"] != nil {
		t.Errorf("a client with keys got a secret: %s", a.text)
	}
	stored, err := h.Client(t.Context(), "signer")
	if err != nil {
		t.Fatal(err)
	}
	if len(stored.SecretHashes) > 0 || !stored.Strict() || stored.IDTokenAlg != "PS256" || stored.Approver != "alice" || !stored.UserCode || len(stored.GrantTypes) != 2 {
		t.Errorf("stored %+v", stored)
	}
	var want, got any
	if err := json.Unmarshal([]byte(jwks), &want); err != nil {
		t.Fatal(err)
	}
	if got = h.want(200, "GET", "/clients/signer", "").body["jwks"]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("jwks = %v, want %v", got, want)
	}
	if a := h.call("POST", "/clients/signer/secret", ""); a.status != 409 || !strings.Contains(a.text, "has no secret") {
		t.Errorf("renewing a secret that is none = %d %s, want 409", a.status, a.text)
	}
	const doc = "https://agent.example/client.json"
	h.want(201, "POST", "/clients", `{"client_id":"`+doc+`","people":"any","authorization_details_types":["tool_call"]}`)
	if a := h.want(200, "GET", "/clients/https:%2F%2Fagent.example%2Fclient.json", ""); a.body["client_id"] != doc || a.body["from_document"] != true {
		t.Errorf("%s = %s", doc, a.text)
	}
	for name, body := range map[string]string{
		"a hash":       `{"client_name":"X","secret_sha256":["` + consent.Digest{1}.String() + `"]}`,
		"a registrant": `{"client_name":"X","registrant":"ops"}`,
		"a right":      `{"client_name":"X","registration_sha256":"` + consent.Digest{1}.String() + `"}`,
		"the file":     `{"client_name":"X","from_file":true}`,
		"a document":   `{"client_name":"X","from_document":true}`,
		"people":       `{"client_name":"X","people_list":["alice"]}`,
	} {
		if a := h.call("POST", "/clients", body); a.status != 400 || !strings.Contains(a.text, "are ours to give") {
			t.Errorf("adding %s = %d %s, want 400", name, a.status, a.text)
		}
	}
}
