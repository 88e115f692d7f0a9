package ciba

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"ringback/clients"
	"ringback/consent"
)

// GrantClientCredentials is the grant type of a client's own tokens (RFC 6749
// §4.4).
const GrantClientCredentials = consent.GrantTypeClientCredentials

// grantTypes are those that the token endpoint takes.
var grantTypes = []string{GrantCIBA, GrantClientCredentials, GrantDeferred}

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

// mayActAlone reports why the client gets no tokens of its own. Their subject
// must not be taken for a person's (RFC 9068 §5).
func (s *Server) mayActAlone(ctx context.Context, c *consent.Client) error {
	if !slices.Contains(c.GrantTypes, GrantClientCredentials) {
		return refuse(UnauthorizedClient, "the client is not registered for grant type %s", GrantClientCredentials)
	}
	if c.FromDocument && c.Approver == "" { // anybody can publish a document
		return refuse(UnauthorizedClient, "a client that is known by its metadata document alone acts for people only, use grant type %s", GrantCIBA)
	}
	switch _, err := s.cfg.Directory.Person(ctx, c.ID); {
	case err == nil:
		return refuse(UnauthorizedClient, "the client_id is a person's id as well: register the client under another one")
	case !errors.Is(err, consent.ErrNotFound):
		return err
	}
	return nil
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

// revokedKey is under what the revocation of an unasked token is remembered.
func revokedKey(c *accessClaims) string { return "revoked\x00" + c.JTI }

// revokeUnasked revokes the caller's own live token.
func (s *Server) revokeUnasked(ctx context.Context, who clients.Caller, c *accessClaims, id consent.ID) error {
	first, err := s.cfg.Store.First(ctx, revokedKey(c))
	if err == nil && first {
		s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "token revoked", slog.String("req", id.String()), slog.String("client", who.ID))
	}
	return err
}

// registeredApprover is who is asked for a client that names nobody.
func (s *Server) registeredApprover(ctx context.Context, c *consent.Client) (*consent.Person, error) {
	err := consent.ErrNotFound
	var p *consent.Person
	if c.Approver != "" {
		p, err = s.cfg.Directory.Person(ctx, c.Approver)
	}
	if errors.Is(err, consent.ErrNotFound) {
		return nil, refuse(AccessDenied, "a person has to agree to this, and the client has none to ask: have an approver registered for it")
	}
	return p, err
}

// stillMay checks that what was approved may be granted now: between the answer
// and the poll, registration, policy and the person's mind may have changed
// (draft-ietf-oauth-deferred-token-response-01 §11.7). If not, the approval is
// cancelled.
func (s *Server) stillMay(ctx context.Context, who clients.Caller, st *consent.State) error {
	err := s.recheck(ctx, who.Client, st)
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	won, err := s.settle(ctx, st, consent.Settlement{Verb: consent.Cancelled, At: s.cfg.Now()})
	if err != nil {
		return err
	}
	if !won {
		return ended(st)
	}
	return refuse(AccessDenied, "what was approved may no longer be granted: %s", e.Description)
}

// recheck says, as an *Error, what stands in the way of granting what was
// approved.
func (s *Server) recheck(ctx context.Context, c *consent.Client, st *consent.State) error {
	if err := s.mayActAlone(ctx, c); err != nil {
		return err
	}
	person, err := s.registeredApprover(ctx, c)
	if err != nil {
		return err
	}
	if person.ID != st.Request.Approver {
		return refuse(AccessDenied, "the client has another approver now")
	}
	return s.grantable(c, st)
}

// grantable says, as an *Error, what besides the person asked stands in the way
// of granting what was approved.
func (s *Server) grantable(c *consent.Client, st *consent.State) error {
	req, d, policy := st.Request, st.Decided, s.cfg.Policy()
	if _, ok := s.frozen(req.Pseudonym, req.Client.Counted()); ok {
		return refuse(AccessDenied, "the approver has stopped the client")
	}
	if len(req.Scope) > 0 {
		if _, err := scopeList(strings.Join(req.Scope, " "), c, policy); err != nil {
			return err
		}
	}
	if req.Resource != c.DefaultResource {
		if _, err := resource(form{{"resource", req.Resource}}, c, policy); err != nil {
			return err
		}
	}
	granted := req.Details
	if d.Granted != nil {
		granted = d.Granted
	}
	list, err := authorizationDetails(string(granted), c, s.cfg.Details)
	if err == nil && consent.Rank(d.ACR) < consent.Rank(leastACR(req.Scope, list, s.cfg.Details, policy)) {
		err = refuse(AccessDenied, "it was approved with less assurance than is needed now")
	}
	return err
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
