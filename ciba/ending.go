package ciba

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"

	"ringback/consent"
)

// handleOf is the parameter by which a client comes for the answer.
func handleOf(g consent.Grant) string {
	if g == consent.GrantClientCredentials {
		return "deferral_code"
	}
	return "auth_req_id"
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

// revokeAll writes that nothing is valid any more that a request yielded.
func (s *Server) revokeAll(ctx context.Context, st *consent.State, by string) error {
	req := st.Request
	if err := s.cfg.Store.Revoke(ctx, req.ID, consent.Revocation{V: consent.Version, By: by, At: s.cfg.Now()}); err != nil {
		return err
	}
	s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "token revoked", slog.String("req", req.ID.String()), slog.String("client", req.Client.ID))
	return nil
}
