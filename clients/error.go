package clients

import (
	"errors"
	"fmt"

	"ringback/keys"
)

// Code is the value of "error" in a response.
type Code string

// What can be wrong with who calls: RFC 6749 §4.1.2.1 and §5.2, RFC 9449 §5
// and §8.
const (
	InvalidRequest   Code = "invalid_request"
	InvalidClient    Code = "invalid_client"
	InvalidGrant     Code = "invalid_grant"
	InvalidDPoPProof Code = "invalid_dpop_proof"
	UseDPoPNonce     Code = "use_dpop_nonce"
)

// Error is what a client may read. Every other error is for the log.
type Error struct {
	Code        Code
	Description string // names the parameter and the accepted form
	Nonce       string // header DPoP-Nonce; empty: none
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Description }

// ErrBusy says that something cannot be fetched right now.
var ErrBusy = errors.New("not available right now, try again later")

func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Description: fmt.Sprintf(format, args...)}
}

// unsigned says in a specification's word that something was not signed as it
// has to be. Other errors stay what they are.
func unsigned(code Code, what string, err error) error {
	if errors.Is(err, keys.ErrToken) {
		return refuse(code, "%s: %v", what, err)
	}
	return err
}
