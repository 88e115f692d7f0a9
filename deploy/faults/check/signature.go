package check

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// signer is a public key for ES256 (RFC 7518 §3.4).
type signer struct{ key *ecdsa.PublicKey }

// readKeys reads a JWK set of such keys.
func readKeys(jwks []byte) (map[string]signer, error) {
	var set struct {
		Keys []struct{ Kid, Crv, X, Y string }
	}
	if err := json.Unmarshal(jwks, &set); err != nil {
		return nil, fmt.Errorf("reading the evidence keys: %w", err)
	}
	out := map[string]signer{}
	for _, k := range set.Keys {
		x, errX := base64.RawURLEncoding.DecodeString(k.X)
		y, errY := base64.RawURLEncoding.DecodeString(k.Y)
		point := append(append([]byte{4}, x...), y...)
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		if err := errors.Join(errX, errY, err); err != nil || k.Crv != "P-256" {
			return nil, fmt.Errorf("reading the evidence keys: %s is no key for ES256: %w", k.Kid, err)
		}
		out[k.Kid] = signer{key}
	}
	return out, nil
}

// open checks a compact JWS and reads its claims.
func open(signers map[string]signer, jws string, claims any) error {
	signed, signature, _ := cutLast(jws, ".")
	header, payload, _ := strings.Cut(signed, ".")
	var h struct{ Alg, Kid string }
	raw, errH := base64.RawURLEncoding.DecodeString(header)
	body, errP := base64.RawURLEncoding.DecodeString(payload)
	sig, errS := base64.RawURLEncoding.DecodeString(signature)
	if err := errors.Join(errH, errP, errS); err != nil {
		return fmt.Errorf("no signature: %w", err)
	}
	if err := json.Unmarshal(raw, &h); err != nil {
		return fmt.Errorf("no signature: %w", err)
	}
	by, known := signers[h.Kid]
	sum := sha256.Sum256([]byte(signed))
	if !known || h.Alg != "ES256" || len(sig) != 64 ||
		!ecdsa.Verify(by.key, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return errors.New("the signature does not hold")
	}
	return json.Unmarshal(body, claims)
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
