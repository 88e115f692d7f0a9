package consent

import (
	"crypto/sha256"
	"encoding/json"
	"time"
)

// Version is the format version that this program writes into every fact.
// Readers ignore unknown members and refuse an unknown version.
const Version = 1

// DeliveryMode is how the answer reaches the client (CIBA Core §5).
type DeliveryMode string

const (
	Poll DeliveryMode = "poll" // the client asks the token endpoint
	Ping DeliveryMode = "ping" // the client is told when to ask
	Push DeliveryMode = "push" // the client is sent the tokens
)

// Door names the room a request came in by, and so who notifies its client.
type Door string

// DoorCIBA is the agents' door.
const DoorCIBA Door = "ciba"

// Party is a client as the approver sees it.
type Party struct {
	ID   string `json:"id"`             // client_id
	Name string `json:"name"`           // display name, checked by CheckName
	Host string `json:"host,omitempty"` // verified host, empty when none is known

	// Group is what a freeze and the budgets count where it is not the
	// client alone, see [Client.Group].
	Group string `json:"group,omitempty"`
}

// Counted is the client or group that freezes and budgets count.
func (p *Party) Counted() string {
	if p.Group != "" {
		return p.Group
	}
	return p.ID
}

// Grant is how the client asks, and so by which handle it asks again.
type Grant string

const (
	GrantCIBA              Grant = ""                   // backchannel authentication: auth_req_id; the token is the person's
	GrantClientCredentials Grant = "client_credentials" // deferred token response: deferral_code; the token is the client's own
)

// Binding names the key that a token is bound to: its confirmation method
// ("jkt" of RFC 9449, "x5t#S256" of RFC 8705), a colon, and the thumbprint.
// Empty: none.
type Binding string

// Tag is a hash of the binding, for comparing in memory.
func (b Binding) Tag() (tag [8]byte) {
	if b != "" {
		sum := sha256.Sum256([]byte(b))
		copy(tag[:], sum[:])
	}
	return tag
}

// Request is the asked fact: who asks whom for what, how sure the answer must
// be, until when, and where the answer goes. It is immutable.
type Request struct {
	V         int       `json:"v"`
	ID        ID        `json:"id"`
	Issuer    string    `json:"issuer"`
	Door      Door      `json:"door"`
	Grant     Grant     `json:"grant,omitempty"`
	Client    Party     `json:"client"`
	Actors    []Party   `json:"actors,omitempty"` // act chain, innermost last
	Approver  string    `json:"approver"`         // person id
	Pseudonym Pseudonym `json:"pseudonym"`

	Scope          []string        `json:"scope,omitempty"`
	Resource       string          `json:"resource,omitempty"` // RFC 8707; becomes aud
	Details        json.RawMessage `json:"details,omitempty"`  // authorization_details, canonical JSON array
	BindingMessage string          `json:"binding_message,omitempty"`

	ACR  []string `json:"acr"`  // any one of these satisfies the request, strongest policy applied; never empty
	Salt []byte   `json:"salt"` // 128 bits, keeps digests unguessable

	AskedAt       time.Time `json:"asked_at"`
	ExpiresAt     time.Time `json:"expires_at"`
	GrantLifetime int       `json:"grant_lifetime"`      // seconds that the token will live
	Renewable     int       `json:"renewable,omitempty"` // seconds after the decision in which the client may get the token anew; 0: not at all

	Binding Binding `json:"cnf,omitempty"` // the key that asked; only it may redeem

	Mode     DeliveryMode `json:"mode"`
	Interval int          `json:"interval"` // seconds between polls

	Narrowable bool `json:"narrowable"` // this door can carry a smaller yes

	// Bearers are stored beside the fact and encrypted with it, but are no
	// part of it: digests, evidence and exports never contain them.
	Bearers Bearers `json:"-"`
}

// Bearers are the values of a request that open something.
type Bearers struct {
	MatchCode         Secret `json:"match_code,omitempty"`         // 4 digits that only the agent's screen shows; empty when policy never asks for it
	NotificationToken Secret `json:"notification_token,omitempty"` // client_notification_token, ping and push
}
