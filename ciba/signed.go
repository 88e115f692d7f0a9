package ciba

import (
	"context"
	"slices"
	"strings"

	"ringback/consent"
	"ringback/keys"
)

// requestTypes are the typ values of a signed request (RFC 9101 §10.8).
var requestTypes = []string{"", "JWT", "oauth-authz-req+jwt"}

// besideRequest are the parameters that may stand beside a signed request:
// those by which the client authenticates (CIBA Core §7.1.1).
var besideRequest = []string{"request", "client_id", "client_secret", "client_assertion", "client_assertion_type"}

// registered are the claims of a signed request that are no parameters.
var registered = []string{"iss", "aud", "exp", "iat", "nbf", "jti", "sub"}

// unsign returns the parameters of a request: those of the form, or those of
// the signed request in it (CIBA Core §7.1.1). Every fault of one is
// invalid_request.
func (s *Server) unsign(ctx context.Context, who caller, f form) (form, error) {
	token := f.get("request")
	if token == "" {
		if who.Signs() {
			return nil, refuse(InvalidRequest, "request: this client has to sign its requests")
		}
		return f, nil
	}
	for _, p := range f {
		if !slices.Contains(besideRequest, p.name) {
			return nil, refuse(InvalidRequest, "%.64s: must stand inside the signed request", p.name)
		}
	}
	signed, err := s.verify(ctx, who.Client, token, algs(who.Client, who.RequestAlg), requestTypes)
	if err != nil {
		return nil, refused(InvalidRequest, "request", err)
	}
	var p proofClaims
	if err := signed.Payload.Each(p.claim); err != nil {
		return nil, refuse(InvalidRequest, "request: a registered claim has another form than RFC 7519 says")
	}
	if err := s.checkRequest(who.Client, &p); err != nil {
		return nil, err
	}
	inside, err := claimedForm(signed.Payload)
	if err != nil {
		return nil, err
	}
	return inside, s.useUp(ctx, who.Client, InvalidRequest, "request", "request\x00"+who.ID+"\x00"+p.JTI, p.Expiry.Add(behindUs))
}

// checkRequest checks the claims that every signed request has (CIBA Core
// §7.1.1, FAPI-CIBA §5.2.2).
func (s *Server) checkRequest(c *consent.Client, p *proofClaims) error {
	now := s.cfg.Now()
	switch {
	case p.Issuer != c.ID:
		return refuse(InvalidRequest, "request: iss must be the client_id")
	case !slices.Contains(p.Audience, s.cfg.Issuer):
		return refuse(InvalidRequest, "request: aud must be %s", s.cfg.Issuer)
	case p.JTI == "" || len(p.JTI) > maxJTI:
		return refuse(InvalidRequest, "request: jti must be there, with at most %d bytes", maxJTI)
	case p.Expiry.IsZero() || p.IssuedAt.IsZero() || p.NotBefore.IsZero():
		return refuse(InvalidRequest, "request: exp, iat and nbf must be there")
	case !now.Before(p.Expiry.Add(behindUs)):
		return refuse(InvalidRequest, "request: has expired, make a new one for every request")
	case p.NotBefore.After(now.Add(aheadOfUs)), p.IssuedAt.After(now.Add(aheadOfUs)):
		return refuse(InvalidRequest, "request: nbf or iat lies in the future, check the clock")
	case p.Expiry.Sub(p.NotBefore) > longestProof:
		return refuse(InvalidRequest, "request: exp must be at most 60 minutes after nbf")
	}
	return nil
}

// claimedForm makes parameters of claims. They are strings, but for
// requested_expiry, which may be a number, and extensions, which keep their
// JSON text (CIBA Core §7.1.1).
func claimedForm(claims keys.Claims) (f form, err error) {
	err = claims.Each(func(claim, raw []byte) (err error) {
		name, value := string(claim), string(raw)
		switch {
		case slices.Contains(registered, name):
			return nil
		case raw[0] == '"':
			if value, err = readText(raw); err != nil {
				return err
			}
		case slices.Contains(stringParams, name) && (name != "requested_expiry" || raw[0] == '[' || raw[0] == '{'):
			return refuse(InvalidRequest, "%.64s: must be a string in the signed request", name)
		}
		if strings.ContainsRune(value, 0) {
			return refuse(InvalidRequest, "%.64s: must not contain NUL", name)
		}
		f = append(f, param{name, value})
		return nil
	})
	return f, err
}

// stringParams are the parameters of CIBA Core §7.1 and those that other
// specifications define as strings.
var stringParams = []string{
	"scope", "client_notification_token", "acr_values", "login_hint_token", "id_token_hint", "login_hint", "binding_message",
	"user_code", "requested_expiry", "resource",
}
