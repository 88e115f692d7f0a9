package ciba

import (
	"context"
	"slices"
	"strings"

	"ringback/clients"
	"ringback/consent"
	"ringback/details"
	"ringback/keys"
)

// typeDeferral is the token_type_hint of a deferral code.
const typeDeferral = "urn:ietf:params:oauth:token-type:deferral-code"

// deferral is the answer to a token request that has to wait for a person
// (draft-ietf-oauth-deferred-token-response-01 §6.4), and the code that the
// client's screen shows, where there may be need of one.
type deferral struct {
	Error        Code   `json:"error"`
	Description  string `json:"error_description"`
	DeferralCode string `json:"deferral_code"`
	ExpiresIn    int    `json:"expires_in"`
	Interval     int    `json:"interval"`
	MatchCode    string `json:"match_code,omitempty"`
}

// mayDefer reports whether the client takes a deferred answer. Values that
// mean nothing here are ignored
// (draft-ietf-oauth-deferred-token-response-01 §5.1).
func mayDefer(f form) bool {
	return slices.Contains(strings.Fields(f.Get("completion_mode")), "deferred")
}

// deferrals is how a client comes for a deferred answer. Every one may: whether
// it may have the token is checked with everything else, see stillMay.
func deferrals(h *keys.Handles) polling {
	return polling{"deferral_code", "the deferred token request", h.ParseDeferralCode, errForeignDeferral, func(*consent.Client) error { return nil }}
}

// deferToPerson stores what the client asks its registered approver, and
// answers with a deferral code.
func (s *Server) deferToPerson(ctx context.Context, who clients.Caller, f form, req *consent.Request, list details.List, policy *consent.Policy) (*deferral, error) {
	person, err := s.registeredApprover(ctx, who.Client)
	if err != nil {
		return nil, err
	}
	if !mayDefer(f) {
		return nil, refuse(InvalidRequest, "completion_mode: a person has to agree to this, send deferred and poll for the answer")
	}
	req.Approver, req.Pseudonym = person.ID, s.cfg.Directory.Pseudonym(person.ID)
	if who.DeferredEndpoint != "" {
		req.Mode = consent.Ping
		if token := f.Get("client_notification_token"); token != "" {
			if req.Bearers.NotificationToken, err = checkNotificationToken(token); err != nil {
				return nil, err
			}
		}
	}
	if req.ACR, err = assurance(f.Get("acr_values"), req.Scope, list, policy); err != nil {
		return nil, err
	}
	if err := fits(req); err != nil {
		return nil, err
	}
	if err := s.submit(ctx, req, policy); err != nil {
		return nil, err
	}
	return &deferral{
		Error: errPending.Code, Description: errPending.Description,
		DeferralCode: s.cfg.Handles.DeferralCode(req.ID),
		ExpiresIn:    seconds(req.ExpiresAt.Sub(req.AskedAt)),
		Interval:     req.Interval,
		MatchCode:    string(req.Bearers.MatchCode),
	}, nil
}
