package config

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/config/configtest"
	"ringback/consent"
)

// publicKey is a P-256 key of RFC 7517 appendix A.1.
const publicKey = `{"kty":"EC","crv":"P-256","kid":"1","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}`

const mtlsText = "mtls: {listen: 127.0.0.1:8445, public_url: 'https://mtls.example', client_ca: ca.pem, tls: {cert: tls.crt, key: tls.key}}\n"

// TestClientMembers writes every member of a client's entry and finds it again.
func TestClientMembers(t *testing.T) {
	t.Parallel()
	c, err := loadText(minimal+mtlsText+`clients:
  - client_id: signer
    client_name: Signer
    verified_host: signer.example
    profile: fapi-ciba
    token_endpoint_auth_method: private_key_jwt
    token_endpoint_auth_signing_alg: PS256
    assertion_aud: ciba-final
    jwks_uri: https://signer.example/jwks.json
    tls_client_certificate_bound_access_tokens: true
    backchannel_token_delivery_mode: ping
    backchannel_client_notification_endpoint: https://signer.example/ping
    backchannel_authentication_request_signing_alg: ES256
    backchannel_user_code_parameter: true
    require_signed_request_object: true
    id_token_signed_response_alg: PS256
    deferred_client_notification_endpoint: https://signer.example/deferred
    grant_types: ["urn:openid:params:grant-type:ciba", client_credentials, refresh_token, "urn:ietf:params:oauth:grant-type:deferred"]
    scope: openid
    authorization_details_types: [tool_call]
    people: [alice]
    approver: alice
    default_resource: https://a.example
    resources: [https://b.example]
    may_enumerate: true
  - client_id: holder
    token_endpoint_auth_method: tls_client_auth
    tls_client_auth_san_dns: holder.example
    dpop_bound_access_tokens: true
    default_resource: https://a.example
  - {client_id: "https://agent.example/client.json", people: any, default_resource: "https://a.example"}
`, false, "T", configtest.Strong)
	if err != nil {
		t.Fatal(err)
	}
	want := []consent.Client{{
		ID: "signer", Name: "Signer", Host: "signer.example", Profile: "fapi-ciba",
		AuthMethod: "private_key_jwt", AuthAlg: "PS256", AssertionAud: "ciba-final", JWKSURI: "https://signer.example/jwks.json", CertificateBound: true,
		Mode: consent.Ping, NotificationEndpoint: "https://signer.example/ping", RequestAlg: "ES256", UserCode: true, MustSign: true, IDTokenAlg: "PS256",
		DeferredEndpoint: "https://signer.example/deferred",
		GrantTypes:       []string{consent.GrantTypeCIBA, "client_credentials", "refresh_token", "urn:ietf:params:oauth:grant-type:deferred"},
		Scope:            "openid", DetailsTypes: []string{"tool_call"}, People: "list", PeopleList: []string{"alice"}, Approver: "alice",
		DefaultResource: "https://a.example", Resources: []string{"https://b.example"}, MayEnumerate: true, FromFile: true,
	}, {
		ID: "holder", Name: "holder", AuthMethod: "tls_client_auth", TLSSANDNS: "holder.example", DPoPBound: true,
		Mode: consent.Poll, GrantTypes: []string{consent.GrantTypeCIBA}, People: "linked", DefaultResource: "https://a.example", FromFile: true,
	}, {
		ID: "https://agent.example/client.json", People: "any", DefaultResource: "https://a.example", FromFile: true, FromDocument: true,
	}}
	if diff := cmp.Diff(want, c.Clients); diff != "" {
		t.Errorf("clients differ (-want +got):\n%s", diff)
	}
	// What a client can have and an entry cannot say is kept by the service.
	data, err := json.Marshal(consent.Client{
		AuthAlg: "x", SecretHashes: []consent.Digest{{}}, JWKS: json.RawMessage("1"), JWKSURI: "x", TLSSubjectDN: "x", TLSSANDNS: "x", TLSSANURI: "x",
		TLSSANIP: "x", TLSSANEmail: "x", CertificateBound: true, DPoPBound: true, AssertionAud: "x", Profile: "x", NotificationEndpoint: "x",
		RequestAlg: "x", MustSign: true, UserCode: true, IDTokenAlg: "x", DeferredEndpoint: "x", GrantTypes: []string{"x"}, Scope: "x",
		DetailsTypes: []string{"x"}, People: "x", PeopleList: []string{"x"}, Approver: "x", DefaultResource: "x", Resources: []string{"x"},
		MayEnumerate: true, Name: "x", Host: "x", AuthMethod: "x", FromFile: true, FromDocument: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(data, &members); err != nil {
		t.Fatal(err)
	}
	for _, key := range append(clientKeys, "secret_sha256", "people_list", "from_file", "from_document") {
		delete(members, key)
	}
	if len(members) > 0 {
		t.Errorf("an entry cannot say %v", members)
	}
}

// TestClientKeys has the three forms of a client's JWK set.
func TestClientKeys(t *testing.T) {
	t.Parallel()
	var want any
	if err := json.Unmarshal([]byte(`{"keys":[`+publicKey+`]}`), &want); err != nil {
		t.Fatal(err)
	}
	for name, jwks := range map[string]string{
		"JSON in YAML": `{"keys":[` + publicKey + `]}`,
		"JSON text":    `'{"keys":[` + publicKey + `]}'`,
		"a file":       "{file: jwks.json}",
		"a mapping":    strings.NewReplacer(`"`, "", ":", ": ", `"kid":"1"`, "kid: 1").Replace(`{"keys":[` + publicKey + `]}`), // kid: 1 stays text
	} {
		text := minimal + "clients: [{client_id: a, default_resource: 'https://a.example', token_endpoint_auth_method: private_key_jwt, jwks: " + jwks + "}]\n"
		c, err := Load(Sources{File: "ringback.yaml", Getenv: configtest.Environ("T", configtest.Strong), ReadFile: func(file string) ([]byte, error) {
			if file == "jwks.json" {
				return []byte(`{"keys":[` + publicKey + `]}`), nil
			}
			return []byte(text), nil
		}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got any
		if err := json.Unmarshal(c.Clients[0].JWKS, &got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the set differs (-want +got):\n%s", name, diff)
		}
	}
}

// TestMTLSConfig: authorities are read, and the certificate is the public
// listener's where there is no other.
func TestMTLSConfig(t *testing.T) {
	t.Parallel()
	c, err := loadText(minimal+"tls: {cert: tls.crt, key: tls.key}\nmtls: {listen: 127.0.0.1:8445, public_url: 'https://mtls.example', client_ca: ca.pem}\n", false, "T", configtest.Strong)
	if err != nil {
		t.Fatal(err)
	}
	want := &MTLS{Listen: "127.0.0.1:8445", PublicURL: "https://mtls.example", TLS: &TLS{Cert: "tls.crt", Key: "tls.key"}, ClientCA: "ca.pem"}
	if diff := cmp.Diff(want, c.MTLS); diff != "" {
		t.Errorf("mtls differs (-want +got):\n%s", diff)
	}
	if c.ClientCAs == nil {
		t.Error("there are no authorities")
	}
}
