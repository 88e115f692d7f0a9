package ciba

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"ringback/clients"
	"ringback/consent"
)

// Refresh tokens are numbered. Each is used up by a durable fact before the
// next is issued, so that two who hold the same one show themselves.
var (
	errRefresh = &Error{Code: InvalidGrant, Description: "refresh_token is unknown, was issued to another client, was used or revoked, or is over: ask the person again"}
	errReused  = &Error{Code: InvalidGrant, Description: "refresh_token was used before, so everything that it could renew is revoked: ask the person again"}
)

// renews reports whether the client may have refresh tokens.
func renews(c *consent.Client, p *consent.Policy) bool {
	return p.Lifetime.Renew > 0 && slices.Contains(c.GrantTypes, GrantRefresh)
}

// renewable puts offline_access into a request whose scope asks for it, and
// for how long, where the client may have refresh tokens (OpenID Connect Core
// §11). Elsewhere it is dropped, and RFC 6749 §3.3 lets the answer say so.
func renewable(req *consent.Request, scope string, c *consent.Client, p *consent.Policy) {
	if renews(c, p) && slices.Contains(strings.Split(scope, " "), scopeOffline) {
		req.Scope, req.Renewable = append(req.Scope, scopeOffline), seconds(p.Lifetime.Renew)
	}
}

// renew answers a refresh token: client, then ownership, then sender's key,
// then state (RFC 6749 §6). Whoever lacks the key that the tokens are bound to
// changes nothing.
func (s *Server) renew(ctx context.Context, who clients.Caller, f form) (*tokens, error) {
	policy := s.cfg.Policy()
	switch {
	case policy.Lifetime.Renew == 0:
		return nil, refuse(UnsupportedGrantType, "grant_type: there are no refresh tokens here")
	case !renews(who.Client, policy):
		return nil, refuse(UnauthorizedClient, "the client is not registered for grant type %s", GrantRefresh)
	}
	if err := who.CanBind(); err != nil {
		return nil, err
	}
	token := f.Get("refresh_token")
	if token == "" {
		return nil, refuse(InvalidRequest, "refresh_token: missing, send the one that came with the access token")
	}
	id, n, ok := s.cfg.Handles.ParseRefreshToken(token)
	if !ok || n < 1 || n > consent.MaxRenewals {
		return nil, errRefresh
	}
	st, err := s.granted(ctx, who, id)
	if err != nil {
		return nil, err
	}
	if err := who.MayCollect(st.Settled.Binding); err != nil {
		return nil, err
	}
	if n <= len(st.Renewals) {
		return nil, s.reused(ctx, st)
	}
	now := s.cfg.Now()
	if now.Unix() >= st.RenewUntil().Unix() {
		return nil, errRefresh
	}
	if err := isFor(f, st.Request); err != nil {
		return nil, err
	}
	if err := s.mayRenew(ctx, who.Client, st); err != nil {
		return nil, err
	}
	scope, err := narrowed(f.Get("scope"), st.Request.Scope)
	if err != nil {
		return nil, err
	}
	c := claimsOf(st.Request, st.Decided, who.Key, now).renewed(n, st.RenewUntil())
	c.Scope = scope
	return s.useRefresh(ctx, who, st, n, c)
}

// granted reads a request of the caller whose approval was redeemed, and can be
// renewed.
func (s *Server) granted(ctx context.Context, who clients.Caller, id consent.ID) (*consent.State, error) {
	st, err := s.owned(ctx, who, id)
	if errors.Is(err, errForeign) || err == nil && (st.Status() != consent.StatusRedeemed || st.Request.Renewable == 0) {
		return nil, errRefresh
	}
	return st, err
}

// useRefresh uses up refresh token n and signs what it yields.
func (s *Server) useRefresh(ctx context.Context, who clients.Caller, st *consent.State, n int, c *accessClaims) (*tokens, error) {
	if err := ctx.Err(); err != nil { // nothing is used up for a caller that has gone
		return nil, err
	}
	id := st.Request.ID
	err := s.cfg.Store.Renew(ctx, id, consent.Renewal{
		V: consent.Version, N: n, JTI: c.JTI, IssuedAt: c.issued(), ExpiresAt: c.ends(),
		Binding: who.Key, At: s.cfg.Now(), Nonce: rand.Text(),
	})
	if errors.Is(err, consent.ErrClaimed) {
		return nil, s.reused(ctx, st)
	}
	if err != nil {
		return nil, err
	}
	s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "token renewed", slog.String("req", id.String()), slog.String("client", who.ID), slog.Int("attempt", n))
	if _, err := s.granted(ctx, who, id); err != nil { // revoked before this renewal was written
		return nil, err
	}
	return s.signAccess(c, s.refreshToken(st.Request, n+1))
}

// reused revokes everything of a request whose refresh token came twice (RFC
// 9700 §4.14.2), and returns what to answer.
func (s *Server) reused(ctx context.Context, st *consent.State) error {
	s.cfg.Log.WarnContext(ctx, "refresh token came twice", slog.String("req", st.Request.ID.String()), slog.String("client", st.Request.Client.ID))
	if err := s.revokeAll(ctx, st, consent.ByReuse); err != nil {
		return err
	}
	return errReused
}

// narrowed returns the scope of a renewed token: what was granted, or the part
// of it that is asked for (RFC 6749 §6). The refresh token keeps all of it.
func narrowed(text string, granted []string) (string, error) {
	if text == "" {
		return strings.Join(granted, " "), nil
	}
	for _, name := range strings.Split(text, " ") {
		if !slices.Contains(granted, name) {
			return "", refuse(InvalidScope, "scope: %.64s was not granted; names are separated by one space, without scope all is renewed", name)
		}
	}
	return text, nil
}

// mayRenew reports why something is not renewed: what the operator registered
// or configured has changed since, or the person has stopped the client.
func (s *Server) mayRenew(ctx context.Context, c *consent.Client, st *consent.State) error {
	person, err := s.cfg.Directory.Person(ctx, st.Request.Approver)
	if errors.Is(err, consent.ErrNotFound) || err == nil && !c.MayName(person) {
		return refuse(InvalidGrant, "refresh_token: the client may no longer ask this person")
	}
	if err == nil {
		err = s.grantable(c, st)
	}
	var e *Error
	if errors.As(err, &e) {
		return refuse(InvalidGrant, "refresh_token: what it renews may no longer be granted: %s", e.Description)
	}
	return err
}
