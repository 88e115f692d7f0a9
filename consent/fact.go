package consent

import (
	"encoding/json"
	"time"
)

// FactKind names a fact; numbered kinds carry a number from 1 up.
type FactKind string

const (
	FactAsked    FactKind = "asked"    // [Request]
	FactTried    FactKind = "tried"    // [Attempt], numbered, written before the provider is called
	FactOutcome  FactKind = "outcome"  // [Outcome], numbered
	FactReceipt  FactKind = "receipt"  // [Receipt], numbered: what the provider reported later
	FactMissed   FactKind = "missed"   // [Miss], numbered 1..MaxMisses, written before a code is compared
	FactDecided  FactKind = "decided"  // [Decision], first writer wins
	FactSettled  FactKind = "settled"  // [Settlement], first writer wins
	FactRevoked  FactKind = "revoked"  // [Revocation]
	FactRenewed  FactKind = "renewed"  // [Renewal], numbered: a refresh token was used
	FactNotice   FactKind = "notice"   // [Notice], numbered: claim of a ping or callback
	FactNotified FactKind = "notified" // [Notified], numbered: its answer
)

// MaxMisses is the number of wrong codes over all channels and processes
// after which a code is no longer accepted.
const MaxMisses = 3

// Attempt claims one delivery. It is durable before the provider is called,
// and a claimed attempt is never sent twice.
type Attempt struct {
	V            int           `json:"v"`
	N            int           `json:"n"`
	Channel      string        `json:"channel"`          // "sms", "console", …
	Device       string        `json:"device,omitempty"` // id of the device, never its address
	Reply        bool          `json:"reply,omitempty"`  // an answer by message counts
	At           time.Time     `json:"at"`
	TicketUntil  time.Time     `json:"ticket_until"`
	CodeUntil    time.Time     `json:"code_until"`
	Presentation *Presentation `json:"presentation,omitempty"` // what the message said, codes left blank
}

// OutcomeStatus is what became of an attempt.
type OutcomeStatus string

const (
	Accepted    OutcomeStatus = "accepted"    // the provider took it
	Unreachable OutcomeStatus = "unreachable" // this device cannot be reached; never again
	Refused     OutcomeStatus = "refused"     // the provider refused or failed for now
	Unknown     OutcomeStatus = "unknown"     // sent, but no answer was read: it may have arrived
)

// Outcome follows an attempt of the same number.
type Outcome struct {
	V          int           `json:"v"`
	N          int           `json:"n"`
	Status     OutcomeStatus `json:"status"`
	ProviderID string        `json:"provider_id,omitempty"`
	Code       string        `json:"code,omitempty"`        // the provider's error code
	RetryAfter int           `json:"retry_after,omitempty"` // seconds the provider asked to wait
	At         time.Time     `json:"at"`
}

// Receipt is the provider's later word on attempt N. It never decides
// anything; a failed one only hastens the next attempt.
type Receipt struct {
	V         int       `json:"v"`
	N         int       `json:"n"`
	Delivered bool      `json:"delivered"`
	Code      string    `json:"code,omitempty"`
	At        time.Time `json:"at"`
}

// Miss uses up one guess. It is written before a comparison has any effect or
// answer; a right code leaves it behind unused, which is harmless because it
// ends the request.
type Miss struct {
	V       int       `json:"v"`
	N       int       `json:"n"`
	Channel string    `json:"channel"`
	At      time.Time `json:"at"`
	Nonce   string    `json:"nonce"` // what was guessed with, e.g. a hash of the message's id and text: the same one counts once
}

// Verb is what was decided.
type Verb string

const (
	Approved  Verb = "approved"
	Denied    Verb = "denied"
	Withdrawn Verb = "withdrawn" // the asker took it back, the person was erased, or the answer may be lost
	Expired   Verb = "expired"
)

// Decision ends a pending request. The first writer wins.
type Decision struct {
	V       int       `json:"v"`
	Verb    Verb      `json:"verb"`
	NotMe   bool      `json:"not_me,omitempty"` // denied as "I did not expect this"
	By      string    `json:"by"`               // person id, client id, "clock" or "operator"
	Means   Means     `json:"means"`
	Attempt int       `json:"attempt,omitempty"` // the attempt whose code was given
	At      time.Time `json:"at"`

	ACR        string          `json:"acr,omitempty"` // computed, never claimed
	AMR        []string        `json:"amr,omitempty"`
	Credential string          `json:"credential,omitempty"` // id of the key that signed, if any
	Signature  []byte          `json:"signature,omitempty"`
	Granted    json.RawMessage `json:"granted,omitempty"` // authorization_details after narrowing; empty: as asked

	AskedDigest    Digest        `json:"asked_digest"`
	GrantedDigest  Digest        `json:"granted_digest"`
	Presentation   *Presentation `json:"presentation,omitempty"`
	DecisionDigest Digest        `json:"decision_digest"` // SHA-256 of D, what keys sign
	Nonce          string        `json:"nonce"`           // tells our own retry from another writer
}

// Means is how evidence reached the house.
type Means string

const (
	ByReply  Means = "reply"    // reply code in a message
	ByPage   Means = "page"     // reply code typed on the approval page
	ByDev    Means = "dev"      // /dev/decide
	ByClient Means = "client"   // the asker withdrew
	ByClock  Means = "clock"    // nobody answered in time
	ByAdmin  Means = "operator" // withdrawn by the operator
	ByRepair Means = "repair"   // facts were lost, perhaps also the answer
)

// Decides reports whether a request is decided so by these means.
func (m Means) Decides(v Verb) bool {
	switch m {
	case ByReply, ByPage, ByDev:
		return v == Approved || v == Denied
	case ByClient, ByAdmin, ByRepair:
		return v == Withdrawn
	case ByClock:
		return v == Expired
	}
	return false
}

// SettleVerb is how an approval left the house.
type SettleVerb string

const (
	Redeemed  SettleVerb = "redeemed"  // one token was issued
	Cancelled SettleVerb = "cancelled" // taken back before it was redeemed
	Lapsed    SettleVerb = "lapsed"    // nobody came for it in time
)

// Settlement ends an approved request. The first writer wins, so a token or a
// cancellation, never both.
type Settlement struct {
	V             int        `json:"v"`
	Verb          SettleVerb `json:"verb"`
	JTI           string     `json:"jti,omitempty"`
	IssuedAt      time.Time  `json:"iat,omitzero"`
	ExpiresAt     time.Time  `json:"exp,omitzero"`
	Binding       Binding    `json:"cnf,omitempty"` // the key that the token is bound to, empty for a bearer
	GrantedDigest Digest     `json:"granted_digest"`
	At            time.Time  `json:"at"`
	Nonce         string     `json:"nonce"`
	Means         Means      `json:"means,omitempty"` // ByRepair: facts were lost, perhaps also the settlement
}

// Renewal uses up the refresh token of number N (the token response of the
// settlement carried number 1). The first writer wins: whoever comes with the
// same token again is not the client, or not only the client.
type Renewal struct {
	V         int       `json:"v"`
	N         int       `json:"n"`
	JTI       string    `json:"jti"`
	IssuedAt  time.Time `json:"iat"`
	ExpiresAt time.Time `json:"exp"`
	Binding   Binding   `json:"cnf,omitempty"`
	At        time.Time `json:"at"`
	Nonce     string    `json:"nonce"`
}

// ByReuse stands in a [Revocation] that followed on a refresh token that came
// a second time.
const ByReuse = "reuse"

// Revocation says that what was granted is no longer valid.
type Revocation struct {
	V  int       `json:"v"`
	By string    `json:"by"` // client id, person id, "operator", ByReuse, or "repair"
	At time.Time `json:"at"`
}

// Notice claims one notification of the client (a ping).
type Notice struct {
	V  int       `json:"v"`
	N  int       `json:"n"`
	At time.Time `json:"at"`
}

// Notified follows a notice of the same number.
type Notified struct {
	V     int       `json:"v"`
	N     int       `json:"n"`
	Done  bool      `json:"done"`           // answered or given up; false: may be tried again
	Code  string    `json:"code,omitempty"` // status code or class of failure
	Delay int       `json:"delay,omitempty"`
	At    time.Time `json:"at"`
}
