package ciba

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"

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

// settle writes m unless the request is settled, and puts into st what is
// stored then. It reports whether m was the first.
func (s *Server) settle(ctx context.Context, st *consent.State, m consent.Settlement) (bool, error) {
	m.V, m.GrantedDigest, m.Nonce = consent.Version, st.Decided.GrantedDigest, rand.Text()
	stored, err := s.cfg.Store.Settle(ctx, st.Request.ID, m)
	switch {
	case err == nil:
		s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "approval settled", slog.String("req", st.Request.ID.String()), slog.String("client", st.Request.Client.ID), slog.String("code", string(m.Verb)))
		st.Settled = &m
		return true, nil
	case errors.Is(err, consent.ErrSettled):
		st.Settled = &stored
		return false, nil
	}
	return false, err
}

// expire writes that an undecided request is over, and puts into st what is
// stored then: somebody may have been faster.
func (s *Server) expire(ctx context.Context, st *consent.State) error {
	d, err := consent.Expire(st, rand.Text(), s.cfg.Now())
	if err != nil {
		return err
	}
	return s.decide(ctx, st, d)
}

func (s *Server) decide(ctx context.Context, st *consent.State, d consent.Decision) error {
	stored, err := s.cfg.Store.Decide(ctx, st.Request.ID, d)
	switch {
	case err == nil:
		s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "request decided", slog.String("req", st.Request.ID.String()), slog.String("client", st.Request.Client.ID), slog.String("code", string(d.Verb)))
		st.Decided = &d
	case errors.Is(err, consent.ErrDecided):
		st.Decided = &stored
	default:
		return err
	}
	return nil
}

// ended is the answer to a poll of a request that yields no token (any more).
func ended(st *consent.State) error {
	switch st.Status() {
	case consent.StatusDenied:
		return refuse(AccessDenied, "the person refused")
	case consent.StatusWithdrawn, consent.StatusCancelled:
		return refuse(AccessDenied, "the request was taken back")
	case consent.StatusExpired:
		return refuse(ExpiredToken, "%s: the request has ended, ask again", handleOf(st.Request.Grant))
	}
	return errForeign // redeemed, whatever became of the token
}
