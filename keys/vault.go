package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrSealed is returned for bytes that this root key did not seal, or that
// were changed or moved since.
var ErrSealed = errors.New("sealed with another root key, or damaged")

// sealVersion is the first byte of everything that seal returns.
const sealVersion = 1

// Vault is the cryptography of the store: it wraps data keys, keys MACs and
// hands the embedded server its encryption key.
type Vault struct {
	fingerprint string
	disk        string
	mac         []byte
	wrap        cipher.AEAD
}

// NewVault derives a Vault.
func NewVault(root *Root) *Vault {
	return &Vault{
		fingerprint: root.Fingerprint(),
		disk:        base64.RawStdEncoding.EncodeToString(root.derive("jetstream", 32)),
		mac:         root.derive("mac", 32),
		wrap:        newAEAD(root.derive("data-keys", 32)),
	}
}

// Fingerprint is the root key's.
func (v *Vault) Fingerprint() string { return v.fingerprint }

// JetStreamKey is the encryption key of the embedded server's files, text of
// 256 bits.
func (v *Vault) JetStreamKey() string { return v.disk }

// MAC returns 32 bytes for data under label. The same root, label and data
// give the same bytes for ever.
func (v *Vault) MAC(label, data string) []byte {
	h := hmac.New(sha256.New, v.mac)
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(label)))
	h.Write(size[:]) // so that no two pairs of label and data run together
	h.Write([]byte(label))
	h.Write([]byte(data))
	return h.Sum(nil)
}

// Wrap seals a data key for one pseudonym (AES-256-GCM).
func (v *Vault) Wrap(key []byte, pseudonym string) ([]byte, error) {
	return seal(v.wrap, key, pseudonym), nil
}

// Unwrap opens what Wrap returned for the same pseudonym, else ErrSealed.
func (v *Vault) Unwrap(wrapped []byte, pseudonym string) ([]byte, error) {
	key, err := open(v.wrap, wrapped, pseudonym)
	if err != nil {
		return nil, fmt.Errorf("unwrapping a data key: %w", err)
	}
	return key, nil
}

// newAEAD returns AES-256-GCM for a derived key of 32 bytes.
func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("keys: " + err.Error()) // only for a wrong key length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("keys: " + err.Error())
	}
	return aead
}

// seal returns version ‖ nonce ‖ ciphertext ‖ tag, bound to context.
func seal(aead cipher.AEAD, plain []byte, context string) []byte {
	return aead.Seal([]byte{sealVersion}, nil, plain, []byte(context))
}

// open is the inverse of seal, for the same context.
func open(aead cipher.AEAD, sealed []byte, context string) ([]byte, error) {
	if len(sealed) < 1+aead.Overhead() || sealed[0] != sealVersion {
		return nil, ErrSealed
	}
	plain, err := aead.Open(nil, nil, sealed[1:], []byte(context))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// NewToken returns a bearer secret of 256 random bits as 43 characters of
// base64url, for administrators and client secrets.
func NewToken() string {
	var raw [32]byte
	rand.Read(raw[:]) // never fails
	return encoding.EncodeToString(raw[:])
}

// TokenDigest is what is kept of a token: its SHA-256. That is enough for
// secrets of 128 random bits and more, and for those only.
func TokenDigest(token string) [32]byte { return sha256.Sum256([]byte(token)) }

// TokenMatches reports whether token has the digest, in constant time.
func TokenMatches(token string, digest [32]byte) bool {
	given := TokenDigest(token)
	return hmac.Equal(given[:], digest[:])
}
