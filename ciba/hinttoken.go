package ciba

import (
	"context"
	"slices"

	"ringback/clients"
)

// hintTokens are signed by others than clients. Neither the typ of an access
// token nor that of a client's assertion is among theirs.
var hintTokens = &clients.Kind{Name: "login_hint_token", Code: InvalidRequest, Types: []string{"", "JWT"}, Use: "hint"}

// hintToken reads a hint that somebody whom policy trusts has signed (CIBA Core
// §7.1), and uses it up. The person is that of sub_id, else of sub.
func (s *Server) hintToken(ctx context.Context, who clients.Caller, token string) (hint, error) {
	issuers := s.cfg.Policy().HintIssuers
	if len(issuers) == 0 {
		return hint{}, hintTokens.Refuse("not supported here, use login_hint or id_token_hint")
	}
	iss, _ := clients.Unverified(token)
	from, ok := issuers[iss]
	if !ok {
		return hint{}, hintTokens.Refuse("not a JWT, or its iss is nobody whose hints count here")
	}
	signed, err := s.cfg.Clients.VerifyHint(ctx, hintTokens, &from, who.Client, token)
	if err != nil {
		return hint{}, err
	}
	if err := s.checkHint(signed); err != nil {
		return hint{}, err
	}
	h, err := subjectOf(signed, s.isOurs)
	if err != nil {
		return hint{}, err
	}
	return h, s.cfg.Clients.UseUp(ctx, hintTokens, who.Client, signed)
}

// checkHint checks the claims that every login_hint_token has. That it has
// expired is said only of one that was good before.
func (s *Server) checkHint(p *clients.Claims) error {
	now, bad := s.cfg.Now(), hintTokens.Refuse
	switch {
	case !slices.Equal(p.Audience, []string{s.cfg.Issuer}):
		return bad("aud must be %s", s.cfg.Issuer)
	case !p.Named():
		return bad(clients.NoJTI)
	case p.Expiry.IsZero() || p.IssuedAt.IsZero():
		return bad("exp and iat must be there")
	case p.Expiry.After(now.Add(clients.Longest)):
		return bad("exp must be at most 60 minutes ahead")
	case p.Early(now):
		return bad(clients.Early)
	case p.Over(now):
		return refuse(ExpiredLoginHintToken, "login_hint_token: has expired, get a new one")
	}
	return nil
}

// subjectOf reads whom a hint names: sub_id in one of the formats of
// [parseHint], else sub.
func subjectOf(c *clients.Claims, isOurs func(iss string) bool) (hint, error) {
	var h hint
	var err error
	switch id := c.SubjectID; {
	case len(id) > 0 && len(id) <= maxHint && id[0] == '{':
		h, err = parseSubject(string(id), isOurs)
	case len(id) > 0 || c.Subject == "":
		err = refuse(InvalidRequest, "")
	default:
		h, err = idHint(c.Subject)
	}
	if err != nil && err != error(errUnknownUser) {
		return hint{}, refuse(InvalidRequest, "login_hint_token: must name a person by sub_id, a subject identifier (RFC 9493) of format iss_sub, email, phone_number or opaque, or by sub")
	}
	return h, err
}
