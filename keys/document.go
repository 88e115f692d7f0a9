package keys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
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

// documentVersion is the format of the stored ring.
const documentVersion = 1

// document is the ring as it is stored, sealed by the root key.
type document struct {
	V        int    `json:"v"`
	Serial   uint64 `json:"serial"` // rises by one with every change
	Token    chain  `json:"token"`
	Evidence chain  `json:"evidence"`
}

// chain is the succession of keys for one purpose.
type chain struct {
	Current stored   `json:"current"`
	Next    stored   `json:"next"`
	Retired []stored `json:"retired,omitempty"` // oldest first, without private parts
}

// stored is one key.
type stored struct {
	KID       string    `json:"kid"`
	Public    []byte    `json:"public"`            // uncompressed point
	Private   []byte    `json:"private,omitempty"` // scalar
	CreatedAt time.Time `json:"created_at"`
	ActiveAt  time.Time `json:"active_at,omitzero"`
	RetiredAt time.Time `json:"retired_at,omitzero"`
}

// newStored makes a key.
func newStored(now time.Time) (stored, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return stored{}, fmt.Errorf("making a key: %w", err)
	}
	s := stored{CreatedAt: now}
	if s.Private, err = key.Bytes(); err != nil {
		return stored{}, fmt.Errorf("encoding a key: %w", err)
	}
	if s.Public, err = key.PublicKey.Bytes(); err != nil {
		return stored{}, fmt.Errorf("encoding a key: %w", err)
	}
	digest := sha256.Sum256(s.Public)
	s.KID = encoding.EncodeToString(digest[:kidLen/4*3])
	return s, nil
}

// newChain makes the first two keys of a purpose.
func newChain(now time.Time) (chain, error) {
	current, err := newStored(now)
	if err != nil {
		return chain{}, err
	}
	current.ActiveAt = now
	next, err := newStored(now)
	return chain{Current: current, Next: next}, err
}

// rotate makes the next key the current one and a new one the next.
func (c *chain) rotate(now time.Time) error {
	next, err := newStored(now)
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
	return !now.Before(c.Current.ActiveAt.Add(period)) && !now.Before(c.Next.CreatedAt.Add(publishAhead))
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

// signer returns the private key.
func (s *stored) signer() (signer, error) {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), s.Private)
	if err != nil {
		return signer{}, fmt.Errorf("reading key %s: %w", s.KID, err)
	}
	return signer{kid: s.KID, key: key}, nil
}

// public returns the public key.
func (s *stored) public() (*ecdsa.PublicKey, error) {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), s.Public)
	if err != nil {
		return nil, fmt.Errorf("reading key %s: %w", s.KID, err)
	}
	return key, nil
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
