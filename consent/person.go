package consent

import (
	"context"
	"time"
)

// Person is an approver.
type Person struct {
	ID       string   `json:"id"`
	Name     string   `json:"name,omitempty"`
	Locale   string   `json:"locale,omitempty"`   // BCP 47; empty: en
	Zoneinfo string   `json:"zoneinfo,omitempty"` // IANA time zone for times shown; empty: UTC
	Phone    Phone    `json:"phone,omitempty"`
	Email    string   `json:"email,omitempty"`
	Clients  []string `json:"clients,omitempty"`   // client ids that may name this person (people: linked)
	FromFile bool     `json:"from_file,omitempty"` // an entry of the configuration file, read-only elsewhere
}

// Device is one way to reach a person: an entry of its own, or one that follows
// from the person's entry, like the phone number.
type Device struct {
	ID       string    // opaque; what facts name
	Channel  string    // the channel that reaches it: "sms", "console"
	Address  string    // phone number or token, as the channel writes it; personal
	Name     string    // what the person calls it; empty for one that follows from their entry
	Enrolled time.Time // when; zero for one that follows from their entry
	By       string    // by what it was enrolled
	Stopped  bool      // the person wrote STOP to us, or the provider refuses the address
}

// String leaves the address out.
func (d Device) String() string { return d.Channel + ":" + d.ID }

// HintKind is the form of a login_hint, told by its first character.
type HintKind string

const (
	HintID    HintKind = "id"
	HintPhone HintKind = "phone_number"
	HintEmail HintKind = "email"
)

// Directory knows people, devices and clients.
type Directory interface {
	// Client returns ErrNotFound for an unknown client_id.
	Client(ctx context.Context, id string) (*Client, error)
	// Person returns ErrNotFound for an unknown id.
	Person(ctx context.Context, id string) (*Person, error)
	// Find returns the one person with this verified value, ErrNotFound if
	// there is none or more than one.
	Find(ctx context.Context, kind HintKind, value string) (*Person, error)
	// Devices lists the ways to reach a person; none is not an error.
	Devices(ctx context.Context, person string) ([]Device, error)
	// Pseudonym is stable for ever and needs no lookup.
	Pseudonym(person string) Pseudonym
	// PersonOf returns who stands behind a pseudonym, or ErrNotFound.
	PersonOf(ctx context.Context, p Pseudonym) (*Person, error)
	// TryUserCode compares a user_code that party (a client id or group) gave
	// with the one that the person has chosen. The guess is durable before the
	// comparison, and only a right one is forgotten. For a person who has
	// chosen none, every code is wrong. A *Refusal when too many were given,
	// ErrNotFound for an unknown person.
	TryUserCode(ctx context.Context, party, person string, code Secret) (bool, error)
}
