package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Schedule of the signing keys.
const (
	// tokenPeriod is how long one key signs tokens.
	tokenPeriod = 30 * 24 * time.Hour
	// evidencePeriod is how long one key signs evidence.
	evidencePeriod = 365 * 24 * time.Hour
	// publishAhead is how long a key is published before the schedule lets it
	// sign, so that verifiers with cached keys know it.
	publishAhead = 24 * time.Hour
	// keepRetired is how long a retired token key still verifies. Evidence
	// keys verify for ever.
	keepRetired = 90 * 24 * time.Hour
	// maxRetired bounds the retired keys of one purpose, and so the document.
	maxRetired = 120
)

const (
	// typeRSA is the type of keys that sign with PS256.
	typeRSA = "RSA"
	// rsaBits is their length.
	rsaBits = 2048
)

// documentVersion is the format of the stored ring.
const documentVersion = 1

// document is the ring as it is stored, sealed by the root key.
type document struct {
	V        int    `json:"v"`
	Serial   uint64 `json:"serial"` // rises by one with every change
	Token    chain  `json:"token"`
	TokenRSA *chain `json:"token_rsa,omitempty"` // in step with Token; nil: nobody wanted it yet
	Evidence chain  `json:"evidence"`
}

// tokens are the chains that sign tokens.
func (d *document) tokens() []*chain {
	if d.TokenRSA == nil {
		return []*chain{&d.Token}
	}
	return []*chain{&d.Token, d.TokenRSA}
}

// tokenDue reports whether the schedule wants the token keys rotated: all of
// them at once, so the age of the RSA keys waits for that of the others.
func (d *document) tokenDue(now time.Time) bool {
	for _, c := range d.tokens() {
		if !c.published(now) {
			return false
		}
	}
	return d.Token.due(now, tokenPeriod)
}

// chain is the succession of keys for one purpose.
type chain struct {
	Current stored   `json:"current"`
	Next    stored   `json:"next"`
	Retired []stored `json:"retired,omitempty"` // oldest first, without private parts
}

// stored is one key.
type stored struct {
	Type      string    `json:"type,omitempty"` // typeRSA, or empty for P-256
	KID       string    `json:"kid"`
	Public    []byte    `json:"public"`            // uncompressed point; RSA: PKCS #1
	Private   []byte    `json:"private,omitempty"` // scalar; RSA: PKCS #1
	CreatedAt time.Time `json:"created_at"`
	ActiveAt  time.Time `json:"active_at,omitzero"`
	RetiredAt time.Time `json:"retired_at,omitzero"`
}

// newStored makes a key of a type.
func newStored(now time.Time, typ string) (stored, error) {
	s := stored{Type: typ, CreatedAt: now}
	switch typ {
	case typeRSA:
		key, err := rsa.GenerateKey(rand.Reader, rsaBits)
		if err != nil {
			return stored{}, fmt.Errorf("making an RSA key: %w", err)
		}
		s.Private, s.Public = x509.MarshalPKCS1PrivateKey(key), x509.MarshalPKCS1PublicKey(&key.PublicKey)
	default:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return stored{}, fmt.Errorf("making a key: %w", err)
		}
		if s.Private, err = key.Bytes(); err != nil {
			return stored{}, fmt.Errorf("encoding a key: %w", err)
		}
		if s.Public, err = key.PublicKey.Bytes(); err != nil {
			return stored{}, fmt.Errorf("encoding a key: %w", err)
		}
	}
	digest := sha256.Sum256(s.Public)
	s.KID = encoding.EncodeToString(digest[:kidLen/4*3])
	return s, nil
}

// newChain makes the first two keys of a purpose.
func newChain(now time.Time, typ string) (chain, error) {
	current, err := newStored(now, typ)
	if err != nil {
		return chain{}, err
	}
	current.ActiveAt = now
	next, err := newStored(now, typ)
	return chain{Current: current, Next: next}, err
}

// rotate makes the next key the current one and a new one the next.
func (c *chain) rotate(now time.Time) error {
	next, err := newStored(now, c.Current.Type)
	if err != nil {
		return err
	}
	if len(c.Retired) >= maxRetired {
		return fmt.Errorf("%w: %d retired keys are kept already", ErrTooSoon, len(c.Retired))
	}
	old := c.Current
	old.Private, old.RetiredAt = nil, now
	c.Retired = append(c.Retired, old)
	c.Current, c.Next = c.Next, next
	c.Current.ActiveAt = now
	return nil
}

// due reports whether the schedule wants a rotation.
func (c *chain) due(now time.Time, period time.Duration) bool {
	return !now.Before(c.Current.ActiveAt.Add(period)) && c.published(now)
}

// published reports whether the next key has been published long enough for
// the schedule.
func (c *chain) published(now time.Time) bool {
	return !now.Before(c.Next.CreatedAt.Add(publishAhead))
}

// known reports whether every process and every verifier that reloads has had
// time to learn the next key. The first two keys are learned together.
func (c *chain) known(now time.Time) bool {
	return len(c.Retired) == 0 || !now.Before(c.Next.CreatedAt.Add(learnWithin))
}

// prune forgets retired keys that verify nothing any more.
func (c *chain) prune(now time.Time) {
	for len(c.Retired) > 0 && !now.Before(c.Retired[0].RetiredAt.Add(keepRetired)) {
		c.Retired = c.Retired[1:]
	}
}

// signer returns the private key of a P-256 key.
func (s *stored) signer() (signer, error) {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), s.Private)
	if err != nil {
		return signer{}, fmt.Errorf("reading key %s: %w", s.KID, err)
	}
	return signer{kid: s.KID, key: key}, nil
}

// signerRSA returns the private key of an RSA key.
func (s *stored) signerRSA() (*signerRSA, error) {
	key, err := x509.ParsePKCS1PrivateKey(s.Private)
	if err != nil {
		return nil, fmt.Errorf("reading key %s: %w", s.KID, err)
	}
	return &signerRSA{kid: s.KID, key: key}, nil
}

// public returns the public key, *ecdsa.PublicKey or *rsa.PublicKey, and the
// algorithm that it is for.
func (s *stored) public() (key crypto.PublicKey, alg string, err error) {
	if s.Type == typeRSA {
		key, err = x509.ParsePKCS1PublicKey(s.Public)
		alg = PS256
	} else {
		key, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), s.Public)
		alg = ES256
	}
	if err != nil {
		return nil, "", fmt.Errorf("reading key %s: %w", s.KID, err)
	}
	return key, alg, nil
}

// readDocument reads what marshalling a document wrote.
func readDocument(data []byte) (*document, error) {
	d := new(document)
	if err := json.Unmarshal(data, d); err != nil {
		return nil, errors.New("the stored signing keys are not readable")
	}
	if d.V != documentVersion {
		return nil, fmt.Errorf("the stored signing keys have format %d, this program reads %d", d.V, documentVersion)
	}
	return d, nil
}
