package ciba

import (
	"context"
	"errors"
	"net/url"

	"ringback/consent"
)

// Notify sends the n-th ping or push about a request once (CIBA Core §10.2 and
// §10.3), or the callback of a deferred one
// (draft-ietf-oauth-deferred-token-response-01 §7). Only a failure that says
// nothing about the client's will (no connection, no answer, 429, 5xx) may be
// tried again; a redirect is an answer like any other and is not followed. The
// caller has made the decision durable and claimed notice n.
func (s *Server) Notify(ctx context.Context, st *consent.State, n int) consent.Notified {
	out := consent.Notified{V: consent.Version, N: n, Done: true}
	req := st.Request
	c, err := s.cfg.Clients.Client(ctx, req.Client.ID)
	switch {
	case errors.Is(err, consent.ErrNotFound):
		out.Code = "client_removed"
	case err != nil:
		out.Done, out.Code, out.Delay = false, "directory", seconds(backoff(n))
	case req.Mode == consent.Push:
		out.Done, out.Code, out.Delay = s.push(ctx, c, st, n)
	case req.Mode != consent.Ping:
		out.Code = "not_pinged"
	case req.Grant == consent.GrantClientCredentials && endpoint(c, req) != "":
		out.Done, out.Code, out.Delay = s.ping(ctx, endpoint(c, req), req, s.deferrals.param, s.cfg.Handles.DeferralCode(req.ID), n)
	case req.Grant == consent.GrantCIBA && endpoint(c, req) != "" && req.Bearers.NotificationToken != "":
		out.Done, out.Code, out.Delay = s.ping(ctx, endpoint(c, req), req, s.backchannel.param, s.cfg.Handles.AuthReqID(req.ID), n)
	default:
		out.Code = "not_pinged"
	}
	out.At = s.cfg.Now().UTC()
	return out
}

// Host is that of the endpoint where the client is told of a request: a client,
// or several, must not hold up others by one that hangs.
func (s *Server) Host(ctx context.Context, st *consent.State) string {
	c, err := s.cfg.Clients.Client(ctx, st.Request.Client.ID)
	if err != nil {
		return ""
	}
	u, err := url.Parse(endpoint(c, st.Request))
	if err != nil {
		return ""
	}
	return u.Host
}

// ping makes one attempt. The body has the request's handle and nothing else.
func (s *Server) ping(ctx context.Context, endpoint string, req *consent.Request, name, handle string, n int) (done bool, code string, delay int) {
	return s.post(ctx, endpoint, req, `{"`+name+`":"`+handle+`"}`, n)
}
