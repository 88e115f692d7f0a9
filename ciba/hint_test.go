package ciba

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"ringback/clients"
	"ringback/consent"
)

const testIssuer = "https://as.example"

func ours(iss string) bool { return (&Server{cfg: Config{Issuer: testIssuer}}).isOurs(iss) }

func TestParseHint(t *testing.T) {
	t.Parallel()
	id := func(v string) hint { return hint{consent.HintID, v} }
	phone := func(v string) hint { return hint{consent.HintPhone, v} }
	email := func(v string) hint { return hint{consent.HintEmail, v} }
	for _, tt := range []struct {
		name, text string
		want       hint
		code       Code
	}{
		{"id", "alice", id("alice"), ""},
		{"id with a space", "Alice Smith", id("Alice Smith"), ""},
		{"id in another script", "Ålice", id("Ålice"), ""},
		{"phone", "+12025550101", phone("+12025550101"), ""},
		{"email", "alice@example.com", email("alice@example.com"), ""},
		{"iss_sub", `{"format":"iss_sub","iss":"https://as.example","sub":"alice"}`, id("alice"), ""},
		{"iss_sub with a slash", `{"format":"iss_sub","iss":"https://as.example/","sub":"auth0|1"}`, id("auth0|1"), ""},
		{"email subject", `{"format":"email","email":"alice@example.com"}`, email("alice@example.com"), ""},
		{"phone subject", ` {"format":"phone_number","phone_number":"+12025550101"}`[1:], phone("+12025550101"), ""},
		{"opaque", `{"format":"opaque","id":"alice"}`, id("alice"), ""},

		{"another issuer", `{"format":"iss_sub","iss":"https://other.example","sub":"alice"}`, hint{}, UnknownUserID},
		{"issuer by another scheme", `{"format":"iss_sub","iss":"http://as.example","sub":"alice"}`, hint{}, UnknownUserID},
		{"issuer as prefix", `{"format":"iss_sub","iss":"https://as.example/x","sub":"alice"}`, hint{}, UnknownUserID},
		{"no iss", `{"format":"iss_sub","sub":"alice"}`, hint{}, InvalidRequest},
		{"empty sub", `{"format":"iss_sub","iss":"https://as.example","sub":""}`, hint{}, InvalidRequest},
		{"another format", `{"format":"did","url":"did:example:1"}`, hint{}, InvalidRequest},
		{"no format", `{"email":"alice@example.com"}`, hint{}, InvalidRequest},
		{"format in another case", `{"Format":"opaque","id":"alice"}`, hint{}, InvalidRequest},
		{"extra member", `{"format":"opaque","id":"alice","x":"y"}`, hint{}, InvalidRequest},
		{"repeated member", `{"format":"opaque","id":"alice","id":"bob"}`, hint{}, InvalidRequest},
		{"repeated in another case", `{"format":"opaque","id":"alice","ID":"bob"}`, hint{}, InvalidRequest},
		{"number", `{"format":"opaque","id":1}`, hint{}, InvalidRequest},
		{"broken JSON", `{"format":"opaque","id":"alice"`, hint{}, InvalidRequest},
		{"text after JSON", `{"format":"opaque","id":"alice"}x`, hint{}, InvalidRequest},
		{"email subject without address", `{"format":"email","email":"alice"}`, hint{}, InvalidRequest},
		{"phone subject without number", `{"format":"phone_number","phone_number":"alice"}`, hint{}, InvalidRequest},
		{"opaque with control character", `{"format":"opaque","id":"al\u0007ice"}`, hint{}, InvalidRequest},
		{"unescaped plus", " 12025550101", hint{}, InvalidRequest},
		{"short number", "+1202555", phone("+1202555"), ""},
		{"too short a number", "+120255", hint{}, InvalidRequest},
		{"long number", "+123456789012345", phone("+123456789012345"), ""},
		{"too long a number", "+1234567890123456", hint{}, InvalidRequest},
		{"number with spaces", "+1 202 555 0101", hint{}, InvalidRequest},
		{"number from 0", "+02025550101", hint{}, InvalidRequest},
		{"other digits", "+١٢٠٢٥٥٥٠١٠١", hint{}, InvalidRequest},
		{"two ats", "a@b@c", hint{}, InvalidRequest},
		{"no local part", "@example.com", hint{}, InvalidRequest},
		{"no domain", "alice@", hint{}, InvalidRequest},
		{"right-to-left override", "al\u202eice", hint{}, InvalidRequest},
		{"zero width", "al\u200bice", hint{}, InvalidRequest},
		{"control character", "al\x1bice", hint{}, InvalidRequest},
		{"newline", "alice\n", hint{}, InvalidRequest},
		{"too long", strings.Repeat("a", maxHint+1), hint{}, InvalidRequest},
		{"too long an id", strings.Repeat("a", maxID+1), hint{}, InvalidRequest},
		{"too long an address", strings.Repeat("a", maxEmail) + "@b.example", hint{}, InvalidRequest},
	} {
		got, err := parseHint(tt.text, ours)
		if tt.code != "" {
			wantRefusal(t, tt.name, err, tt.code, "hint")
		} else if err != nil || got != tt.want {
			t.Errorf("%s: parseHint(%q) = %v, %v, want %v", tt.name, tt.text, got, err, tt.want)
		}
	}
}

// TestIsOurs: only a development run is lax about the scheme.
func TestIsOurs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		issuer, iss string
		dev, want   bool
	}{
		{"https://as.example", "https://as.example", false, true},
		{"https://as.example", "https://as.example/", false, true},
		{"https://as.example", "http://as.example", false, false},
		{"https://as.example", "https://as.example.evil.example", false, false},
		{"https://as.example", "as.example", false, false},
		{"http://127.0.0.1:8663", "https://127.0.0.1:8663/", true, true},
		{"http://127.0.0.1:8663", "http://127.0.0.1:8663", true, true},
		{"http://127.0.0.1:8663", "http://127.0.0.1:8664", true, false},
		{"http://127.0.0.1:8663", "", true, false},
	} {
		s := &Server{cfg: Config{Issuer: tt.issuer, Dev: tt.dev}}
		if got := s.isOurs(tt.iss); got != tt.want {
			t.Errorf("isOurs(%q) of %s (dev %v) = %v, want %v", tt.iss, tt.issuer, tt.dev, got, tt.want)
		}
	}
}

func FuzzParseHint(f *testing.F) {
	for _, s := range []string{"alice", "+12025550101", "a@b", `{"format":"opaque","id":"alice"}`, `{"format":"iss_sub","iss":"https://as.example","sub":"a"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" {
			return
		}
		h, err := parseHint(text, ours)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code != InvalidRequest && e.Code != UnknownUserID {
				t.Errorf("parseHint(%q) = %v", text, err)
			}
			return
		}
		if h.value == "" || len(h.value) > maxID || !printable(h.value) {
			t.Errorf("parseHint(%q) = %v", text, h)
		}
		if (h.kind == consent.HintPhone) != (h.value[0] == '+') && text[0] != '{' {
			t.Errorf("parseHint(%q) = %v", text, h)
		}
	})
}

// FuzzSubjectOf is a login_hint_token's sub and sub_id whose signature was good.
func FuzzSubjectOf(f *testing.F) {
	for sub, id := range map[string]string{
		"alice": "", "": `{"format":"email","email":"a@b.example"}`, "bob": "null", "carol": `"alice"`, "dave": `{"format":"iss_sub","iss":"https://as.example","sub":"bob"}`,
	} {
		f.Add(sub, []byte(id))
	}
	f.Fuzz(func(t *testing.T, sub string, id []byte) {
		c := clients.Claims{Subject: sub}
		if id = bytes.TrimSpace(id); json.Valid(id) {
			c.SubjectID = id
		}
		h, err := subjectOf(&c, ours)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code != InvalidRequest && e.Code != UnknownUserID {
				t.Errorf("subjectOf(%q) = %v", id, err)
			}
			return
		}
		if h.value == "" || len(h.value) > maxID || !printable(h.value) || c.SubjectID == nil && h != (hint{consent.HintID, c.Subject}) {
			t.Errorf("subjectOf(%q) = %v", id, h)
		}
	})
}
