package keys

import (
	"crypto/subtle"
	"encoding/binary"
	"math"
	"strconv"
)

// A handle is key version ‖ request id ‖ (number ‖) MAC in base64url, each
// kind under its own key. Nothing secret is stored for it, and a forgery dies
// before anything is looked up. The sizes are multiples of three, so that no
// handle has two spellings.
const (
	idSize = 16

	// What an agent holds opens something by itself, so its MAC is whole.
	fullMAC   = 16
	agentSize = 1 + idSize + fullMAC // 33 bytes, 44 characters
	agentLen  = agentSize / 3 * 4

	refreshNumber = 3                                    // bytes
	refreshSize   = 1 + idSize + refreshNumber + fullMAC // 36 bytes, 48 characters
	refreshLen    = refreshSize / 3 * 4

	// MaxRefresh is the highest number that a refresh token can carry.
	MaxRefresh = 1<<(8*refreshNumber) - 1

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
	deferral  versions
	refresh   versions
	ticket    versions
	callback  versions
	userCode  versions
	code      *macKey
	nonce     *macKey
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
		deferral:  kind("deferral_code"),
		refresh:   kind("refresh_token"),
		ticket:    kind("ticket"),
		callback:  kind("callback"),
		userCode:  kind("user-code"),
		// One key for all versions: accepting two codes would double the
		// chance of a guess.
		code: newMAC(root.derive("code", 32)),
		// And one for all versions: a nonce lives for minutes.
		nonce: newMAC(root.derive("dpop_nonce", 32)),
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
func (h *Handles) AuthReqID(id [16]byte) string { return h.plain(&h.authReqID, id) }

// ParseAuthReqID returns the request that an auth_req_id of ours names. It
// neither allocates nor tells by its time how much of a forgery was right.
func (h *Handles) ParseAuthReqID(s string) (id [16]byte, ok bool) {
	return h.parsePlain(&h.authReqID, s)
}

// DeferralCode returns the agent's handle of a request whose grant was
// deferred, in the form of an auth_req_id but under its own key
// (draft-ietf-oauth-deferred-token-response).
func (h *Handles) DeferralCode(id [16]byte) string { return h.plain(&h.deferral, id) }

// ParseDeferralCode is the inverse of DeferralCode.
func (h *Handles) ParseDeferralCode(s string) (id [16]byte, ok bool) {
	return h.parsePlain(&h.deferral, s)
}

func (h *Handles) plain(kind *versions, id [16]byte) string {
	var raw [agentSize]byte
	raw[0] = h.version
	n := 1 + copy(raw[1:], id[:])
	mac := kind.current.sum(raw[:n])
	copy(raw[n:], mac[:fullMAC])
	return encoding.EncodeToString(raw[:])
}

func (h *Handles) parsePlain(kind *versions, s string) (id [16]byte, ok bool) {
	var text [agentLen]byte
	var raw [agentSize]byte
	if len(s) != len(text) {
		return id, false
	}
	copy(text[:], s)
	if !h.open(kind, raw[:], text[:], fullMAC) {
		return id, false
	}
	copy(id[:], raw[1:])
	return id, true
}

// RefreshToken returns the n-th refresh token of a request, from 0 to
// MaxRefresh: 48 characters of base64url.
func (h *Handles) RefreshToken(id [16]byte, n int) string {
	if n < 0 || n > MaxRefresh {
		panic("keys: number " + strconv.Itoa(n) + " does not fit a refresh token")
	}
	var raw [refreshSize]byte
	raw[0] = h.version
	end := 1 + copy(raw[1:], id[:])
	raw[end], raw[end+1], raw[end+2] = byte(n>>16), byte(n>>8), byte(n)
	end += refreshNumber
	mac := h.refresh.current.sum(raw[:end])
	copy(raw[end:], mac[:fullMAC])
	return encoding.EncodeToString(raw[:])
}

// ParseRefreshToken is the inverse of RefreshToken. It neither allocates nor
// tells by its time how much of a forgery was right.
func (h *Handles) ParseRefreshToken(s string) (id [16]byte, n int, ok bool) {
	var text [refreshLen]byte
	var raw [refreshSize]byte
	if len(s) != len(text) {
		return id, 0, false
	}
	copy(text[:], s)
	if !h.open(&h.refresh, raw[:], text[:], fullMAC) {
		return id, 0, false
	}
	copy(id[:], raw[1:])
	number := raw[1+idSize:]
	return id, int(number[0])<<16 | int(number[1])<<8 | int(number[2]), true
}

// open decodes text into raw, which it fills, and checks the MAC at its end.
func (h *Handles) open(kind *versions, raw, text []byte, macLen int) bool {
	if n, err := encoding.Decode(raw, text); err != nil || n != len(raw) {
		return false
	}
	key := h.key(kind, raw[0])
	if key == nil {
		return false
	}
	body := len(raw) - macLen
	mac := key.sum(raw[:body])
	return subtle.ConstantTimeCompare(mac[:macLen], raw[body:]) == 1
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
	if !h.open(kind, raw[:], text[:], ticketMAC) {
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
