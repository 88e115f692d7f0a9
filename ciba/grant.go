package ciba

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/consent"
)

// introspection is what an API learns about a token (RFC 7662 §2.2).
type introspection struct {
	Active    bool   `json:"active"`
	TokenType string `json:"token_type,omitempty"`
	*accessClaims
}

// introspect is the introspection endpoint (RFC 7662). A token that is none,
// is over or is none of the caller's business is inactive, without a reason.
func (s *Server) introspect(c echo.Context) error {
	who, f, err := s.receive(c)
	if err != nil {
		return err
	}
	token := f.get("token")
	if token == "" {
		return refuse(InvalidRequest, "token: missing, send the access token")
	}
	i, err := s.inspect(c.Request().Context(), who, token)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, i)
}

func (s *Server) inspect(ctx context.Context, who caller, token string) (*introspection, error) {
	c, id, ok := s.readAccess(token)
	if !ok || !s.cfg.Now().Before(time.Unix(c.Expiry, 0)) || !s.mayInspect(who, c) {
		return &introspection{}, nil
	}
	st, err := s.cfg.Store.Get(ctx, id)
	switch {
	case errors.Is(err, consent.ErrNotFound):
		return &introspection{}, nil
	case err != nil:
		return nil, err
	case st.Status() != consent.StatusRedeemed:
		return &introspection{}, nil
	}
	return &introspection{true, tokenType(c.Confirmation), c}, nil
}

// mayInspect reports whether the token was issued to the caller, or is for a
// resource whose tokens the caller may inspect.
func (s *Server) mayInspect(who caller, c *accessClaims) bool {
	return c.ClientID == who.ID || slices.Contains(s.cfg.Policy().Resources[c.Audience].IntrospectBy, who.ID)
}

// readAccess reads an access token of ours, live or not.
func (s *Server) readAccess(token string) (*accessClaims, consent.ID, bool) {
	payload, err := s.cfg.Ring.Verify(token, typeAccess)
	if err != nil {
		return nil, consent.ID{}, false
	}
	var c accessClaims
	if json.Unmarshal(payload, &c) != nil || c.Issuer != s.cfg.Issuer {
		return nil, consent.ID{}, false
	}
	id, err := consent.ParseID(c.JTI)
	return &c, id, err == nil
}

// revoke is the revocation endpoint (RFC 7009). It takes access tokens, and
// the auth_req_id of a request that the client wants back.
func (s *Server) revoke(c echo.Context) error {
	who, f, err := s.receive(c)
	if err != nil {
		return err
	}
	token := f.get("token")
	if token == "" {
		return refuse(InvalidRequest, "token: missing, send an access token or an auth_req_id")
	}
	ctx := c.Request().Context()
	if id, ok := s.cfg.Handles.ParseAuthReqID(token); ok {
		err = s.takeBack(ctx, who, id)
	} else if claims, id, ok := s.readAccess(token); ok {
		err = s.revokeAccess(ctx, who, claims, id)
	}
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, nil) // also for what is no token of ours (RFC 7009 §2.2)
}

func (s *Server) revokeAccess(ctx context.Context, who caller, c *accessClaims, id consent.ID) error {
	if c.ClientID != who.ID {
		return refuse(InvalidGrant, "token: was issued to another client")
	}
	if !s.cfg.Now().Before(time.Unix(c.Expiry, 0)) {
		return nil
	}
	st, err := s.owned(ctx, who, id)
	if err != nil || st.Status() != consent.StatusRedeemed {
		return err
	}
	if err := s.cfg.Store.Revoke(ctx, id, consent.Revocation{V: consent.Version, By: who.ID, At: s.cfg.Now()}); err != nil {
		return err
	}
	s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "token revoked", slog.String("req", id.String()), slog.String("client", who.ID))
	return nil
}

// takeBack withdraws a pending request and cancels an approval that was not
// redeemed. What has ended stays as it is.
func (s *Server) takeBack(ctx context.Context, who caller, id consent.ID) error {
	st, err := s.owned(ctx, who, id)
	if err != nil {
		return err
	}
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
func (s *Server) withdraw(ctx context.Context, st *consent.State, who caller, now time.Time) error {
	d, err := consent.Decide(st, consent.Evidence{
		Verb: consent.Withdrawn, By: who.ID, Means: consent.ByClient, Nonce: rand.Text(),
	}, s.cfg.Details, now)
	if err != nil {
		return err
	}
	return s.decide(ctx, st, d)
}
