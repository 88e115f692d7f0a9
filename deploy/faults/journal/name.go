package journal

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// ID is what the service calls a request among its own.
type ID string

// Lengths in bytes of what names a request to others: a version, the request,
// where there is one the number of an attempt, and a MAC that is for the service
// to check.
const (
	handleSize    = 1 + idSize + 16
	referenceSize = 1 + idSize + 2 + 11
	idSize        = 16
)

var names = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ParseHandle reads of an auth_req_id which request it names.
func ParseHandle(handle string) (ID, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(handle)
	if err != nil || len(raw) != handleSize {
		return "", false
	}
	return ID(names.EncodeToString(raw[1 : 1+idSize])), true
}

// ParseReference reads of the address to which a provider reports on a message
// which request and which attempt it was.
func ParseReference(address string) (id ID, n int, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(address[strings.LastIndexByte(address, '/')+1:])
	if err != nil || len(raw) != referenceSize {
		return "", 0, false
	}
	return ID(names.EncodeToString(raw[1 : 1+idSize])), int(binary.BigEndian.Uint16(raw[1+idSize:])), true
}
