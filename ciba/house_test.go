package ciba_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/ciba"
	"ringback/clients"
	"ringback/consent"
	"ringback/details"
	"ringback/keys"
	"ringback/outbound"
	"ringback/store"
	"ringback/store/storetest"
)

const (
	secret    = "demo-secret-0000"
	resource  = "https://api.example"
	pingToken = "8d67dc78-7faa-4d41-aabd-67707b374255"
)

// house is the agents' door over a real store, with a clock that can be put
// forward.
type house struct {
	*storetest.House
	t      testing.TB
	ring   *keys.Ring
	config ciba.Config
	door   *ciba.Server
	echo   *echo.Echo
	reg    *details.Registry
	url    string
	agent  *http.Client
	mtls   *httptest.Server // asks for client certificates
	ca     tls.Certificate  // issues those of tls_client_auth
	ahead  atomic.Int64
	policy atomic.Pointer[consent.Policy]
	ready  atomic.Pointer[error]
	log    *strings.Builder
	logMu  sync.Mutex
}

func (h *house) now() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }

// forward puts the clock forward.
func (h *house) forward(d time.Duration) { h.ahead.Add(int64(d)) }

// change replaces the policy by one that differs.
func (h *house) change(f func(*consent.Policy)) {
	p := *h.policy.Load()
	p.Scopes, p.HintIssuers = maps.Clone(p.Scopes), maps.Clone(p.HintIssuers)
	f(&p)
	h.policy.Store(&p)
}

// Write takes the log, so that tests can look for what must not be in it.
func (h *house) Write(b []byte) (int, error) {
	h.logMu.Lock()
	defer h.logMu.Unlock()
	return h.log.Write(b)
}

func (h *house) logged() string {
	h.logMu.Lock()
	defer h.logMu.Unlock()
	return h.log.String()
}

func sha(s string) consent.Digest { return sha256.Sum256([]byte(s)) }

// client is a registered agent that may ask everybody.
func client(id string, change ...func(*consent.Client)) consent.Client {
	c := consent.Client{
		ID: id, Name: "Agent " + id, SecretHashes: []consent.Digest{sha(secret)}, Mode: consent.Poll,
		GrantTypes: []string{ciba.GrantCIBA}, People: "any", DefaultResource: resource,
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

var people = []consent.Person{
	{ID: "alice", Name: "Alice", Phone: "+12025550101", Email: "alice@example.com", Clients: []string{"linked"}},
	{ID: "bob", Name: "Bob", Phone: "+12025550102", Email: "bob@example.com"},
}

// open opens a house whose clients are "agent" and "other" (poll), "pinged"
// (ping) and extra ones.
func open(t testing.TB, extra ...consent.Client) *house {
	t.Helper()
	return reaching(t, outbound.Config{Allow: []string{"127.0.0.0/8"}, AllowHTTP: true}, extra...)
}

// reaching is open with a choice of what may be called.
func reaching(t testing.TB, cfg outbound.Config, extra ...consent.Client) *house {
	t.Helper()
	return keeping(t, func(*store.Config) {}, cfg, extra...)
}

// keeping is reaching with a choice of the store.
func keeping(t testing.TB, in func(*store.Config), cfg outbound.Config, extra ...consent.Client) *house {
	t.Helper()
	h := &house{t: t, log: new(strings.Builder)}
	h.policy.Store(&consent.Policy{
		Scopes:    map[string]consent.Scope{"calendar": {}, "payments": {MinACR: consent.ACRMatch}},
		Resources: map[string]consent.Resource{resource: {}, "https://other.example": {IntrospectBy: []string{"other"}}},

		HintIssuers: map[string]consent.HintIssuer{},
	})
	log := slog.New(slog.NewJSONHandler(h, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h.House = storetest.New(t, func(c *store.Config) { c.Dev, c.Now, c.Log = true, h.now, log }, in)
	registered := append([]consent.Client{
		client("agent"), client("other"),
		client("pinged", func(c *consent.Client) {
			c.Mode, c.NotificationEndpoint = consent.Ping, "https://pinged.example/cb"
		}),
	}, extra...)
	if err := h.SetFile(registered, people, nil); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.ring, err = keys.OpenRing(t.Context(), keys.RingConfig{Root: h.Root, Store: h.Store, Now: h.now, Log: log}); err != nil {
		t.Fatal(err)
	}
	types, err := details.WithMinACR(nil, consent.ACRTap)
	if err == nil {
		h.reg, err = details.New(types)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := outbound.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	h.echo, h.url, h.agent = e, srv.URL, srv.Client()
	h.mtls = httptest.NewUnstartedServer(e)
	h.mtls.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	h.mtls.StartTLS()
	t.Cleanup(h.mtls.Close)
	h.ca = newSigner(t, "ES256", "Example CA").certificate(nil, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
	})
	cas := x509.NewCertPool()
	cas.AddCert(h.ca.Leaf)
	handles := keys.NewHandles(h.Root)
	who := clients.New(clients.Config{
		Issuer: h.url, Endpoints: ciba.Audiences, MTLS: &clients.MTLS{URL: h.mtls.URL, ClientCAs: cas}, Find: h.Store.Client, Once: h.Store.Once,
		Handles: handles, Policy: h.policy.Load, Outbound: out, Dev: true, Now: h.now, Log: log,
	})
	h.config = ciba.Config{
		Issuer: h.url, Store: h.Store, Directory: h.Store, Handles: handles, Ring: h.ring, Details: h.reg,
		Clients: who, Outbound: out, Policy: h.policy.Load, Ready: h.isReady, Dev: true, Now: h.now, Log: log,
	}
	if h.door, err = ciba.NewServer(h.config); err != nil {
		t.Fatal(err)
	}
	h.door.Register(e)
	return h
}

func (h *house) isReady() error {
	if err := h.ready.Load(); err != nil {
		return *err
	}
	return nil
}

// response is what an agent sees.
type response struct {
	status int
	header http.Header
	body   map[string]any
	raw    string
}

func (r *response) str(name string) string { s, _ := r.body[name].(string); return s }

// params are "name", "value", …; a later value replaces an earlier one, and
// an empty value removes the parameter.
func params(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if v.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			v.Del(pairs[i])
		}
	}
	return v
}

// post sends a form as the client, by client_secret_basic.
func (h *house) post(path, client string, v url.Values, header ...string) *response {
	h.t.Helper()
	return h.send(http.MethodPost, path, v.Encode(), append([]string{"Authorization", basic(client, secret)}, header...)...)
}

// send sends a body with header fields "name", "value", …. Its Content-Type is
// that of a form unless they say otherwise.
func (h *house) send(method, path, body string, header ...string) *response {
	h.t.Helper()
	res, err := h.try(h.t.Context(), method, path, body, header...)
	if err != nil {
		h.t.Fatal(err)
	}
	return res
}

// over sends a form to the address of client certificates.
func (h *house) over(cert *tls.Certificate, path string, v url.Values, header ...string) *response {
	h.t.Helper()
	client := h.mtls.Client()
	transport := client.Transport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	if cert != nil {
		transport.TLSClientConfig.Certificates = []tls.Certificate{*cert}
	}
	res, err := h.exchange(h.t.Context(), &http.Client{Transport: transport}, http.MethodPost, h.mtls.URL+path, v.Encode(), header...)
	if err != nil {
		h.t.Fatal(err)
	}
	return res
}

func (h *house) try(ctx context.Context, method, path, body string, header ...string) (*response, error) {
	return h.exchange(ctx, h.agent, method, h.url+path, body, header...)
}

func (h *house) exchange(ctx context.Context, client *http.Client, method, url, body string, header ...string) (*response, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		if r.Header.Set(header[i], header[i+1]); header[i+1] == "" {
			r.Header.Del(header[i])
		}
	}
	res, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	out := &response{status: res.StatusCode, header: res.Header, raw: string(raw)}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &out.body); err != nil {
			h.t.Errorf("%s answered no JSON object: %q", url, raw)
		}
	}
	return out, nil
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// ask asks alice as the client and returns the acknowledgement.
func (h *house) ask(client string, pairs ...string) *response {
	h.t.Helper()
	res := h.post("/bc-authorize", client, params(append([]string{"scope", "openid", "login_hint", "alice"}, pairs...)...))
	if res.status != http.StatusOK {
		h.t.Fatalf("asking: %d %s", res.status, res.raw)
	}
	return res
}

// poll polls once.
func (h *house) poll(client, authReqID string, header ...string) *response {
	h.t.Helper()
	return h.post("/token", client, params("grant_type", ciba.GrantCIBA, "auth_req_id", authReqID), header...)
}

// open returns the only open request of alice.
func (h *house) pending() *consent.State {
	h.t.Helper()
	open := h.History(h.Pseudonym("alice")).Open
	if len(open) != 1 {
		h.t.Fatalf("alice has %d open requests, want 1", len(open))
	}
	return h.state(open[0].ID)
}

func (h *house) state(id consent.ID) *consent.State {
	h.t.Helper()
	st, err := h.Get(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return st
}

// decide answers a request as its approver would, at the least assurance that
// it asks for.
func (h *house) decide(id consent.ID, verb consent.Verb, change ...func(*consent.Evidence)) {
	h.t.Helper()
	st := h.state(id)
	ev := consent.Evidence{
		Verb: verb, By: st.Request.Approver, Means: consent.ByDev, ACR: st.Request.Weakest(), AMR: []string{"dev"}, Nonce: consent.NewID().String(),
	}
	for _, f := range change {
		f(&ev)
	}
	d, err := consent.Decide(st, ev, h.reg, h.now())
	if err == nil {
		_, err = h.Decide(h.t.Context(), id, d)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// facts counts everything that is stored.
func (h *house) facts() int {
	h.t.Helper()
	n, after := 0, uint64(0)
	for {
		list, err := h.Facts(h.t.Context(), after, 256)
		if err != nil {
			h.t.Fatal(err)
		}
		if len(list) == 0 {
			return n
		}
		n, after = n+len(list), list[len(list)-1].Seq
	}
}

// refused checks an OAuth error response: RFC 6749 §5.2, CIBA Core §13.
func (h *house) refused(name string, res *response, status int, code ciba.Code, says string) {
	h.t.Helper()
	if res.status != status || res.str("error") != string(code) {
		h.t.Errorf("%s: %d %s, want %d %s", name, res.status, res.raw, status, code)
		return
	}
	for member := range res.body {
		if member != "error" && member != "error_description" && member != "error_uri" {
			h.t.Errorf("%s: the error has a member %s", name, member)
		}
	}
	text := res.str("error_description")
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' || r == '\\' }) {
		h.t.Errorf("%s: error_description %q has characters that RFC 6749 §5.2 excludes", name, text)
	}
	if !strings.Contains(text, says) {
		h.t.Errorf("%s: error_description %q does not say %q", name, text, says)
	}
	h.sealed(name, res)
}

// sealed checks what every response of this door has in common.
func (h *house) sealed(name string, res *response) {
	h.t.Helper()
	if got := res.header.Get("Content-Type"); got != "application/json" {
		h.t.Errorf("%s: Content-Type %q", name, got)
	}
	if got := res.header.Get("Cache-Control"); got != "no-store" {
		h.t.Errorf("%s: Cache-Control %q", name, got)
	}
}
