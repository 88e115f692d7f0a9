package keys

import (
	"crypto/subtle"
	"encoding/binary"
	"math"
	"strconv"
)

// A handle is key version ‖ request id ‖ (attempt ‖) MAC in base64url, each
// kind under its own key. Nothing secret is stored for it, and a forgery dies
// before anything is looked up. The sizes are multiples of three, so that no
// handle has two spellings.
const (
	idSize = 16

	authReqIDMAC  = 16
	authReqIDSize = 1 + idSize + authReqIDMAC // 33 bytes, 44 characters
	authReqIDLen  = authReqIDSize / 3 * 4

	// A ticket travels in messages that are paid by length; 88 bits cannot be
	// guessed at a door that answers online.
	ticketMAC  = 11
	ticketSize = 1 + idSize + 2 + ticketMAC // 30 bytes, 40 characters
	ticketLen  = ticketSize / 3 * 4

	// MaxAttempt is the highest attempt number that a ticket can carry.
	MaxAttempt = math.MaxUint16

	// handleVersion is the key version of new handles.
	handleVersion = 1

	// codeDigits is the length of a reply code.
	codeDigits = 6
	codeRange  = 1_000_000
)

// Handles makes and checks the strings by which the outside names a request.
// Its methods may be called concurrently.
type Handles struct {
	version   byte
	authReqID versions
	ticket    versions
	callback  versions
	code      *macKey
}

// versions are the keys of one kind of handle: the current and the previous,
// which is nil under the first version.
type versions struct{ current, previous *macKey }

// NewHandles derives the keys of all handles.
func NewHandles(root *Root) *Handles { return newHandles(root, handleVersion) }

// newHandles makes handles of the given key version and accepts those of the
// version before.
func newHandles(root *Root, version byte) *Handles {
	kind := func(label string) versions {
		at := func(v byte) *macKey {
			return newMAC(root.derive(label+"/"+strconv.Itoa(int(v)), 32))
		}
		k := versions{current: at(version)}
		if version > 1 {
			k.previous = at(version - 1)
		}
		return k
	}
	return &Handles{
		version:   version,
		authReqID: kind("auth_req_id"),
		ticket:    kind("ticket"),
		callback:  kind("callback"),
		// One key for all versions: accepting two codes would double the
		// chance of a guess.
		code: newMAC(root.derive("code", 32)),
	}
}

// key returns the key for a version byte, or nil.
func (h *Handles) key(kind *versions, version byte) *macKey {
	switch version {
	case h.version:
		return kind.current
	case h.version - 1:
		return kind.previous
	}
	return nil
}

// AuthReqID returns the agent's handle of a request: 44 characters of
// base64url (CIBA Core §7.3).
func (h *Handles) AuthReqID(id [16]byte) string {
	var raw [authReqIDSize]byte
	raw[0] = h.version
	n := 1 + copy(raw[1:], id[:])
	mac := h.authReqID.current.sum(raw[:n])
	copy(raw[n:], mac[:authReqIDMAC])
	return encoding.EncodeToString(raw[:])
}

// ParseAuthReqID returns the request that an auth_req_id of ours names. It
// neither allocates nor tells by its time how much of a forgery was right.
func (h *Handles) ParseAuthReqID(s string) (id [16]byte, ok bool) {
	var text [authReqIDLen]byte
	var raw [authReqIDSize]byte
	if len(s) != len(text) {
		return id, false
	}
	copy(text[:], s)
	if n, err := encoding.Decode(raw[:], text[:]); err != nil || n != len(raw) {
		return id, false
	}
	key := h.key(&h.authReqID, raw[0])
	if key == nil {
		return id, false
	}
	mac := key.sum(raw[:1+idSize])
	if subtle.ConstantTimeCompare(mac[:authReqIDMAC], raw[1+idSize:]) != 1 {
		return id, false
	}
	copy(id[:], raw[1:])
	return id, true
}

// Ticket returns what a link to a device carries: 40 characters of base64url.
// It locates a request and authorises nothing. The attempt is from 0 to
// MaxAttempt.
func (h *Handles) Ticket(id [16]byte, attempt int) string {
	return h.numbered(&h.ticket, id, attempt)
}

// ParseTicket is the inverse of Ticket.
func (h *Handles) ParseTicket(s string) (id [16]byte, attempt int, ok bool) {
	return h.parseNumbered(&h.ticket, s)
}

// CallbackRef returns what a provider's callback address carries, in the form
// of a ticket but under its own key.
func (h *Handles) CallbackRef(id [16]byte, attempt int) string {
	return h.numbered(&h.callback, id, attempt)
}

// ParseCallbackRef is the inverse of CallbackRef.
func (h *Handles) ParseCallbackRef(s string) (id [16]byte, attempt int, ok bool) {
	return h.parseNumbered(&h.callback, s)
}

func (h *Handles) numbered(kind *versions, id [16]byte, attempt int) string {
	if attempt < 0 || attempt > MaxAttempt {
		panic("keys: attempt " + strconv.Itoa(attempt) + " does not fit a handle")
	}
	var raw [ticketSize]byte
	raw[0] = h.version
	n := 1 + copy(raw[1:], id[:])
	binary.BigEndian.PutUint16(raw[n:], uint16(attempt))
	n += 2
	mac := kind.current.sum(raw[:n])
	copy(raw[n:], mac[:ticketMAC])
	return encoding.EncodeToString(raw[:])
}

func (h *Handles) parseNumbered(kind *versions, s string) (id [16]byte, attempt int, ok bool) {
	var text [ticketLen]byte
	var raw [ticketSize]byte
	if len(s) != len(text) {
		return id, 0, false
	}
	copy(text[:], s)
	if n, err := encoding.Decode(raw[:], text[:]); err != nil || n != len(raw) {
		return id, 0, false
	}
	key := h.key(kind, raw[0])
	if key == nil {
		return id, 0, false
	}
	mac := key.sum(raw[:1+idSize+2])
	if subtle.ConstantTimeCompare(mac[:ticketMAC], raw[1+idSize+2:]) != 1 {
		return id, 0, false
	}
	copy(id[:], raw[1:])
	return id, int(binary.BigEndian.Uint16(raw[1+idSize:])), true
}

// Code returns the reply code of one attempt: 6 digits, each value equally
// likely, to be printed in the message's text only.
func (h *Handles) Code(id [16]byte, attempt int) string {
	code := h.digits(id, attempt)
	return string(code[:])
}

// CheckCode reports in constant time whether given is the code of that
// attempt. Call it only after the guess has been claimed.
func (h *Handles) CheckCode(id [16]byte, attempt int, given string) bool {
	if len(given) != codeDigits {
		return false
	}
	var text [codeDigits]byte
	copy(text[:], given)
	code := h.digits(id, attempt)
	return subtle.ConstantTimeCompare(code[:], text[:]) == 1
}

// digits draws a number below codeRange from the MAC of id and attempt,
// passing over the values that would favour low codes.
func (h *Handles) digits(id [16]byte, attempt int) (code [codeDigits]byte) {
	const limit = math.MaxUint32 / codeRange * codeRange
	var in [idSize + 8 + 1]byte
	n := copy(in[:], id[:])
	binary.BigEndian.PutUint64(in[n:], uint64(attempt))
	for {
		mac := h.code.sum(in[:])
		for i := 0; i < len(mac); i += 4 {
			v := binary.BigEndian.Uint32(mac[i:])
			if v >= limit {
				continue
			}
			v %= codeRange
			for d := codeDigits - 1; d >= 0; d-- {
				code[d] = '0' + byte(v%10)
				v /= 10
			}
			return code
		}
		in[len(in)-1]++
	}
}
