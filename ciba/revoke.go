package ciba

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/clients"
	"ringback/consent"
)

// revoke is the revocation endpoint (RFC 7009). It takes access and refresh
// tokens, and the auth_req_id or deferral_code of a request that the client
// wants back. With one token goes all that was granted with it.
func (s *Server) revoke(c echo.Context) error {
	who, f, err := s.receive(c)
	if err != nil {
		return err
	}
	token := f.Get("token")
	if token == "" {
		return refuse(InvalidRequest, "token: missing, send an access token, a refresh token, an auth_req_id or a deferral_code")
	}
	ctx := c.Request().Context()
	if id, ok := s.cfg.Handles.ParseAuthReqID(token); ok {
		err = s.takeBack(ctx, who, id)
	} else if id, ok := s.cfg.Handles.ParseDeferralCode(token); ok {
		err = s.cancelDeferral(ctx, who, id)
	} else if id, _, ok := s.cfg.Handles.ParseRefreshToken(token); ok {
		err = s.revokeGranted(ctx, who, id, false)
	} else if claims, id, ok := s.readAccess(token); ok {
		err = s.revokeAccess(ctx, who, claims, id)
	}
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, nil) // also for what is no token of ours (RFC 7009 §2.2)
}

func (s *Server) revokeAccess(ctx context.Context, who clients.Caller, c *accessClaims, id consent.ID) error {
	if c.ClientID != who.ID {
		return errOthers
	}
	live := s.cfg.Now().Before(c.ends())
	switch {
	case !c.unasked():
		return s.revokeGranted(ctx, who, id, live)
	case live:
		return s.revokeUnasked(ctx, who, c, id)
	}
	return nil
}

var errOthers = &Error{Code: InvalidGrant, Description: "token: was issued to another client"}

// revokeGranted revokes what was granted to the caller, unless the token is
// over that was sent and none can follow it.
func (s *Server) revokeGranted(ctx context.Context, who clients.Caller, id consent.ID, live bool) error {
	st, err := s.cfg.Store.Get(ctx, id)
	switch {
	case errors.Is(err, consent.ErrNotFound): // aged out, or its person was erased
		return nil
	case err != nil:
		return err
	case st.Request.Client.ID != who.ID:
		return errOthers
	case st.Status() != consent.StatusRedeemed, !live && !s.cfg.Now().Before(st.RenewUntil()):
		return nil
	}
	return s.revokeAll(ctx, st, who.ID)
}

// takeBack takes back what was asked for by an auth_req_id.
func (s *Server) takeBack(ctx context.Context, who clients.Caller, id consent.ID) error {
	st, err := s.owned(ctx, who, id)
	if err == nil {
		err = who.MayCollect(st.Request.Binding)
	}
	if err != nil {
		return err
	}
	return s.cancel(ctx, who, st)
}

// cancel withdraws a pending request and cancels an approval that was not
// redeemed. What has ended stays as it is.
func (s *Server) cancel(ctx context.Context, who clients.Caller, st *consent.State) error {
	var err error
	now := s.cfg.Now()
	if st.Overdue(now) {
		err = s.expire(ctx, st)
	} else if st.Decided == nil {
		err = s.withdraw(ctx, st, who, now)
	}
	if err != nil {
		return err
	}
	if st.Status() != consent.StatusApproved {
		return nil
	}
	_, err = s.settle(ctx, st, consent.Settlement{Verb: consent.Cancelled, At: now})
	return err
}

// withdraw takes a pending request back for the client that made it.
func (s *Server) withdraw(ctx context.Context, st *consent.State, who clients.Caller, now time.Time) error {
	d, err := consent.Decide(st, consent.Evidence{
		Verb: consent.Withdrawn, By: who.ID, Means: consent.ByClient, Nonce: rand.Text(),
	}, s.cfg.Details, now)
	if err != nil {
		return err
	}
	return s.decide(ctx, st, d)
}

// cancelDeferral takes back what was asked for by a deferral code
// (draft-ietf-oauth-deferred-token-response-01 §8.2). Another client's changes
// nothing, and is answered like one of the caller's.
func (s *Server) cancelDeferral(ctx context.Context, who clients.Caller, id consent.ID) error {
	st, err := s.owned(ctx, who, id)
	if errors.Is(err, errForeign) {
		return nil
	}
	if err == nil {
		err = who.MayCollect(st.Request.Binding)
	}
	if err != nil {
		return err
	}
	return s.cancel(ctx, who, st)
}

// revokeUnasked revokes the caller's own live token.
func (s *Server) revokeUnasked(ctx context.Context, who clients.Caller, c *accessClaims, id consent.ID) error {
	first, err := s.cfg.Store.First(ctx, revokedKey(c))
	if err == nil && first {
		s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "token revoked", slog.String("req", id.String()), slog.String("client", who.ID))
	}
	return err
}
