package clients

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
	"ringback/outbound"
)

const (
	testDocumentID = "https://agent.example/client.json"
	testJWKS       = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
)

// documentWith is a good document with other members; nil leaves one out.
func documentWith(pairs ...any) []byte {
	m := map[string]any{"client_id": testDocumentID, "client_name": "Travel agent", "token_endpoint_auth_method": "private_key_jwt", "jwks": json.RawMessage(testJWKS)}
	for i := 0; i < len(pairs); i += 2 {
		if m[pairs[i].(string)] = pairs[i+1]; pairs[i+1] == nil {
			delete(m, pairs[i].(string))
		}
	}
	raw, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return raw
}

func checkPublic(t testing.TB) func(*url.URL) error {
	c, err := outbound.New(outbound.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return c.Check
}

// TestReadDocument: what the document may say
// (draft-ietf-oauth-client-id-metadata-document §4).
func TestReadDocument(t *testing.T) {
	t.Parallel()
	check := checkPublic(t)
	for name, body := range map[string][]byte{
		"plain":                     documentWith(),
		"no method":                 documentWith("token_endpoint_auth_method", nil),
		"members of other servers":  documentWith("redirect_uris", []string{"https://agent.example/cb"}, "logo_uri", "https://cdn.example/x.png", "contacts", []string{"a@b.example"}, "x", map[string]any{"y": []any{1, nil}}),
		"keys at an address":        documentWith("jwks", nil, "jwks_uri", "https://agent.example/jwks"),
		"host in other letters":     documentWith("jwks", nil, "jwks_uri", "https://AGENT.example/jwks"),
		"ping":                      documentWith("backchannel_token_delivery_mode", "ping", "backchannel_client_notification_endpoint", "https://agent.example/cb"),
		"push":                      documentWith("backchannel_token_delivery_mode", "push", "backchannel_client_notification_endpoint", "https://agent.example/cb?x=y"),
		"deferred":                  documentWith("deferred_client_notification_endpoint", "https://agent.example/cb"),
		"grants of others beside":   documentWith("grant_types", []string{"authorization_code", consent.GrantTypeCIBA}),
		"algorithms":                documentWith("token_endpoint_auth_signing_alg", "EdDSA", "backchannel_authentication_request_signing_alg", "ES256", "id_token_signed_response_alg", "PS256"),
		"space around":              []byte(" \n" + string(documentWith()) + "\r\n"),
		"a name that cannot be one": documentWith("client_name", "Bank \u202e"),
	} {
		if _, err := readDocument(testDocumentID, body, check); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, tt := range []struct {
		rule, name string
		body       []byte
	}{
		{"client_id", "another one", documentWith("client_id", "https://agent.example/other.json")},
		{"client_id", "another host", documentWith("client_id", "https://bank.example/client.json")},
		{"client_id", "with the port", documentWith("client_id", "https://agent.example:443/client.json")},
		{"client_id", "another case", documentWith("client_id", "https://agent.example/Client.json")},
		{"client_id", "with a slash", documentWith("client_id", testDocumentID+"/")},
		{"client_id", "with a space", documentWith("client_id", testDocumentID+" ")},
		{"client_id", "escaped", documentWith("client_id", "https://agent.example/%63lient.json")},
		{"client_id", "none", documentWith("client_id", nil)},
		{"client_id", "null", []byte("null")},
		{"secret", "a secret", documentWith("client_secret", "x")},
		{"secret", "an empty one", documentWith("client_secret", "")},
		{"secret", "its end", documentWith("client_secret_expires_at", 0)},
		{"auth_method", "basic", documentWith("token_endpoint_auth_method", "client_secret_basic")},
		{"auth_method", "post", documentWith("token_endpoint_auth_method", "client_secret_post")},
		{"auth_method", "by secret", documentWith("token_endpoint_auth_method", "client_secret_jwt")},
		{"auth_method", "public", documentWith("token_endpoint_auth_method", "none")},
		{"auth_method", "certificate", documentWith("token_endpoint_auth_method", "tls_client_auth")},
		{"keys", "none", documentWith("jwks", nil)},
		{"keys", "both", documentWith("jwks_uri", "https://agent.example/jwks")},
		{"keys", "null", []byte(strings.Replace(string(documentWith()), testJWKS, "null", 1))},
		{"keys", "private", documentWith("jwks", json.RawMessage(strings.Replace(testJWKS, `"x":`, `"d":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","x":`, 1)))},
		{"keys", "symmetric", documentWith("jwks", json.RawMessage(`{"keys":[{"kty":"oct","k":"AAAA"}]}`))},
		{"keys", "too many", documentWith("jwks", json.RawMessage(`{"keys":[`+strings.Repeat(`{"kty":"x"},`, 32)+testJWKS[len(`{"keys":[`):]))},
		{"keys", "empty", documentWith("jwks", map[string]any{})},
		{"jwks_uri", "on another host", documentWith("jwks", nil, "jwks_uri", "https://cdn.example/jwks")},
		{"jwks_uri", "below the host", documentWith("jwks", nil, "jwks_uri", "https://x.agent.example/jwks")},
		{"jwks_uri", "above the host", documentWith("jwks", nil, "jwks_uri", "https://example/jwks")},
		{"jwks_uri", "without TLS", documentWith("jwks", nil, "jwks_uri", "http://agent.example/jwks")},
		{"jwks_uri", "at another port", documentWith("jwks", nil, "jwks_uri", "https://agent.example:8443/jwks")},
		{"jwks_uri", "with a user", documentWith("jwks", nil, "jwks_uri", "https://agent.example@127.0.0.1/jwks")},
		{"jwks_uri", "relative", documentWith("jwks", nil, "jwks_uri", "/jwks")},
		{"jwks_uri", "with a fragment", documentWith("jwks", nil, "jwks_uri", "https://agent.example/jwks#")},
		{"algorithm", "none", documentWith("token_endpoint_auth_signing_alg", "none")},
		{"algorithm", "HS256", documentWith("backchannel_authentication_request_signing_alg", "HS256")},
		{"algorithm", "RS256", documentWith("id_token_signed_response_alg", "RS256")},
		{"algorithm", "of ID tokens", documentWith("id_token_signed_response_alg", "EdDSA")},
		{"grant_types", "none of ours", documentWith("grant_types", []string{"authorization_code", "password"})},
		{"grant_types", "empty", documentWith("grant_types", []string{})},
		{"delivery_mode", "another", documentWith("backchannel_token_delivery_mode", "pull")},
		{"endpoint", "ping without", documentWith("backchannel_token_delivery_mode", "ping")},
		{"endpoint", "on another host", documentWith("backchannel_token_delivery_mode", "ping", "backchannel_client_notification_endpoint", "https://victim.example/cb")},
		{"endpoint", "on another host, unused", documentWith("backchannel_client_notification_endpoint", "https://victim.example/cb")},
		{"endpoint", "deferred on another host", documentWith("deferred_client_notification_endpoint", "https://victim.example/cb")},
		{"endpoint", "too long", documentWith("deferred_client_notification_endpoint", "https://agent.example/"+strings.Repeat("x", maxEndpoint))},
		{"syntax", "nothing", nil},
		{"syntax", "text", []byte("x")},
		{"syntax", "a list", []byte("[]")},
		{"syntax", "cut off", documentWith()[:40]},
		{"syntax", "something after it", append(documentWith(), "{}"...)},
		{"syntax", "a member twice", []byte(strings.Replace(string(documentWith()), `{`, `{"client_id":"https://bank.example/client.json",`, 1))},
		{"syntax", "a member twice, in capitals", []byte(strings.Replace(string(documentWith()), `{`, `{"Client_ID":"https://bank.example/client.json",`, 1))},
		{"syntax", "a member in capitals", documentWith("JWKS_URI", "https://agent.example/jwks")},
		{"syntax", "deep", documentWith("x", json.RawMessage(strings.Repeat("[", 17)+strings.Repeat("]", 17)))},
		{"syntax", "a number for text", documentWith("client_name", 1)},
		{"syntax", "text for a list", documentWith("grant_types", consent.GrantTypeCIBA)},
		{"syntax", "half a character", []byte(strings.Replace(string(documentWith()), "Travel", `\ud800`, 1))},
	} {
		d, err := readDocument(testDocumentID, tt.body, check)
		var refused *ruleError
		if !errors.As(err, &refused) || refused.rule != tt.rule || d != nil {
			t.Errorf("%s, %s: %v", tt.rule, tt.name, err)
		}
	}
}

// TestDocumentClient: what the document makes of a client, alone and with an
// entry of the operator.
func TestDocumentClient(t *testing.T) {
	t.Parallel()
	read := func(pairs ...any) *document {
		d, err := readDocument(testDocumentID, documentWith(pairs...), checkPublic(t))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	allowed := &consent.Documents{People: "any", Scope: "openid calendar", DefaultResource: "https://api.example", Resources: []string{"https://b.example"}}
	all := []string{consent.GrantTypeCIBA, "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:deferred", "authorization_code"}
	made := consent.Client{
		ID: testDocumentID, Name: "Travel agent", Host: "agent.example", AuthMethod: "private_key_jwt", JWKS: json.RawMessage(testJWKS), Mode: consent.Poll,
		GrantTypes: []string{consent.GrantTypeCIBA}, People: "any", Scope: "openid calendar", DefaultResource: "https://api.example", Resources: []string{"https://b.example"}, FromDocument: true,
	}
	entry := consent.Client{ID: testDocumentID, People: "list", PeopleList: []string{"alice"}, Scope: "openid", Approver: "alice", DefaultResource: "https://c.example", FromFile: true, FromDocument: true}
	with := func(c consent.Client, f func(*consent.Client)) *consent.Client { f(&c); return &c }
	for _, tt := range []struct {
		name  string
		d     *document
		entry *consent.Client
		want  *consent.Client
	}{
		{"alone", read("scope", "openid payments", "people", "any", "verified_host", "bank.example"), nil, &made},
		{"without a name", read("client_name", nil), nil, with(made, func(c *consent.Client) { c.Name = "agent.example" })},
		{"with a bad name", read("client_name", "Bаnk of Latin"), nil, with(made, func(c *consent.Client) { c.Name = "agent.example" })},
		{"every grant", read("grant_types", all), nil, with(made, func(c *consent.Client) { c.GrantTypes = []string{consent.GrantTypeCIBA, "refresh_token"} })},
		{"all it can say", read("backchannel_token_delivery_mode", "ping", "backchannel_client_notification_endpoint", "https://agent.example/cb", "deferred_client_notification_endpoint", "https://agent.example/dc",
			"require_signed_request_object", true, "backchannel_user_code_parameter", true, "dpop_bound_access_tokens", true, "tls_client_certificate_bound_access_tokens", true,
			"token_endpoint_auth_signing_alg", "EdDSA", "backchannel_authentication_request_signing_alg", "ES256", "id_token_signed_response_alg", "PS256"), nil,
			with(made, func(c *consent.Client) {
				c.Mode, c.NotificationEndpoint, c.DeferredEndpoint = consent.Ping, "https://agent.example/cb", "https://agent.example/dc"
				c.MustSign, c.UserCode, c.DPoPBound, c.CertificateBound = true, true, true, true
				c.AuthAlg, c.RequestAlg, c.IDTokenAlg = "EdDSA", "ES256", "PS256"
			})},
		{"an entry that names no grants", read("grant_types", all), &entry, with(entry, func(c *consent.Client) {
			c.Name, c.Host, c.AuthMethod, c.JWKS, c.Mode, c.GrantTypes, c.FromDocument = "Travel agent", "agent.example", "private_key_jwt", json.RawMessage(testJWKS), consent.Poll, all[:1], false
		})},
		{"with an entry", read("grant_types", all), with(entry, func(c *consent.Client) { c.GrantTypes = all[:4] }), &consent.Client{
			ID: testDocumentID, Name: "Travel agent", Host: "agent.example", AuthMethod: "private_key_jwt", JWKS: json.RawMessage(testJWKS), Mode: consent.Poll, GrantTypes: all[:4],
			People: "list", PeopleList: []string{"alice"}, Scope: "openid", Approver: "alice", DefaultResource: "https://c.example", FromFile: true,
		}},
		{"with a stricter entry", read("client_name", "Mine", "id_token_signed_response_alg", "ES256"), with(entry, func(c *consent.Client) {
			c.Name, c.IDTokenAlg, c.MustSign, c.Profile = "Travel", "PS256", true, consent.ProfileFAPI
		}), &consent.Client{
			ID: testDocumentID, Name: "Travel", Host: "agent.example", AuthMethod: "private_key_jwt", JWKS: json.RawMessage(testJWKS), Mode: consent.Poll, GrantTypes: all[:1],
			IDTokenAlg: "PS256", MustSign: true, Profile: consent.ProfileFAPI,
			People: "list", PeopleList: []string{"alice"}, Scope: "openid", Approver: "alice", DefaultResource: "https://c.example", FromFile: true,
		}},
	} {
		got, err := tt.d.client(tt.entry, allowed)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", tt.name, err, diff)
		}
	}
	for name, f := range map[string]func() (*consent.Client, error){
		"only what acts alone": func() (*consent.Client, error) {
			return read("grant_types", []string{"client_credentials"}).client(nil, allowed)
		},
		"a grant that the entry has not": func() (*consent.Client, error) {
			return read().client(with(entry, func(c *consent.Client) { c.GrantTypes = []string{"client_credentials"} }), nil)
		},
		"push under the profile": func() (*consent.Client, error) {
			return read("backchannel_token_delivery_mode", "push", "backchannel_client_notification_endpoint", "https://agent.example/cb").client(with(entry, func(c *consent.Client) { c.Profile = consent.ProfileFAPI }), nil)
		},
	} {
		if c, err := f(); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if entry.Name != "" || !entry.FromDocument {
		t.Error("the entry was changed")
	}
	if c, _ := read().client(nil, allowed); c.Group() != "host agent.example" {
		t.Errorf("counted as %q", c.Group())
	}
	if c, _ := read().client(&entry, allowed); c.Group() != testDocumentID {
		t.Errorf("with an entry counted as %q", c.Group())
	}
}

// TestDocumentURL: there is one spelling of a client_id that is a URL (§3).
func TestDocumentURL(t *testing.T) {
	t.Parallel()
	public, err := outbound.New(outbound.Config{})
	if err != nil {
		t.Fatal(err)
	}
	v := &Verifier{cfg: Config{Outbound: public}}
	for _, id := range []string{
		testDocumentID, "https://agent.example/", "https://agent.example/a/b?c=d", "https://a.b-c.agent.example/x", "https://xn--bcher-kva.example/x", "https://agent.example/a%20b", "https://agent.example/a..b/.c",
	} {
		if _, ok := v.documentURL(id); !ok {
			t.Errorf("documentURL(%q) refuses", id)
		}
	}
	for _, id := range []string{
		"", "https://", "https:", "https:///x", "https:agent.example/x", "//agent.example/x", "agent.example/x", "https://agent.example", "https://agent.example?x",
		"http://agent.example/x", "HTTPS://agent.example/x", "ftp://agent.example/x", "https://Agent.example/x", "https://agent.example./x", "https://agent.example:8443/x", "https://agent.example:/x", "https://agent.example:0443/x",
		"https://user@agent.example/x", "https://user:password@agent.example/x", "https://@agent.example/x", "https://:@agent.example/x", "https://bank.example@agent.example/x",
		"https://agent.example/x#", "https://agent.example/x#y", "https://agent.example/#", "https://agent.example/.", "https://agent.example/..", "https://agent.example/a/../b", "https://agent.example/a/./b", "https://agent.example/a/..",
		"https://agent.example/%2e%2e/b", "https://agent.example/a/%2E/b", "https://agent.example/a%2f..%2fb", "https://agent.example/.%2e/b",
		"https://agent.example/a b", "https://agent.example/a\tb", "https://agent.example/a\nb", " https://agent.example/x", "https://agent.example/x ", "https://agent.example/\u00e4", "https://b\u00fccher.example/x", "https://agent.example/x\"", "https://agent.example/<x>", "https://agent.example\\@bank.example/x", "https://agent.example/a\\b", "https://agent.example/%zz", "https://agent.example/\x00",
		"https://127.0.0.1/x", "https://[::1]/x", "https://2130706433/x", "https://0x7f.1/x", "https://agent_x.example/x", "https://" + strings.Repeat("a", 64) + ".example/x", "https://agent.example/" + strings.Repeat("x", maxDocumentID),
	} {
		if u, ok := v.documentURL(id); ok {
			t.Errorf("documentURL(%q) = %v", id, u)
		}
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	hosts := []string{"agent.example", "*.agents.example", "*", "*agent.example", "*.", "B.example"}
	for host, want := range map[string]bool{
		"agent.example": true, "x.agents.example": true, "x.y.agents.example": true, "b.example": true,
		"x.agent.example": false, "agents.example": false, "evilagents.example": false, "evilagent.example": false, ".agents.example": false, "example": false, "": false, "agent.example.evil.example": false,
	} {
		if got := Covers(hosts, host); got != want {
			t.Errorf("Covers(%q) = %v", host, got)
		}
	}
}

func TestIsJSON(t *testing.T) {
	t.Parallel()
	for typ, want := range map[string]bool{
		"application/json": true, "application/oauth-client-metadata+json": true, "application/x+json": true,
		"text/json": false, "application/+json": false, "application/json+x": false, "text/x+json": false, "application/jsonp": false, "": false, "+json": false,
	} {
		if got := isJSON(typ); got != want {
			t.Errorf("isJSON(%q) = %v", typ, got)
		}
	}
}

// FuzzReadDocument: whatever a document says, what is called on its behalf lies
// on its host, and what it is known by is a public key.
func FuzzReadDocument(f *testing.F) {
	for _, body := range [][]byte{
		documentWith(), documentWith("jwks", nil, "jwks_uri", "https://agent.example/jwks"), []byte("{}"),
		documentWith("backchannel_token_delivery_mode", "ping", "backchannel_client_notification_endpoint", "https://agent.example/cb", "grant_types", []string{consent.GrantTypeCIBA, "x"}),
	} {
		f.Add(testDocumentID, body)
	}
	check := checkPublic(f)
	allowed := &consent.Documents{People: "linked"}
	f.Fuzz(func(t *testing.T, address string, body []byte) {
		d, err := readDocument(address, body, check)
		if err != nil {
			return
		}
		c, err := d.client(nil, allowed)
		if err != nil {
			return
		}
		if c.ID != address || c.AuthMethod != consent.MethodPrivateKeyJWT || len(c.SecretHashes) > 0 || c.People != "linked" || (c.JWKS == nil) == (c.JWKSURI == "") || c.Name == "" && c.Host != "" {
			t.Errorf("%q makes %+v", body, c)
		}
		for _, at := range []string{c.JWKSURI, c.NotificationEndpoint, c.DeferredEndpoint} {
			if u, err := url.Parse(at); at != "" && (err != nil || u.Scheme != "https" || u.User != nil || !strings.EqualFold(u.Hostname(), c.Host)) {
				t.Errorf("%q makes %q be called", body, at)
			}
		}
		for _, g := range c.GrantTypes {
			if !slices.Contains(strangerGrants, g) {
				t.Errorf("%q has grant %q", body, g)
			}
		}
	})
}
