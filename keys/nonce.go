package keys

import (
	"crypto/subtle"
	"encoding/binary"
	"time"
)

const (
	// nonceWindow is how long one nonce is given out; it is accepted as long
	// again.
	nonceWindow = 2 * time.Minute
	nonceSize   = 18 // bytes, 24 characters
	nonceLen    = nonceSize / 3 * 4
)

// Nonce returns what a DPoP proof made now has to repeat (RFC 9449 §8): 24
// characters of base64url, the same for two minutes and for every process of
// the same root key.
func (h *Handles) Nonce(now time.Time) string {
	text := h.nonceAt(window(now))
	return string(text[:])
}

// CheckNonce reports in constant time whether s is the nonce of this window
// of two minutes or of the one before. It does not allocate.
func (h *Handles) CheckNonce(s string, now time.Time) bool {
	if len(s) != nonceLen {
		return false
	}
	var text [nonceLen]byte
	copy(text[:], s)
	current, previous := h.nonceAt(window(now)), h.nonceAt(window(now)-1)
	return subtle.ConstantTimeCompare(current[:], text[:])|subtle.ConstantTimeCompare(previous[:], text[:]) == 1
}

// window is the number of the window that now is in.
func window(now time.Time) uint64 { return uint64(now.Unix() / int64(nonceWindow/time.Second)) }

func (h *Handles) nonceAt(window uint64) (text [nonceLen]byte) {
	var in [8]byte
	binary.BigEndian.PutUint64(in[:], window)
	mac := h.nonce.sum(in[:])
	encoding.Encode(text[:], mac[:nonceSize])
	return text
}
