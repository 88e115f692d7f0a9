package ciba

import (
	"context"
	"slices"

	"ringback/keys"
)

// hintTypes are the typ values of a login_hint_token. That of an access token
// or a client's assertion is not among them.
var hintTypes = []string{"", "JWT"}

// hintClaims are those of a login_hint_token.
type hintClaims struct {
	proofClaims
	SubjectID []byte // sub_id (RFC 9493 §4.1): JSON
}

func (c *hintClaims) claim(name, value []byte) error {
	if string(name) == "sub_id" {
		c.SubjectID = value
	}
	return c.proofClaims.claim(name, value)
}

// hintToken reads a hint that somebody whom policy trusts has signed (CIBA Core
// §7.1), and uses it up. The person is that of sub_id, else of sub.
func (s *Server) hintToken(ctx context.Context, who caller, token string) (hint, error) {
	issuers := s.cfg.Policy().HintIssuers
	if len(issuers) == 0 {
		return hint{}, refuse(InvalidRequest, "login_hint_token: not supported here, use login_hint or id_token_hint")
	}
	iss, _ := unverified(token)
	from, ok := issuers[iss]
	if !ok {
		return hint{}, refuse(InvalidRequest, "login_hint_token: not a JWT, or its iss is nobody whose hints count here")
	}
	signed, err := verifyBy(func(newest bool) (*keys.PublicKeys, error) {
		if from.JWKSURI == "" {
			return s.keySets.parse(from.JWKS)
		}
		return s.remoteKeys.get(ctx, from.JWKSURI, who.ID, newest)
	}, token, algs(who.Client, ""), hintTypes)
	if err != nil {
		return hint{}, refused(InvalidRequest, "login_hint_token", unfetched(InvalidRequest, "login_hint_token: the keys of its iss are", err))
	}
	var c hintClaims
	if err := signed.Payload.Each(c.claim); err != nil {
		return hint{}, refuse(InvalidRequest, "login_hint_token: a registered claim has another form than RFC 7519 says")
	}
	if err := s.checkHint(&c); err != nil {
		return hint{}, err
	}
	h, err := subjectOf(&c, s.isOurs)
	if err != nil {
		return hint{}, err
	}
	return h, s.useUp(ctx, who.Client, InvalidRequest, "login_hint_token", "hint\x00"+iss+"\x00"+c.JTI, c.Expiry.Add(behindUs))
}

// checkHint checks the claims that every login_hint_token has. That it has
// expired is said only of one that was good before.
func (s *Server) checkHint(c *hintClaims) error {
	now := s.cfg.Now()
	switch {
	case !slices.Equal(c.Audience, s.names[:1]):
		return refuse(InvalidRequest, "login_hint_token: aud must be %s", s.cfg.Issuer)
	case c.JTI == "" || len(c.JTI) > maxJTI:
		return refuse(InvalidRequest, "login_hint_token: jti must be there, with at most %d bytes", maxJTI)
	case c.Expiry.IsZero() || c.IssuedAt.IsZero():
		return refuse(InvalidRequest, "login_hint_token: exp and iat must be there")
	case c.Expiry.After(now.Add(longestProof)):
		return refuse(InvalidRequest, "login_hint_token: exp must be at most 60 minutes ahead")
	case c.NotBefore.After(now.Add(aheadOfUs)), c.IssuedAt.After(now.Add(aheadOfUs)):
		return refuse(InvalidRequest, "login_hint_token: nbf or iat lies in the future, check the clock")
	case !now.Before(c.Expiry.Add(behindUs)):
		return refuse(ExpiredLoginHintToken, "login_hint_token: has expired, get a new one")
	}
	return nil
}

// subjectOf reads whom a hint names: sub_id in one of the formats of
// [parseHint], else sub.
func subjectOf(c *hintClaims, isOurs func(iss string) bool) (hint, error) {
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
