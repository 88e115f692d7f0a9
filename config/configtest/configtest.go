// Package configtest has what tests of configurations need.
package configtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"sync"
	"time"
)

// Strong is a client secret that is long enough.
const Strong = "k3J9x0aVt7Qw2Lr8Zp5Nc1Yb6Mh4Ds0F"

// Environ is a lookup in pairs of name and value.
func Environ(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// Certificates are a certificate of consent.example.com and loopback with its
// key, and an authority's certificate, all PEM.
type Certificates struct{ Cert, Key, CA []byte }

// PEMs returns certificates that are valid for an hour, always the same.
var PEMs = sync.OnceValue(func() (out Certificates) {
	priv, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	make := func(tmpl x509.Certificate) []byte {
		tmpl.SerialNumber, tmpl.NotAfter = big.NewInt(1), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, &tmpl, &tmpl, priv.Public(), priv)
		if err != nil {
			panic(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		panic(err)
	}
	out.Key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	out.Cert = make(x509.Certificate{DNSNames: []string{"consent.example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	out.CA = make(x509.Certificate{IsCA: true, BasicConstraintsValid: true})
	return out
})
