package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

const (
	// maxJWKS is the longest JWKS of others that is read, in bytes.
	maxJWKS = 64 << 10
	// maxKeys is how many keys it may have.
	maxKeys = 32
	// maxTries is how many keys are tried for a token that names none.
	maxTries = 4
)

// ErrUnknownKey is wrapped by the refusal of a token that a key may have
// signed which is not in the set, so that the set may be worth fetching again.
// It wraps ErrToken.
var ErrUnknownKey = fmt.Errorf("%w: its key is not known", ErrToken)

// PublicKeys are the keys of somebody else: of a client, or of a service that
// names people. It is never changed, so its methods may be called concurrently.
type PublicKeys struct {
	keys []jwk
}

// ParsePublicKeys reads a JWKS (RFC 7517) of at most 64 KiB and 32 keys. RSA
// keys of 2048 bits and more (for PS256), P-256 (ES256) and Ed25519 (EdDSA)
// count, and any key for signatures that comes with its certificate
// ([PublicKeys.HasCertificate]). Other keys and unreadable ones are passed
// over; a set with a private or symmetric key, or with none that counts, is
// refused. The error says what to do about it.
func ParsePublicKeys(jwks []byte) (*PublicKeys, error) {
	if len(jwks) > maxJWKS {
		return nil, fmt.Errorf("reading a JWKS: longer than %d bytes", maxJWKS)
	}
	var list []json.RawMessage
	err := readObject(bytes.TrimSpace(jwks), func(name, value []byte) error {
		if string(name) != "keys" {
			return nil
		}
		if json.Unmarshal(value, &list) != nil {
			return errors.New("\"keys\" is not a list")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading a JWKS: must be {\"keys\": [...]} (RFC 7517 §5): %w", err)
	}
	if len(list) > maxKeys {
		return nil, fmt.Errorf("reading a JWKS: has %d keys, %d are the most", len(list), maxKeys)
	}
	set, why := new(PublicKeys), errors.New("\"keys\" is missing or empty")
	for i, data := range list {
		key, err := parseJWK(data)
		if errors.Is(err, errPrivate) {
			return nil, fmt.Errorf("reading a JWKS: key %d %w", i+1, err)
		}
		if err != nil {
			why = fmt.Errorf("key %d %w", i+1, err)
			continue
		}
		set.keys = append(set.keys, key)
	}
	if len(set.keys) == 0 {
		return nil, fmt.Errorf("reading a JWKS: give at least one public key of type RSA (2048 bits or more), EC P-256 or OKP Ed25519 for signatures: %w", why)
	}
	return set, nil
}

// HasCertificate reports whether a key of the set has exactly this certificate
// in DER as the first of its x5c (RFC 8705 §2.2.2).
func (p *PublicKeys) HasCertificate(raw []byte) bool {
	for i := range p.keys {
		if c := p.keys[i].certificate; c != nil && bytes.Equal(c, raw) {
			return true
		}
	}
	return false
}

// Signed is what a verified token says.
type Signed struct {
	Alg     string // ES256, PS256 or EdDSA
	KID     string // empty: the token names no key
	Type    string // the one of the accepted types, as the caller spells it
	Payload Claims
}

// Claims is the payload of a token: one JSON object without repeated members.
// What the claims say has not been checked.
type Claims []byte

// Each hands the members to take: the name decoded, the value as it is
// written. An error of take ends the reading and is returned.
func (c Claims) Each(take func(name, value []byte) error) error {
	w := walk{data: c}
	return w.object(0, take)
}

// Verify checks a compact JWS of at most 8 KiB by a key of the set. algs are
// the algorithms that the caller accepts; types are the accepted values of typ
// in any case, of which an empty one stands for a typ that is absent. No claim
// is checked. Every error wraps ErrToken and says what is wrong without
// repeating the token; ErrUnknownKey where a newer set may help.
func (p *PublicKeys) Verify(token string, algs, types []string) (*Signed, error) {
	r, err := receive(token, algs)
	if err != nil {
		return nil, err
	}
	if r.jwk != nil {
		return nil, fmt.Errorf("%w: its header has the member jwk; keys come from the registered set only", ErrToken)
	}
	typ, ok := r.isOf(types)
	if !ok {
		return nil, fmt.Errorf("%w: its typ is not one of %q", ErrToken, types)
	}
	if err := p.check(r); err != nil {
		return nil, err
	}
	payload, err := r.payload()
	if err != nil {
		return nil, err
	}
	return &Signed{Alg: r.alg, KID: r.kid, Type: typ, Payload: payload}, nil
}

// check verifies the signature by the key that the token names, else by each
// that may have made it.
func (p *PublicKeys) check(r *received) error {
	named, tried := false, 0
	for i := range p.keys {
		k := &p.keys[i]
		if r.kid != "" && k.kid != r.kid {
			continue
		}
		named = true
		if k.alg != r.alg {
			continue
		}
		if tried++; tried > maxTries {
			return fmt.Errorf("%w: more than %d keys may have signed it; name one by kid", ErrToken, maxTries)
		}
		if k.verifies(r.signed, r.signature) {
			return nil
		}
	}
	switch {
	case !named:
		return fmt.Errorf("%w: no key of the set has its kid", ErrUnknownKey)
	case r.kid == "" && tried == 0:
		return fmt.Errorf("%w: no key of the set is for %s", ErrUnknownKey, r.alg)
	case r.kid == "":
		return fmt.Errorf("%w: wrong signature, and no kid that says whose", ErrUnknownKey)
	case tried == 0:
		return fmt.Errorf("%w: the key that it names is not for %s", ErrToken, r.alg)
	}
	return fmt.Errorf("%w: wrong signature", ErrToken)
}
