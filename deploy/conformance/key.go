package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// validity is how long the certificates are good for.
const validity = 365 * 24 * time.Hour

// key is a private key, and perhaps its own certificate.
type key struct {
	id          string
	private     crypto.Signer
	certificate []byte // DER
}

func newRSA(id string) (*key, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	return &key{id: id, private: private}, err
}

func newEC(id string) (*key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return &key{id: id, private: private}, err
}

// certify makes a certificate that the key signs itself. Only an RSA key can
// be used with the cipher suites that FAPI leaves of TLS 1.2.
func (k *key) certify(host string, usage x509.ExtKeyUsage) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: k.id}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validity),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage}, BasicConstraintsValid: true,
	}
	if host != "" {
		c.DNSNames, c.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
		if ip := net.ParseIP(host); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else if host != "localhost" {
			c.DNSNames = append(c.DNSNames, host)
		}
	}
	k.certificate, err = x509.CreateCertificate(rand.Reader, c, c, k.private.Public(), k.private)
	return err
}

// pemText returns certificate and key as PEM.
func (k *key) pemText() (certificate, private string, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return "", "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.certificate})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// jwk is a JWK (RFC 7517): with the private part for the suite, without it for
// ringback. A key with a certificate has it as x5c.
func (k *key) jwk(private bool) (map[string]any, error) {
	out := map[string]any{"kid": k.id, "use": "sig"}
	switch key := k.private.(type) {
	case *rsa.PrivateKey:
		out["kty"], out["alg"] = "RSA", "PS256"
		out["n"], out["e"] = number(key.N), number(big.NewInt(int64(key.E)))
		if private {
			key.Precompute()
			out["d"], out["p"], out["q"] = number(key.D), number(key.Primes[0]), number(key.Primes[1])
			out["dp"], out["dq"], out["qi"] = number(key.Precomputed.Dp), number(key.Precomputed.Dq), number(key.Precomputed.Qinv)
		}
	case *ecdsa.PrivateKey:
		point, err := key.PublicKey.Bytes() // 4, x, y
		if err != nil {
			return nil, err
		}
		out["kty"], out["crv"], out["alg"] = "EC", "P-256", "ES256"
		out["x"], out["y"] = base64.RawURLEncoding.EncodeToString(point[1:33]), base64.RawURLEncoding.EncodeToString(point[33:])
		if private {
			d, err := key.Bytes()
			if err != nil {
				return nil, err
			}
			out["d"] = base64.RawURLEncoding.EncodeToString(d)
		}
	}
	if k.certificate != nil {
		out["x5c"] = []string{base64.StdEncoding.EncodeToString(k.certificate)}
	}
	return out, nil
}

// number is a Base64urlUInt (RFC 7518 §2).
func number(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }

func newToken() (string, error) {
	raw := make([]byte, 32)
	_, err := rand.Read(raw)
	return base64.RawURLEncoding.EncodeToString(raw), err
}
