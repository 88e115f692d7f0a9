package ciba_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"sync"
	"testing"
	"time"

	"ringback/consent"
)

var b64, unb64 = base64.RawURLEncoding.EncodeToString, base64.RawURLEncoding.DecodeString

// signer is a client's key.
type signer struct {
	t   testing.TB
	kid string
	alg string
	key crypto.Signer
}

func newSigner(t testing.TB, alg, kid string) *signer {
	t.Helper()
	s := &signer{t: t, kid: kid, alg: alg}
	var err error
	switch alg {
	case "ES256":
		s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "PS256", "RS256":
		s.key, err = rsaKey(kid)
	case "EdDSA":
		_, s.key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rsaKeys are made once: it takes long.
var rsaKeys sync.Map

func rsaKey(name string) (*rsa.PrivateKey, error) {
	once, _ := rsaKeys.LoadOrStore(name, sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) }))
	return once.(func() (*rsa.PrivateKey, error))()
}

// jwk returns the public key with more members.
func (s *signer) jwk(more map[string]any) map[string]any {
	out := map[string]any{}
	switch k := s.key.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			s.t.Fatal(err)
		}
		out["kty"], out["crv"], out["x"], out["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case *rsa.PublicKey:
		out["kty"], out["n"], out["e"] = "RSA", b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes())
	case ed25519.PublicKey:
		out["kty"], out["crv"], out["x"] = "OKP", "Ed25519", b64(k)
	}
	for name, v := range more {
		out[name] = v
	}
	return out
}

// jwks is a key set of signers' keys.
func jwks(list ...*signer) json.RawMessage {
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	for _, s := range list {
		set.Keys = append(set.Keys, s.jwk(map[string]any{"kid": s.kid, "use": "sig"}))
	}
	raw, _ := json.Marshal(set)
	return raw
}

// sign returns a compact JWS. A nil value removes a header member.
func (s *signer) sign(header map[string]any, claims any) string {
	s.t.Helper()
	h := map[string]any{"alg": s.alg, "kid": s.kid}
	for name, v := range header {
		if h[name] = v; v == nil {
			delete(h, name)
		}
	}
	head, err := json.Marshal(h)
	if err != nil {
		s.t.Fatal(err)
	}
	body, ok := claims.([]byte)
	if !ok {
		if body, err = json.Marshal(claims); err != nil {
			s.t.Fatal(err)
		}
	}
	text := b64(head) + "." + b64(body)
	return text + "." + b64(s.raw([]byte(text)))
}

func (s *signer) raw(text []byte) []byte {
	s.t.Helper()
	digest := sha256.Sum256(text)
	var out []byte
	var err error
	switch k := s.key.(type) {
	case *ecdsa.PrivateKey:
		var r, v *big.Int
		if r, v, err = ecdsa.Sign(rand.Reader, k, digest[:]); err == nil {
			out = make([]byte, 64)
			r.FillBytes(out[:32])
			v.FillBytes(out[32:])
		}
	case *rsa.PrivateKey:
		if s.alg == "RS256" {
			out, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, digest[:])
		} else {
			out, err = rsa.SignPSS(rand.Reader, k, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
	case ed25519.PrivateKey:
		out = ed25519.Sign(k, text)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// claims are a map that changes leave out (nil) or replace.
type claims map[string]any

func (c claims) with(pairs ...any) claims {
	out := claims{}
	for k, v := range c {
		out[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		if out[pairs[i].(string)] = pairs[i+1]; pairs[i+1] == nil {
			delete(out, pairs[i].(string))
		}
	}
	return out
}

// asserted are the claims of a good assertion.
func (h *house) asserted(client string) claims {
	now := h.now()
	return claims{"iss": client, "sub": client, "aud": h.url, "jti": consent.NewID().String(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
}

// assertion is a good one, as parameters.
func (s *signer) assertion(h *house, client string) []string {
	return []string{"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion", s.sign(nil, h.asserted(client))}
}

// proof makes a DPoP proof; changes as in claims.with.
func (s *signer) proof(h *house, method, url string, changes ...any) string {
	s.t.Helper()
	c := claims{"jti": consent.NewID().String(), "htm": method, "htu": url, "iat": h.now().Unix()}.with(changes...)
	return s.sign(map[string]any{"typ": "dpop+jwt", "jwk": s.jwk(nil), "kid": nil}, c)
}

// thumbprint is the RFC 7638 thumbprint of an ES256 key.
func (s *signer) thumbprint() string {
	k := s.jwk(nil)
	sum := sha256.Sum256([]byte(`{"crv":"` + k["crv"].(string) + `","kty":"EC","x":"` + k["x"].(string) + `","y":"` + k["y"].(string) + `"}`))
	return b64(sum[:])
}

// certificate makes a certificate for the key, issued by itself or by another.
func (s *signer) certificate(issuer *tls.Certificate, change ...func(*x509.Certificate)) tls.Certificate {
	s.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: s.kid, Organization: []string{"Example"}, Country: []string{"DE"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, f := range change {
		f(template)
	}
	parent, key := template, any(s.key)
	if issuer != nil {
		parent, key = issuer.Leaf, issuer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, s.key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: s.key, Leaf: leaf}
}

// certificateThumbprint is that of RFC 8705 §3.1.
func certificateThumbprint(c tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	return b64(sum[:])
}
