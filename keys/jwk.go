package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Signature algorithms that are taken from others (RFC 7518 §3.1, RFC 8037
// §3.1).
const (
	ES256 = string(jose.ES256)
	PS256 = string(jose.PS256)
	EdDSA = string(jose.EdDSA)

	// Ed25519 is the later name of EdDSA with that curve, the only one that
	// is taken (RFC 9864 §2.2). Either name stands for both.
	Ed25519 = "Ed25519"
)

// minRSA is the shortest RSA key that counts, in bits.
const minRSA = 2048

// What a key may be refused for beside the rest.
var (
	errPrivate    = errors.New("is private or symmetric; give public keys only")
	errUnreadable = errors.New("cannot be read: a member is missing, malformed or does not fit the others")
)

// jwk is one public key of somebody else (RFC 7517).
type jwk struct {
	kid         string
	alg         string // the one algorithm it verifies; empty: none that we take
	key         any    // *ecdsa.PublicKey, *rsa.PublicKey or ed25519.PublicKey
	certificate []byte // the first of x5c in DER; nil: there is none
}

// parseJWK reads one key. The error says why it is of no use; of errUnreadable
// it may repeat a part.
func parseJWK(data []byte) (jwk, error) {
	verifies := true
	err := readObject(data, func(name, value []byte) error {
		switch string(name) {
		case "d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv":
			return errPrivate
		case "key_ops":
			var ops []string
			if err := json.Unmarshal(value, &ops); err != nil {
				return errors.New("has key_ops that are no list of strings")
			}
			verifies = false
			for _, op := range ops {
				verifies = verifies || op == "verify"
			}
		}
		return nil
	})
	if err != nil {
		return jwk{}, err
	}
	var parsed jose.JSONWebKey
	if err := parsed.UnmarshalJSON(data); err != nil {
		if errors.Is(err, jose.ErrUnsupportedKeyType) {
			return jwk{}, errors.New("has a kty or crv that is not supported here")
		}
		return jwk{}, fmt.Errorf("%w (%s)", errUnreadable, strings.TrimPrefix(err.Error(), "go-jose/go-jose: "))
	}
	if !verifies || parsed.Use != "" && parsed.Use != "sig" {
		return jwk{}, errors.New("is not for signatures")
	}
	k := jwk{kid: parsed.KeyID, key: parsed.Key}
	switch key := parsed.Key.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			k.alg = ES256
		}
	case *rsa.PublicKey:
		if key.N.BitLen() < minRSA {
			return jwk{}, fmt.Errorf("is an RSA key of %d bits, %d are the least", key.N.BitLen(), minRSA)
		}
		k.alg = PS256
	case ed25519.PublicKey:
		k.alg = EdDSA
	default:
		return jwk{}, errors.New("has a kty that is not supported here")
	}
	if parsed.Algorithm != "" && canonical(parsed.Algorithm) != k.alg {
		k.alg = ""
	}
	if len(parsed.Certificates) > 0 {
		k.certificate = parsed.Certificates[0].Raw
	}
	if k.alg == "" && k.certificate == nil {
		return jwk{}, errors.New("is for none of PS256, ES256 and EdDSA")
	}
	return k, nil
}

// canonical is the one of an algorithm's names that is used inside.
func canonical(alg string) string {
	if alg == Ed25519 {
		return EdDSA
	}
	return alg
}

// thumbprint is the key's SHA-256 thumbprint in base64url (RFC 7638).
func (k *jwk) thumbprint() (string, error) {
	sum, err := (&jose.JSONWebKey{Key: k.key}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("hashing a key: %w", err)
	}
	return encoding.EncodeToString(sum), nil
}

// verifies reports whether signature is one of signed by the key, in the
// algorithm of its type.
func (k *jwk) verifies(signed, signature []byte) bool {
	switch key := k.key.(type) {
	case *ecdsa.PublicKey:
		return len(signature) == signatureLen && key.Curve == elliptic.P256() && verifyES256(key, signed, signature)
	case *rsa.PublicKey:
		return verifyPS256(key, signed, signature)
	case ed25519.PublicKey:
		return ed25519.Verify(key, signed, signature)
	}
	return false
}

// verifyES256 checks 64 bytes, r and s (RFC 7518 §3.4).
func verifyES256(key *ecdsa.PublicKey, signed, signature []byte) bool {
	digest := sha256.Sum256(signed)
	return ecdsa.VerifyASN1(key, digest[:], inDER(signature))
}

// inDER is a signature of 64 bytes as a SEQUENCE of two INTEGERs (RFC 3279
// §2.2.3), the form that [ecdsa.VerifyASN1] takes.
func inDER(signature []byte) []byte {
	const sequence, integer = 0x30, 0x02
	der := make([]byte, 2, 2+2*(2+1)+signatureLen)
	for n := range slices.Chunk(signature, signatureLen/2) {
		for len(n) > 1 && n[0] == 0 {
			n = n[1:]
		}
		if n[0] < 0x80 {
			der = append(der, integer, byte(len(n)))
		} else {
			der = append(der, integer, byte(len(n)+1), 0) // else it would be negative
		}
		der = append(der, n...)
	}
	der[0], der[1] = sequence, byte(len(der)-2)
	return der
}

// verifyPS256 checks a signature whose salt is as long as its hash (RFC 7518
// §3.5).
func verifyPS256(key *rsa.PublicKey, signed, signature []byte) bool {
	digest := sha256.Sum256(signed)
	return rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
}
