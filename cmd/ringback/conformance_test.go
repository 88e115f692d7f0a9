//go:build e2e

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"ringback/ciba"
)

// TestConformance has every row of the FAPI-CIBA conformance plan
// (fapi-ciba-id1-test-plan) in all its variants: poll and ping, by key and by
// certificate, with clients of the configuration and ones that registered
// themselves. Service and clients are made by deploy/conformance, as for the
// suite itself.
func TestConformance(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	t.Run("discovery", h.discovery)
	t.Run("tls", h.tlsVersions)
	t.Run("a clock ahead", h.clockAhead)
	for _, registration := range []string{"static", "dynamic"} {
		for _, mode := range []string{"poll", "ping"} {
			for _, auth := range []string{"private_key_jwt", "mtls"} {
				name := registration + "-" + mode + "-" + auth
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					r := h.variant(t, name)
					if registration == "dynamic" {
						r.register()
						t.Cleanup(r.unregister)
					}
					r.rows()
				})
			}
		}
	}
}

// host is the service under test.
type host struct {
	dir, issuer, mtls string
	roots             *x509.CertPool
	meta              map[string]any
	pings             *pingEndpoint
	program           *process
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{dir: filepath.Join(t.TempDir(), "conformance"), pings: newPingEndpoint(t), roots: x509.NewCertPool()}
	listen, mtls, manage := freeAddress(t), freeAddress(t), freeAddress(t)
	out, err := exec.CommandContext(t.Context(), "go", "run", "../../deploy/conformance", "-dir", h.dir, "-host", "127.0.0.1",
		"-listen", listen, "-mtls-listen", mtls, "-suite", h.pings.url()).CombinedOutput()
	if err != nil {
		t.Fatalf("making keys and configuration: %v\n%s", err, out)
	}
	front := filepath.Join(h.dir, "suite.crt")
	h.pings.start(t, front, filepath.Join(h.dir, "suite.key"))
	p := startProcess(t, []string{"SSL_CERT_FILE=" + front}, "serve", "--dev", "--config", filepath.Join(h.dir, "ringback.yaml"), "--manage", manage)
	p.untilServing(t, listen)
	h.program = p
	h.issuer, h.mtls = "https://"+listen, "https://"+mtls
	cert, err := os.ReadFile(filepath.Join(h.dir, "server.crt"))
	if err != nil || !h.roots.AppendCertsFromPEM(cert) {
		t.Fatalf("the server's certificate: %v", err)
	}
	res, err := h.client(nil).Get(h.issuer + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&h.meta); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("discovery: %d %v", res.StatusCode, err)
	}
	return h
}

// client returns an HTTP client with a certificate, or without one. As the
// suite's it speaks HTTP/1.1.
func (h *host) client(cert *tls.Certificate) *http.Client {
	cfg := &tls.Config{RootCAs: h.roots}
	if cert != nil {
		cfg.Certificates = []tls.Certificate{*cert}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: cfg}, Timeout: time.Minute}
}

// party is one of the suite's two clients.
type party struct {
	ID      string
	signing jose.JSONWebKey
	cert    tls.Certificate
	http    *http.Client // with its certificate
	plan    map[string]any
	manage  string // registration_client_uri
	access  string // registration_access_token
}

// variant reads what deploy/conformance made for the suite.
func (h *host) variant(t *testing.T, name string) *run {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(h.dir, "plan-"+name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var plan map[string]map[string]any
	var flat map[string]any
	if err := json.Unmarshal(raw, &flat); err != nil {
		t.Fatal(err)
	}
	plan = map[string]map[string]any{}
	for member, v := range flat {
		if m, ok := v.(map[string]any); ok {
			plan[member] = m
		}
	}
	parts := strings.Split(name, "-")
	r := &run{host: h, t: t, mode: parts[1], auth: parts[2], resource: plan["resource"]["resourceUrl"].(string), bare: h.client(nil)}
	r.approval, _ = flat["automated_ciba_approval_url"].(string)
	for i, p := range []*party{&r.one, &r.two} {
		suffix := []string{"", "2"}[i]
		p.plan = plan["client"+suffix]
		file := filepath.Join(h.dir, fmt.Sprintf("client%d", i+1))
		if p.cert, err = tls.LoadX509KeyPair(file+".crt", file+".key"); err != nil {
			t.Fatal(err)
		}
		p.http = h.client(&p.cert)
		if p.ID, _ = p.plan["client_id"].(string); p.ID != "" {
			var set jose.JSONWebKeySet
			text, _ := json.Marshal(p.plan["jwks"])
			if err := json.Unmarshal(text, &set); err != nil || len(set.Keys) != 1 || set.Keys[0].IsPublic() {
				t.Fatalf("the plan's keys: %v", err)
			}
			p.signing = set.Keys[0]
		}
	}
	return r
}

// run is one variant of the plan.
type run struct {
	*host
	t          *testing.T
	mode, auth string
	one, two   party
	resource   string
	approval   string       // where a decision is asked for, with placeholders
	bare       *http.Client // without a certificate
}

func (r *run) in(name string, f func(*run)) {
	r.t.Run(name, func(t *testing.T) {
		t.Parallel()
		own := *r
		own.t = t
		f(&own)
	})
}

// response is what the suite sees.
type response struct {
	status int
	header http.Header
	body   map[string]any
	raw    string
}

func (a *response) str(name string) string { s, _ := a.body[name].(string); return s }

func (r *run) send(c *http.Client, method, url string, body io.Reader, header ...string) *response {
	r.t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	a := &response{status: res.StatusCode, header: res.Header, raw: string(raw)}
	if bytes.HasPrefix(raw, []byte("{")) {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			r.t.Errorf("%s: no JSON: %s", url, raw)
		}
	}
	return a
}

// acceptJSON is how the suite asks for JSON.
const acceptJSON = "application/json;charset=UTF-8"

func (r *run) form(c *http.Client, url string, v url.Values) *response {
	r.t.Helper()
	return r.send(c, http.MethodPost, url, strings.NewReader(v.Encode()),
		"Content-Type", "application/x-www-form-urlencoded;charset=UTF-8", "Accept", acceptJSON, "Accept-Charset", "utf-8")
}

// endpoint is a URL of the metadata; with alias that for client certificates.
func (r *run) endpoint(name string, alias bool) string {
	r.t.Helper()
	from := r.meta
	if alias {
		from, _ = r.meta["mtls_endpoint_aliases"].(map[string]any)
	}
	u, _ := from[name].(string)
	if u == "" {
		r.t.Fatalf("the metadata has no %s", name)
	}
	return u
}

// signed makes a JWS by a client's key.
func (r *run) signed(p *party, alg jose.SignatureAlgorithm, typ string, claims map[string]any) string {
	r.t.Helper()
	key := p.signing
	key.Algorithm = string(alg)
	opts := (&jose.SignerOptions{})
	if typ != "" {
		opts = opts.WithType(jose.ContentType(typ))
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key.Key, KeyID: key.KeyID}}, opts)
	if err != nil {
		r.t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		r.t.Fatal(err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		r.t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

func (p *party) alg() jose.SignatureAlgorithm { return jose.SignatureAlgorithm(p.signing.Algorithm) }

// with copies claims and changes some; nil removes.
func with(claims map[string]any, changes ...any) map[string]any {
	out := maps.Clone(claims)
	for i := 0; i < len(changes); i += 2 {
		if out[changes[i].(string)] = changes[i+1]; changes[i+1] == nil {
			delete(out, changes[i].(string))
		}
	}
	return out
}

// identified adds how the client says who it is. aud is that of an assertion.
func (r *run) identified(p *party, v url.Values, aud string) url.Values {
	if r.auth == "mtls" {
		v.Set("client_id", p.ID)
		return v
	}
	now := time.Now()
	v.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	v.Set("client_assertion", r.signed(p, p.alg(), "", map[string]any{
		"iss": p.ID, "sub": p.ID, "aud": aud, "jti": rand.Text()[:20], "nbf": now.Unix(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}))
	return v
}

// asked are the claims of an ordinary request.
func (r *run) asked(p *party, changes ...any) map[string]any {
	now := time.Now()
	c := map[string]any{
		"iss": p.ID, "aud": r.issuer, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "jti": rand.Text(),
		"scope": p.plan["scope"], p.plan["hint_type"].(string): p.plan["hint_value"], "binding_message": "1234",
	}
	if r.mode == "ping" {
		c["client_notification_token"] = notificationToken(28)
	}
	return with(c, changes...)
}

// notificationToken has the length, and everything that may stand in a bearer
// token (RFC 6750 §2.1).
func notificationToken(length int) string {
	const others = "~-._+/aB3"
	text := rand.Text()
	return text + strings.Repeat(others, length)[:length-len(text)-1] + "="
}

// ask sends a signed request. It goes where client certificates are asked for
// if the client is known by its certificate.
func (r *run) ask(p *party, request string, change ...func(url.Values)) *response {
	r.t.Helper()
	v := r.identified(p, url.Values{"request": {request}}, r.endpoint("backchannel_authentication_endpoint", false))
	for _, f := range change {
		f(v)
	}
	return r.form(p.http, r.endpoint("backchannel_authentication_endpoint", r.auth == "mtls"), v)
}

func (r *run) sign(p *party, claims map[string]any) string {
	r.t.Helper()
	return r.signed(p, p.alg(), "", claims)
}

// redeem asks for the token, with the client's certificate as always, at the
// address for which an assertion is then made.
func (r *run) redeem(p *party, id string, change ...func(url.Values)) *response {
	r.t.Helper()
	v := r.identified(p, url.Values{"grant_type": {ciba.GrantCIBA}, "auth_req_id": {id}}, r.endpoint("token_endpoint", true))
	for _, f := range change {
		f(v)
	}
	return r.form(p.http, r.endpoint("token_endpoint", true), v)
}

// decide presses the suite's button.
func (r *run) decide(id, action string) {
	r.t.Helper()
	address := strings.NewReplacer("{auth_req_id}", id, "{action}", action).Replace(r.approval)
	if a := r.send(r.bare, http.MethodPost, address, nil, "Accept", "application/json", "Accept-Charset", "utf-8"); a.status/100 != 2 {
		r.t.Fatalf("deciding: %d %s", a.status, a.raw)
	}
}
