package keys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// certified returns the key as a JWK with its own certificate, and that.
func (p pair) certified(t testing.TB, kid string) (jwk string, der []byte) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "agent"},
		NotBefore: time.Unix(1_700_000_000, 0), NotAfter: time.Unix(1_900_000_000, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, p.private.Public(), p.private)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(jose.JSONWebKey{Key: p.private.Public(), KeyID: kid, Certificates: []*x509.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	return string(data), der
}

func TestHasCertificate(t *testing.T) {
	t.Parallel()
	large, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own, strange := agentKeys(), pair{"", large}
	var jwks []string
	var certs [][]byte
	for _, p := range append(slices.Clone(own), strange) {
		jwk, der := p.certified(t, p.alg)
		jwks, certs = append(jwks, jwk), append(certs, der)
	}
	set := publicKeys(t, jwks...)
	for i, der := range certs {
		if !set.HasCertificate(der) {
			t.Errorf("certificate %d is not found", i)
		}
		if one := publicKeys(t, jwks[(i+1)%len(jwks)]); one.HasCertificate(der) {
			t.Errorf("certificate %d is found in the set of another", i)
		}
	}
	_, again := own[0].certified(t, "again") // the same key, another certificate
	for name, der := range map[string][]byte{
		"another of the same key": again, "nothing": nil, "cut": certs[0][:len(certs[0])-1], "longer": append(slices.Clone(certs[0]), 0),
	} {
		if set.HasCertificate(der) {
			t.Errorf("%s: is found", name)
		}
	}
	// A certificate that is not for the key beside it makes the key useless.
	swapped := strings.Replace(jwks[0], encoding64(certs[0]), encoding64(certs[2]), 1)
	if _, err := ParsePublicKeys([]byte(`{"keys":[` + swapped + `]}`)); err == nil {
		t.Error("a certificate of another key is taken")
	}
	// The second of x5c is not the key's own.
	chain := strings.Replace(jwks[0], encoding64(certs[0])+`"`, encoding64(certs[0])+`","`+encoding64(certs[2])+`"`, 1)
	if p := publicKeys(t, chain); p.HasCertificate(certs[2]) || !p.HasCertificate(certs[0]) {
		t.Error("HasCertificate does not look at the first certificate alone")
	}
	// A key for TLS alone verifies no tokens.
	if _, err := publicKeys(t, jwks[3]).Verify(own[0].sign(t, head(ES256, ``), `{}`), allAlgs, []string{""}); !errors.Is(err, ErrToken) {
		t.Errorf("Verify by a P-384 key = %v, want ErrToken", err)
	}
}

func encoding64(der []byte) string {
	data, _ := json.Marshal(der)
	return strings.Trim(string(data), `"`)
}
