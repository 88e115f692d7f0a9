package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// maxKeySet is the longest JWKS that is read, in bytes.
const maxKeySet = 256 << 10

// KeySet verifies ES256 with published keys alone, offline.
type KeySet struct {
	keys map[string]crypto.PublicKey
}

// ParseKeySet reads a JWKS (RFC 7517). Keys of other types than P-256 are
// passed over; private keys, repeated and unusable ones are refused.
func ParseKeySet(jwks []byte) (*KeySet, error) {
	if len(jwks) > maxKeySet {
		return nil, fmt.Errorf("reading keys: longer than %d bytes", maxKeySet)
	}
	jwks = bytes.TrimSpace(jwks) // a file ends with a new line
	if err := checkObject(jwks); err != nil {
		return nil, fmt.Errorf("reading keys: not a JWKS: %w", err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(jwks, &set); err != nil {
		return nil, fmt.Errorf("reading keys: not a JWKS: %w", err)
	}
	out := &KeySet{keys: make(map[string]crypto.PublicKey)}
	for i := range set.Keys {
		jwk := &set.Keys[i]
		if _, ok := jwk.Key.(*ecdsa.PrivateKey); ok {
			return nil, fmt.Errorf("reading keys: key %q is private; give the public keys only", jwk.KeyID)
		}
		key, ok := jwk.Key.(*ecdsa.PublicKey)
		if !ok || key.Curve != elliptic.P256() || jwk.Algorithm != string(jose.ES256) && jwk.Algorithm != "" || jwk.Use != "sig" && jwk.Use != "" {
			continue
		}
		if len(jwk.KeyID) != kidLen {
			continue
		}
		if out.keys[jwk.KeyID] != nil {
			return nil, fmt.Errorf("reading keys: key %q is there twice", jwk.KeyID)
		}
		out.keys[jwk.KeyID] = key
	}
	if len(out.keys) == 0 {
		return nil, errors.New("reading keys: there is no ES256 key of this service among them")
	}
	return out, nil
}

// Verify is like [Ring.Verify] with the keys of the set.
func (s *KeySet) Verify(token, typ string) ([]byte, error) { return verify(s.keys, token, typ) }

// publish returns the public keys of chains by kid and as a JWKS.
func publish(chains ...*chain) (map[string]crypto.PublicKey, []byte, error) {
	byKID := make(map[string]crypto.PublicKey)
	var set jose.JSONWebKeySet
	for _, c := range chains {
		for _, s := range append([]stored{c.Current, c.Next}, c.Retired...) {
			key, alg, err := s.public()
			if err != nil {
				return nil, nil, err
			}
			byKID[s.KID] = key
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: key, KeyID: s.KID, Algorithm: alg, Use: "sig"})
		}
	}
	jwks, err := json.Marshal(set)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding public keys: %w", err)
	}
	return byKID, jwks, nil
}
