package clients

import (
	"crypto/subtle"
	"strings"

	"ringback/consent"
)

// Caller is an authenticated client, and the key that it has just proved to
// hold.
type Caller struct {
	*consent.Client
	Key consent.Binding
}

// MayCollect reports why the caller may not come for what was asked for with a
// key.
func (c Caller) MayCollect(asked consent.Binding) error {
	if asked == "" {
		return nil
	}
	if subtle.ConstantTimeCompare([]byte(asked), []byte(c.Key)) == 1 {
		return nil
	}
	if strings.HasPrefix(string(asked), bindingProof) {
		return proofs.Refuse("this was asked for with another key, send a proof of that key")
	}
	return refuse(InvalidGrant, "this was asked for with another client certificate, use that one")
}

// CanBind refuses a caller whose tokens must be bound and who proved no key
// that they could be bound to (RFC 8705 §3, RFC 9449 §5).
func (c Caller) CanBind() error {
	certificate := strings.HasPrefix(string(c.Key), bindingCertificate)
	proof := strings.HasPrefix(string(c.Key), bindingProof)
	switch {
	case !c.Bound(), certificate && (c.CertificateBound || !c.DPoPBound), proof && (c.DPoPBound || !c.CertificateBound):
		return nil
	case c.DPoPBound && !c.CertificateBound:
		return refuse(InvalidRequest, "DPoP: this client's tokens are bound to a key, send a proof of it")
	case c.CertificateBound && !c.DPoPBound:
		return refuse(InvalidRequest, "this client's tokens are bound to a key: use the mTLS address with its certificate")
	}
	return refuse(InvalidRequest, "this client's tokens are bound to a key: use the mTLS address with its certificate, or send a DPoP proof")
}

// Confirmation is the cnf claim of a token (RFC 7800 §3.1).
type Confirmation struct {
	JKT string `json:"jkt,omitempty"`      // RFC 9449 §6.1
	X5T string `json:"x5t#S256,omitempty"` // RFC 8705 §3.1
}

// Confirm returns the claim for a token that is bound to a key, nil for one
// that is not.
func Confirm(b consent.Binding) *Confirmation {
	if jkt, ok := strings.CutPrefix(string(b), bindingProof); ok {
		return &Confirmation{JKT: jkt}
	}
	if x5t, ok := strings.CutPrefix(string(b), bindingCertificate); ok {
		return &Confirmation{X5T: x5t}
	}
	return nil
}

// TokenType is how the token is presented (RFC 9449 §7.1).
func (c *Confirmation) TokenType() string {
	if c != nil && c.JKT != "" {
		return "DPoP"
	}
	return "Bearer"
}
