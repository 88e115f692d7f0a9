package main

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"ringback/config/configtest"
)

// wholeFile configures every listener and everything that adds a route.
const wholeFile = `issuer: https://consent.example.com
listen: 127.0.0.1:0
manage: 127.0.0.1:0
data: DIR/data
root_key: {file: DIR/root.key}
tls: {cert: DIR/tls.crt, key: DIR/tls.key}
mtls: {listen: "127.0.0.1:0", public_url: "https://mtls.example.com", client_ca: DIR/ca.pem}
people_listener: {listen: "127.0.0.1:0", public_url: "https://people.example.com", tls: {cert: DIR/tls.crt, key: DIR/tls.key}}
registration: {tokens: [{name: partner, token: {env: T}}], people: linked, default_resource: "https://api.example"}
channels: {sms: {account_sid: AC00000000000000000000000000000000, auth_token: {env: T}, from: "+12025550199"}}
clients: [{client_id: agent, client_secret: {env: T}, backchannel_token_delivery_mode: poll, people: any, default_resource: "https://api.example"}]
people: [{id: alice, phone: "+12025550101"}]
`

// doors are the routers behind the listeners of a service.
func doors(s *service) map[string]*echo.Echo {
	out := map[string]*echo.Echo{}
	for _, l := range []*listener{s.public, s.mtls, s.people, s.manage} {
		if l != nil {
			out[string(l.name)] = l.answers.next.(*echo.Echo)
		}
	}
	return out
}

// paths are the routes of a router, each once.
func paths(e *echo.Echo) (list []string) {
	for _, r := range e.Routes() {
		if !strings.HasPrefix(r.Path, "/admin/v1/") && r.Method != echo.RouteNotFound {
			list = append(list, r.Path)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// ask sends a request to a router, as over TLS.
func ask(e *echo.Echo, method, target string, form url.Values, header ...string) *httptest.ResponseRecorder {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, "https://consent.example.com/", body)
	path, query, _ := strings.Cut(target, "?")
	r.URL.Path, r.URL.RawQuery, r.RequestURI, r.TLS = path, query, target, &tls.ConnectionState{}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		if r.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

// TestRoutes: this is all that answers, and where. A route that is added is
// added here, by somebody who has thought of who may come to it.
func TestRoutes(t *testing.T) {
	t.Parallel()
	agents := []string{
		"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/authorization-details-types", "/authorize", "/bc-authorize",
		"/introspect", "/jwks", "/oauth/token", "/register", "/register/:client", "/revoke", "/token",
	}
	want := map[string][]string{
		"public": agents, "mtls": agents,
		"people":     {"/a/:ticket", "/assets/mark.svg", "/assets/page.css", "/callbacks/:provider/*", "/u/:ticket"},
		"management": {"/healthz", "/metrics", "/readyz"}, // and /admin/v1/, for whoever has the token
	}
	got := map[string][]string{}
	for name, e := range doors(start(t, wholeFile, false)) {
		got[name] = paths(e)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

// TestNoFrontChannel: there is no grant that takes a person's password, none
// in which a token passes through a browser, and nothing here sends anybody
// anywhere (RFC 9700 §2.1, §2.4 and §4.11).
func TestNoFrontChannel(t *testing.T) {
	t.Parallel()
	all := doors(start(t, wholeFile, false))
	public := all["public"]
	refused := func(name string, w *httptest.ResponseRecorder, status int, code string) {
		t.Helper()
		var body map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != status || body["error"] != code || body["access_token"] != nil || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d %v %s, want %d %s", name, w.Code, w.Header(), w.Body, status, code)
		}
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("agent:"+configtest.Strong))
	for _, grant := range []string{
		"password", "authorization_code", "implicit", "refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange",
		"urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:saml2-bearer", "urn:ietf:params:oauth:grant-type:device_code",
	} {
		form := url.Values{
			"grant_type": {grant}, "username": {"alice"}, "password": {"x"}, "code": {"x"}, "redirect_uri": {"https://attacker.example"}, "refresh_token": {"x"},
			"subject_token": {"x"}, "assertion": {"x"}, "device_code": {"x"}, "code_verifier": {"x"},
		}
		for _, path := range []string{"/token", "/oauth/token"} {
			w := ask(public, "POST", path, form, "Authorization", basic)
			if grant == "refresh_token" && strings.Contains(w.Body.String(), "unauthorized_client") {
				continue // there is that grant, not for this client
			}
			refused(path+" "+grant, w, 400, "unsupported_grant_type")
		}
	}
	for _, response := range []string{"code", "token", "id_token", "code token", "id_token token", "none", ""} {
		q := url.Values{"response_type": {response}, "client_id": {"agent"}, "redirect_uri": {"https://attacker.example"}, "scope": {"openid"}, "state": {"x"}}
		for _, method := range []string{"GET", "POST"} {
			refused("/authorize "+response, ask(public, method, "/authorize?"+q.Encode(), q), 400, "unsupported_response_type")
		}
	}
	var meta map[string]any
	if err := json.Unmarshal(ask(public, "GET", "/.well-known/openid-configuration", nil).Body.Bytes(), &meta); err != nil {
		t.Fatal(err)
	}
	if types, _ := meta["response_types_supported"].([]any); len(types) != 0 || meta["authorization_endpoint"] != nil {
		t.Errorf("the metadata offers %v at %v", types, meta["authorization_endpoint"])
	}
	for _, grant := range meta["grant_types_supported"].([]any) {
		if slices.Contains([]any{"password", "implicit", "authorization_code"}, grant) {
			t.Errorf("the metadata offers the grant %s", grant)
		}
	}

	// Nothing answers with an address to go to, wherever it is asked to.
	const away = "https://attacker.example/"
	to := url.Values{}
	for _, name := range []string{"redirect_uri", "redirect", "redirect_to", "return_to", "return", "next", "url", "continue", "goto", "target_link_uri", "post_logout_redirect_uri", "iss", "RelayState"} {
		to.Set(name, away)
	}
	tries := 0
	for name, e := range all {
		list := append(paths(e), "/", "//attacker.example/", "///attacker.example", "/\\attacker.example", "/%2f%2fattacker.example", "/a/..//attacker.example", "/.", "/jwks/", "/token/", "/me", "/login", "/logout", "/oauth2/auth")
		for _, path := range list {
			path = regexp.MustCompile(`:\w+`).ReplaceAllString(path, "x")
			for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "PUT"} {
				for _, target := range []string{path, path + "?" + to.Encode()} {
					tries++
					w := ask(e, method, target, to)
					if w.Code/100 == 3 || w.Header().Get("Location") != "" || w.Header().Get("Refresh") != "" || strings.Contains(w.Body.String(), away) {
						t.Errorf("%s: %s %s: %d %v", name, method, target, w.Code, w.Header())
					}
				}
			}
		}
	}
	if tries < 500 {
		t.Errorf("%d requests were tried", tries)
	}
}

// spoofedFields are what a proxy would say of a caller.
var spoofedFields = map[string]string{
	"X-Forwarded-For": "127.0.0.1", "X-Real-Ip": "127.0.0.1", "True-Client-Ip": "127.0.0.1", "X-Client-Ip": "127.0.0.1", "Cf-Connecting-Ip": "127.0.0.1",
	"X-Forwarded-Host": "attacker.example", "X-Forwarded-Server": "attacker.example", "X-Host": "attacker.example", "X-Original-Host": "attacker.example",
	"X-Forwarded-Proto": "http", "X-Forwarded-Scheme": "http", "X-Forwarded-Port": "80", "X-Forwarded-Prefix": "/evil", "Forwarded": "for=127.0.0.1;host=attacker.example;proto=http",
	"X-Original-Url": "/admin/v1/clients", "X-Rewrite-Url": "/admin/v1/clients", "X-Forwarded-Uri": "/admin/v1/clients",
	"X-Http-Method-Override": "DELETE", "X-Method-Override": "DELETE", "X-Forwarded-User": "admin", "Remote-User": "admin", "X-Remote-User": "admin",
	"X-Forwarded-Client-Cert": `Subject="CN=agent"`, "Client-Cert": ":MIIB:", "X-Ssl-Client-Verify": "SUCCESS", "X-Ssl-Client-S-Dn": "CN=agent",
	"Host": "attacker.example",
}

// TestSpoofedFields: what a proxy would say changes no answer, whether the
// caller is a configured proxy or anybody: not who is asked for, not an
// address of ours, not what a cookie is for, and not who may manage.
func TestSpoofedFields(t *testing.T) {
	t.Parallel()
	nonce := regexp.MustCompile(`nonce-?=?"?[A-Za-z0-9_+/=-]{20,}"?`)
	for _, proxies := range []string{"", "trusted_proxies: [127.0.0.0/8, 192.0.2.0/24]\n"} { // httptest calls from 192.0.2.1
		all := doors(start(t, wholeFile+proxies, false))
		tries := 0
		for name, e := range all {
			list := append(paths(e), "/admin/v1/clients", "/healthz", "/")
			for _, path := range list {
				path = regexp.MustCompile(`:\w+`).ReplaceAllString(path, "x")
				for _, method := range []string{"GET", "POST"} {
					answer := func(header ...string) string {
						w := ask(e, method, path, url.Values{"client_id": {"agent"}, "login_hint": {"alice"}, "scope": {"openid"}}, header...)
						h := w.Header()
						h.Del("Date")
						raw, _ := json.Marshal(h)
						return http.StatusText(w.Code) + string(raw) + nonce.ReplaceAllString(w.Body.String(), "")
					}
					if path == "/metrics" {
						continue // counts
					}
					want := nonce.ReplaceAllString(answer(), "")
					var every []string
					for field, value := range spoofedFields {
						every = append(every, field, value)
						tries++
						if got := nonce.ReplaceAllString(answer(field, value), ""); got != want {
							t.Errorf("%s: %s %s with %s is answered\n%s\nand without\n%s", name, method, path, field, got, want)
						}
					}
					if got := nonce.ReplaceAllString(answer(every...), ""); got != want {
						t.Errorf("%s: %s %s with all of them is answered\n%s\nand without\n%s", name, method, path, got, want)
					}
				}
			}
		}
		if len(spoofedFields) < 20 || tries < 1000 {
			t.Errorf("%d requests with %d header fields were tried", tries, len(spoofedFields))
		}
	}
}
