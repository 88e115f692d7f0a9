package demo_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
)

var b64 = base64.RawURLEncoding.EncodeToString

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return b64(sum[:])
}

// holder is a client with a key, and a certificate for it.
type holder struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert tls.Certificate
	jwk  string
}

func newHolder(t *testing.T) *holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return &holder{t: t, key: key, cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		jwk: fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":%q,"y":%q}`, b64(point[1:33]), b64(point[33:]))}
}

// thumbprint is that of the key (RFC 7638).
func (h *holder) thumbprint() string { return hash([]byte(h.jwk)) }

// sign returns a JWS of type dpop+jwt with the claims.
func (h *holder) sign(claims map[string]any) string {
	h.t.Helper()
	body, err := json.Marshal(claims)
	if err != nil {
		h.t.Fatal(err)
	}
	input := b64([]byte(`{"alg":"ES256","typ":"dpop+jwt","jwk":`+h.jwk+`}`)) + "." + b64(body)
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, h.key, sum[:])
	if err != nil {
		h.t.Fatal(err)
	}
	return input + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// proof is a good DPoP proof for the token, with changes.
func (h *holder) proof(method, url, token string, change map[string]any) string {
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": url, "iat": time.Now().Unix(), "ath": hash([]byte(token))}
	maps.Copy(claims, change)
	return h.sign(claims)
}

// changed is a token with another signature.
func changed(token string) string {
	i := strings.LastIndexByte(token, '.') + 1
	if token[i] == 'A' {
		return token[:i] + "B" + token[i+1:]
	}
	return token[:i] + "A" + token[i+1:]
}

// api is the resource over TLS, with a client certificate or none.
type api struct {
	*house
	base string
	tls  *httptest.Server
}

func openAPI(t *testing.T) *api {
	t.Helper()
	h := newHouse(t)
	e := echo.New()
	h.server.RegisterResource(e)
	srv := httptest.NewUnstartedServer(e)
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return &api{house: h, base: srv.URL + "/dev/resource", tls: srv}
}

// get calls the resource with headers, and as whoever has the certificate.
func (a *api) get(by *holder, url string, header map[string]string) (int, http.Header, map[string]any) {
	a.t.Helper()
	return a.do(http.MethodGet, by, url, header)
}

func (a *api) do(method string, by *holder, url string, header map[string]string) (int, http.Header, map[string]any) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, url, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	transport := a.tls.Client().Transport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	if by != nil {
		transport.TLSClientConfig.Certificates = []tls.Certificate{by.cert}
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	var body map[string]any
	if err := json.Unmarshal(data, &body); err != nil {
		a.t.Fatalf("%s %s answered %d %s", method, url, resp.StatusCode, data)
	}
	return resp.StatusCode, resp.Header, body
}

// token is an access token with changes.
func (a *api) token(typ string, change map[string]any) string {
	a.t.Helper()
	claims := map[string]any{
		"iss": issuer, "sub": "alice", "client_id": "agent", "aud": "https://api.example", "scope": "openid pay",
		"exp": time.Now().Add(time.Minute).Unix(), "authorization_details": []any{map[string]any{"type": "tool_call"}},
	}
	maps.Copy(claims, change)
	token, err := a.ring.Sign(typ, claims)
	if err != nil {
		a.t.Fatal(err)
	}
	return token
}

// TestResource opens it with each kind of token, by both methods.
func TestResource(t *testing.T) {
	t.Parallel()
	a, by := openAPI(t), newHolder(t)
	bearer := a.token("at+jwt", nil)
	bound := a.token("at+jwt", map[string]any{"cnf": map[string]string{"jkt": by.thumbprint()}})
	certified := a.token("at+jwt", map[string]any{"cnf": map[string]string{"x5t#S256": hash(by.cert.Certificate[0])}})
	for _, tt := range []struct {
		name  string
		by    *holder
		token string
		dpop  bool
	}{{"bearer", nil, bearer, false}, {"DPoP", nil, bound, true}, {"certificate", by, certified, false}} {
		for _, method := range []string{"GET", "POST"} {
			header := map[string]string{"Authorization": "Bearer " + tt.token, "Accept": "text/html, */*", "X-Fapi-Interaction-Id": "3c2a7a3c-2d3f-4f0a-9f1e-5f8b1c2d3e4f"}
			if tt.dpop {
				header["Authorization"], header["DPoP"] = "DPoP "+tt.token, by.proof(method, a.base, tt.token, nil)
			}
			status, h, body := a.do(method, tt.by, a.base+"?page=2", header)
			if status != 200 || body["sub"] != "alice" || body["client_id"] != "agent" || body["scope"] != "openid pay" || body["authorization_details"] == nil {
				t.Errorf("%s %s = %d %v", tt.name, method, status, body)
			}
			if got := h.Get("X-Fapi-Interaction-Id"); got != header["X-Fapi-Interaction-Id"] {
				t.Errorf("interaction id = %q", got)
			}
			if h.Get("Date") == "" || !strings.HasPrefix(h.Get("Content-Type"), "application/json") || h.Get("Cache-Control") != "no-store" {
				t.Errorf("headers = %v", h)
			}
		}
	}
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for _, sent := range []string{"", "no, such id", strings.Repeat("x", 65)} {
		_, h, _ := a.get(nil, a.base, map[string]string{"X-Fapi-Interaction-Id": sent})
		if got := h.Get("X-Fapi-Interaction-Id"); !uuid.MatchString(got) {
			t.Errorf("interaction id of %q = %q, want a new UUID", sent, got)
		}
	}
}

// TestResourceRefuses has an attacker's try at each rule.
func TestResourceRefuses(t *testing.T) {
	t.Parallel()
	a, by, other := openAPI(t), newHolder(t), newHolder(t)
	jkt := map[string]any{"cnf": map[string]string{"jkt": by.thumbprint()}}
	bearer, bound := a.token("at+jwt", nil), a.token("at+jwt", jkt)
	certified := a.token("at+jwt", map[string]any{"cnf": map[string]string{"x5t#S256": hash(by.cert.Certificate[0])}})
	over := a.token("at+jwt", map[string]any{"exp": time.Now().Add(-time.Second).Unix()})
	foreign := a.token("at+jwt", map[string]any{"iss": "https://evil.example"})
	idToken := a.token("JWT", nil)
	withProof := func(by *holder, change map[string]any) map[string]string {
		return map[string]string{"Authorization": "DPoP " + bound, "DPoP": by.proof("GET", a.base, bound, change)}
	}
	used := withProof(by, nil)
	if status, _, body := a.get(nil, a.base, used); status != 200 {
		t.Fatalf("a good proof = %d %v", status, body)
	}
	for _, tt := range []struct {
		name, query string
		by          *holder
		header      map[string]string
		status      int
		challenge   string // what WWW-Authenticate must contain
	}{
		{"no token", "", nil, nil, 401, `Bearer realm="ringback"`},
		{"another scheme", "", nil, map[string]string{"Authorization": "Basic YTpi"}, 401, "Bearer"},
		{"token in the query", "?access_token=" + bearer, nil, nil, 400, `error="invalid_request"`},
		{"token in both", "?access_token=" + bearer, nil, map[string]string{"Authorization": "Bearer " + bearer}, 400, `error="invalid_request"`},
		{"scheme alone", "", nil, map[string]string{"Authorization": "Bearer"}, 400, `error="invalid_request"`},
		{"no JWT", "", nil, map[string]string{"Authorization": "Bearer abc"}, 401, `error="invalid_token"`},
		{"changed", "", nil, map[string]string{"Authorization": "Bearer " + changed(bearer)}, 401, `error="invalid_token"`},
		{"ID token", "", nil, map[string]string{"Authorization": "Bearer " + idToken}, 401, `error="invalid_token"`},
		{"token of another issuer", "", nil, map[string]string{"Authorization": "Bearer " + foreign}, 401, `error="invalid_token"`},
		{"token that is over", "", nil, map[string]string{"Authorization": "Bearer " + over}, 401, `error="invalid_token"`},

		{"certificate left out", "", nil, map[string]string{"Authorization": "Bearer " + certified}, 401, `error="invalid_token"`},
		{"certificate of another", "", other, map[string]string{"Authorization": "Bearer " + certified}, 401, `error="invalid_token"`},

		{"bound token as Bearer", "", nil, map[string]string{"Authorization": "Bearer " + bound}, 401, `DPoP algs="ES256 PS256 EdDSA", error="invalid_token"`},
		{"bound token as Bearer with a proof", "", nil, map[string]string{"Authorization": "Bearer " + bound, "DPoP": by.proof("GET", a.base, bound, nil)}, 401, `error="invalid_token"`},
		{"Bearer token as DPoP", "", nil, map[string]string{"Authorization": "DPoP " + bearer, "DPoP": by.proof("GET", a.base, bearer, nil)}, 401, `error="invalid_token"`},
		{"no proof", "", nil, map[string]string{"Authorization": "DPoP " + bound}, 401, `error="invalid_dpop_proof"`},
		{"proof that is none", "", nil, map[string]string{"Authorization": "DPoP " + bound, "DPoP": bound}, 401, `error="invalid_dpop_proof"`},
		{"proof by another key", "", nil, withProof(other, nil), 401, "by another key"},
		{"proof used before", "", nil, used, 401, "was used before"},
		{"proof of another method", "", nil, withProof(by, map[string]any{"htm": "POST"}), 401, "htm"},
		{"proof for another path", "", nil, withProof(by, map[string]any{"htu": a.tls.URL + "/dev/resource/"}), 401, "htu"},
		{"proof for another host", "", nil, withProof(by, map[string]any{"htu": "https://evil.example/dev/resource"}), 401, "htu"},
		{"proof for plain http", "", nil, withProof(by, map[string]any{"htu": strings.Replace(a.base, "https:", "http:", 1)}), 401, "htu"},
		{"proof for another token", "", nil, withProof(by, map[string]any{"ath": hash([]byte(bearer))}), 401, "ath"},
		{"proof for no token", "", nil, withProof(by, map[string]any{"ath": ""}), 401, "ath"},
		{"proof of yesterday", "", nil, withProof(by, map[string]any{"iat": time.Now().Add(-24 * time.Hour).Unix()}), 401, "iat"},
		{"proof of tomorrow", "", nil, withProof(by, map[string]any{"iat": time.Now().Add(24 * time.Hour).Unix()}), 401, "iat"},
		{"proof of no time", "", nil, withProof(by, map[string]any{"iat": 1e300}), 401, "iat"},
		{"proof without id", "", nil, withProof(by, map[string]any{"jti": ""}), 401, "jti"},
		{"proof with a long id", "", nil, withProof(by, map[string]any{"jti": strings.Repeat("x", 257)}), 401, "jti"},
		{"proof in another case", "", nil, withProof(by, map[string]any{"htm": nil, "HTM": "GET"}), 401, `error="invalid_dpop_proof"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, h, body := a.get(tt.by, a.base+tt.query, tt.header)
			if got := strings.Join(h.Values("WWW-Authenticate"), "; "); status != tt.status || !strings.Contains(got, tt.challenge) || body["error_description"] == "" {
				t.Errorf("= %d %v, challenge %q, want %d with %q", status, body, got, tt.status, tt.challenge)
			}
			if text := fmt.Sprint(h, body); strings.Contains(text, bound) || strings.Contains(text, bearer) {
				t.Errorf("the answer repeats the token: %s", text)
			}
		})
	}
}
