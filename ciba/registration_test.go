package ciba_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/admin"
	"ringback/audit"
	"ringback/ciba"
	"ringback/consent"
	"ringback/keys"
)

const (
	initial  = "partner-initial-access-token-0001"
	initial2 = "another-initial-access-token-0002"
)

// registering is open with two holders of initial access tokens: "partner",
// whose clients are at partner.example and on loopback, and "another", whose
// clients are nowhere.
func registering(t testing.TB, change ...func(*house)) *house {
	t.Helper()
	h := open(t)
	operators, err := admin.New(admin.Config{
		Token: keys.TokenDigest("unused"), Directory: h.Store, Store: h.Store, Ring: h.ring, Details: h.reg, Policy: h.policy.Load,
		Auditor:       audit.New(audit.Config{Source: h.Store, Ring: h.ring, Now: h.now, Log: h.config.Log}),
		OfferUserCode: func(context.Context, *consent.Person) (time.Time, error) { return time.Time{}, errors.ErrUnsupported },
		MTLS:          true, ClientCA: true, Dev: true, Now: h.now, Log: h.config.Log,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.config.Registrar = operators.Registrar()
	h.config.Registration = &ciba.Registration{
		Tokens: []ciba.InitialToken{
			{Name: "partner", Digest: keys.TokenDigest(initial), Hosts: []string{"*.partner.example", "127.0.0.1"}},
			{Name: "another", Digest: keys.TokenDigest(initial2)},
		},
		People: "any", Scope: "openid calendar", DefaultResource: resource,
	}
	for _, f := range change {
		f(h)
	}
	if h.door, err = ciba.NewServer(h.config); err != nil {
		t.Fatal(err)
	}
	h.door.Register(h.echo) // over the routes of the first
	return h
}

// json sends a JSON body with a bearer token.
func (h *house) json(method, path, token string, body any, header ...string) *response {
	h.t.Helper()
	text, ok := body.(string)
	if !ok {
		raw, err := json.Marshal(body)
		if err != nil {
			h.t.Fatal(err)
		}
		text = string(raw)
	}
	return h.send(method, path, text, append([]string{"Content-Type", "application/json", "Authorization", "Bearer " + token}, header...)...)
}

// register registers a client and insists that it works.
func (h *house) register(token string, metadata map[string]any) *registered {
	h.t.Helper()
	res := h.json(http.MethodPost, "/register", token, metadata)
	if res.status != http.StatusCreated {
		h.t.Fatalf("registering: %d %s", res.status, res.raw)
	}
	h.sealed("registration", res)
	path, ok := strings.CutPrefix(res.str("registration_client_uri"), h.url)
	if !ok {
		h.t.Fatalf("registration_client_uri: %s", res.raw)
	}
	return &registered{response: res, id: res.str("client_id"), token: res.str("registration_access_token"), path: path}
}

// registered is an answer to a registration.
type registered struct {
	*response
	id, token, path string
}

// count returns how many clients there are.
func (h *house) count() int {
	h.t.Helper()
	list, _, err := h.Clients(h.t.Context(), "", 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	return len(list)
}

// certified is a key set with the key's certificate.
func certified(s *signer, cert tls.Certificate) map[string]any {
	return map[string]any{"keys": []any{s.jwk(map[string]any{
		"kid": s.kid, "alg": s.alg, "use": "sig", "x5c": []string{base64.StdEncoding.EncodeToString(cert.Certificate[0])},
	})}}
}

// TestRegisteredFlow: two clients of the same name register as strict test
// suites do, for each way to authenticate and each mode; they ask, get a bound
// token, and go (RFC 7591 §3, RFC 7592 §2.3).
func TestRegisteredFlow(t *testing.T) {
	t.Parallel()
	h := registering(t, func(h *house) {
		h.config.Registration.Profile = consent.ProfileFAPI
		var err error
		if h.config.Ring, err = keys.OpenRing(t.Context(), keys.RingConfig{Root: h.Root, Store: h.Store, RSA: true, Now: h.now, Log: h.config.Log}); err != nil {
			t.Fatal(err)
		}
	})
	for _, mode := range []string{"poll", "ping"} {
		for _, method := range []string{"private_key_jwt", "self_signed_tls_client_auth"} {
			s := newSigner(t, "PS256", "registered")
			cert := s.certificate(nil)
			metadata := map[string]any{
				"client_name": "Conformance Test Wl6fBcmNGVzCgR0", "grant_types": []string{ciba.GrantCIBA}, "jwks": certified(s, cert),
				"backchannel_user_code_parameter": false, "backchannel_token_delivery_mode": mode, "response_types": []string{},
				"backchannel_authentication_request_signing_alg": "PS256", "id_token_signed_response_alg": "PS256",
				"token_endpoint_auth_method": method, "tls_client_certificate_bound_access_tokens": true,
			}
			if method == "private_key_jwt" {
				metadata["token_endpoint_auth_signing_alg"] = "PS256"
			}
			if mode == "ping" {
				metadata["backchannel_client_notification_endpoint"] = "https://127.0.0.1:1/test/a/alias/ciba-notification-endpoint"
			}
			r := h.register(initial, metadata)
			name := mode + " " + method
			if r.body["client_secret"] != nil || r.body["client_secret_expires_at"] != nil || r.body["client_id_issued_at"] == nil {
				t.Errorf("%s: %s", name, r.raw)
			}
			want := maps.Clone(metadata)
			delete(want, "backchannel_user_code_parameter") // false is not kept
			want["scope"] = "openid calendar"
			raw, _ := json.Marshal(want)
			var shown map[string]any
			if err := json.Unmarshal(raw, &shown); err != nil {
				t.Fatal(err)
			}
			got := maps.Clone(r.body)
			for _, ours := range []string{"client_id", "client_id_issued_at", "registration_access_token", "registration_client_uri"} {
				delete(got, ours)
			}
			if diff := cmp.Diff(shown, got); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}

			authenticated := func(pairs ...string) []string {
				if method == "private_key_jwt" {
					return append(s.assertion(h, r.id), pairs...)
				}
				return append([]string{"client_id", r.id}, pairs...)
			}
			now := h.now()
			request := s.sign(nil, claims{
				"iss": r.id, "aud": h.url, "jti": consent.NewID().String(), "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
				"scope": "openid", "login_hint": "alice", "client_notification_token": strings.Repeat("n", 1024),
			})
			asked := h.over(&cert, "/bc-authorize", params(authenticated("request", request)...))
			if asked.status != http.StatusOK {
				t.Fatalf("%s: asking: %d %s", name, asked.status, asked.raw)
			}
			h.decide(h.pending().Request.ID, consent.Approved)
			res := h.over(&cert, "/token", params(authenticated("grant_type", ciba.GrantCIBA, "auth_req_id", asked.str("auth_req_id"))...))
			if res.status != http.StatusOK || res.str("access_token") == "" || res.str("id_token") == "" {
				t.Errorf("%s: redeeming: %d %s", name, res.status, res.raw)
			}
			if r.id == "" || h.register(initial, metadata).id == r.id {
				t.Errorf("%s: two registrations have one client_id", name)
			}
			if res := h.json(http.MethodDelete, r.path, r.token, ""); res.status != http.StatusNoContent || res.raw != "" || res.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: removing: %d %s", name, res.status, res.raw)
			}
			again := h.over(&cert, "/bc-authorize", params(authenticated("request", request)...))
			h.refused(name+": asking after that", again, http.StatusUnauthorized, ciba.InvalidClient, "")
		}
	}
}

// TestRegister: what is left out gets its default, what is unknown is ignored,
// and what only the operator may say is not taken (RFC 7591 §2 and §3.2.1).
func TestRegister(t *testing.T) {
	t.Parallel()
	h := registering(t)
	r := h.register(initial, map[string]any{})
	if r.str("client_name") != r.id || r.str("token_endpoint_auth_method") != "client_secret_basic" || r.str("scope") != "openid calendar" ||
		r.str("id_token_signed_response_alg") != "ES256" || len(r.str("client_secret")) != 43 || r.body["client_secret_expires_at"] != 0.0 ||
		r.str("backchannel_token_delivery_mode") != "poll" || fmt.Sprint(r.body["grant_types"]) != fmt.Sprint([]string{ciba.GrantCIBA}) || fmt.Sprint(r.body["response_types"]) != "[]" {
		t.Errorf("of nothing: %s", r.raw)
	}
	asks := h.send(http.MethodPost, "/bc-authorize", params("scope", "openid", "login_hint", "alice").Encode(), "Authorization", basic(r.id, r.str("client_secret")))
	if asks.status != http.StatusOK {
		t.Errorf("asking: %d %s", asks.status, asks.raw)
	}
	if st := h.pending(); st.Request.Client.Group != "registrant partner" || st.Request.Client.Name != r.id {
		t.Errorf("asked as %+v", st.Request.Client)
	}

	r = h.register(initial, map[string]any{
		"client_name": "Travel Agent", "client_name#de": "Reise", "client_uri": "https://evil.example", "software_statement": "x.y.z", "x": map[string]any{"y": 1},
		"subject_type": "public", "redirect_uris": []string{"https://agent.example/cb"}, "scope": "openid offline_access", "jwks_uri": nil,
		"client_id": "agent", "client_secret": "mine", "registration_access_token": "mine", "client_id_issued_at": 1,
		"people": "list", "people_list": []string{"bob"}, "verified_host": "bank.example", "profile": "none", "approver": "bob", "may_enumerate": true,
		"assertion_aud": "ciba-final", "default_resource": "https://other.example", "resources": []string{"https://other.example"},
		"secret_sha256": []string{sha("mine").String()}, "registrant": "another", "registration_sha256": sha("mine").String(),
		"from_file": true, "from_document": true, "created_at": "2020-01-01T00:00:00Z",
	})
	stored, err := h.Client(t.Context(), r.id)
	if err != nil {
		t.Fatal(err)
	}
	want := &consent.Client{
		ID: r.id, Name: "Travel Agent", AuthMethod: "client_secret_basic", SecretHashes: []consent.Digest{sha(r.str("client_secret"))},
		Mode: consent.Poll, IDTokenAlg: "ES256", GrantTypes: []string{ciba.GrantCIBA}, Scope: "openid offline_access", People: "any",
		DefaultResource: resource, Registrant: "partner", RegistrationToken: sha(r.token), CreatedAt: stored.CreatedAt,
	}
	if diff := cmp.Diff(want, stored); diff != "" || !strings.HasPrefix(r.id, "travel-agent-") {
		t.Errorf("%s is stored as %s", r.id, diff)
	}
	got := slices.Sorted(maps.Keys(r.body))
	if diff := cmp.Diff([]string{
		"backchannel_token_delivery_mode", "client_id", "client_id_issued_at", "client_name", "client_secret", "client_secret_expires_at", "grant_types",
		"id_token_signed_response_alg", "registration_access_token", "registration_client_uri", "response_types", "scope", "token_endpoint_auth_method",
	}, got); diff != "" {
		t.Error(diff)
	}
	for _, bearer := range []string{r.token, r.str("client_secret"), initial} {
		if strings.Contains(h.logged(), bearer) {
			t.Error("the log has a token or secret")
		}
	}
	if !strings.Contains(h.logged(), r.id) {
		t.Error("the log does not tell of the registration")
	}
}

// TestRegisterRefused: RFC 7591 §3.2.2. Nothing is stored.
func TestRegisterRefused(t *testing.T) {
	t.Parallel()
	h := registering(t)
	ec := newSigner(t, "ES256", "ec")
	private := `{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}]}`
	before := h.count()
	for _, tt := range []struct {
		name string
		body any
		code ciba.Code
		says string
	}{
		{"no JSON", "client_name=A", ciba.InvalidClientMetadata, "not JSON"},
		{"nothing", "", ciba.InvalidClientMetadata, "not JSON"},
		{"null", "null", ciba.InvalidClientMetadata, "must be a JSON object"},
		{"list", "[]", ciba.InvalidClientMetadata, "must be a JSON object"},
		{"two values", "{} {}", ciba.InvalidClientMetadata, "after the JSON value"},
		{"member twice", `{"client_name":"A","client_name":"B"}`, ciba.InvalidClientMetadata, "appears twice"},
		{"member twice in a key", `{"jwks":{"keys":[{"kty":"EC","kty":"RSA"}]}}`, ciba.InvalidClientMetadata, "appears twice"},
		{"member in two cases", `{"scope":"openid","SCOPE":"payments"}`, ciba.InvalidClientMetadata, "differ only in case"},
		{"deep", `{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, ciba.InvalidClientMetadata, "deep"},
		{"huge", `{"x":"` + strings.Repeat("x", 65536) + `"}`, ciba.InvalidRequest, "65536"},
		{"invalid UTF-8", "{\"client_name\":\"\xff\"}", ciba.InvalidClientMetadata, "UTF-8"},
		{"grant types as text", `{"grant_types":"client_credentials"}`, ciba.InvalidClientMetadata, "grant_types: must not be a JSON string"},
		{"name as number", `{"client_name":5}`, ciba.InvalidClientMetadata, "client_name: must not be a JSON number"},
		{"truth as text", `{"dpop_bound_access_tokens":"true"}`, ciba.InvalidClientMetadata, "dpop_bound_access_tokens: "},
		{"response types as text", `{"response_types":"code"}`, ciba.InvalidClientMetadata, "response_types: "},

		{"code flow", map[string]any{"response_types": []string{"code"}}, ciba.InvalidClientMetadata, "send []"},
		{"grant of a browser", map[string]any{"grant_types": []string{"authorization_code"}}, ciba.InvalidClientMetadata, "grant_types: "},
		{"pairwise", map[string]any{"subject_type": "pairwise"}, ciba.InvalidClientMetadata, "subject_type: "},
		{"relative redirect", map[string]any{"redirect_uris": []string{"/cb"}}, ciba.InvalidRedirectURI, "absolute"},
		{"redirect with fragment", map[string]any{"redirect_uris": []string{"https://a.example/", "https://a.example/#x"}}, ciba.InvalidRedirectURI, "fragment"},
		{"no method", map[string]any{"token_endpoint_auth_method": "none"}, ciba.InvalidClientMetadata, "token_endpoint_auth_method: "},
		{"weak algorithm", map[string]any{"id_token_signed_response_alg": "none"}, ciba.InvalidClientMetadata, "id_token_signed_response_alg: "},
		{"no keys", map[string]any{"token_endpoint_auth_method": "private_key_jwt"}, ciba.InvalidClientMetadata, "jwks: "},
		{"private key", `{"token_endpoint_auth_method":"private_key_jwt","jwks":` + private + `}`, ciba.InvalidClientMetadata, "jwks: "},
		{"keys twice", map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks(ec), "jwks_uri": "https://127.0.0.1/jwks"}, ciba.InvalidClientMetadata, "jwks_uri: "},
		{"push to nowhere", map[string]any{"backchannel_token_delivery_mode": "push"}, ciba.InvalidClientMetadata, "backchannel_client_notification_endpoint: "},
		{"scope beyond what clients get", map[string]any{"scope": "openid payments"}, ciba.InvalidClientMetadata, "payments"},
		{"unknown scope", map[string]any{"scope": "openid ghosts"}, ciba.InvalidClientMetadata, "ghosts"},
		{"unknown type", map[string]any{"authorization_details_types": []string{"ghost"}}, ciba.InvalidClientMetadata, "ghost"},
		{"name of an approval sign", map[string]any{"client_name": "Bank ✔"}, ciba.InvalidClientMetadata, "client_name: "},
		{"name of another client", map[string]any{"client_name": "Agent agent"}, ciba.InvalidClientMetadata, "client_name: "},
		{"name like another client's", map[string]any{"client_name": "AGENT аgеnt"}, ciba.InvalidClientMetadata, "client_name: "},

		{"endpoint in the open", map[string]any{"backchannel_token_delivery_mode": "ping", "backchannel_client_notification_endpoint": "http://a.partner.example/"}, ciba.InvalidClientMetadata, ""},
		{"endpoint of somebody else", map[string]any{"backchannel_token_delivery_mode": "ping", "backchannel_client_notification_endpoint": "https://victim.example/"}, ciba.InvalidClientMetadata, "has not named its host"},
		{"endpoint above the host", map[string]any{"backchannel_token_delivery_mode": "ping", "backchannel_client_notification_endpoint": "https://partner.example/"}, ciba.InvalidClientMetadata, "has not named its host"},
		{"endpoint of a similar host", map[string]any{"backchannel_token_delivery_mode": "ping", "backchannel_client_notification_endpoint": "https://a.partner.example.evil.example/"}, ciba.InvalidClientMetadata, "has not named its host"},
		{"endpoint with a user", map[string]any{"backchannel_token_delivery_mode": "push", "backchannel_client_notification_endpoint": "https://a.partner.example@victim.example/"}, ciba.InvalidClientMetadata, "userinfo"},
		{"endpoint on a private address", map[string]any{"backchannel_token_delivery_mode": "ping", "backchannel_client_notification_endpoint": "https://169.254.169.254/"}, ciba.InvalidClientMetadata, "literal"},
		{"keys of a private address", map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://10.0.0.1/"}, ciba.InvalidClientMetadata, "jwks_uri: "},
		{"keys of somebody else", map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://victim.example/"}, ciba.InvalidClientMetadata, "jwks_uri: "},
		{"deferred to somebody else", map[string]any{"grant_types": []string{"client_credentials"}, "deferred_client_notification_endpoint": "https://victim.example/"}, ciba.InvalidClientMetadata, "deferred_client_notification_endpoint: "},
		{"no URL", map[string]any{"backchannel_token_delivery_mode": "ping", "backchannel_client_notification_endpoint": "https://%zz/"}, ciba.InvalidClientMetadata, "must be an https URL"},
	} {
		h.refused(tt.name, h.json(http.MethodPost, "/register", initial, tt.body), http.StatusBadRequest, tt.code, tt.says)
	}
	ping := map[string]any{"backchannel_token_delivery_mode": "ping", "backchannel_client_notification_endpoint": "https://a.partner.example/"}
	h.refused("a registrant without hosts", h.json(http.MethodPost, "/register", initial2, ping), http.StatusBadRequest, ciba.InvalidClientMetadata, "has not named its host")
	h.refused("a form", h.json(http.MethodPost, "/register", initial, "{}", "Content-Type", "application/x-www-form-urlencoded"), http.StatusBadRequest, ciba.InvalidRequest, "application/json")
	h.refused("another charset", h.json(http.MethodPost, "/register", initial, "{}", "Content-Type", "application/json; charset=utf-16"), http.StatusBadRequest, ciba.InvalidRequest, "UTF-8")
	if got := h.count(); got != before {
		t.Errorf("refused registrations left %d clients", got-before)
	}
	h.register(initial, ping)
	h.register(initial, map[string]any{"jwks": json.RawMessage(`{"keys":[` + strings.Repeat(string(must(json.Marshal(ec.jwk(nil))))+",", 31) + string(must(json.Marshal(ec.jwk(map[string]any{"x": ec.jwk(nil)["x"]})))) + `]}`)})

	failed := errors.New("starting")
	h.ready.Store(&failed)
	for _, r := range [][2]string{{http.MethodPost, "/register"}, {http.MethodGet, "/register/agent"}} {
		if res := h.json(r[0], r[1], initial, "{}"); res.status != http.StatusServiceUnavailable {
			t.Errorf("%s %s while not ready: %d", r[0], r[1], res.status)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestRegistrationStrangers: no token opens what another is for (RFC 7591 §3,
// RFC 7592 §2, RFC 6750 §3).
func TestRegistrationStrangers(t *testing.T) {
	t.Parallel()
	h := registering(t)
	mine, other := h.register(initial, map[string]any{"client_name": "Mine"}), h.register(initial2, map[string]any{"client_name": "Other One"})
	if other.token == mine.token || other.str("client_secret") == mine.str("client_secret") {
		t.Error("two clients share a token or secret")
	}
	before, _ := h.Client(t.Context(), mine.id)
	for name, header := range map[string]string{
		"none": "", "wrong": "Bearer " + keys.NewToken(), "prefix": "Bearer " + mine.token[:42], "longer": "Bearer " + mine.token + "x",
		"no scheme": mine.token, "empty": "Bearer ", "two spaces": "Bearer  " + mine.token, "basic": basic(mine.id, mine.str("client_secret")),
		"secret": "Bearer " + mine.str("client_secret"), "another client's": "Bearer " + other.token, "hash": "Bearer " + sha(mine.token).String(),
		"initial": "Bearer " + initial, "another initial": "Bearer " + initial2,
	} {
		for _, r := range [][2]string{
			{http.MethodGet, mine.path}, {http.MethodPut, mine.path}, {http.MethodDelete, mine.path},
			{http.MethodGet, "/register/agent"}, {http.MethodDelete, "/register/agent"}, {http.MethodGet, "/register/ghost"},
		} {
			res := h.send(r[0], r[1], `{"client_id":"`+mine.id+`","client_name":"Mine"}`, "Content-Type", "application/json", "Authorization", header)
			h.unauthorized(name+" "+r[0]+" "+r[1], res)
		}
		if strings.Contains(name, "initial") {
			continue
		}
		h.unauthorized(name, h.send(http.MethodPost, "/register", "{}", "Content-Type", "application/json", "Authorization", header))
	}
	h.unauthorized("own token for another registration", h.json(http.MethodPost, "/register", mine.token, "{}"))
	h.unauthorized("token in the query", h.send(http.MethodPost, "/register?access_token="+initial, "{}", "Content-Type", "application/json"))
	h.unauthorized("two tokens", h.twice(http.MethodPost, "/register", "Bearer "+initial, "Bearer "+initial2))
	if after, err := h.Client(t.Context(), mine.id); err != nil || cmp.Diff(before, after) != "" {
		t.Errorf("strangers changed the client: %v", err)
	}
	for _, r := range [][3]string{
		{http.MethodGet, "/register", "POST"}, {http.MethodPut, "/register", "POST"}, {http.MethodPost, mine.path, "GET, PUT, DELETE"}, {http.MethodPatch, mine.path, "GET, PUT, DELETE"},
	} {
		res := h.json(r[0], r[1], mine.token, "{}")
		if res.status != http.StatusMethodNotAllowed || res.header.Get("Allow") != r[2] {
			t.Errorf("%s %s: %d %s", r[0], r[1], res.status, res.raw)
		}
	}
	if res := h.json(http.MethodGet, mine.path, mine.token, "", "Authorization", "bEARER "+mine.token); res.status != http.StatusOK {
		t.Errorf("scheme in odd case: %d %s", res.status, res.raw)
	}
}

// unauthorized checks a refusal of RFC 6750 §3.
func (h *house) unauthorized(name string, res *response) {
	h.t.Helper()
	h.refused(name, res, http.StatusUnauthorized, ciba.InvalidToken, "")
	if !strings.HasPrefix(res.header.Get("WWW-Authenticate"), "Bearer ") {
		h.t.Errorf("%s: WWW-Authenticate %q", name, res.header.Get("WWW-Authenticate"))
	}
}

// twice sends two Authorization fields.
func (h *house) twice(method, path string, values ...string) *response {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, strings.NewReader("{}"))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header["Authorization"], r.Header["Content-Type"] = values, []string{"application/json"}
	res, err := h.agent.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	out := &response{status: res.StatusCode, header: res.Header}
	if err := json.NewDecoder(res.Body).Decode(&out.body); err != nil {
		h.t.Fatal(err)
	}
	return out
}

// TestRegistrationOff: without initial access tokens nobody registers.
func TestRegistrationOff(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, path := range []string{"/register", "/register/agent"} {
		if res := h.json(http.MethodPost, path, initial, "{}"); res.status != http.StatusNotFound {
			t.Errorf("POST %s: %d %s", path, res.status, res.raw)
		}
	}
	if got := h.send(http.MethodGet, "/.well-known/openid-configuration", "").body["registration_endpoint"]; got != nil {
		t.Errorf("registration_endpoint = %v", got)
	}
	on := registering(t)
	if got := on.send(http.MethodGet, "/.well-known/openid-configuration", "").body["registration_endpoint"]; got != on.url+"/register" {
		t.Errorf("registration_endpoint = %v", got)
	}
	none := registering(t, func(h *house) { h.config.Registration.Tokens = nil })
	none.unauthorized("no tokens", none.json(http.MethodPost, "/register", initial, "{}"))
}

// TestRegistrants: what clients of one registrant do is counted together, so a
// new client_id does not end a freeze.
func TestRegistrants(t *testing.T) {
	t.Parallel()
	h := registering(t)
	p := *h.policy.Load()
	p.Limits = consent.DefaultLimits()
	h.policy.Store(&p)
	ask := func(r *registered) *response {
		return h.send(http.MethodPost, "/bc-authorize", params("scope", "openid", "login_hint", "alice").Encode(), "Authorization", basic(r.id, r.str("client_secret")))
	}
	first := h.register(initial, map[string]any{})
	if res := ask(first); res.status != http.StatusOK {
		t.Fatalf("%d %s", res.status, res.raw)
	}
	st := h.pending()
	if err := h.Freeze(t.Context(), st.Request.Pseudonym, st.Request.Client.Counted(), h.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*registered{first, h.register(initial, map[string]any{})} {
		h.refused("frozen", ask(r), http.StatusForbidden, ciba.AccessDenied, "")
	}
	if res := ask(h.register(initial2, map[string]any{})); res.status != http.StatusOK {
		t.Errorf("another registrant: %d %s", res.status, res.raw)
	}
}

// TestRegisterAtOnce: of registrants who want the same name at the same moment
// at most one gets it.
func TestRegisterAtOnce(t *testing.T) {
	t.Parallel()
	const rivals = 16
	h := registering(t, func(h *house) {
		r := h.config.Registration
		for i := range rivals {
			r.Tokens = append(r.Tokens, ciba.InitialToken{Name: fmt.Sprint("rival", i), Digest: keys.TokenDigest(fmt.Sprint(initial, i))})
		}
	})
	before := h.count()
	var wg sync.WaitGroup
	var got [rivals]*response
	for i := range rivals {
		name := []string{"Travel Agent", "TraveI Agent", "travel-agent"}[i%3]
		wg.Go(func() {
			got[i] = h.json(http.MethodPost, "/register", fmt.Sprint(initial, i), map[string]any{"client_name": name})
		})
	}
	wg.Wait()
	won := 0
	for _, res := range got {
		if res.status == http.StatusCreated {
			won++
			continue
		}
		h.refused("late", res, http.StatusBadRequest, ciba.InvalidClientMetadata, "client_name: ")
	}
	if after := h.count() - before; won > 1 || after != won {
		t.Errorf("%d clients have the name and %d were told so, want at most one", after, won)
	}
}
