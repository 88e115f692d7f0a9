package clients

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"ringback/consent"
)

func basic(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }

func TestParseBasic(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, header, id, secret string
		ok                       bool
	}{
		{"plain", basic("agent:s3cret"), "agent", "s3cret", true},
		{"scheme in another case", "bAsIc" + basic("agent:s3cret")[5:], "agent", "s3cret", true},
		{"form-encoded", basic("https%3A%2F%2Fa.example:p%2Bq+r%25"), "https://a.example", "p+q r%", true},
		{"colon in the secret", basic("agent:a:b"), "agent", "a:b", true},
		{"no colon", basic("agent"), "", "", false},
		{"no id", basic(":secret"), "", "", false},
		{"no secret", basic("agent:"), "", "", false},
		{"bad escape", basic("agent:%z"), "", "", false},
		{"NUL", basic("agent:%00"), "", "", false},
		{"raw NUL", basic("ag\x00ent:x"), "", "", false},
		{"no base64", "Basic agent:secret", "", "", false},
		{"base64url", "Basic YTpiP_8-", "", "", false},
		{"no padding", "Basic YWdlbnQ6eA", "", "", false},
		{"stray bits", "Basic YWdlbnQ6eB==", "", "", false},
		{"line end inside", "Basic YWdl\nbnQ6eA==", "", "", false},
		{"another scheme", "Bearer YWdlbnQ6eA==", "", "", false},
		{"scheme alone", "Basic", "", "", false},
		{"nothing", "", "", "", false},
		{"too long", basic("agent:" + strings.Repeat("x", maxCredentials)), "", "", false},
	} {
		id, secret, ok := parseBasic(tt.header)
		if ok != tt.ok || id != tt.id || secret != tt.secret {
			t.Errorf("%s: parseBasic(%q) = %q, %q, %v, want %q, %q, %v", tt.name, tt.header, id, secret, ok, tt.id, tt.secret, tt.ok)
		}
	}
}

func TestMayUse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		registered, used string
		want             bool
	}{
		{"", consent.MethodBasic, true}, {"", consent.MethodPost, true},
		{consent.MethodBasic, consent.MethodBasic, true}, {consent.MethodBasic, consent.MethodPost, true},
		{consent.MethodPost, consent.MethodPost, true}, {consent.MethodPost, consent.MethodBasic, false},
		{"private_key_jwt", consent.MethodBasic, false}, {"private_key_jwt", consent.MethodPost, false},
		{"none", consent.MethodBasic, false}, {"none", consent.MethodPost, false},
	} {
		if got := mayUse(&consent.Client{AuthMethod: tt.registered}, tt.used); got != tt.want {
			t.Errorf("mayUse(%q, %q) = %v, want %v", tt.registered, tt.used, got, tt.want)
		}
	}
}

func FuzzParseBasic(f *testing.F) {
	f.Add("Basic YWdlbnQ6eA==")
	f.Add(basic("https%3A%2F%2Fa.example:p%2Bq+r%25"))
	f.Add("basic  x")
	f.Fuzz(func(t *testing.T, header string) {
		id, secret, ok := parseBasic(header)
		if !ok {
			return
		}
		if id == "" || secret == "" || strings.Contains(id+secret, "\x00") {
			t.Errorf("parseBasic(%q) = %q, %q", header, id, secret)
		}
		again := basic(url.QueryEscape(id) + ":" + url.QueryEscape(secret))
		if id2, secret2, ok := parseBasic(again); len(again) < maxCredentials && (!ok || id2 != id || secret2 != secret) {
			t.Errorf("parseBasic(%q) = %q, %q, and its canonical form %q, %q, %v", header, id, secret, id2, secret2, ok)
		}
	})
}
