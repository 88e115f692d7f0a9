package ciba

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"

	"ringback/consent"
)

const (
	// GrantCIBA is the grant type of CIBA Core §10.1.
	GrantCIBA = consent.GrantTypeCIBA

	// maxCredentials bounds the base64 text of one Authorization header.
	maxCredentials = 2 << 10
)

// caller is an authenticated client, and the key that it has just proved to
// hold.
type caller struct {
	*consent.Client
	key consent.Binding
}

// credentials are what a request says about who sent it. Exactly one of
// secret, assertion and certificate counts.
type credentials struct {
	id, secret, assertion string
	method                string // MethodTLS stands for both that rest on a certificate
	certificate           *x509.Certificate
}

// authenticate returns who sent r with the form f (RFC 6749 §2.3, CIBA Core
// §7.1). Exactly one method may be used. An unknown client, a wrong secret and
// a method that the client did not register are one answer.
func (s *Server) authenticate(ctx context.Context, r *http.Request, f form) (*consent.Client, error) {
	given, err := readCredentials(r, f)
	if err != nil {
		return nil, err
	}
	c, err := s.client(ctx, given.id)
	switch {
	case errors.Is(err, consent.ErrNotFound):
		return nil, errCredentials
	case err != nil:
		return nil, err
	case !mayUse(c, given.method):
		return nil, errCredentials
	}
	switch given.method {
	case consent.MethodPrivateKeyJWT:
		err = s.checkAssertion(ctx, c, given.assertion)
	case consent.MethodTLS:
		err = s.checkCertificate(ctx, c, r.TLS.PeerCertificates)
	default:
		err = checkSecret(c, given.secret)
	}
	return c, err
}

func checkSecret(c *consent.Client, secret string) error {
	given, right := sha256.Sum256([]byte(secret)), 0
	for i := range c.SecretHashes {
		right |= subtle.ConstantTimeCompare(given[:], c.SecretHashes[i][:])
	}
	if right != 1 {
		return errCredentials
	}
	return nil
}

var (
	errCredentials = &Error{Code: InvalidClient, Description: "unknown client, wrong secret, or an authentication method that is not registered for the client"}
	errBasic       = &Error{Code: InvalidClient, Description: "Authorization: not Basic with base64 of client_id:client_secret, each form-encoded (RFC 6749 section 2.3.1)"}
	errMethods     = &Error{Code: InvalidClient, Description: "authenticate the client by the method that is registered for it: client_secret_basic, client_secret_post, private_key_jwt, or a certificate at the mTLS address with client_id in the form"}
)

// readCredentials finds the client_id and what is to prove it.
func readCredentials(r *http.Request, f form) (credentials, error) {
	authorization := r.Header["Authorization"]
	c := credentials{id: f.get("client_id"), secret: f.get("client_secret"), assertion: f.get("client_assertion"), certificate: certificate(r)}
	kind := f.get("client_assertion_type")
	used := len(authorization)
	for _, given := range [...]bool{c.secret != "", c.assertion != "" || kind != ""} {
		if given {
			used++
		}
	}
	switch {
	case used > 1:
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
	case c.assertion != "" || kind != "":
		if c.assertion == "" || kind != assertionType {
			return c, refuse(InvalidClient, "client_assertion: send a JWT in it, and client_assertion_type %s", assertionType)
		}
		if c.method = consent.MethodPrivateKeyJWT; c.id == "" { // else the verified claims are held against it
			if _, c.id = unverified(c.assertion); c.id == "" {
				return c, refuse(InvalidClient, "client_assertion: not a JWT whose iss and sub are the client_id")
			}
		}
	case c.secret != "":
		c.method = consent.MethodPost
	case c.certificate != nil:
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
	switch c.AuthMethod {
	case "", consent.MethodBasic:
		return method == consent.MethodBasic || method == consent.MethodPost
	case consent.MethodSelfSignedTLS:
		return method == consent.MethodTLS
	}
	return c.AuthMethod == method
}

// mayAsk reports why the client cannot use the CIBA grant (CIBA Core §4).
func mayAsk(c *consent.Client) error {
	if c.Mode == consent.Push && !pushes(c) {
		return refuse(UnauthorizedClient, "the profile %s has no delivery mode push, register poll or ping", c.Profile)
	}
	if len(c.GrantTypes) == 0 || slices.Contains(c.GrantTypes, GrantCIBA) { // none: registered for nothing else
		return nil
	}
	return refuse(UnauthorizedClient, "the client is not registered for grant type %s", GrantCIBA)
}
