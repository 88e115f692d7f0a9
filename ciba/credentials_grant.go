package ciba

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"

	"ringback/clients"
	"ringback/consent"
)

// clientCredentials answers a request for a client's own token: with tokens
// where policy needs nobody's yes, else with a deferral.
func (s *Server) clientCredentials(ctx context.Context, who clients.Caller, f form) (*tokens, *deferral, error) {
	policy := s.cfg.Policy()
	err := s.mayActAlone(ctx, who.Client)
	if err == nil {
		err = who.CanBind()
	}
	if err != nil {
		return nil, nil, err
	}
	req := s.newRequest(who, policy, s.cfg.Now().UTC())
	req.Grant = consent.GrantClientCredentials
	if req.Scope, err = ownScopes(f.Get("scope"), who.Client, policy); err != nil {
		return nil, nil, err
	}
	list, err := s.describe(req, who.Client, f, policy)
	switch {
	case err != nil:
		return nil, nil, err
	case len(req.Scope) == 0 && len(list) == 0:
		return nil, nil, refuse(InvalidScope, "scope: missing, name at least one, or send authorization_details")
	case len(list) == 0 && f.Get("acr_values") == "" && unattended(req.Scope, policy):
		t, err := s.issue(ctx, req)
		return t, nil, err
	}
	d, err := s.deferToPerson(ctx, who, f, req, list, policy)
	return nil, d, atToken(err)
}

// ownScopes reads the scope of a client's own token.
func ownScopes(text string, c *consent.Client, p *consent.Policy) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	list, err := scopeList(text, c, p)
	if err == nil && slices.Contains(list, scopeOpenID) {
		return nil, refuse(InvalidScope, "scope: openid asks who a person is, and a client's own token names none; leave it out or use grant type %s", GrantCIBA)
	}
	return list, err
}

// unattended reports whether policy grants all these scopes without asking.
func unattended(scope []string, p *consent.Policy) bool {
	return !slices.ContainsFunc(scope, func(name string) bool {
		return !p.Scopes[name].Unattended || p.Scopes[name].MinACR != ""
	})
}

// issue makes a token that nobody was asked about. Nothing is stored.
func (s *Server) issue(ctx context.Context, req *consent.Request) (*tokens, error) {
	req.ID = consent.NewID()
	if err := fits(req); err != nil {
		return nil, err
	}
	t, err := s.signAccess(claimsOf(req, nil, req.Binding, req.AskedAt), "")
	if err != nil {
		return nil, err
	}
	s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "token issued unasked", slog.String("req", req.ID.String()), slog.String("client", req.Client.ID))
	return t, nil
}

// atToken makes a refusal one of the token endpoint, where RFC 6749 §5.2 has no
// other status.
func atToken(err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Status != http.StatusForbidden {
		return err
	}
	at := *e
	at.Status = 0
	return &at
}
