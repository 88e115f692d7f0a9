package clients_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"ringback/clients"
	"ringback/consent"
	"ringback/keys"
	"ringback/outbound"
	"ringback/store/storetest"
)

const (
	issuer = "https://consent.example/op"
	secret = "demo-secret-0000"
)

// holder has a key and what can be made with it.
type holder struct {
	t   *testing.T
	key *ecdsa.PrivateKey
	jwk map[string]string
}

func newHolder(t *testing.T) *holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return &holder{t, key, map[string]string{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}}
}

// sign returns a JWS by ES256.
func (h *holder) sign(header, payload map[string]any) string {
	h.t.Helper()
	header["alg"] = "ES256"
	var parts []string
	for _, v := range []any{header, payload} {
		raw, err := json.Marshal(v)
		if err != nil {
			h.t.Fatal(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(raw))
	}
	text := strings.Join(parts, ".")
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, h.key, sum[:])
	if err != nil {
		h.t.Fatal(err)
	}
	raw := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return text + "." + base64.RawURLEncoding.EncodeToString(raw)
}

func (h *holder) certificate() *x509.Certificate {
	h.t.Helper()
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, t, t, &h.key.PublicKey, h.key)
	if err != nil {
		h.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// jwks is the holder's key set, with its certificates.
func (h *holder) jwks(chain ...*x509.Certificate) json.RawMessage {
	h.t.Helper()
	key := map[string]any{}
	for name, v := range h.jwk {
		key[name] = v
	}
	for _, c := range chain {
		key["x5c"] = []string{base64.StdEncoding.EncodeToString(c.Raw)}
	}
	raw, err := json.Marshal(map[string]any{"keys": []any{key}})
	if err != nil {
		h.t.Fatal(err)
	}
	return raw
}

// open returns a Verifier over a real store, and the policy that it has.
func open(t *testing.T, registered ...consent.Client) (*clients.Verifier, *consent.Policy) {
	t.Helper()
	h := storetest.New(t)
	if err := h.SetFile(registered, nil, nil); err != nil {
		t.Fatal(err)
	}
	out, err := outbound.New(outbound.Config{})
	if err != nil {
		t.Fatal(err)
	}
	policy := new(consent.Policy)
	return clients.New(clients.Config{
		Issuer: issuer, Endpoints: []string{"/token"}, MTLS: &clients.MTLS{URL: "https://mtls.example/"}, Find: h.Store.Client, Once: h.Store.Once,
		Handles: keys.NewHandles(h.Root), Policy: func() *consent.Policy { return policy }, Outbound: out, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}), policy
}

// request is a POST to a path with header fields "name", "value", ….
func request(t *testing.T, path string, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://10.0.0.1"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// TestAuthenticate: every way by which a client proves who it is, at the one
// door, without any other door around it.
func TestAuthenticate(t *testing.T) {
	t.Parallel()
	h := newHolder(t)
	cert := h.certificate()
	digest := consent.Digest(sha256.Sum256([]byte(secret)))
	v, _ := open(t,
		consent.Client{ID: "a:b", SecretHashes: []consent.Digest{digest}},
		consent.Client{ID: "posts", SecretHashes: []consent.Digest{digest}, AuthMethod: consent.MethodPost},
		consent.Client{ID: "signs", AuthMethod: consent.MethodPrivateKeyJWT, JWKS: h.jwks()},
		consent.Client{ID: "older", AuthMethod: consent.MethodPrivateKeyJWT, JWKS: h.jwks(), AssertionAud: consent.AudCIBAFinal},
		consent.Client{ID: "shows", AuthMethod: consent.MethodSelfSignedTLS, JWKS: h.jwks(cert)},
	)
	basic := func(id, secret string) []string {
		return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+secret))}
	}
	signed := func(id, aud, jti string) url.Values {
		a := h.sign(map[string]any{}, map[string]any{"iss": id, "sub": id, "aud": aud, "jti": jti, "exp": time.Now().Unix() + 60})
		return url.Values{"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {a}}
	}
	post := func(id string) url.Values { return url.Values{"client_id": {id}, "client_secret": {secret}} }
	for _, tt := range []struct {
		name   string
		header []string
		form   url.Values
		cert   *x509.Certificate
		id     string
		code   clients.Code
	}{
		{"secret in the header", basic("a:b", secret), nil, nil, "a:b", ""},
		{"secret in the form", nil, post("a:b"), nil, "a:b", ""},
		{"another secret", basic("a:b", "x"), nil, nil, "", clients.InvalidClient},
		{"nobody", basic("nobody", secret), nil, nil, "", clients.InvalidClient},
		{"another method", basic("posts", secret), nil, nil, "", clients.InvalidClient},
		{"the one method", nil, post("posts"), nil, "posts", ""},
		{"two methods", basic("a:b", secret), post("a:b"), nil, "", clients.InvalidRequest},
		{"nothing", nil, nil, nil, "", clients.InvalidClient},
		{"assertion", nil, signed("signs", issuer, "1"), nil, "signs", ""},
		{"assertion used before", nil, signed("signs", issuer, "1"), nil, "", clients.InvalidClient},
		{"the same jti of another client", nil, signed("older", issuer, "1"), nil, "older", ""},
		{"assertion for an endpoint", nil, signed("signs", issuer+"/token", "2"), nil, "", clients.InvalidClient},
		{"by the older rule", nil, signed("older", issuer+"/token", "2"), nil, "older", ""},
		{"by the older rule at the other address", nil, signed("older", "https://mtls.example/token", "3"), nil, "older", ""},
		{"certificate", nil, url.Values{"client_id": {"shows"}}, cert, "shows", ""},
		{"another certificate", nil, url.Values{"client_id": {"shows"}}, newHolder(t).certificate(), "", clients.InvalidClient},
	} {
		r := request(t, "/token", tt.header...)
		if tt.cert != nil {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{tt.cert}}
		}
		who, err := v.Authenticate(r, tt.form)
		var e *clients.Error
		if tt.code != "" {
			if !errors.As(err, &e) || e.Code != tt.code || e.Description == "" {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.code)
			}
			continue
		}
		if err != nil || who.ID != tt.id || strings.HasPrefix(string(who.Key), "x5t#S256:") != (tt.cert != nil) {
			t.Errorf("%s: %v, %v, want %s", tt.name, who, err, tt.id)
		}
	}
}

// TestAuthenticateProof: which key the caller holds; a nonce that is wanted
// comes with the refusal.
func TestAuthenticateProof(t *testing.T) {
	t.Parallel()
	h, digest := newHolder(t), consent.Digest(sha256.Sum256([]byte(secret)))
	v, policy := open(t, consent.Client{ID: "agent", SecretHashes: []consent.Digest{digest}})
	call := func(path, htu, jti, nonce string) (clients.Caller, *clients.Error) {
		proof := h.sign(map[string]any{"typ": "dpop+jwt", "jwk": h.jwk}, map[string]any{"jti": jti, "htm": "POST", "htu": htu, "iat": time.Now().Unix(), "nonce": nonce})
		who, err := v.Authenticate(request(t, path, "DPoP", proof), url.Values{"client_id": {"agent"}, "client_secret": {secret}})
		var e *clients.Error
		if err != nil && !errors.As(err, &e) {
			t.Fatal(err)
		}
		return who, e
	}
	for _, tt := range []struct {
		name, path, htu, jti string
		code                 clients.Code
	}{
		{"here", "/token", issuer + "/token", "1", ""},
		{"again", "/token", issuer + "/token", "1", clients.InvalidDPoPProof},
		{"here, at the other address", "/token", "https://mtls.example/token", "2", ""},
		{"there", "/v1/approvals", issuer + "/token", "3", clients.InvalidDPoPProof},
		{"at another path", "/v1/approvals", issuer + "/v1/approvals", "4", ""},
		{"at the address that the request names", "/token", "http://10.0.0.1/token", "5", clients.InvalidDPoPProof},
	} {
		who, e := call(tt.path, tt.htu, tt.jti, "")
		if tt.code != "" {
			if e == nil || e.Code != tt.code {
				t.Errorf("%s: %v, want %s", tt.name, e, tt.code)
			}
			continue
		}
		if e != nil || !strings.HasPrefix(string(who.Key), "jkt:") || who.MayCollect(who.Key) != nil || who.MayCollect("jkt:x") == nil {
			t.Errorf("%s: %v, %v", tt.name, who.Key, e)
			continue
		}
		if c := clients.Confirm(who.Key); "jkt:"+c.JKT != string(who.Key) || c.TokenType() != "DPoP" {
			t.Errorf("%s: %v is confirmed by %v", tt.name, who.Key, c)
		}
	}
	policy.DPoPNonce = true
	_, e := call("/token", issuer+"/token", "6", "")
	if e == nil || e.Code != clients.UseDPoPNonce || e.Nonce == "" {
		t.Fatalf("without a nonce: %v", e)
	}
	if _, e = call("/token", issuer+"/token", "7", e.Nonce); e != nil {
		t.Errorf("with the nonce: %v", e)
	}
}
