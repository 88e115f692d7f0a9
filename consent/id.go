package consent

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
)

var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ID names one request inside the house and in logs. It opens nothing: agents
// hold an auth_req_id and devices a ticket, both of which carry a MAC over it.
type ID [16]byte

// NewID returns a random ID.
func NewID() ID {
	var id ID
	rand.Read(id[:]) // never fails
	return id
}

// ErrBadID is returned by [ParseID] for anything but 26 characters of lower
// case base32.
var ErrBadID = errors.New("not a request id")

// ParseID reads the form that [ID.String] writes.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 26 {
		return id, ErrBadID
	}
	b, err := encoding.DecodeString(s)
	if err != nil || encoding.EncodeToString(b) != s {
		return id, ErrBadID
	}
	copy(id[:], b)
	return id, nil
}

// String returns 26 characters of lower case base32.
func (id ID) String() string { return encoding.EncodeToString(id[:]) }

// MarshalText makes an ID readable in JSON.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (id *ID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseID(string(b))
	return err
}

// Pseudonym stands for a person in subjects, indexes and audit records: the
// first 80 bits of a MAC over the person's id, 16 characters of base32.
type Pseudonym string

// NewPseudonym encodes the first ten bytes of mac.
func NewPseudonym(mac []byte) Pseudonym { return Pseudonym(encoding.EncodeToString(mac[:10])) }
