package ciba

import (
	"context"

	"ringback/clients"
	"ringback/consent"
)

// redeem settles an approved request and signs its tokens. The first writer
// settles; nothing is signed that is not settled.
func (s *Server) redeem(ctx context.Context, who clients.Caller, st *consent.State, handle string) (*tokens, error) {
	now := s.cfg.Now()
	if err := ctx.Err(); err != nil { // a caller that has gone is not settled for
		return nil, err
	}
	if !now.Before(st.RedeemUntil()) {
		if _, err := s.settle(ctx, st, consent.Settlement{Verb: consent.Lapsed, At: now}); err != nil {
			return nil, err
		}
		return nil, ended(st)
	}
	if st.Request.Grant == consent.GrantClientCredentials {
		if err := s.stillMay(ctx, who, st); err != nil {
			return nil, err
		}
	}
	c := claimsOf(st.Request, st.Decided, who.Key, now)
	won, err := s.settle(ctx, st, consent.Settlement{
		Verb: consent.Redeemed, JTI: c.JTI, IssuedAt: c.issued(), ExpiresAt: c.ends(), Binding: who.Key, At: now,
	})
	if err != nil {
		return nil, err
	}
	if !won {
		return nil, ended(st)
	}
	if st.Request.Grant == consent.GrantClientCredentials {
		return s.signAccess(c, "")
	}
	return s.sign(who.Client, c, handle, s.refreshToken(st.Request, 1))
}
