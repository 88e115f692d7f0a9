package ciba_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/ciba"
	"ringback/consent"
	"ringback/details"
)

const payment = `[{"type":"payment_initiation","instructedAmount":{"currency":"EUR","amount":"50.00"},"creditorName":"ACME GmbH","creditorAccount":{"iban":"DE89370400440532013000"}}]`

// TestAcknowledgement: CIBA Core §7.3.
func TestAcknowledgement(t *testing.T) {
	t.Parallel()
	h := open(t)
	res := h.ask("agent", "binding_message", "1234", "requested_expiry", "120", "acr_values", consent.ACRMatch)
	h.sealed("acknowledgement", res)
	if id := res.str("auth_req_id"); !regexp.MustCompile(`^[A-Za-z0-9._-]{43,}$`).MatchString(id) {
		t.Errorf("auth_req_id %q", id)
	}
	if res.body["expires_in"] != 120.0 || res.body["interval"] != 5.0 {
		t.Errorf("acknowledgement %s, want expires_in 120 and interval 5", res.raw)
	}
	if code := res.str("match_code"); !regexp.MustCompile(`^[1-8][0-9]{3}$`).MatchString(code) {
		t.Errorf("match_code %q, want 4 digits, the first 1 to 8", code)
	}
	req := h.pending().Request
	if string(req.Bearers.MatchCode) != res.str("match_code") {
		t.Error("the match_code that was returned is not the one that was stored")
	}
	want := &consent.Request{
		V: consent.Version, ID: req.ID, Issuer: h.url, Door: consent.DoorCIBA, Client: consent.Party{ID: "agent", Name: "Agent agent"},
		Approver: "alice", Pseudonym: h.Pseudonym("alice"), Scope: []string{"openid"}, Resource: resource, BindingMessage: "1234",
		ACR: []string{consent.ACRMatch}, Salt: req.Salt, AskedAt: req.AskedAt, ExpiresAt: req.AskedAt.Add(2 * time.Minute),
		GrantLifetime: 300, Mode: consent.Poll, Interval: 5, Narrowable: true, Bearers: req.Bearers,
	}
	if diff := cmp.Diff(want, req); diff != "" || len(req.Salt) != 16 {
		t.Errorf("stored request: %s", diff)
	}
	if strings.Contains(res.str("auth_req_id"), req.ID.String()) || strings.Contains(h.logged(), res.str("auth_req_id")) || strings.Contains(h.logged(), "1234") {
		t.Error("a handle or a message is where it must not be")
	}
}

// TestMatchCode: a code exists where the person has to key it or policy wants
// one, and only there: agents are not to show numbers that nobody needs.
func TestMatchCode(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, tt := range []struct {
		acr    string
		policy bool
		want   bool
	}{
		{"", false, false}, {consent.ACRTap, false, false}, {consent.ACRMatch, false, true}, {consent.ACRPhr, false, false},
		{consent.ACRTap + " " + consent.ACRMatch, false, false}, {consent.ACRMatch + " " + consent.ACRPhr, false, true}, {consent.ACRTap, true, true},
	} {
		h.change(func(p *consent.Policy) { p.MatchCode = tt.policy })
		if got := h.ask("agent", "acr_values", tt.acr).str("match_code"); (got != "") != tt.want {
			t.Errorf("match_code for acr_values %q (policy %v) = %q, want one: %v", tt.acr, tt.policy, got, tt.want)
		}
	}
	seen := map[string]bool{}
	for range 30 {
		code := h.ask("agent", "acr_values", consent.ACRMatch).str("match_code")
		if seen[code] {
			t.Errorf("match_code %s is that of two open requests of one person", code)
		}
		seen[code] = true
	}
}

// TestRequestParameters: every rule of CIBA Core §7.1 and §7.2, RFC 8707 §2 and
// RFC 9396 §5 that this door knows, one row each. What is refused leaves
// nothing behind.
func TestRequestParameters(t *testing.T) {
	t.Parallel()
	h := open(t,
		client("push", func(c *consent.Client) {
			c.Mode, c.NotificationEndpoint = consent.Push, "https://push.example/cb"
		}),
		client("reader", func(c *consent.Client) { c.GrantTypes = []string{"client_credentials"} }),
		client("linked", func(c *consent.Client) { c.People = "linked" }),
		client("listed", func(c *consent.Client) { c.People, c.PeopleList = "list", []string{"bob"} }),
		client("narrow", func(c *consent.Client) { c.Scope = "openid" }),
		client("homeless", func(c *consent.Client) { c.DefaultResource = "" }),
	)
	const ok = ciba.Code("")
	for _, tt := range []struct {
		name, client string
		pairs        []string
		code         ciba.Code
		says         string
	}{
		{"plain", "agent", nil, ok, ""},
		{"unknown parameters are ignored", "agent", []string{"foo", "bar", "user_code", "1234", "audience", ""}, ok, ""},
		{"empty parameters are absent", "agent", []string{"binding_message", ""}, ok, ""},

		{"not for this grant", "reader", nil, ciba.UnauthorizedClient, "grant"},
		{"push without a token", "push", nil, ciba.InvalidRequest, "client_notification_token: "},
		{"push", "push", []string{"client_notification_token", pingToken}, ok, ""},

		{"scope missing", "agent", []string{"scope", ""}, ciba.InvalidRequest, "scope: "},
		{"scope without openid", "agent", []string{"scope", "calendar"}, ciba.InvalidScope, "scope: "},
		{"scope unknown", "agent", []string{"scope", "openid admin"}, ciba.InvalidScope, "scope: admin"},
		{"scope with quotes and escapes", "agent", []string{"scope", "openid \"\\\r\n"}, ciba.InvalidScope, "scope: "},
		{"scope in any order", "agent", []string{"scope", "calendar openid"}, ok, ""},
		{"scope not registered", "narrow", []string{"scope", "openid calendar"}, ciba.InvalidScope, "scope: calendar"},
		{"scope offline_access", "agent", []string{"scope", "openid offline_access"}, ok, ""},

		{"no hint", "agent", []string{"login_hint", ""}, ciba.InvalidRequest, "login_hint"},
		{"two hints", "agent", []string{"id_token_hint", "x.y.z"}, ciba.InvalidRequest, "exactly one"},
		{"three hints", "agent", []string{"id_token_hint", "x.y.z", "login_hint_token", "x"}, ciba.InvalidRequest, "exactly one"},
		{"login_hint_token", "agent", []string{"login_hint", "", "login_hint_token", "x"}, ciba.InvalidRequest, "login_hint_token: "},
		{"id_token_hint of nobody", "agent", []string{"login_hint", "", "id_token_hint", "x.y.z"}, ciba.InvalidRequest, "id_token_hint: "},
		{"phone", "agent", []string{"login_hint", "+12025550101"}, ok, ""},
		{"email", "agent", []string{"login_hint", "alice@example.com"}, ok, ""},
		{"iss_sub", "agent", []string{"login_hint", `{"format":"iss_sub","iss":"` + h.url + `/","sub":"alice"}`}, ok, ""},
		{"opaque", "agent", []string{"login_hint", `{"format":"opaque","id":"alice"}`}, ok, ""},
		{"another issuer", "agent", []string{"login_hint", `{"format":"iss_sub","iss":"https://x.example","sub":"alice"}`}, ciba.UnknownUserID, "hint"},
		{"repeated member", "agent", []string{"login_hint", `{"format":"opaque","id":"alice","id":"bob"}`}, ciba.InvalidRequest, "login_hint: "},
		{"bidirectional text", "agent", []string{"login_hint", "al\u202eice"}, ciba.InvalidRequest, "login_hint: "},
		{"unknown person", "agent", []string{"login_hint", "carol"}, ciba.UnknownUserID, "hint"},
		{"unknown number", "agent", []string{"login_hint", "+12025550199"}, ciba.UnknownUserID, "hint"},
		{"linked", "linked", nil, ok, ""},
		{"not linked", "linked", []string{"login_hint", "bob"}, ciba.UnknownUserID, "hint"},
		{"listed", "listed", []string{"login_hint", "bob"}, ok, ""},
		{"not listed", "listed", nil, ciba.UnknownUserID, "hint"},

		{"ping", "pinged", []string{"client_notification_token", pingToken}, ok, ""},
		{"ping with the longest token", "pinged", []string{"client_notification_token", strings.Repeat("aA0-._~+/", 114)[:1022] + "=="}, ok, ""},
		{"ping without token", "pinged", nil, ciba.InvalidRequest, "client_notification_token: "},
		{"ping with too long a token", "pinged", []string{"client_notification_token", strings.Repeat("a", 1025)}, ciba.InvalidRequest, "client_notification_token: "},
		{"ping with a guessable token", "pinged", []string{"client_notification_token", "1234"}, ciba.InvalidRequest, "client_notification_token: "},
		{"ping with no b64token", "pinged", []string{"client_notification_token", pingToken + " x"}, ciba.InvalidRequest, "client_notification_token: "},

		{"binding_message", "agent", []string{"binding_message", "Hotel 12. Really?"}, ok, ""},
		{"binding_message too long", "agent", []string{"binding_message", strings.Repeat("x", 65)}, ciba.InvalidBindingMessage, "binding_message: "},
		{"binding_message with a host", "agent", []string{"binding_message", "see evil.example"}, ciba.InvalidBindingMessage, "binding_message: "},
		{"binding_message with pictures", "agent", []string{"binding_message", strings.Repeat("1234 😀 こんにちは lorem ", 19)}, ciba.InvalidBindingMessage, "binding_message: "},
		{"binding_message with a line end", "agent", []string{"binding_message", "a\nb"}, ciba.InvalidBindingMessage, "binding_message: "},

		{"requested_expiry", "agent", []string{"requested_expiry", "10"}, ok, ""},
		{"requested_expiry 0", "agent", []string{"requested_expiry", "0"}, ciba.InvalidRequest, "requested_expiry: "},
		{"requested_expiry negative", "agent", []string{"requested_expiry", "-5"}, ciba.InvalidRequest, "requested_expiry: "},
		{"requested_expiry no number", "agent", []string{"requested_expiry", "soon"}, ciba.InvalidRequest, "requested_expiry: "},

		{"acr_values", "agent", []string{"acr_values", consent.ACRMatch}, ok, ""},
		{"acr_values unknown", "agent", []string{"acr_values", "urn:x"}, ok, ""},
		{"acr_values too weak for the scope", "agent", []string{"acr_values", consent.ACRTap, "scope", "openid payments"}, ciba.AccessDenied, "acr_values: "},

		{"resource", "agent", []string{"resource", "https://other.example"}, ok, ""},
		{"resource unknown", "agent", []string{"resource", "https://evil.example"}, ciba.InvalidTarget, "resource: "},
		{"resource relative", "agent", []string{"resource", "/x"}, ciba.InvalidTarget, "resource: "},
		{"resource missing", "homeless", nil, ciba.InvalidTarget, "resource: "},
		{"resource missing by default", "homeless", []string{"resource", resource}, ok, ""},

		{"authorization_details", "agent", []string{"authorization_details", payment}, ok, ""},
		{"authorization_details no JSON", "agent", []string{"authorization_details", "pay"}, ciba.InvalidDetails, "authorization_details"},
		{"authorization_details no array", "agent", []string{"authorization_details", payment[1 : len(payment)-1]}, ciba.InvalidDetails, "authorization_details"},
		{"authorization_details empty", "agent", []string{"authorization_details", "[]"}, ciba.InvalidDetails, "authorization_details"},
		{"authorization_details of unknown type", "agent", []string{"authorization_details", `[{"type":"x"}]`}, ciba.InvalidDetails, "authorization_details[0]"},
		{"authorization_details without a field", "agent", []string{"authorization_details", strings.Replace(payment, `"creditorName":"ACME GmbH",`, "", 1)}, ciba.InvalidDetails, "creditorName"},
		{"authorization_details with one more field", "agent", []string{"authorization_details", strings.Replace(payment, `"creditorName"`, `"x":1,"creditorName"`, 1)}, ciba.InvalidDetails, "x"},
		{"authorization_details with a number for an amount", "agent", []string{"authorization_details", strings.Replace(payment, `"50.00"`, `50`, 1)}, ciba.InvalidDetails, "amount"},
		{"authorization_details with a member twice", "agent", []string{"authorization_details", strings.Replace(payment, `"creditorName"`, `"creditorName":"Evil","creditorName"`, 1)}, ciba.InvalidDetails, "authorization_details"},
		{"authorization_details with a member in two cases", "agent", []string{"authorization_details", strings.Replace(payment, `"creditorName"`, `"creditorname":"Evil","creditorName"`, 1)}, ciba.InvalidDetails, "authorization_details"},
		{"authorization_details too long for a token", "agent", []string{"authorization_details", `[{"type":"tool_call","server":"https://mcp.example","tool":"t","arguments":{"a":"` + strings.Repeat("<", 4000) + `"}}]`}, ciba.InvalidRequest, "authorization_details"},

		{"signed request", "agent", []string{"request", "x.y.z"}, ciba.InvalidRequest, "inside"},
	} {
		before := h.facts()
		v := params(append([]string{"scope", "openid", "login_hint", "alice"}, tt.pairs...)...)
		res := h.post("/bc-authorize", tt.client, v)
		if tt.code == ok {
			if res.status != http.StatusOK {
				t.Errorf("%s: %d %s", tt.name, res.status, res.raw)
			}
			continue
		}
		status := http.StatusBadRequest
		if tt.code == ciba.AccessDenied {
			status = http.StatusForbidden
		}
		h.refused(tt.name, res, status, tt.code, tt.says)
		if after := h.facts(); after != before {
			t.Errorf("%s: %d facts were stored", tt.name, after-before)
		}
	}
	if strings.Contains(h.logged(), pingToken) || strings.Contains(h.logged(), "5550101") {
		t.Error("the log has a notification token or a phone number")
	}
}

// TestRequestForm: what cannot be read as one form is refused whole, at every
// endpoint, before a client is looked at.
func TestRequestForm(t *testing.T) {
	t.Parallel()
	h := open(t)
	good := params("scope", "openid", "login_hint", "alice").Encode()
	for _, path := range []string{"/bc-authorize", "/token", "/oauth/token", "/introspect", "/revoke"} {
		for _, tt := range []struct {
			name, body, typ, says string
			code                  ciba.Code
		}{
			{"repeated", good + "&scope=openid", "", "scope: ", ciba.InvalidRequest},
			{"repeated and unknown", good + "&x=1&x=1", "", "x: ", ciba.InvalidRequest},
			{"repeated resource", good + "&resource=a&resource=b", "", "resource: ", ciba.InvalidTarget},
			{"invalid UTF-8", good + "&x=%C3%28", "", "x: ", ciba.InvalidRequest},
			{"NUL", good + "&x=%00", "", "x: ", ciba.InvalidRequest},
			{"JSON", `{"scope":"openid"}`, "application/json", "Content-Type", ciba.InvalidRequest},
			{"no type", good, "-", "Content-Type", ciba.InvalidRequest},
			{"1 MiB", good + "&x=" + strings.Repeat("x", 1<<20), "", "65536", ciba.InvalidRequest},
			{"one byte too long", good + "&x=" + strings.Repeat("x", 65537-len(good)-3), "", "65536", ciba.InvalidRequest},
			{"name with quotes", good + `&%22%5C%0A=1&%22%5C%0A=1`, "", "", ciba.InvalidRequest},
		} {
			header := []string{"Authorization", basic("agent", secret)}
			switch tt.typ {
			case "":
			case "-":
				header = append(header, "Content-Type", "")
			default:
				header = append(header, "Content-Type", tt.typ)
			}
			h.refused(path+" "+tt.name, h.send(http.MethodPost, path, tt.body, header...), http.StatusBadRequest, tt.code, tt.says)
		}
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			res := h.send(method, path, "", "Authorization", basic("agent", secret))
			h.refused(path+" "+method, res, http.StatusMethodNotAllowed, ciba.InvalidRequest, "POST")
			if res.header.Get("Allow") != http.MethodPost {
				t.Errorf("%s %s: Allow %q", method, path, res.header.Get("Allow"))
			}
		}
	}
	if n := h.facts(); n != 0 {
		t.Errorf("%d facts were stored", n)
	}
}

// TestNotReady: an agent is told to come back, in OAuth's words.
func TestNotReady(t *testing.T) {
	t.Parallel()
	h := open(t)
	ack := h.ask("agent")
	err := errors.New("the store is catching up")
	h.ready.Store(&err)
	for _, path := range []string{"/bc-authorize", "/token", "/introspect", "/revoke"} {
		res := h.post(path, "agent", params("scope", "openid", "login_hint", "alice", "grant_type", ciba.GrantCIBA, "auth_req_id", ack.str("auth_req_id"), "token", "x"))
		h.refused(path, res, http.StatusServiceUnavailable, ciba.Unavailable, "later")
		if res.header.Get("Retry-After") == "" || strings.Contains(res.raw, "catching") {
			t.Errorf("%s: %v %s", path, res.header, res.raw)
		}
	}
	h.ready.Store(nil)
	h.refused("afterwards", h.poll("agent", ack.str("auth_req_id")), http.StatusBadRequest, ciba.AuthorizationPending, "")
}

// TestStoreGone: an error that is nobody's business reaches the log alone.
func TestStoreGone(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.Close()
	res := h.post("/bc-authorize", "agent", params("scope", "openid", "login_hint", "alice"))
	h.refused("ask", res, http.StatusServiceUnavailable, ciba.Unavailable, "later")
	if res.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// TestBudgets: contract §7.
func TestBudgets(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.change(func(p *consent.Policy) { p.Dedupe, p.Limits = true, consent.DefaultLimits() })
	form := func(message string) url.Values {
		return params("scope", "openid", "login_hint", "alice", "authorization_details", strings.Replace(payment, "50.00", message, 1))
	}

	// Sixteen at a time: one is stored.
	var wg sync.WaitGroup
	stored := make(chan *response, 16)
	for range cap(stored) {
		wg.Go(func() {
			res, err := h.try(t.Context(), http.MethodPost, "/bc-authorize", form("1.00").Encode(), "Authorization", basic("agent", secret))
			if err != nil {
				t.Error(err)
			} else if res.status == http.StatusOK {
				stored <- res
			} else {
				h.refused("duplicate", res, http.StatusBadRequest, ciba.InvalidRequest, "identical")
			}
		})
	}
	wg.Wait()
	if len(stored) != 1 {
		t.Fatalf("%d of %d identical requests were stored, want 1", len(stored), cap(stored))
	}
	for i := 1; i < consent.DefaultLimits().PairPrompts; i++ {
		if res := h.post("/bc-authorize", "agent", form(string(rune('1'+i))+".00")); res.status != http.StatusOK {
			t.Fatalf("request %d: %d %s", i, res.status, res.raw)
		}
	}
	before := h.facts()
	res := h.post("/bc-authorize", "agent", form("9.00"))
	h.refused("over budget", res, http.StatusForbidden, ciba.AccessDenied, "too many")
	if res.header.Get("Retry-After") == "" {
		t.Error("over budget: no Retry-After")
	}
	if res := h.post("/bc-authorize", "other", form("9.00")); res.status != http.StatusOK {
		t.Errorf("another client pays for the first: %d %s", res.status, res.raw)
	}
	if err := h.Freeze(t.Context(), h.Pseudonym("bob"), "agent", h.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	v := form("1.00")
	v.Set("login_hint", "bob")
	h.refused("frozen", h.post("/bc-authorize", "agent", v), http.StatusForbidden, ciba.AccessDenied, "does not take")
	if after := h.facts(); after != before+1 {
		t.Errorf("%d facts were stored, want 1", after-before)
	}
}

// TestStoredDetails: what is stored is canonical, whatever was sent.
func TestStoredDetails(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.ask("agent", "authorization_details", " "+strings.ReplaceAll(payment, ",", " , "))
	want, err := details.Canonical(json.RawMessage(payment))
	if err != nil {
		t.Fatal(err)
	}
	if got := h.pending().Request.Details; string(got) != string(want) {
		t.Errorf("stored details %s, want %s", got, want)
	}
}
