package admin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/consent"
)

// statuses that a list may be filtered by.
var statuses = []consent.Status{
	consent.StatusPending, consent.StatusApproved, consent.StatusDenied, consent.StatusWithdrawn,
	consent.StatusExpired, consent.StatusRedeemed, consent.StatusCancelled, consent.StatusRevoked,
}

// requestView is one line of a list of requests.
type requestView struct {
	ID        consent.ID     `json:"id"`
	Status    consent.Status `json:"status"`
	Client    string         `json:"client_id"`
	Approver  string         `json:"approver"`
	AskedAt   time.Time      `json:"asked_at"`
	ExpiresAt time.Time      `json:"expires_at"`
	Attempts  int            `json:"attempts"`
	Unknown   int            `json:"attempts_without_outcome,omitempty"`
	Waits     string         `json:"waits,omitempty"` // why it is not being delivered
}

// requestDetail is everything stored about one request, without bearers.
type requestDetail struct {
	requestView
	Scope          []string            `json:"scope,omitempty"`
	Resource       string              `json:"resource,omitempty"`
	Details        json.RawMessage     `json:"authorization_details,omitempty"`
	BindingMessage string              `json:"binding_message,omitempty"`
	ACR            []string            `json:"acr"`
	Deliveries     []delivery          `json:"deliveries"`
	Misses         int                 `json:"wrong_codes"`
	Decision       *consent.Decision   `json:"decision,omitempty"`
	Settlement     *consent.Settlement `json:"settlement,omitempty"`
	Revocation     *consent.Revocation `json:"revocation,omitempty"`
	Notices        []notice            `json:"notices,omitempty"`
}

// delivery is one attempt and what became of it. The text that was sent is
// evidence and stays out of this view.
type delivery struct {
	N       int              `json:"n"`
	Channel string           `json:"channel"`
	Device  string           `json:"device,omitempty"`
	At      time.Time        `json:"at"`
	Outcome *consent.Outcome `json:"outcome,omitempty"`
	Receipt *consent.Receipt `json:"receipt,omitempty"`
}

// notice is one notification of the client and its answer.
type notice struct {
	consent.Notice
	Answer *consent.Notified `json:"answer,omitempty"`
}

func (s *Server) viewRequest(st *consent.State) requestView {
	v := requestView{
		ID: st.Request.ID, Status: st.Status(), Client: st.Request.Client.ID, Approver: st.Request.Approver,
		AskedAt: st.Request.AskedAt, ExpiresAt: st.Request.ExpiresAt, Attempts: len(st.Tried),
	}
	for _, a := range st.Tried {
		if _, ok := st.Outcomes[a.N]; !ok {
			v.Unknown++
		}
	}
	if b, known := s.cfg.Store.Peek(st.Request.ID); known {
		v.Waits = s.cfg.Waits(b)
	}
	return v
}

func (s *Server) detailRequest(st *consent.State) requestDetail {
	out := requestDetail{
		requestView: s.viewRequest(st), Scope: st.Request.Scope, Resource: st.Request.Resource, Details: st.Request.Details,
		BindingMessage: st.Request.BindingMessage, ACR: st.Request.ACR, Deliveries: []delivery{}, Misses: len(st.Misses),
		Settlement: st.Settled, Revocation: st.Revoked,
	}
	if st.Decided != nil {
		d := *st.Decided
		d.Presentation = nil // evidence, see the export
		out.Decision = &d
	}
	for _, a := range st.Tried {
		d := delivery{N: a.N, Channel: a.Channel, Device: a.Device, At: a.At}
		if o, ok := st.Outcomes[a.N]; ok {
			d.Outcome = &o
		}
		if r, ok := st.Receipts[a.N]; ok {
			d.Receipt = &r
		}
		out.Deliveries = append(out.Deliveries, d)
	}
	for _, n := range st.Notices {
		v := notice{Notice: n}
		if a, ok := st.Notified[n.N]; ok {
			v.Answer = &a
		}
		out.Notices = append(out.Notices, v)
	}
	return out
}

func (s *Server) listRequests(c echo.Context) error {
	after, limit, err := page(c)
	if err != nil {
		return err
	}
	f := consent.Filter{Client: c.QueryParam("client"), Status: consent.Status(c.QueryParam("status"))}
	switch c.QueryParam("stuck") {
	case "", "false":
	case "true":
		f.Stuck, f.Also = true, s.cfg.Stuck
	default:
		return invalid("stuck is neither true nor false.", "")
	}
	if f.Status != "" && !slices.Contains(statuses, f.Status) {
		return invalid("There is no such status.", "Use one of pending, approved, denied, withdrawn, expired, redeemed, cancelled, revoked.")
	}
	all, next, err := s.cfg.Directory.Requests(c.Request().Context(), f, after, limit)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listed(all, next, func(st **consent.State) requestView { return s.viewRequest(*st) }))
}

func (s *Server) showRequest(c echo.Context) error {
	id, err := consent.ParseID(c.Param("id"))
	if err != nil {
		return notFound("request", "A request id has 26 small letters and digits; `ringback request list` shows them.")
	}
	st, err := s.state(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, s.detailRequest(st))
}

func (s *Server) withdrawRequest(c echo.Context) error {
	id, err := consent.ParseID(c.Param("id"))
	if err != nil {
		return notFound("request", "A request id has 26 small letters and digits; `ringback request list` shows them.")
	}
	st, err := s.withdraw(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, s.viewRequest(st))
}

// withdraw takes a request back as far as it has come: an open one is
// withdrawn, an approval that nobody has redeemed is cancelled, and what was
// granted is revoked. It returns the state after that; a request that ended
// otherwise is a conflict.
func (s *Server) withdraw(ctx context.Context, id consent.ID) (*consent.State, error) {
	// Each turn either writes the fact that the state calls for or finds that
	// somebody was faster; a request has three such facts at most.
	for range 4 {
		st, err := s.state(ctx, id)
		if err != nil {
			return nil, err
		}
		now := s.cfg.Now()
		switch st.Status() {
		case consent.StatusPending:
			_, err = s.decide(ctx, st, now)
		case consent.StatusApproved:
			verb := consent.Cancelled
			if !now.Before(st.RedeemUntil()) {
				verb = consent.Lapsed
			}
			_, err = s.cfg.Store.Settle(ctx, id, consent.Settlement{V: consent.Version, Verb: verb,
				GrantedDigest: st.Decided.GrantedDigest, At: now, Nonce: rand.Text()})
		case consent.StatusRedeemed:
			err = s.cfg.Store.Revoke(ctx, id, consent.Revocation{V: consent.Version, By: "operator", At: now})
		default:
			return nil, ended(st)
		}
		if errors.Is(err, consent.ErrDecided) || errors.Is(err, consent.ErrSettled) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if st, err = s.state(ctx, id); err != nil {
			return nil, err
		}
		switch st.Status() {
		case consent.StatusWithdrawn, consent.StatusCancelled, consent.StatusRevoked:
			return st, nil
		}
		return nil, ended(st)
	}
	return nil, consent.ErrUnavailable
}

// decide ends an open request as withdrawn, or as expired when its time is over.
func (s *Server) decide(ctx context.Context, st *consent.State, now time.Time) (consent.Decision, error) {
	d, err := consent.Decide(st, consent.Evidence{Verb: consent.Withdrawn, By: "operator", Means: consent.ByAdmin, Nonce: rand.Text()}, s.cfg.Details, now)
	if errors.Is(err, consent.ErrEnded) {
		d, err = consent.Expire(st, rand.Text(), now)
	}
	if err != nil {
		return d, err
	}
	return s.cfg.Store.Decide(ctx, st.Request.ID, d)
}

// withdrawAll withdraws every request of a filter and counts them.
func (s *Server) withdrawAll(ctx context.Context, f consent.Filter) (n int, err error) {
	for after := ""; ; {
		all, next, err := s.cfg.Directory.Requests(ctx, f, after, 1000)
		if err != nil {
			return n, err
		}
		for _, st := range all {
			if _, err := s.withdraw(ctx, st.Request.ID); err == nil {
				n++
			} else if asError(err).Status >= 500 {
				return n, err
			}
		}
		if after = next; next == "" {
			return n, nil
		}
	}
}

func (s *Server) state(ctx context.Context, id consent.ID) (*consent.State, error) {
	st, err := s.cfg.Store.Get(ctx, id)
	if errors.Is(err, consent.ErrNotFound) {
		return nil, notFound("request", "Requests are kept here for four days; older ones are in the export.")
	}
	return st, err
}

func ended(st *consent.State) error {
	return conflict("The request has ended: it is "+string(st.Status())+".", "There is nothing to take back.")
}
