package ciba

import (
	"context"
	"log/slog"

	"ringback/clients"
	"ringback/consent"
)

// pushed is what a client is sent (CIBA Core §10.3.1): a token response, and
// what it answers.
type pushed struct {
	AuthReqID string `json:"auth_req_id"`
	*tokens
}

// pushedError is sent instead when there are no tokens (CIBA Core §12).
type pushedError struct {
	AuthReqID   string `json:"auth_req_id"`
	Code        Code   `json:"error"`
	Description string `json:"error_description"`
}

// push makes the n-th attempt to send the client what its request came to.
func (s *Server) push(ctx context.Context, c *consent.Client, st *consent.State, n int) (done bool, code string, delay int) {
	req := st.Request
	if c.Mode != consent.Push || mayAsk(c) != nil || (clients.Caller{Client: c, Key: req.Binding}).CanBind() != nil || endpoint(c, req) == "" || req.Bearers.NotificationToken == "" {
		return true, "not_pushed", 0
	}
	v, err := s.pushBody(ctx, c, st)
	if err == nil && v == nil {
		return true, "over", 0
	}
	var body []byte
	if err == nil {
		body, err = encode(v)
	}
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "nothing pushed yet", slog.String("req", req.ID.String()), slog.String("client", c.ID), slog.Any("err", err))
		return false, "unavailable", seconds(backoff(n))
	}
	return s.post(ctx, endpoint(c, req), req, string(body), n)
}

// pushBody is what the client is sent; nil where it knows, or gains nothing.
// An approval is settled first, so every attempt sends the same tokens.
func (s *Server) pushBody(ctx context.Context, c *consent.Client, st *consent.State) (any, error) {
	req, handle := st.Request, s.cfg.Handles.AuthReqID(st.Request.ID)
	if st.Status() == consent.StatusApproved {
		t, err := s.redeem(ctx, clients.Caller{Client: c, Key: req.Binding}, st, handle)
		if err == nil {
			return &pushed{handle, t}, nil
		}
		if st.Settled == nil {
			return nil, err
		}
	}
	switch st.Status() {
	case consent.StatusRedeemed:
		claims := claimsOf(req, st.Decided, st.Settled.Binding, st.Settled.IssuedAt)
		left := int(claims.Expiry - s.cfg.Now().Unix())
		if left <= 0 {
			return nil, nil
		}
		t, err := s.sign(c, claims, handle, s.refreshToken(req, 1))
		if err != nil {
			return nil, err
		}
		t.ExpiresIn = left
		return &pushed{handle, t}, nil
	case consent.StatusDenied:
		return &pushedError{handle, AccessDenied, "the person refused"}, nil
	case consent.StatusExpired:
		return &pushedError{handle, ExpiredToken, "the request has ended, ask again"}, nil
	case consent.StatusWithdrawn:
		if st.Decided.Means != consent.ByClient {
			return &pushedError{handle, TransactionFailed, "the request was withdrawn here, ask again"}, nil
		}
	}
	return nil, nil
}
