package main

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// FuzzAnswers is what the service that `ask` talks to answers.
func FuzzAnswers(f *testing.F) {
	f.Add("e30.e30.x", `{"error":"access_denied","error_description":"no"}`)
	f.Add("a."+base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"alice"}`))+".b", "null")
	f.Add("..", `{"error":{}}`)
	f.Add("https://a.example/x", "http://127.0.0.1:1/y")
	f.Fuzz(func(t *testing.T, token, body string) {
		tk := tokens{access: token}
		if claims, err := tk.claims(); err == nil && (!json.Valid(claims) || strings.Count(token, ".") != 2) {
			t.Errorf("claims of %q = %q", token, claims)
		}
		if err := oauthError(400, []byte(body)); err.Error() == "" {
			t.Errorf("oauthError(%q) says nothing", body)
		}
		for _, raw := range []string{token, body} {
			if private(raw) != nil {
				continue
			}
			if u, err := url.Parse(raw); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
				t.Errorf("private(%q) lets it pass", raw)
			}
		}
	})
}
