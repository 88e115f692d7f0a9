package ciba

import (
	"context"
	"slices"
	"strings"

	"ringback/clients"
	"ringback/consent"
	"ringback/keys"
)

// signedRequests are those of CIBA Core §7.1.1 and RFC 9101 §10.8.
var signedRequests = &clients.Kind{Name: "request", Code: InvalidRequest, Types: []string{"", "JWT", "oauth-authz-req+jwt"}, Use: "request"}

// besideRequest are the parameters that may stand beside a signed request:
// those by which the client authenticates (CIBA Core §7.1.1).
var besideRequest = []string{"request", "client_id", "client_secret", "client_assertion", "client_assertion_type"}

// registered are the claims of a signed request that are no parameters.
var registered = []string{"iss", "aud", "exp", "iat", "nbf", "jti", "sub"}

// unsign returns the parameters of a request: those of the form, or those of
// the signed request in it (CIBA Core §7.1.1). Every fault of one is
// invalid_request.
func (s *Server) unsign(ctx context.Context, who clients.Caller, f form) (form, error) {
	token := f.Get("request")
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
	signed, err := s.cfg.Clients.Verify(ctx, signedRequests, who.Client, who.RequestAlg, token)
	if err != nil {
		return nil, err
	}
	if err := s.checkRequest(who.Client, signed); err != nil {
		return nil, err
	}
	inside, err := claimedForm(signed.All)
	if err != nil {
		return nil, err
	}
	return inside, s.cfg.Clients.UseUp(ctx, signedRequests, who.Client, signed)
}

// checkRequest checks the claims that every signed request has (CIBA Core
// §7.1.1, FAPI-CIBA §5.2.2).
func (s *Server) checkRequest(c *consent.Client, p *clients.Claims) error {
	now, refuse := s.cfg.Now(), signedRequests.Refuse
	switch {
	case p.Issuer != c.ID:
		return refuse("iss must be the client_id")
	case !slices.Contains(p.Audience, s.cfg.Issuer):
		return refuse("aud must be %s", s.cfg.Issuer)
	case !p.Named():
		return refuse(clients.NoJTI)
	case p.Expiry.IsZero() || p.IssuedAt.IsZero() || p.NotBefore.IsZero():
		return refuse("exp, iat and nbf must be there")
	case p.Over(now):
		return refuse("has expired, make a new one for every request")
	case p.Early(now):
		return refuse(clients.Early)
	case p.Expiry.Sub(p.NotBefore) > clients.Longest:
		return refuse("exp must be at most 60 minutes after nbf")
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
			if value, err = clients.ReadText(raw); err != nil {
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
