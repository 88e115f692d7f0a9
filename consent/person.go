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

// Device is one way to reach a person.
type Device struct {
	ID      string // opaque; what facts name
	Channel string // the channel that reaches it: "sms", "console"
	Address string // phone number or token; personal
	Stopped bool   // the person wrote STOP to us, or the provider refuses the address
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
}

// Client is a registered agent. Members are the registered metadata names
// (RFC 7591, CIBA Core §4) where there are such.
type Client struct {
	ID                   string       `json:"client_id"`
	Name                 string       `json:"client_name,omitempty"`
	Host                 string       `json:"verified_host,omitempty"`
	AuthMethod           string       `json:"token_endpoint_auth_method,omitempty"` // client_secret_basic (default; _post works as well) or client_secret_post
	SecretHashes         []Digest     `json:"secret_sha256,omitempty"`              // SHA-256 of generated secrets; two while one is rotated out
	Mode                 DeliveryMode `json:"backchannel_token_delivery_mode"`
	NotificationEndpoint string       `json:"backchannel_client_notification_endpoint,omitempty"`
	GrantTypes           []string     `json:"grant_types,omitempty"`
	Scope                string       `json:"scope,omitempty"`  // space-separated allow-list; empty: every configured scope
	People               string       `json:"people,omitempty"` // "linked" (default), "any" or "list"
	PeopleList           []string     `json:"people_list,omitempty"`
	DefaultResource      string       `json:"default_resource,omitempty"`
	Resources            []string     `json:"resources,omitempty"` // further resources it may ask for
	MayEnumerate         bool         `json:"may_enumerate,omitempty"`
	FromFile             bool         `json:"from_file,omitempty"`
	CreatedAt            time.Time    `json:"created_at,omitzero"`
}

// MayName reports whether the client may ask this person.
func (c *Client) MayName(p *Person) bool {
	switch c.People {
	case "any":
		return true
	case "list":
		return contains(c.PeopleList, p.ID)
	default:
		return contains(p.Clients, c.ID)
	}
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}
