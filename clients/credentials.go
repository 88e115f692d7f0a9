package clients

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"ringback/consent"
)

// maxCredentials bounds the base64 text of one Authorization header.
const maxCredentials = 2 << 10

// credentials are what a request says about who sent it. One of secret and
// assertion counts, or neither for a certificate.
type credentials struct {
	id, secret, assertion string
	method                string // MethodTLS stands for both that rest on a certificate
}

var (
	ErrCredentials = &Error{Code: InvalidClient, Description: "unknown client, wrong secret, or an authentication method that is not registered for the client"}
	errBasic       = &Error{Code: InvalidClient, Description: "Authorization: not Basic with base64 of client_id:client_secret, each form-encoded (RFC 6749 section 2.3.1)"}
	errMethods     = &Error{Code: InvalidClient, Description: "authenticate the client by the method that is registered for it: client_secret_basic, client_secret_post, private_key_jwt, or a certificate at the mTLS address with client_id in the form"}
)

// readCredentials finds the client_id and what is to prove it.
func readCredentials(r *http.Request, f Form) (credentials, error) {
	authorization := r.Header["Authorization"]
	c := credentials{id: f.Get("client_id"), secret: f.Get("client_secret"), assertion: f.Get("client_assertion")}
	kind := f.Get("client_assertion_type")
	asserts := c.assertion != "" || kind != ""
	switch {
	case len(authorization) > 1, len(authorization) == 1 && (c.secret != "" || asserts), c.secret != "" && asserts:
		return c, refuse(InvalidRequest, "use one method of client authentication")
	case len(authorization) == 1:
		id, secret, ok := parseBasic(authorization[0])
		if !ok {
			return c, errBasic
		}
		if c.id != "" && c.id != id {
			return c, refuse(InvalidClient, "client_id: differs from the one in Authorization")
		}
		c.id, c.secret, c.method = id, secret, consent.MethodBasic
	case asserts:
		if c.assertion == "" || kind != assertionType {
			return c, refuse(InvalidClient, "client_assertion: send a JWT in it, and client_assertion_type %s", assertionType)
		}
		if c.method = consent.MethodPrivateKeyJWT; c.id == "" { // else the verified claims are held against it
			if _, c.id = Unverified(c.assertion); c.id == "" {
				return c, refuse(InvalidClient, "client_assertion: not a JWT whose iss and sub are the client_id")
			}
		}
	case c.secret != "":
		c.method = consent.MethodPost
	case certificate(r) != nil:
		c.method = consent.MethodTLS
	default:
		return c, errMethods
	}
	if c.id == "" {
		return c, refuse(InvalidClient, "client_id: required beside client_secret or a certificate")
	}
	return c, nil
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
	id, isID := FormDecode(id)
	secret, isSecret := FormDecode(secret)
	if !isID || !isSecret || id == "" || secret == "" {
		return "", "", false
	}
	return id, secret, true
}

// mayUse reports whether the client may authenticate by method. Both ways of
// sending a secret are open to a client that registered none or Basic.
func mayUse(c *consent.Client, method string) bool {
	switch c.AuthMethod {
	case "", consent.MethodBasic:
		return method == consent.MethodBasic || method == consent.MethodPost
	case consent.MethodSelfSignedTLS:
		return method == consent.MethodTLS
	}
	return c.AuthMethod == method
}

// HasSecret reports whether it is the client's.
func HasSecret(c *consent.Client, secret string) bool {
	given, right := sha256.Sum256([]byte(secret)), 0
	for i := range c.SecretHashes {
		right |= subtle.ConstantTimeCompare(given[:], c.SecretHashes[i][:])
	}
	return right == 1
}

// FormDecode undoes the encoding of RFC 6749 appendix B and reports whether the
// result is UTF-8 without NULs.
func FormDecode(s string) (string, bool) {
	text, err := url.QueryUnescape(s)
	return text, err == nil && utf8.ValidString(text) && strings.IndexByte(text, 0) < 0
}

// Form is what the body of a request says; url.Values is one.
type Form interface {
	Get(name string) string // "" for what is absent
}
