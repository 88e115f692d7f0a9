package ciba

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ringback/consent"
	"ringback/outbound"
)

// Waiting between pings that found nobody: 2, 4, 8 … seconds, at most maxDelay
// unless the client asks for more, and never more than maxAskedDelay.
const (
	maxDelay      = time.Minute
	maxAskedDelay = 5 * time.Minute
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

// endpoint is where a client is told of a request, "" where it has named none.
func endpoint(c *consent.Client, req *consent.Request) string {
	if req.Grant == consent.GrantClientCredentials {
		return c.DeferredEndpoint
	}
	return c.NotificationEndpoint
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

// post sends a body to a notification endpoint.
func (s *Server) post(ctx context.Context, endpoint string, req *consent.Request, body string, n int) (done bool, code string, delay int) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(body))
	if err != nil {
		return true, "endpoint", 0
	}
	r.Header.Set("Content-Type", "application/json")
	if token := req.Bearers.NotificationToken; token != "" { // a callback goes without one where the client sent none
		r.Header.Set("Authorization", "Bearer "+string(token))
	}
	r.Header.Set("User-Agent", "ringback")
	res, err := s.cfg.Outbound.Do(ctx, r)
	var refused *outbound.RefusedError
	switch {
	case res != nil: // the status counts, whatever became of the body
		return answered(res, n)
	case errors.As(err, &refused):
		s.cfg.Log.WarnContext(ctx, "client not notified", slog.String("req", req.ID.String()), slog.String("client", req.Client.ID), slog.Any("err", err))
		return true, "refused_" + refused.Rule, 0
	case outbound.IsConnect(err):
		return false, "connect", seconds(backoff(n))
	}
	return false, "no_answer", seconds(backoff(n))
}

// answered judges a status.
func answered(res *outbound.Response, n int) (done bool, code string, delay int) {
	code = strconv.Itoa(res.Status)
	if res.Status != http.StatusTooManyRequests && res.Status < 500 {
		return true, code, 0
	}
	wait := backoff(n)
	if asked, ok := digits(res.Header.Get("Retry-After")); ok {
		wait = max(wait, min(time.Duration(asked)*time.Second, maxAskedDelay))
	}
	return false, code, seconds(wait)
}

func backoff(n int) time.Duration {
	return min(time.Second<<min(max(n, 1), 16), maxDelay)
}
