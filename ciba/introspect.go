package ciba

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"ringback/clients"
	"ringback/consent"
)

// introspection is what an API learns about a token (RFC 7662 §2.2).
type introspection struct {
	Active    bool   `json:"active"`
	TokenType string `json:"token_type,omitempty"`
	*accessClaims
}

// refreshInspection is what a client learns about its own refresh token (RFC
// 7662 §2.2). It has no type, so that nobody takes it for an access token.
type refreshInspection struct {
	Active   bool   `json:"active"`
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
	Expiry   int64  `json:"exp"`
}

// introspect is the introspection endpoint (RFC 7662). A token that is none,
// is over or is none of the caller's business is inactive, without a reason.
func (s *Server) introspect(c echo.Context) error {
	who, f, err := s.receive(c)
	if err != nil {
		return err
	}
	token := f.Get("token")
	if token == "" {
		return refuse(InvalidRequest, "token: missing, send the access token or the refresh token")
	}
	i, err := s.inspect(c.Request().Context(), who, token)
	return reply(c, i, err)
}

func (s *Server) inspect(ctx context.Context, who clients.Caller, token string) (any, error) {
	if id, n, ok := s.cfg.Handles.ParseRefreshToken(token); ok {
		return s.inspectRefresh(ctx, who, id, n)
	}
	c, id, ok := s.readAccess(token)
	if !ok || !s.cfg.Now().Before(c.ends()) || !s.mayInspect(who, c) {
		return &introspection{}, nil
	}
	live, err := s.isLive(ctx, c, id)
	if err != nil || !live {
		return &introspection{}, err
	}
	return &introspection{true, c.Confirmation.TokenType(), c}, nil
}

// inspectRefresh introspects refresh token n. One that was used is inactive;
// asking about it is no use of it.
func (s *Server) inspectRefresh(ctx context.Context, who clients.Caller, id consent.ID, n int) (any, error) {
	st, err := s.granted(ctx, who, id)
	if errors.Is(err, errRefresh) || err == nil && (n <= len(st.Renewals) || !s.cfg.Now().Before(st.RenewUntil())) {
		return &introspection{}, nil
	}
	if err != nil {
		return nil, err
	}
	req := st.Request
	return &refreshInspection{true, req.Issuer, req.Approver, req.Client.ID, strings.Join(req.Scope, " "), st.RenewUntil().Unix()}, nil
}

// isLive reports whether a token that has not ended was issued and not revoked,
// to a client that is still there.
func (s *Server) isLive(ctx context.Context, c *accessClaims, id consent.ID) (bool, error) {
	if !clients.IsAddress(c.ClientID) { // elsewhere its document would have to be asked for
		if _, err := s.cfg.Directory.Client(ctx, c.ClientID); errors.Is(err, consent.ErrNotFound) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	if c.unasked() {
		revoked, err := s.cfg.Store.Seen(ctx, revokedKey(c))
		return !revoked, err
	}
	st, err := s.cfg.Store.Get(ctx, id)
	if errors.Is(err, consent.ErrNotFound) {
		return false, nil
	}
	return err == nil && st.Status() == consent.StatusRedeemed, err
}

// mayInspect reports whether the token was issued to the caller, or is for a
// resource whose tokens the caller may inspect.
func (s *Server) mayInspect(who clients.Caller, c *accessClaims) bool {
	return c.ClientID == who.ID || slices.Contains(s.cfg.Policy().Resources[c.Audience].IntrospectBy, who.ID)
}

// readAccess reads an access token of ours, live or not. The id is that of its
// request, unless nobody was asked.
func (s *Server) readAccess(token string) (*accessClaims, consent.ID, bool) {
	payload, err := s.cfg.Ring.Verify(token, typeAccess)
	if err != nil {
		return nil, consent.ID{}, false
	}
	var c accessClaims
	if json.Unmarshal(payload, &c) != nil || c.Issuer != s.cfg.Issuer {
		return nil, consent.ID{}, false
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(c.JTI, unaskedJTI), ".") // a number follows in renewed ones
	id, err := consent.ParseID(name)
	return &c, id, err == nil
}

// revokedKey is under what the revocation of an unasked token is remembered.
func revokedKey(c *accessClaims) string { return "revoked\x00" + c.JTI }
