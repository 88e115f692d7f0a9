package consent

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"ringback/details"
)

// Digest is a SHA-256 value; its text form is base64url without padding.
type Digest [32]byte

// String returns 43 characters of base64url.
func (d Digest) String() string { return base64.RawURLEncoding.EncodeToString(d[:]) }

// MarshalText makes a Digest readable in JSON.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (d *Digest) UnmarshalText(b []byte) error {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(string(b))
	// The decoder skips line breaks; one digest has one spelling.
	if err != nil || len(raw) != len(d) || len(b) != base64.RawURLEncoding.EncodedLen(len(d)) {
		return errors.New("not a SHA-256 digest")
	}
	copy(d[:], raw)
	return nil
}

// asked is the asked object C of which digests are taken. Its members are the
// published format: an auditor recomputes the digest from them.
type asked struct {
	V              int             `json:"v"`
	Issuer         string          `json:"issuer"`
	Request        ID              `json:"request"`
	Client         string          `json:"client_id"`
	ClientName     string          `json:"client_name"`
	Host           string          `json:"verified_host"`
	Actors         []Party         `json:"act"`
	Approver       Pseudonym       `json:"approver"`
	Resource       string          `json:"resource"`
	Scope          []string        `json:"scope"`
	Details        json.RawMessage `json:"authorization_details"`
	BindingMessage string          `json:"binding_message"`
	ACR            []string        `json:"acr"`
	ExpiresAt      string          `json:"expires_at"`
	Grant          Grant           `json:"grant"`
	GrantLifetime  int             `json:"grant_lifetime"`
	Renewable      int             `json:"renewable"`
	Salt           []byte          `json:"salt"`
}

// AskedObject returns C in canonical form: everything that the approver is
// asked to agree to. With granted not nil it stands for what was granted.
func (r *Request) AskedObject(granted json.RawMessage) ([]byte, error) {
	list := granted
	if list == nil {
		list = r.Details
	}
	if list == nil {
		list = json.RawMessage("[]")
	}
	return details.Canonical(asked{
		V: r.V, Issuer: r.Issuer, Request: r.ID,
		Client: r.Client.ID, ClientName: r.Client.Name, Host: r.Client.Host,
		Actors: append([]Party{}, r.Actors...), Approver: r.Pseudonym,
		Resource: r.Resource, Scope: append([]string{}, r.Scope...), Details: list,
		BindingMessage: r.BindingMessage, ACR: r.ACR,
		ExpiresAt:     r.ExpiresAt.UTC().Format(time.RFC3339Nano),
		Grant:         r.Grant,
		GrantLifetime: r.GrantLifetime, Renewable: r.Renewable, Salt: r.Salt,
	})
}

// AskedDigest is the SHA-256 of the asked object.
func (r *Request) AskedDigest() (Digest, error) { return r.GrantedDigest(nil) }

// GrantedDigest is the digest of the asked object after narrowing; for nil it
// is the asked digest.
func (r *Request) GrantedDigest(granted json.RawMessage) (Digest, error) {
	c, err := r.AskedObject(granted)
	if err != nil {
		return Digest{}, err
	}
	return sha256.Sum256(c), nil
}

// Presentation is what was put before the approver. Codes are left blank in
// Rendered, so that evidence holds no bearer.
type Presentation struct {
	AskedDigest    Digest `json:"asked_digest"`
	Channel        string `json:"channel"`
	Template       string `json:"template"`
	TemplateDigest Digest `json:"template_sha256"`
	Locale         string `json:"locale"`
	Rendered       string `json:"rendered"`
}

// Object returns P in canonical form; in it the hash of the rendered bytes
// stands for them.
func (p *Presentation) Object() ([]byte, error) {
	return details.Canonical(struct {
		AskedDigest    Digest `json:"asked_digest"`
		Channel        string `json:"channel"`
		Template       string `json:"template"`
		TemplateDigest Digest `json:"template_sha256"`
		Locale         string `json:"locale"`
		Rendered       Digest `json:"rendered_sha256"`
	}{p.AskedDigest, p.Channel, p.Template, p.TemplateDigest, p.Locale, sha256.Sum256([]byte(p.Rendered))})
}

// Object returns D in canonical form, the bytes whose SHA-256 keys sign. A
// decision without a presentation (withdrawn, expired) has a zero digest there.
func (d *Decision) Object() ([]byte, error) {
	var shown Digest
	if d.Presentation != nil {
		p, err := d.Presentation.Object()
		if err != nil {
			return nil, err
		}
		shown = sha256.Sum256(p)
	}
	return details.Canonical(struct {
		V          int    `json:"v"`
		Verb       Verb   `json:"verb"`
		NotMe      bool   `json:"not_me"`
		Asked      Digest `json:"asked_digest"`
		Granted    Digest `json:"granted_digest"`
		Shown      Digest `json:"presentation_sha256"`
		Credential string `json:"credential"`
		Nonce      string `json:"nonce"`
	}{d.V, d.Verb, d.NotMe, d.AskedDigest, d.GrantedDigest, shown, d.Credential, d.Nonce})
}

// Digest is the SHA-256 of D.
func (d *Decision) Digest() (Digest, error) {
	o, err := d.Object()
	if err != nil {
		return Digest{}, err
	}
	return sha256.Sum256(o), nil
}
