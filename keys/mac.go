package keys

import (
	"crypto/sha256"
)

// macKey computes HMAC-SHA256 (RFC 2104) of short messages without allocating:
// every string that arrives from outside passes through it before anything is
// looked up.
type macKey struct {
	inner, outer [sha256.BlockSize]byte
}

// maxMessage is the longest message that macKey takes, in bytes.
const maxMessage = 64

// newMAC prepares a key of at most one block.
func newMAC(key []byte) *macKey {
	if len(key) > sha256.BlockSize {
		panic("keys: MAC key longer than a block")
	}
	k := new(macKey)
	copy(k.inner[:], key)
	copy(k.outer[:], key)
	for i := range k.inner {
		k.inner[i] ^= 0x36
		k.outer[i] ^= 0x5c
	}
	return k
}

// sum returns the MAC of a message of at most maxMessage bytes.
func (k *macKey) sum(message []byte) [sha256.Size]byte {
	var in [sha256.BlockSize + maxMessage]byte
	if len(message) > maxMessage {
		panic("keys: message too long for a short MAC")
	}
	n := copy(in[:], k.inner[:])
	n += copy(in[n:], message)
	digest := sha256.Sum256(in[:n])
	var out [sha256.BlockSize + sha256.Size]byte
	copy(out[:], k.outer[:])
	copy(out[sha256.BlockSize:], digest[:])
	return sha256.Sum256(out[:])
}
