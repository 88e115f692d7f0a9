package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/config/configtest"
)

// TestMistakes has one row for each thing that can be wrong; the report is
// that one line, which names the place and says what to do.
func TestMistakes(t *testing.T) {
	t.Parallel()
	const root = "https://consent.example.com"
	const booking = `details:
  - type: booking
    schema: {type: object, additionalProperties: false, required: [room, nights], properties: {
      room: {type: string}, nights: {type: integer},
      beds: {type: array, items: {type: object, additionalProperties: false, properties: {for: {type: integer}}}}}}
    words: {}
    examples:
      - {room: Red, nights: 2}
`
	for _, tt := range []struct {
		name string
		add  string // after minimal, so from line 3
		want string // the start of the report
	}{
		{"unknown key", "isuer: x", "ringback.yaml:3: isuer: unknown key: did you mean `issuer`?"},
		{"unknown key of later versions", "webpush: {}", "ringback.yaml:3: webpush: unknown key"},
		{"key twice", "issuer: " + root, "ringback.yaml:3: issuer: this key stands twice, first in line 1: remove one"},
		{"alias", "data: &d /x\nnats: *d", "ringback.yaml:3: data: anchors and aliases are not read: write the value out"},
		{"no mapping", "policy: [a]", "ringback.yaml:3: policy: expected a mapping with"},
		{"listen", "listen: 8663", `ringback.yaml:3: listen: "8663" is not an address: write HOST:PORT`},
		{"same listener", "listen: 127.0.0.1:8664", "ringback.yaml:1: manage: the same address as listen"},
		{"tls", "tls: {cert: /nowhere/c.pem}", "ringback.yaml:3: tls.key: missing: add `key: "},
		{"tls file", "tls: {cert: /nowhere/c.pem, key: /nowhere/k.pem}", "ringback.yaml:3: tls."},
		{"mtls address", "mtls: {listen: x, public_url: 'https://m.example'}", "ringback.yaml:3: mtls.listen: \"x\" is not an address"},
		{"mtls without TLS", "mtls: {listen: 0.0.0.0:1, public_url: 'https://m.example'}", "ringback.yaml:3: mtls.tls: missing: a proxy that ends TLS would keep the client's certificate"},
		{"mtls where others listen", "mtls: {listen: 127.0.0.1:8663, public_url: 'https://m.example', tls: {cert: tls.crt, key: tls.key}}", "ringback.yaml:3: mtls.listen: another listener has this address"},
		{"mtls where people come", "mtls: {listen: 0.0.0.0:1, public_url: 'https://consent.example.com', tls: {cert: tls.crt, key: tls.key}}", "ringback.yaml:3: mtls: its public_url is that of another listener"},
		{"mtls in the open", "mtls: {listen: 0.0.0.0:1, public_url: 'http://127.0.0.1:1', tls: {cert: tls.crt, key: tls.key}}", "ringback.yaml:3: mtls.public_url: \"http://127.0.0.1:1\" must begin with https://, also on this machine"},
		{"mtls authorities missing", "mtls: {listen: 0.0.0.0:1, public_url: 'https://m.example', client_ca: /nowhere/ca.pem, tls: {cert: tls.crt, key: tls.key}}", "ringback.yaml:3: mtls.client_ca: open /nowhere/ca.pem"},
		{"mtls authority that is none", "mtls: {listen: 0.0.0.0:1, public_url: 'https://m.example', client_ca: tls.crt, tls: {cert: tls.crt, key: tls.key}}", "ringback.yaml:3: mtls.client_ca: tls.crt holds more than certificates of authorities"},
		{"mtls authority that is no PEM", "mtls: {listen: 0.0.0.0:1, public_url: 'https://m.example', client_ca: ringback.yaml, tls: {cert: tls.crt, key: tls.key}}", "ringback.yaml:3: mtls.client_ca: ringback.yaml holds no certificate"},
		{"people listener", "people_listener: {listen: 0.0.0.0:1}", "ringback.yaml:3: people_listener.public_url: missing"},
		{"public url", "people_listener: {listen: 0.0.0.0:1, public_url: http://a.example}", "ringback.yaml:3: people_listener.public_url: \"http://a.example\" must begin with https://"},
		{"slash", "people_listener: {listen: 0.0.0.0:1, public_url: https://a.example/}", "ringback.yaml:3: people_listener.public_url: \"https://a.example/\" must not end in a slash: write https://a.example"},
		{"proxy", "trusted_proxies: [proxy]", "ringback.yaml:3: trusted_proxies[0]: \"proxy\" is not an address or range"},
		{"root key inside data", "data: /d\nroot_key: {file: /d/sub/root.key}", "ringback.yaml:4: root_key: /d/sub/root.key lies inside the data directory /d"},
		{"root key form", "root_key: {path: /x}", "ringback.yaml:3: root_key.path: unknown key"},
		{"data and nats", "data: /d\nnats: {url: nats://x, assume_synced: true}", "ringback.yaml:3: data: facts are kept in one place: remove either `data` or `nats`"},
		{"nats without proof of sync", "nats: {url: nats://x}", "ringback.yaml:3: nats.monitor: missing: add the server's monitoring address"},
		{"nats prefix", "nats: {url: nats://x, assume_synced: true, prefix: a.b}", "ringback.yaml:3: nats.prefix: \"a.b\" is not a prefix"},
		{"nats prefix with an underscore", "nats: {url: nats://x, assume_synced: true, prefix: a_b}", "ringback.yaml:3: nats.prefix: \"a_b\" is not a prefix"},
		{"admin token in the open", "admin_token: abc", "ringback.yaml:3: admin_token: a secret never stands in the file: write {env: NAME} or {file: PATH}"},
		{"variable not set", "admin_token: {env: NOPE}", "ringback.yaml:3: admin_token: the environment variable NOPE is not set: export it"},
		{"secret file", "admin_token: {file: /nowhere/t}", "ringback.yaml:3: admin_token: reading the secret: open /nowhere/t"},
		{"two references", "admin_token: {file: /t, env: T}", "ringback.yaml:3: admin_token: both env and file are given: keep one"},
		{"weak token", "admin_token: {env: WEAK}", "ringback.yaml:3: admin_token: it has less than 128 bits"},
		{"outbound", "outbound: {allow: [agent]}", "ringback.yaml:3: outbound.allow[0]: \"agent\" is neither a range nor a host with port"},
		{"duration", "outbound: {timeout: 5}", "ringback.yaml:3: outbound.timeout: \"5\" is not a duration: write a number with a unit, such as 30s"},
		{"duration range", "outbound: {timeout: 5h}", "ringback.yaml:3: outbound.timeout: 5h is out of range"},
		{"number", "policy: {limits: {denials: many}}", "ringback.yaml:3: policy.limits.denials: \"many\" is not a whole number from 1 to 100"},
		{"limits", "policy: {limits: none}", "ringback.yaml:3: policy.limits: expected `off` or a mapping"},
		{"boolean", "policy: {dedupe: yes}", "ringback.yaml:3: policy.dedupe: \"yes\" is neither true nor false"},
		{"lifetime", "policy: {lifetime: {default: 2h}}", "ringback.yaml:3: policy.lifetime.default: 2h does not lie between min (10s) and max (1h)"},
		{"lifetime beyond what is kept", "policy: {lifetime: {max: 49h}}", "ringback.yaml:3: policy.lifetime.max: 49h is out of range: from 10s to 48h"},
		{"no routes", "policy: {routes: []}", "ringback.yaml:3: policy.routes: no route without `when`"},
		{"channel unknown", "policy: {routes: [{channels: [smss]}]}", "ringback.yaml:3: policy.routes[0].channels[0]: unknown channel \"smss\": did you mean `sms`?"},
		{"channel of later versions", "policy: {routes: [{channels: [webpush]}]}", "ringback.yaml:3: policy.routes[0].channels[0]: unknown channel \"webpush\""},
		{"channel not configured", "policy: {routes: [{channels: [console]}]}", "ringback.yaml:3: policy.routes[0].channels[0]: the channel console is not configured"},
		{"console in production", "channels: {console: true}", "ringback.yaml:3: channels: this key stands twice"},
		{"route hidden", "policy:\n  routes:\n  - {channels: [sms]}\n  - {when: {acr: phr}, channels: [sms]}", "ringback.yaml:6: policy.routes[1]: never reached, since policy.routes[0] has no `when`"},
		{"route without channel", "policy: {routes: [{channels: []}]}", "ringback.yaml:3: policy.routes[0].channels: empty"},
		{"route acr", "policy: {routes: [{when: {acr: strong}, channels: [sms]}, {channels: [sms]}]}", "ringback.yaml:3: policy.routes[0].when.acr: unknown assurance \"strong\""},
		{"route type", "policy: {routes: [{when: {type: payment}, channels: [sms]}, {channels: [sms]}]}", "ringback.yaml:3: policy.routes[0].when.type: unknown type \"payment\""},
		{"renewal beyond what is kept", "policy: {lifetime: {renew: 37h}}", "ringback.yaml:3: policy.lifetime.renew: 37h is out of range: from 0s to 36h"},
		{"hint issuer without keys", "hint_issuers: [{iss: 'https://p.example'}]", "ringback.yaml:3: hint_issuers[0].jwks_uri: missing"},
		{"hint issuer with keys twice", "hint_issuers: [{iss: 'https://p.example', jwks_uri: 'https://p.example/jwks', jwks: {keys: [x]}}]", "ringback.yaml:3: hint_issuers[0].jwks_uri: jwks is given as well"},
		{"hint issuer with keys in the open", "hint_issuers: [{iss: 'https://p.example', jwks_uri: 'http://p.example/jwks'}]", "ringback.yaml:3: hint_issuers[0].jwks_uri: \"http://p.example/jwks\" is not an https URL"},
		{"hint issuer with no keys", "hint_issuers: [{iss: 'https://p.example', jwks: {keys: []}}]", "ringback.yaml:3: hint_issuers[0].jwks: "},
		{"hint issuer twice", "hint_issuers: [{iss: a, jwks_uri: 'https://p.example/jwks'}, {iss: a, jwks_uri: 'https://p.example/jwks'}]", "ringback.yaml:3: hint_issuers[1].iss: a stands twice"},
		{"hint issuer that is us", "hint_issuers: [{iss: '" + root + "', jwks_uri: 'https://p.example/jwks'}]", "ringback.yaml:3: hint_issuers[0].iss: this is ourselves"},
		{"documents of nobody", "client_documents: {default_resource: 'https://a.example'}", "ringback.yaml:3: client_documents.hosts: missing"},
		{"documents of everybody", "client_documents: {hosts: ['*'], default_resource: 'https://a.example'}", "ringback.yaml:3: client_documents.hosts[0]: \"*\" is not a host name"},
		{"documents of an address", "client_documents: {hosts: [10.0.0.7], default_resource: 'https://a.example'}", "ringback.yaml:3: client_documents.hosts[0]: \"10.0.0.7\" is not a host name"},
		{"documents by URL", "client_documents: {hosts: ['https://a.example'], default_resource: 'https://a.example'}", "ringback.yaml:3: client_documents.hosts[0]: \"https://a.example\" is not a host name"},
		{"documents for no API", "client_documents: {hosts: [a.example]}", "ringback.yaml:3: client_documents.default_resource: missing"},
		{"documents of an unknown scope", "client_documents: {hosts: [a.example], default_resource: 'https://a.example', scope: openid calendar.raed}", "ringback.yaml:3: client_documents.scope: there is no scope \"calendar.raed\""},
		{"registration open to all", "registration: {default_resource: 'https://a.example'}", "ringback.yaml:3: registration.tokens: missing"},
		{"registration by nobody", "registration: {default_resource: 'https://a.example', tokens: []}", "ringback.yaml:3: registration.tokens: empty, so nobody could register"},
		{"registration token in the open", "registration: {default_resource: 'https://a.example', tokens: [{name: a, token: abc}]}", "ringback.yaml:3: registration.tokens[0].token: a secret never stands in the file"},
		{"registration token weak", "registration: {default_resource: 'https://a.example', tokens: [{name: a, token: {env: WEAK}}]}", "ringback.yaml:3: registration.tokens[0].token: it has less than 128 bits"},
		{"registration token twice", "registration: {default_resource: 'https://a.example', tokens: [{name: a, token: {env: T}}, {name: b, token: {env: T}}]}", "ringback.yaml:3: registration.tokens[1].token: this token is that of a already"},
		{"registration token of no name", "registration: {default_resource: 'https://a.example', tokens: [{name: 'a b', token: {env: T}}]}", "ringback.yaml:3: registration.tokens[0].name: \"a b\" is not a name"},
		{"registration token of an address", "registration: {default_resource: 'https://a.example', tokens: [{name: a, token: {env: T}, hosts: [a.example, 10.0.0.7]}]}", "ringback.yaml:3: registration.tokens[0].hosts[1]: \"10.0.0.7\" is not a host name"},
		{"registration for what nobody is asked about", "scopes: [{name: reports, words: {en: read reports}, unattended: true}]\nregistration: {default_resource: 'https://a.example', tokens: [{name: a, token: {env: T}}]}", "ringback.yaml:4: registration.scope: missing, and reports is unattended"},
		{"registration profile", "registration: {default_resource: 'https://a.example', profile: x, tokens: [{name: a, token: {env: T}}]}", "ringback.yaml:3: registration.profile: \"x\" is unknown"},
		{"scope name", `scopes: [{name: "a b", words: {en: x}}]`, "ringback.yaml:3: scopes[0].name: \"a b\" is not a scope"},
		{"scope twice", `scopes: [{name: a, words: {en: x}}, {name: a, words: {en: x}}]`, "ringback.yaml:3: scopes[1].name: the scope a stands twice"},
		{"scope without words", `scopes: [{name: a}]`, "ringback.yaml:3: scopes[0].words: missing: add `words: "},
		{"scope without the words of a person", "people: [{id: a, locale: de-AT}]\nscopes: [{name: a, words: {en: x}}]", "ringback.yaml:4: scope a: has no words in language de"},
		{"type without the words of a person", "people: [{id: a, locale: de}]\ndetails: [{type: b, schema: {type: object, additionalProperties: false, required: [x], properties: {x: {type: string}}}, show: [{path: x}], words: {en: {headline: 'Do {x}?', labels: {x: X}, sms: 'DO {x}'}}}]", "ringback.yaml:4: details type b: has no words in language de"},
		{"resource", "resources: [{uri: /x}]", "ringback.yaml:3: resources[0].uri: \"/x\" is not an absolute URI"},
		{"details key", "details: [{type: a, scheme: {}}]", "ringback.yaml:3: details[0].scheme: unknown key: did you mean `schema`?"},
		{"details words", "details: [{type: a, words: {en: {headlin: x}}}]", "ringback.yaml:3: details[0].words.en.headlin: unknown key: did you mean `headline`?"},
		{"details schema", "details: [{type: a, schema: {type: objekt}}]", "ringback.yaml:3: details[0]: "},
		{"details example", booking + "      - room: Blue\n        nights: two", "ringback.yaml:12: details[0]: details type \"booking\": examples[1].nights: must be of type integer, not string"},
		{"details example lacks something", booking + "      - room: Blue", "ringback.yaml:11: details[0]: details type \"booking\": examples[1].nights: is missing"},
		{"details example of another type", booking + "      - type: tool_call\n        room: Blue\n        nights: 1", "ringback.yaml:11: details[0]: details type \"booking\": examples[1].type: must be 'booking', or be left out"},
		{"details example, deep", booking + "      - nights: 1\n        room: Blue\n        beds: [{for: 1}, {for: many}]", "ringback.yaml:13: details[0]: details type \"booking\": examples[1].beds[1].for: must be of type integer"},
		{"details example that is none", booking + "      - Blue", "ringback.yaml:11: details[0].examples[1]: expected an object as an agent would send it"},
		{"details examples that are no list", "details: [{type: booking, schema: {type: object, additionalProperties: false}, examples: {room: Blue}}]", "ringback.yaml:3: details[0].examples: expected a list"},
		{"details example with a date", booking + "      - room: 2026-12-24\n        nights: 1", "ringback.yaml:11: details[0].examples[1].room: JSON has no timestamp: put it in quotes"},
		{"details documentation", "details: [{type: booking, documentation_uri: /docs, schema: {type: object, additionalProperties: false}}]", "ringback.yaml:3: details[0]: details type \"booking\": documentation_uri: \"/docs\" is no https URL; write one, or leave it out"},
		{"details example of a built-in type", "details: [{type: tool_call, examples: [{server: a, tool: b}]}]", "ringback.yaml:3: details[0]: details type \"tool_call\": is built in; only its min_acr and words can be set"},
		{"details twice", "details: [{type: tool_call, min_acr: phr}, {type: tool_call, min_acr: phr}]", "ringback.yaml:3: details[1].type: the type tool_call stands twice"},
		{"client without id", "clients: [{client_name: A}]", "ringback.yaml:3: clients[0].client_id: missing"},
		{"client without secret", "clients: [{client_id: a, default_resource: 'https://a.example'}]", "ringback.yaml:3: clients[0].client_secret: missing: add `client_secret: {env: NAME}`"},
		{"client for no API", "clients: [{client_id: a, client_secret: {env: T}}]", "ringback.yaml:3: clients[0].default_resource: missing, and no resources are configured"},
		{"client weak secret", "clients: [{client_id: a, default_resource: 'https://a.example', client_secret: {env: WEAK}}]", "ringback.yaml:3: clients[0].client_secret: the secret has less than 128 bits"},
		{"client three secrets", "clients: [{client_id: a, default_resource: 'https://a.example', client_secret: [{env: T}, {env: T}, {env: T}]}]", "ringback.yaml:3: clients[0].client_secret: expected one secret, or two"},
		{"client auth method", "clients: [{client_id: a, default_resource: 'https://a.example', token_endpoint_auth_method: none}]", "ringback.yaml:3: clients[0].token_endpoint_auth_method: \"none\" is not supported: use client_secret_basic, client_secret_post"},
		{"client without keys", "clients: [{client_id: a, default_resource: 'https://a.example', token_endpoint_auth_method: private_key_jwt}]", "ringback.yaml:3: clients[0].jwks: missing: private_key_jwt needs the client's public keys"},
		{"client with keys and a secret", "clients: [{client_id: a, default_resource: 'https://a.example', client_secret: {env: T}, token_endpoint_auth_method: private_key_jwt, jwks_uri: 'https://a.example/jwks'}]", "ringback.yaml:3: clients[0].client_secret: this client authenticates with a key of its own: remove the secret"},
		{"client keys", "clients: [{client_id: a, default_resource: 'https://a.example', token_endpoint_auth_method: private_key_jwt, jwks: {keys: []}}]", "ringback.yaml:3: clients[0].jwks: "},
		{"client keys in no file", "clients: [{client_id: a, default_resource: 'https://a.example', token_endpoint_auth_method: private_key_jwt, jwks: {file: /nowhere/jwks.json}}]", "ringback.yaml:3: clients[0].jwks: open /nowhere/jwks.json"},
		{"client with a certificate", "clients: [{client_id: a, default_resource: 'https://a.example', token_endpoint_auth_method: tls_client_auth, tls_client_auth_san_dns: a.example}]", "ringback.yaml:3: clients[0].token_endpoint_auth_method: tls_client_auth needs a listener that asks for certificates: add `mtls`"},
		{"client profile", "clients: [{client_id: a, default_resource: 'https://a.example', profile: fapi}]", "ringback.yaml:3: clients[0].profile: \"fapi\" is unknown: use fapi-ciba"},
		{"client profile with a secret", "clients: [{client_id: a, default_resource: 'https://a.example', profile: fapi-ciba, jwks_uri: 'https://a.example/jwks'}]", "ringback.yaml:3: clients[0].token_endpoint_auth_method: the profile fapi-ciba takes no secret"},
		{"client type", "clients: [{client_id: a, default_resource: 'https://a.example', client_secret: {env: T}, authorization_details_types: [tool_cal]}]", "ringback.yaml:3: clients[0].authorization_details_types: there is no type \"tool_cal\": known are "},
		{"client document with a secret", "clients: [{client_id: 'https://a.example/c.json', default_resource: 'https://a.example', client_secret: {env: T}}]", "ringback.yaml:3: clients[0].client_secret: this client authenticates with a key of its own"},
		{"client mode", "clients: [{client_id: a, default_resource: 'https://a.example', client_secret: {env: T}, backchannel_token_delivery_mode: pull}]", "ringback.yaml:3: clients[0].backchannel_token_delivery_mode: \"pull\" is not offered here: use poll, ping or push"},
		{"client ping without endpoint", "clients: [{client_id: a, default_resource: 'https://a.example', client_secret: {env: T}, backchannel_token_delivery_mode: ping}]", "ringback.yaml:3: clients[0].backchannel_client_notification_endpoint: missing"},
		{"client ping in the open", "clients: [{client_id: a, default_resource: 'https://a.example', client_secret: {env: T}, backchannel_token_delivery_mode: ping, backchannel_client_notification_endpoint: 'http://a.example/p'}]", "ringback.yaml:3: clients[0].backchannel_client_notification_endpoint: \"http://a.example/p\" must begin with https://"},
		{"client people", "clients: [{client_id: a, default_resource: 'https://a.example', client_secret: {env: T}, people: all}]", "ringback.yaml:3: clients[0].people: unknown value \"all\""},
		{"client grant", "clients: [{client_id: a, default_resource: 'https://a.example', client_secret: {env: T}, grant_types: [password]}]", "ringback.yaml:3: clients[0].grant_types: \"password\" is not offered here"},
		{"client name", "clients: [{client_id: a, default_resource: 'https://a.example', client_secret: {env: T}, client_name: \"P\\u0430ypal\"}]", "ringback.yaml:3: clients[0].client_name: a name must not"},
		{"client twice", "clients: [{client_id: a, default_resource: 'https://a.example', client_secret: {env: T}}, {client_id: a, default_resource: 'https://a.example', client_secret: {env: T}}]", "ringback.yaml:3: clients[1].client_id: a stands twice, first in ringback.yaml:3: remove one"},
		{"client lookalike", "clients: [{client_id: a, default_resource: 'https://a.example', client_secret: {env: T}, client_name: Paypal}, {client_id: b, default_resource: 'https://a.example', client_secret: {env: T}, client_name: PaypaI}]", "ringback.yaml:3: clients[1].client_name: people could take \"PaypaI\" for the client a"},
		{"person without id", "people: [{name: A}]", "ringback.yaml:3: people[0].id: missing"},
		{"person id", "people: [{id: a@b}]", "ringback.yaml:3: people[0].id: \"a@b\" is not an id"},
		{"person phone", "people: [{id: a, phone: 0301234}]", "ringback.yaml:3: people[0].phone: this is not a telephone number in international form"},
		{"person phone twice", "people: [{id: a, phone: \"+12025550101\"}, {id: b, phone: \"+12025550101\"}]", "ringback.yaml:3: people[1].phone: this belongs to a already"},
		{"person zone", "people: [{id: a, zoneinfo: Mars/Olympus}]", "ringback.yaml:3: people[0].zoneinfo: \"Mars/Olympus\" is not a time zone"},
		{"person locale", "people: [{id: a, locale: english language}]", "ringback.yaml:3: people[0].locale:"},
		{"person twice", "people: [{id: a}, {id: a}]", "ringback.yaml:3: people[1].id: a stands twice"},
		{"witness", "data: /srv/ringback\nwitness: /srv/ringback/w", "ringback.yaml:4: witness: /srv/ringback/w lies inside the data directory"},
		{"dev", "dev: {allow_remote: true}", "ringback.yaml:3: dev: this stands for development runs only"},
		{"second document", "---\na: b", "ringback.yaml:3: the file has more than one document"},
		{"no YAML", "a: [", "ringback.yaml:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := mistakesOf(t, minimal+tt.add, false, "T", configtest.Strong, "WEAK", "abc123")
			if !strings.HasPrefix(got[0], tt.want) || len(got) > 2 {
				t.Errorf("mistakes =\n%s\nwant one or two, the first beginning\n%s", strings.Join(got, "\n"), tt.want)
			}
		})
	}
}

// TestSenders has the mistakes of senders that cannot receive.
func TestSenders(t *testing.T) {
	t.Parallel()
	file := func(from string) string {
		return "issuer: https://consent.example.com\nchannels: {sms: {account_sid: AC00000000000000000000000000000000, auth_token: {env: T}, " + from + "}}\n" +
			"policy: {routes: [{channels: [{sms: {reply: true}}]}]}\n"
	}
	got := mistakesOf(t, file("from: RINGBACK"), false, "T", configtest.Strong)
	want := []string{"ringback.yaml:3: policy.routes[0].channels[0]: the sender in channels.sms.from cannot receive answers: use a telephone number there, or remove `reply: true`"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("alphanumeric sender (-want +got):\n%s", diff)
	}
	for _, from := range []string{`from: "+12025550199"`, `from: "72345"`, "messaging_service_sid: MG00000000000000000000000000000000"} {
		if _, err := loadText(file(from), false, "T", configtest.Strong); err != nil {
			t.Errorf("%s: %v", from, err)
		}
	}
}

// TestAllAtOnce has a file full of mistakes, and the report in order of line.
func TestAllAtOnce(t *testing.T) {
	t.Parallel()
	got := mistakesOf(t, `isuer: https://consent.example.com
channels:
  sms: {account_sid: AC12, auth_token: hello, from: "+12025550199"}
policy:
  routes:
    - channels: [sms, voice]
      escalate_after: 30
  dedupe: maybe
clients:
  - client_id: agent
    secret: x
people:
  - {id: "+49", phone: 123}
`, false)
	want := []string{
		"ringback.yaml:1: issuer: missing",
		"ringback.yaml:1: isuer: unknown key: did you mean `issuer`?",
		"ringback.yaml:3: channels.sms.auth_token: a secret never stands in the file",
		"ringback.yaml:6: policy.routes[0].channels[0]: the channel sms is not configured",
		"ringback.yaml:6: policy.routes[0].channels[1]: unknown channel \"voice\"",
		"ringback.yaml:7: policy.routes[0].escalate_after: \"30\" is not a duration",
		"ringback.yaml:8: policy.dedupe: \"maybe\" is neither true nor false",
		"ringback.yaml:10: clients[0].client_secret: missing",
		"ringback.yaml:10: clients[0].default_resource: missing",
		"ringback.yaml:11: clients[0].secret: unknown key: did you mean `client_secret`?",
		"ringback.yaml:13: people[0].id: \"+49\" is not an id",
		"ringback.yaml:13: people[0].phone: this is not a telephone number",
	}
	for _, w := range want {
		found := false
		for _, g := range got {
			found = found || strings.HasPrefix(g, w)
		}
		if !found {
			t.Errorf("no mistake begins %q", w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d mistakes, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
}

func TestRemoteDev(t *testing.T) {
	t.Parallel()
	got := mistakesOf(t, "listen: 0.0.0.0:8663\n", true)
	if !strings.Contains(got[0], "a development run lets anybody decide, so it listens on loopback only") {
		t.Errorf("mistakes = %q", got)
	}
	if _, err := loadText("listen: 0.0.0.0:8663\ndev: {allow_remote: true}\n", true); err != nil {
		t.Error(err)
	}
}

// FuzzConfig feeds the parser with anything: it reports or loads, and never
// panics; what it loads has no mistakes left.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		minimal, "a: &a [*a]\n", "{}", "---\n---\n", "people: [{id: a}]", "policy: {routes: [{channels: [{sms: {reply: true}}]}]}",
		"clients: [{client_id: a, client_secret: [{env: T}]}]", "details: [{type: a, schema: {type: object}, words: {en: {headline: x}}}]",
		"\xff", "? [a]\n: b\n", "a: !!binary x", "<<: {a: b}", "limits: off", "policy: {limits: off}", "scopes: [{name: a, words: {en: [x]}}]",
		mtlsText, "hint_issuers: [{iss: a, jwks: {keys: [{kty: EC}]}}]", "client_documents: {hosts: [a.example, '*.b']}",
		"registration: {tokens: [{name: a, token: {env: T}, hosts: ['*.a']}], profile: fapi-ciba}", "clients: [{client_id: 'https://a/b', jwks: '{}'}]",
		"clients: [{client_id: a, token_endpoint_auth_method: tls_client_auth, tls_client_auth_san_ip: '::1', grant_types: [x]}]",
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, text string, dev bool) {
		c, err := loadText(text, dev, "T", configtest.Strong)
		if (c == nil) == (err == nil) {
			t.Fatalf("Load(%q) = %v, %v", text, c, err)
		}
	})
}
