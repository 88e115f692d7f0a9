package clients

import (
	"context"
	"slices"

	"ringback/consent"
)

// assertionType is the value of client_assertion_type (RFC 7523 §2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertions are what private_key_jwt sends. RFC 7523bis names a typ, and older
// clients send none or JWT.
var assertions = &Kind{Name: "client_assertion", Code: InvalidClient, Types: []string{"", "JWT", "client-authentication+jwt"}, Use: "assertion"}

// checkAssertion verifies a private_key_jwt (OpenID Connect Core §9, RFC 7523
// §3) and uses up its jti.
func (v *Verifier) checkAssertion(ctx context.Context, c *consent.Client, assertion string) error {
	p, err := v.Verify(ctx, assertions, c, c.AuthAlg, assertion)
	if err != nil {
		return err
	}
	now := v.cfg.Now()
	switch {
	case p.Issuer != c.ID || p.Subject != c.ID:
		return assertions.Refuse("iss and sub must both be the client_id")
	case !p.single || !slices.Contains(v.audiences(c), p.Audience[0]):
		return assertions.Refuse("aud must be the one string %s", v.cfg.Issuer)
	case !p.Named():
		return assertions.Refuse(NoJTI)
	case p.Expiry.IsZero():
		return assertions.Refuse("exp is missing")
	case p.Over(now):
		return assertions.Refuse("has expired, make a new one for every request")
	case p.Expiry.After(now.Add(Longest)):
		return assertions.Refuse("exp must be at most 60 minutes ahead")
	case p.Early(now):
		return assertions.Refuse(Early)
	}
	return v.UseUp(ctx, assertions, c, p)
}

// audiences are the values of aud by which the client may mean us (RFC 7523bis
// §4; CIBA Core §7.1 for the lenient list).
func (v *Verifier) audiences(c *consent.Client) []string {
	if c.AssertionAud == consent.AudCIBAFinal || c.AssertionAud == "" && c.Strict() {
		return v.names
	}
	return v.names[:1]
}
