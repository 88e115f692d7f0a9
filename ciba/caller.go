package ciba

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"ringback/consent"
)

const (
	// GrantCIBA is the grant type of CIBA Core §10.1.
	GrantCIBA = "urn:openid:params:grant-type:ciba"

	methodBasic = "client_secret_basic"
	methodPost  = "client_secret_post"

	// maxCredentials bounds the base64 text of one Authorization header.
	maxCredentials = 2 << 10
)

// caller is an authenticated client. The key that its tokens are bound to
// belongs here, beside it.
type caller struct{ *consent.Client }

// authenticate returns who sent r with the form f (RFC 6749 §2.3, CIBA Core
// §7.1). Exactly one method may be used. An unknown client, a wrong secret and
// a method that the client did not register are one answer.
func (s *Server) authenticate(ctx context.Context, r *http.Request, f form) (caller, error) {
	id, secret, method, err := credentials(r.Header["Authorization"], f)
	if err != nil {
		return caller{}, err
	}
	given := sha256.Sum256([]byte(secret))
	c, err := s.cfg.Directory.Client(ctx, id)
	switch {
	case errors.Is(err, consent.ErrNotFound):
		return caller{}, errCredentials
	case err != nil:
		return caller{}, err
	case !mayUse(c, method):
		return caller{}, errCredentials
	}
	right := 0
	for i := range c.SecretHashes {
		right |= subtle.ConstantTimeCompare(given[:], c.SecretHashes[i][:])
	}
	if right != 1 {
		return caller{}, errCredentials
	}
	return caller{c}, nil
}

var (
	errCredentials = &Error{Code: InvalidClient, Description: "unknown client, wrong secret, or an authentication method that is not registered for the client"}
	errBasic       = &Error{Code: InvalidClient, Description: "Authorization: not Basic with base64 of client_id:client_secret, each form-encoded (RFC 6749 section 2.3.1)"}
)

// credentials finds the client_id, its secret and the method by which they
// came.
func credentials(authorization []string, f form) (id, secret, method string, err error) {
	id, secret = f.get("client_id"), f.get("client_secret")
	assertion := f.get("client_assertion") != "" || f.get("client_assertion_type") != ""
	used := len(authorization)
	if secret != "" {
		used++
	}
	if assertion {
		used++
	}
	switch {
	case used > 1:
		return "", "", "", refuse(InvalidRequest, "use one method of client authentication, %s or %s", methodBasic, methodPost)
	case assertion:
		return "", "", "", refuse(InvalidClient, "client_assertion: not accepted here, use %s or %s", methodBasic, methodPost)
	case len(authorization) == 1:
		named, secret, ok := parseBasic(authorization[0])
		if !ok {
			return "", "", "", errBasic
		}
		if id != "" && id != named {
			return "", "", "", refuse(InvalidClient, "client_id: differs from the one in Authorization")
		}
		return named, secret, methodBasic, nil
	case secret != "" && id != "":
		return id, secret, methodPost, nil
	case secret != "":
		return "", "", "", refuse(InvalidClient, "client_id: required beside client_secret")
	}
	return "", "", "", refuse(InvalidClient, "authenticate the client with %s or %s", methodBasic, methodPost)
}

// parseBasic reads an Authorization header of scheme Basic: client_id and
// secret, each form-encoded, joined by a colon (RFC 6749 §2.3.1).
func parseBasic(header string) (id, secret string, ok bool) {
	scheme, text, ok := strings.Cut(header, " ")
	text = strings.Trim(text, " ")
	if !ok || !strings.EqualFold(scheme, "basic") || text == "" || len(text) > maxCredentials {
		return "", "", false
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	// The decoder skips line ends; a length that does not fit gives them away.
	if err != nil || base64.StdEncoding.EncodedLen(len(raw)) != len(text) {
		return "", "", false
	}
	id, secret, ok = strings.Cut(string(raw), ":")
	if !ok {
		return "", "", false
	}
	if id, ok = unescape(id); !ok || id == "" {
		return "", "", false
	}
	if secret, ok = unescape(secret); !ok || secret == "" {
		return "", "", false
	}
	return id, secret, true
}

// mayUse reports whether the client may authenticate by method. Both ways of
// sending a secret are open to a client that registered none or Basic.
func mayUse(c *consent.Client, method string) bool {
	return c.AuthMethod == method || c.AuthMethod == "" || c.AuthMethod == methodBasic && method == methodPost
}

// mayAsk reports why the client cannot use the CIBA grant (CIBA Core §4).
func mayAsk(c *consent.Client) error {
	if c.Mode == consent.Push {
		return refuse(UnauthorizedClient, "clients of delivery mode push are not served here, register poll or ping")
	}
	if len(c.GrantTypes) == 0 { // registered for nothing else
		return nil
	}
	for _, g := range c.GrantTypes {
		if g == GrantCIBA {
			return nil
		}
	}
	return refuse(UnauthorizedClient, "the client is not registered for grant type %s", GrantCIBA)
}
