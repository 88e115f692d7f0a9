package ciba

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
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

// endpoint is where a client is told of a request, "" where it has named none.
func endpoint(c *consent.Client, req *consent.Request) string {
	if req.Grant == consent.GrantClientCredentials {
		return c.DeferredEndpoint
	}
	return c.NotificationEndpoint
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
