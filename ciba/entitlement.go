package ciba

import (
	"context"
	"errors"
	"slices"
	"strings"

	"ringback/clients"
	"ringback/consent"
)

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
	if err == nil && consent.Rank(d.ACR) < consent.Rank(leastACR(req.Scope, list, policy)) {
		err = refuse(AccessDenied, "it was approved with less assurance than is needed now")
	}
	return err
}
