package ciba

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
	"ringback/details"
)

func testPolicy() *consent.Policy {
	return &consent.Policy{
		Scopes: map[string]consent.Scope{
			"payments": {MinACR: consent.ACRMatch}, "calendar": {}, "vault": {MinACR: consent.ACRPhr},
		},
		Resources: map[string]consent.Resource{"https://api.example": {}, "https://other.example": {}},
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text, registered string
		want                   []string
		code                   Code
	}{
		{"openid", "openid", "", []string{"openid"}, ""},
		{"any order", "calendar openid", "", []string{"calendar", "openid"}, ""},
		{"twice", "openid calendar calendar", "", []string{"openid", "calendar"}, ""},
		{"registered", "openid calendar", "openid calendar", []string{"openid", "calendar"}, ""},
		{"openid needs no registration", "openid calendar", "calendar", []string{"openid", "calendar"}, ""},
		{"offline_access is dropped", "openid offline_access", "", []string{"openid"}, ""},
		{"missing", "", "", nil, InvalidRequest},
		{"no openid", "calendar", "", nil, InvalidScope},
		{"unknown", "openid admin", "", nil, InvalidScope},
		{"case matters", "openid Calendar", "", nil, InvalidScope},
		{"not registered", "openid payments", "openid calendar", nil, InvalidScope},
		{"two spaces", "openid  calendar", "", nil, InvalidScope},
		{"tab", "openid\tcalendar", "", nil, InvalidScope},
		{"trailing space", "openid ", "", nil, InvalidScope},
	} {
		got, err := scopes(tt.text, &consent.Client{Scope: tt.registered}, testPolicy())
		if tt.code != "" {
			wantRefusal(t, tt.name, err, tt.code, "scope: ")
		} else if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: scopes(%q) = %v, %v, want %v", tt.name, tt.text, got, err, tt.want)
		}
	}
}

func TestResource(t *testing.T) {
	t.Parallel()
	api := consent.Client{DefaultResource: "https://api.example"}
	two := consent.Client{DefaultResource: "https://api.example", Resources: []string{"urn:example:two"}}
	for _, tt := range []struct {
		name, text string
		client     consent.Client
		want       string
	}{
		{"default", "", api, "https://api.example"},
		{"default by name", "https://api.example", api, "https://api.example"},
		{"default that policy does not know", "https://own.example", consent.Client{DefaultResource: "https://own.example"}, "https://own.example"},
		{"configured", "https://other.example", api, "https://other.example"},
		{"registered", "urn:example:two", two, "urn:example:two"},
		{"configured but not registered", "https://other.example", two, ""},
		{"no default", "", consent.Client{}, ""},
		{"unknown", "https://unknown.example", api, ""},
		{"one slash more", "https://api.example/", api, ""},
		{"relative", "/api", api, ""},
		{"fragment", "https://api.example#x", api, ""},
		{"empty fragment", "https://api.example#", api, ""},
		{"broken", "https://[::1", api, ""},
		{"long", "https://api.example/" + strings.Repeat("x", maxResource), api, ""},
	} {
		got, err := resource(form{{"resource", tt.text}}, &tt.client, testPolicy())
		if tt.want == "" {
			wantRefusal(t, tt.name, err, InvalidTarget, "resource: ")
		} else if err != nil || got != tt.want {
			t.Errorf("%s: resource(%q) = %q, %v, want %q", tt.name, tt.text, got, err, tt.want)
		}
	}
}

func TestAssurance(t *testing.T) {
	t.Parallel()
	const tap, match, phr = consent.ACRTap, consent.ACRMatch, consent.ACRPhr
	list := func(v ...string) []string { return v }
	for _, tt := range []struct {
		name, text, reach string
		scope             []string
		want              []string
		says              string
	}{
		{"nothing asked", "", "", nil, list(tap, match, phr), ""},
		{"one asked", tap, "", nil, list(tap), ""},
		{"preference kept", phr + " " + tap, "", nil, list(phr, tap), ""},
		{"unknown ignored", "urn:x " + match, "", nil, list(match), ""},
		{"only unknown", "urn:x urn:y", "", nil, list(tap, match, phr), ""},
		{"scope raises", "", "", list("openid", "payments"), list(match, phr), ""},
		{"scope excludes one", tap + " " + phr, "", list("payments"), list(phr), ""},
		{"scope excludes all", tap, "", list("payments"), nil, match},
		{"strongest scope counts", match, "", list("payments", "vault"), nil, phr},
		{"reach", "", match, nil, list(tap, match), ""},
		{"reach excludes one", tap + " " + phr, match, nil, list(tap), ""},
		{"reach excludes what is asked", phr, match, nil, nil, match},
		{"reach excludes what is needed", "", match, list("vault"), nil, match},
	} {
		p := testPolicy()
		p.Reach = tt.reach
		got, err := assurance(tt.text, tt.scope, nil, p)
		if tt.want == nil {
			wantRefusal(t, tt.name, err, AccessDenied, tt.says)
		} else if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: assurance(%q) = %v, %v, want %v", tt.name, tt.text, got, err, tt.want)
		}
	}
	if _, err := assurance(strings.Repeat("x ", maxACRs+1), nil, nil, testPolicy()); err == nil {
		t.Error("assurance takes any number of values")
	}
}

func TestCheckBindingMessage(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"": true, "1234": true, "Hotel 12. Really?": true, "A-Z_a+z#1!": true, "1.5": true, strings.Repeat("x", maxMessage): true,
		strings.Repeat("x", maxMessage+1): false, "evil.example": false, "a.b": false, ".b": false, "a. b": true,
		"50,00 EUR": false, "50 €": false, "<b>": false, `"x"`: false, "x\\y": false, "a/b": false, "a:b": false, "a@b": false,
		"a\nb": false, "a\tb": false, "a\u202eb": false, "a\u00a0b": false, "[x]": false, "{x}": false, "`x`": false, "@": false,
	} {
		if err := checkBindingMessage(text); ok != (err == nil) {
			t.Errorf("checkBindingMessage(%q) = %v, want ok %v", text, err, ok)
		} else if !ok {
			wantRefusal(t, text, err, InvalidBindingMessage, "binding_message: ")
		}
	}
}

func TestRequestLifetime(t *testing.T) {
	t.Parallel()
	own := consent.Lifetime{Default: 2 * time.Hour, Min: time.Minute, Max: 24 * time.Hour}
	for _, tt := range []struct {
		text   string
		policy consent.Lifetime
		want   int // 0: refused
	}{
		{"", consent.Lifetime{}, 300}, {"10", consent.Lifetime{}, 10}, {"3600", consent.Lifetime{}, 3600}, {"030", consent.Lifetime{}, 30},
		{"1", consent.Lifetime{}, 10}, {"3601", consent.Lifetime{}, 3600}, {"99999999999999999999", consent.Lifetime{}, 3600},
		{"", own, 7200}, {"10", own, 60}, {"86400", own, 86400}, {"86401", own, 86400},
		{"", consent.Lifetime{Default: time.Second}, 10}, {"", consent.Lifetime{Max: time.Minute}, 60},
		{"0", consent.Lifetime{}, 0}, {"-1", consent.Lifetime{}, 0}, {"+1", consent.Lifetime{}, 0}, {"1.5", consent.Lifetime{}, 0},
		{"1e3", consent.Lifetime{}, 0}, {"60s", consent.Lifetime{}, 0}, {" 60", consent.Lifetime{}, 0}, {"0x10", consent.Lifetime{}, 0},
		{"١٠", consent.Lifetime{}, 0}, {strings.Repeat("9", maxRequestedDigit+1), consent.Lifetime{}, 0},
	} {
		got, err := requestLifetime(tt.text, tt.policy)
		if tt.want == 0 {
			wantRefusal(t, tt.text, err, InvalidRequest, "requested_expiry: ")
		} else if err != nil || got != time.Duration(tt.want)*time.Second {
			t.Errorf("requestLifetime(%q, %v) = %v, %v, want %d s", tt.text, tt.policy, got, err, tt.want)
		}
	}
}

func TestNotificationToken(t *testing.T) {
	t.Parallel()
	const all = "ABCXYZabcxyz0189-._~+/"
	for _, tt := range []struct {
		name, text string
		mode       consent.DeliveryMode
		want       string
		ok         bool
	}{
		{"poll needs none", "", consent.Poll, "", true},
		{"poll ignores one", "x y", consent.Poll, "", true},
		{"every character", all + "==", consent.Ping, all + "==", true},
		{"longest", strings.Repeat("a", maxNotifyToken), consent.Ping, strings.Repeat("a", maxNotifyToken), true},
		{"missing", "", consent.Ping, "", false},
		{"too long", strings.Repeat("a", maxNotifyToken+1), consent.Ping, "", false},
		{"fewer than 128 bits", strings.Repeat("a", minNotifyToken-1), consent.Ping, "", false},
		{"equals inside", all + "=a", consent.Ping, "", false},
		{"only equals", strings.Repeat("=", 30), consent.Ping, "", false},
		{"space", all + " a", consent.Ping, "", false},
		{"line end", all + "\r\nX-Header: a", consent.Ping, "", false},
		{"comma", all + ",a", consent.Ping, "", false},
		{"another script", all + "ä", consent.Ping, "", false},
	} {
		got, err := notificationToken(tt.text, tt.mode)
		if !tt.ok {
			wantRefusal(t, tt.name, err, InvalidRequest, "client_notification_token: ")
		} else if err != nil || string(got) != tt.want {
			t.Errorf("%s: notificationToken(%q) = %v, want ok", tt.name, tt.text, err)
		}
	}
}

func TestRefusedBy(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for _, tt := range []struct {
		reason consent.Reason
		code   Code
		status int
		retry  time.Duration
	}{
		{consent.ReasonDuplicate, InvalidRequest, 0, time.Minute},
		{consent.ReasonBudget, AccessDenied, 403, time.Minute},
		{consent.ReasonFrozen, AccessDenied, 403, 0}, // not told until when
	} {
		got := refusedBy(&consent.Refusal{Reason: tt.reason, Until: now.Add(time.Minute)}, now)
		if got.Code != tt.code || got.Status != tt.status || got.RetryAfter != tt.retry {
			t.Errorf("refusedBy(%s) = %+v, want %s %d %v", tt.reason, got, tt.code, tt.status, tt.retry)
		}
	}
}

// FuzzParameters: whatever the values are, parsing them ends in a value within
// its bounds or in an error that an agent can read.
func FuzzParameters(f *testing.F) {
	f.Add("openid", "https://api.example", "1234", "30", "ABCXYZabcxyz0189-._~+/")
	reg, err := details.New(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, scope, res, message, expiry, token string) {
		p, c := testPolicy(), &consent.Client{DefaultResource: "https://api.example"}
		check := func(err error) {
			if _, ok := err.(*Error); err != nil && !ok {
				t.Errorf("an error that no agent can read: %v", err)
			}
		}
		_, err := scopes(scope, c, p)
		check(err)
		_, err = resource(form{{"resource", res}}, c, p)
		check(err)
		check(checkBindingMessage(message))
		d, err := requestLifetime(expiry, p.Lifetime)
		if check(err); err == nil && (d < minLifetime || d > maxLifetime) {
			t.Errorf("requestLifetime(%q) = %v", expiry, d)
		}
		_, err = notificationToken(token, consent.Ping)
		check(err)
		_, err = authorizationDetails(res, &consent.Client{}, reg)
		check(err)
		_, err = assurance(scope, nil, nil, p)
		check(err)
	})
}
