package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"ringback/keys"
)

// routes are all routes, with something to put in for ids.
var routes = [][2]string{
	{"GET", "/clients"}, {"POST", "/clients"}, {"GET", "/clients/file-agent"}, {"DELETE", "/clients/file-agent"},
	{"POST", "/clients/file-agent/secret"}, {"GET", "/people"}, {"POST", "/people"}, {"GET", "/people/alice"},
	{"DELETE", "/people/alice"}, {"PUT", "/people/alice/clients/file-agent"}, {"DELETE", "/people/alice/clients/file-agent"},
	{"GET", "/requests"}, {"GET", "/requests/x"}, {"POST", "/requests/x/withdraw"},
	{"GET", "/keys"}, {"POST", "/keys/rotate"}, {"GET", "/keys/evidence"}, {"GET", "/export"}, {"GET", "/nothing"},
}

// TestStrangers knocks on every door without the token.
func TestStrangers(t *testing.T) {
	t.Parallel()
	h := open(t)
	before := h.call("GET", "/clients", "").text + h.call("GET", "/people", "").text + h.call("GET", "/keys", "").text
	for name, header := range map[string]string{
		"none": "", "wrong": "Bearer " + keys.NewToken(), "prefix": "Bearer " + token[:len(token)-1], "longer": "Bearer " + token + "x",
		"no scheme": token, "basic": "Basic " + token, "case": "bearer " + token, "empty": "Bearer ", "space": "Bearer  " + token,
	} {
		for _, r := range routes {
			a := h.call(r[0], r[1], "", func(req *http.Request) {
				req.Header.Del("Authorization")
				if header != "" {
					req.Header.Set("Authorization", header)
				}
			})
			if a.status != http.StatusUnauthorized || a.body["error"] != "invalid_token" || a.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: %s %s = %d %s, want 401", name, r[0], r[1], a.status, a.text)
			}
		}
	}
	if after := h.call("GET", "/clients", "").text + h.call("GET", "/people", "").text + h.call("GET", "/keys", "").text; after != before {
		t.Error("strangers changed something")
	}
	if strings.Contains(h.logged(), token) {
		t.Error("the log holds the management token")
	}
}

func TestUnknownRoute(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, r := range [][2]string{{"GET", "/nothing"}, {"PATCH", "/clients"}, {"GET", "/clients/a/b/c"}} {
		if a := h.call(r[0], r[1], ""); a.status != 404 && a.status != 405 || a.body["error"] == nil {
			t.Errorf("%s %s = %d %s, want 404 with an error", r[0], r[1], a.status, a.text)
		}
	}
}

// TestBodies sends bodies that are not what they should be; nothing is stored.
func TestBodies(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, tt := range []struct {
		name, path, kind, body, want string
	}{
		{"form", "/people", "application/x-www-form-urlencoded", "id=carol", "The body is not JSON"},
		{"no type", "/people", "", `{"id":"carol"}`, "The body is not JSON"},
		{"text", "/people", "application/json", "carol", "The body is not acceptable"},
		{"list", "/people", "application/json", "[]", "The body is not acceptable"},
		{"unknown member", "/people", "application/json", `{"id":"carol","phonenumber":"+12025550103"}`, `unknown field "phonenumber"`},
		{"member twice", "/people", "application/json", `{"id":"carol","id":"dave"}`, "The body is not acceptable"},
		{"member in another case", "/people", "application/json", `{"ID":"carol"}`, "The body is not acceptable"},
		{"two values", "/people", "application/json", `{"id":"carol"} {}`, "The body is not acceptable"},
		{"invalid UTF-8", "/people", "application/json", "{\"id\":\"carol\",\"name\":\"\xff\"}", "The body is not acceptable"},
		{"deep", "/clients", "application/json", `{"people":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "The body is not acceptable"},
		{"long", "/people", "application/json", `{"id":"carol","name":"` + strings.Repeat("x", 1<<20) + `"}`, "The body is longer than 16 KiB"},
		{"ours", "/people", "application/json", `{"id":"carol","read_only_in":"x"}`, "read_only_in is ours to give"},
		{"our secret", "/clients", "application/json", `{"client_name":"Carol","client_secret":"x"}`, "client_secret, created_at and read_only_in are ours to give"},
		{"no id", "/people", "application/json", `{}`, "id: "},
		{"bad phone", "/people", "application/json", `{"id":"carol","phone":"12345"}`, "phone: this is not a telephone number"},
		{"bad both", "/people", "application/json", `{"id":"carol","phone":"1","email":"x"}`, "email: this is not an address"},
		{"bad name", "/people", "application/json", `{"id":"carol","name":"a\u202eb"}`, "name: "},
		{"bad zone", "/people", "application/json", `{"id":"carol","zoneinfo":"../../etc/passwd"}`, "zoneinfo: "},
		{"push", "/clients", "application/json", `{"client_name":"Carol","backchannel_token_delivery_mode":"pull"}`, "use poll, ping or push"},
		{"ping without endpoint", "/clients", "application/json", `{"client_name":"Carol","backchannel_token_delivery_mode":"ping"}`, "missing: a client of delivery mode ping"},
		{"http endpoint", "/clients", "application/json", `{"client_name":"Carol","backchannel_token_delivery_mode":"ping","backchannel_client_notification_endpoint":"http://127.0.0.1/x"}`, "must begin with https://"},
		{"auth method", "/clients", "application/json", `{"client_name":"Carol","token_endpoint_auth_method":"none"}`, "is not supported"},
		{"people", "/clients", "application/json", `{"client_name":"Carol","people":"everybody"}`, "neither linked nor any"},
		{"people list", "/clients", "application/json", `{"client_name":"Carol","people":"list"}`, "The body is not acceptable"},
		{"client id", "/clients", "application/json", `{"client_id":"a b"}`, "client_id: "},
		{"resource", "/clients", "application/json", `{"client_name":"Carol","default_resource":"api"}`, "default_resource: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := h.call("POST", tt.path, tt.body, func(r *http.Request) { r.Header.Set("Content-Type", tt.kind) })
			text, _ := a.body["error_description"].(string)
			if a.status != http.StatusBadRequest || !strings.Contains(text, tt.want) {
				t.Errorf("POST %s = %d %s, want 400 with %q", tt.path, a.status, a.text, tt.want)
			}
		})
	}
	if got := h.call("GET", "/people", "").items("id"); len(got) != 1 {
		t.Errorf("people = %v, want alice only", got)
	}
	if got := h.call("GET", "/clients", "").items("client_id"); len(got) != 1 {
		t.Errorf("clients = %v, want file-agent only", got)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	h := open(t)
	list := h.want(200, "GET", "/keys", "")
	if got := strings.Join(list.items("purpose"), " "); got != "token token evidence evidence" {
		t.Errorf("purposes = %q", got)
	}
	if strings.Contains(list.text, `"d"`) || strings.Contains(h.want(200, "GET", "/keys/evidence", "").text, `"d"`) {
		t.Error("a private part is shown")
	}
	a := h.call("POST", "/keys/rotate", "")
	if a.status != 200 && a.body["error"] != "too_soon" {
		t.Errorf("rotate = %d %s", a.status, a.text)
	}
	if a := h.call("POST", "/keys/rotate?purpose=root", ""); a.status != 400 {
		t.Errorf("rotate root = %d %s, want 400", a.status, a.text)
	}
}

// FuzzEntries posts anything as a client and as a person: it is refused as the
// caller's mistake, or taken.
func FuzzEntries(f *testing.F) {
	for _, s := range []string{`{"id":"carol"}`, `{"client_name":"A","people":["a"]}`, `{"people":{}}`, `{"id":"\u0000"}`, "null", "[", `{"client_name":"","client_id":""}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		checkBody(t, body)
	})
}
