package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/ciba"
	"ringback/config/configtest"
	"ringback/consent"
	"ringback/keys"
)

// loadText loads text as the file "ringback.yaml", beside which lie tls.crt,
// tls.key and ca.pem.
func loadText(text string, dev bool, env ...string) (*Config, error) {
	return Load(Sources{File: "ringback.yaml", Dev: dev, Getenv: configtest.Environ(env...), ReadFile: func(name string) ([]byte, error) {
		switch name {
		case "ringback.yaml":
			return []byte(text), nil
		case "tls.crt":
			return configtest.PEMs().Cert, nil
		case "tls.key":
			return configtest.PEMs().Key, nil
		case "ca.pem":
			return configtest.PEMs().CA, nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}})
}

// mistakesOf loads text, which must be wrong, and returns the lines of the report.
func mistakesOf(t *testing.T, text string, dev bool, env ...string) []string {
	t.Helper()
	c, err := loadText(text, dev, env...)
	if err == nil {
		t.Fatalf("Load = %+v, want mistakes", c)
	}
	return strings.Split(err.Error(), "\n")
}

// minimal is the least that a production file says.
const minimal = `issuer: https://consent.example.com
channels: {sms: {account_sid: AC00000000000000000000000000000000, auth_token: {env: T}, from: "+12025550199"}}
`

func TestExampleConfig(t *testing.T) {
	t.Parallel()
	c, err := Load(Sources{
		File:   "../" + exampleConfig,
		Getenv: configtest.Environ("TWILIO_AUTH_TOKEN", configtest.Strong, "TRAVEL_AGENT_SECRET", configtest.Strong, "REGISTRATION_TOKEN", configtest.Strong),
		ReadFile: func(name string) ([]byte, error) {
			switch filepath.Base(name) {
			case "tls.crt":
				return configtest.PEMs().Cert, nil
			case "tls.key":
				return configtest.PEMs().Key, nil
			case "client-ca.pem":
				return configtest.PEMs().CA, nil
			}
			if strings.HasPrefix(name, "/etc/ringback/") {
				return []byte(configtest.Strong + "\n"), nil
			}
			return os.ReadFile(name)
		},
	})
	if err != nil {
		t.Fatalf("Load(%s):\n%v", exampleConfig, err)
	}
	want := []consent.Route{
		{Type: "payment_initiation", Steps: []consent.RouteStep{{Channel: "sms"}}, EscalateAfter: 30 * time.Second},
		{Steps: []consent.RouteStep{{Channel: "sms", Reply: true}, {Channel: "sms"}}, EscalateAfter: 30 * time.Second},
	}
	if diff := cmp.Diff(want, c.Policy.Routes); diff != "" {
		t.Errorf("routes differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(consent.DefaultLimits(), c.Policy.Limits); diff != "" {
		t.Errorf("the example shows the default limits; they differ (-want +got):\n%s", diff)
	}
	if got := c.PublicURL(); got != "https://approve.example.com" {
		t.Errorf("PublicURL() = %q", got)
	}
	if len(c.Clients) != 6 || len(c.Approvers) != 2 || c.Clients[0].SecretHashes[0] != keys.TokenDigest(configtest.Strong) {
		t.Errorf("clients %v, people %v", c.Clients, c.Approvers)
	}
	if diff := cmp.Diff(&consent.Documents{
		Hosts: []string{"agent.example", "*.agents.example"}, People: "linked", Scope: "openid calendar.read", DefaultResource: "https://api.example.com",
	}, c.Policy.Documents); diff != "" {
		t.Errorf("client_documents differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&ciba.Registration{
		Tokens: []ciba.InitialToken{{Name: "partner", Digest: keys.TokenDigest(configtest.Strong), Hosts: []string{"*.partner.example"}}}, People: "linked", Scope: "openid calendar.read",
		Profile: consent.ProfileFAPI, DefaultResource: "https://api.example.com",
	}, c.Registration); diff != "" {
		t.Errorf("registration differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]consent.HintIssuer{"https://people.example.com": {JWKSURI: "https://people.example.com/jwks.json"}}, c.Policy.HintIssuers); diff != "" {
		t.Errorf("hint_issuers differs (-want +got):\n%s", diff)
	}
	if p := c.Policy; p.DPoPNonce || p.Lifetime.Renew != 0 || !p.Scopes["status.read"].Unattended || p.Scopes["calendar.read"].Unattended {
		t.Errorf("policy = %+v", p)
	}
	if got := c.Where("client", "calendar-api"); !strings.Contains(got, exampleConfig+":") {
		t.Errorf("Where(calendar-api) = %q", got)
	}
	if len(c.Notes) > 0 {
		t.Errorf("the example deserves no notes: %q", c.Notes)
	}
}

// TestExampleIsWhole checks that the example shows every key there is.
func TestExampleIsWhole(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../" + exampleConfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range slices.Concat(clientKeys, []string{
		"issuer", "listen", "manage", "tls", "mtls", "client_ca", "people_listener", "public_url", "trusted_proxies", "root_key", "data", "nats", "witness", "creds",
		"prefix", "monitor", "assume_synced", "admin_token", "auth_token_previous", "messaging_service_sid", "base_url", "parameters",
		"allow", "timeout", "routes", "when", "escalate_after", "pair_prompts", "person_prompts", "window", "notifications",
		"denials", "freeze", "dedupe", "lifetime", "match_code", "scopes", "words", "min_acr", "introspect_by", "schema",
		"show", "free", "silent", "narrow", "version", "documentation_uri", "examples", "client_secret", "verified_host", "token_endpoint_auth_method", "may_enumerate",
		"hint_issuers", "iss", "client_documents", "hosts", "registration", "tokens", "token", "name", "renew", "dpop_nonce", "unattended",
		"zoneinfo", "locale", "email", "allow_remote",
	}) {
		if !strings.Contains(string(data), key+":") {
			t.Errorf("%s does not show %s", exampleConfig, key)
		}
	}
}

func TestDevConfig(t *testing.T) {
	t.Parallel()
	c, err := Load(Sources{Dev: true, Getenv: configtest.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]consent.Route{{Steps: []consent.RouteStep{{Channel: "sms", Reply: true}}, EscalateAfter: 30 * time.Second}}, c.Policy.Routes); diff != "" {
		t.Errorf("routes differ (-want +got):\n%s", diff)
	}
	if c.Policy.Limits != nil || c.Policy.Dedupe || c.Policy.Reach != consent.ACRMatch {
		t.Errorf("policy = %+v, want limits off, no dedupe", c.Policy)
	}
	var ids []string
	for _, cl := range c.Clients {
		ids = append(ids, cl.ID)
		if cl.SecretHashes[0] != keys.TokenDigest(DemoSecret) || cl.People != "any" || cl.DefaultResource != "https://api.example" {
			t.Errorf("client = %+v", cl)
		}
	}
	for _, p := range c.Approvers {
		ids = append(ids, p.ID, string(p.Phone))
	}
	if got := strings.Join(ids, " "); got != "demo-agent demo-ping demo-worker alice +12025550101 bob +12025550102" {
		t.Errorf("entries = %q", got)
	}
	list, err := c.Registry.Parse([]byte(`[{"type":"payment_initiation","instructedAmount":{"currency":"EUR","amount":"1.00"},"creditorName":"A","creditorAccount":{"iban":"DE02120300000000202051"}}]`))
	if err != nil {
		t.Fatal(err)
	}
	if got := list.MinACR(); got != consent.ACRTap {
		t.Errorf("MinACR(payment) = %q, want tap in a development run", got)
	}
}

// TestDevFile adds a file to a development run, as the benchmark does.
func TestDevFile(t *testing.T) {
	t.Parallel()
	text := "policy: {limits: off, dedupe: false}\nclients:\npeople:\n"
	for _, id := range []string{"user-1", "user-2", "alice"} {
		text += "  - {id: " + id + "}\n"
	}
	c, err := loadText(text, true)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, p := range c.Approvers {
		ids = append(ids, p.ID)
	}
	if got := strings.Join(ids, " "); got != "user-1 user-2 alice bob" {
		t.Errorf("people = %q, want the file's, and those demo people whose id it does not use", got)
	}
	if len(c.Clients) != 3 || c.Policy.Limits != nil || c.Policy.Dedupe {
		t.Errorf("clients %v, policy %+v", c.Clients, c.Policy)
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	text := minimal + "listen: 127.0.0.1:1001\ndata: /file\n"
	read := func(string) ([]byte, error) { return []byte(text), nil }
	env := configtest.Environ("T", configtest.Strong, "RINGBACK_LISTEN", "127.0.0.1:1002", "RINGBACK_DATA", "/env")
	c, err := Load(Sources{File: "f", ReadFile: read, Getenv: env, Flags: Settings{Listen: "127.0.0.1:1003"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:1003" || c.Data != "/env" || c.Manage != DefaultManage || c.RootFile != defaultRootKey {
		t.Errorf("listen %s, data %s, manage %s, root key %s; want flag, environment, default, default", c.Listen, c.Data, c.Manage, c.RootFile)
	}
}

// TestNotes has what is allowed and deserves a look.
func TestNotes(t *testing.T) {
	t.Parallel()
	for add, want := range map[string]string{
		"people: [{id: a, locale: fr}]":              "language fr",
		"policy: {limits: off}":                      "policy.limits is off",
		"manage: 0.0.0.0:8664":                       "manage listens on 0.0.0.0",
		"listen: 0.0.0.0:8663":                       "without TLS",
		"data: d":                                    "witness is missing",
		"nats: {url: nats://x, assume_synced: true}": "nats.assume_synced",
		"policy: {routes: [{channels: [sms, sms]}]}": "sms stands twice",
		"details: [{type: tool_call, min_acr: phr}]": "requests of the type tool_call are refused",
	} {
		c, err := loadText(minimal+add, false, "T", configtest.Strong)
		if err != nil {
			t.Errorf("%s: %v", add, err)
			continue
		}
		if !strings.Contains(strings.Join(c.Notes, "\n"), want) {
			t.Errorf("%s: notes = %q, want one with %q", add, c.Notes, want)
		}
	}
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	_, err := Load(Sources{File: "/nonexistent/ringback.yaml", Getenv: configtest.Environ()})
	var m *Mistakes
	if !errors.As(err, &m) || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("Load = %v, want a mistake that names the file", err)
	}
}

// TestSecretsNeverShow gives secrets in every wrong place.
func TestSecretsNeverShow(t *testing.T) {
	t.Parallel()
	const canary = "canary-8d2f"
	text := `issuer: https://consent.example.com
admin_token: ` + canary + `
channels: {sms: {account_sid: AC1, auth_token: ` + canary + `, from: x}}
clients:
  - {client_id: a, client_secret: ` + canary + `}
  - {client_id: b, client_secret: {value: ` + canary + `}}
  - {client_id: c, client_secret: [` + canary + `, {env: C}]}
`
	for _, line := range mistakesOf(t, text, false, "C", canary) {
		if strings.Contains(line, canary) {
			t.Errorf("a mistake repeats a secret: %s", line)
		}
	}
}
