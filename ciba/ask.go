package ciba

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/clients"
	"ringback/consent"
	"ringback/details"
)

const (
	// interval is the number of seconds between polls (CIBA Core §7.3).
	interval = 5

	saltSize = 16

	fewScopes = 8

	// longKey is as long as any thumbprint.
	longKey = "0123456789012345678901234567890123456789012"
)

// ack is the answer to an accepted request (CIBA Core §7.3) and the code that
// the agent's screen shows, where there may be need of one.
type ack struct {
	AuthReqID string `json:"auth_req_id"`
	ExpiresIn int    `json:"expires_in"`
	Interval  int    `json:"interval"`
	MatchCode string `json:"match_code,omitempty"`
}

// bcAuthorize is the backchannel authentication endpoint (CIBA Core §7).
func (s *Server) bcAuthorize(c echo.Context) error {
	// What was begun is finished first: where everything waits for a
	// processor, answers and tokens go before new requests.
	runtime.Gosched()
	who, f, err := s.receive(c)
	if err != nil {
		return err
	}
	a, err := s.ask(c.Request().Context(), who, f)
	return reply(c, a, err)
}

// ask stores what the form asks for and acknowledges it. Nothing is stored
// when it returns an error, but for one that leaves open whether a write
// reached the disk.
func (s *Server) ask(ctx context.Context, who clients.Caller, f form) (*ack, error) {
	now, policy := s.cfg.Now().UTC(), s.cfg.Policy()
	if err := mayAsk(who.Client); err != nil {
		return nil, err
	}
	if who.Mode == consent.Push { // nobody comes for these tokens with a key
		if err := who.CanBind(); err != nil {
			return nil, err
		}
	}
	f, err := s.unsign(ctx, who, f)
	if err != nil {
		return nil, err
	}
	req, list, err := s.parse(who, f, policy, now)
	if err != nil {
		return nil, err
	}
	person, err := s.approver(ctx, who, f)
	if err != nil {
		return nil, err
	}
	req.Approver, req.Pseudonym = person.ID, s.cfg.Directory.Pseudonym(person.ID)
	if req.ACR, err = assurance(f.Get("acr_values"), req.Scope, list, policy); err != nil {
		return nil, err
	}
	if err := fits(req); err != nil {
		return nil, err
	}
	if err := s.checkUserCode(ctx, who, person, f.Get("user_code")); err != nil {
		return nil, err
	}
	if err := s.submit(ctx, req, policy); err != nil {
		return nil, err
	}
	return &ack{
		AuthReqID: s.cfg.Handles.AuthReqID(req.ID),
		ExpiresIn: seconds(req.ExpiresAt.Sub(now)),
		Interval:  req.Interval,
		MatchCode: string(req.Bearers.MatchCode),
	}, nil
}

// parse makes a request of the form; approver, acr and id are still missing.
// Parameters that mean nothing here are ignored (CIBA Core §7.2).
func (s *Server) parse(who clients.Caller, f form, policy *consent.Policy, now time.Time) (*consent.Request, details.List, error) {
	req := s.newRequest(who, policy, now)
	if who.Mode != "" {
		req.Mode = who.Mode
	}
	var err error
	if req.Scope, err = scopes(f.Get("scope"), who.Client, policy); err != nil {
		return nil, nil, err
	}
	renewable(req, f.Get("scope"), who.Client, policy)
	list, err := s.describe(req, who.Client, f, policy)
	if err == nil {
		req.Bearers.NotificationToken, err = notificationToken(f.Get("client_notification_token"), req.Mode)
	}
	return req, list, err
}

// newRequest begins a request of the caller, whose answer it polls for.
func (s *Server) newRequest(who clients.Caller, policy *consent.Policy, now time.Time) *consent.Request {
	c := who.Client
	req := &consent.Request{
		V: consent.Version, Issuer: s.cfg.Issuer, Door: consent.DoorCIBA,
		Client: consent.Party{ID: c.ID, Name: c.Name, Host: c.Host}, Binding: who.Key,
		Salt: make([]byte, saltSize), Mode: consent.Poll, Interval: interval, Narrowable: true, AskedAt: now,
		GrantLifetime: seconds(or(policy.Lifetime.Token, defaultToken)),
	}
	rand.Read(req.Salt) // never fails
	if req.Client.Name == "" {
		req.Client.Name = c.ID
	}
	if group := c.Group(); group != c.ID {
		req.Client.Group = group
	}
	return req
}

// describe puts into req what the form asks for besides scopes, where it is
// for, and until when.
func (s *Server) describe(req *consent.Request, c *consent.Client, f form, policy *consent.Policy) (details.List, error) {
	var err error
	if req.Resource, err = resource(f, c, policy); err != nil {
		return nil, err
	}
	list, err := authorizationDetails(f.Get("authorization_details"), c, s.cfg.Details)
	if err != nil {
		return nil, err
	}
	if len(list) > 0 {
		req.Details = list.Canonical()
	}
	req.BindingMessage = f.Get("binding_message")
	if err := checkBindingMessage(req.BindingMessage); err != nil {
		return nil, err
	}
	lifetime, err := requestLifetime(f.Get("requested_expiry"), policy.Lifetime)
	req.ExpiresAt = req.AskedAt.Add(lifetime)
	return list, err
}

// submit stores a request that is complete but for its id, if the budgets
// permit.
func (s *Server) submit(ctx context.Context, req *consent.Request, policy *consent.Policy) error {
	if s.cfg.Enter != nil {
		leave, err := s.cfg.Enter(ctx)
		if err != nil {
			return err
		}
		defer leave()
	}
	if err := s.admit(ctx, req, policy, req.AskedAt); err != nil {
		return err
	}
	s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "request asked", slog.String("req", req.ID.String()), slog.String("client", req.Client.ID))
	return nil
}

// fits refuses what could be asked and approved but not be carried by a token.
// Without details, only a long list of scopes can do that.
func fits(req *consent.Request) error {
	if req.Details == nil && len(req.Scope) <= fewScopes {
		return nil
	}
	raw, err := json.Marshal(claimsOf(req, &consent.Decision{ACR: consent.ACRMatch}, "jkt:"+longKey, req.AskedAt))
	if err != nil {
		return err
	}
	if len(raw) > maxClaims {
		return refuse(InvalidRequest, "scope and authorization_details: %d bytes are more than a token can carry, ask for less at a time", len(raw))
	}
	return nil
}

// admit applies the budgets and stores the request. Where requests are
// counted, those to one person go one by one: each must be seen by the next.
func (s *Server) admit(ctx context.Context, req *consent.Request, policy *consent.Policy, now time.Time) error {
	var same [8]byte
	permit := func(history consent.History) error {
		if err := policy.Admit(req, same, history, now); err != nil {
			return err
		}
		s.number(req, policy, history.Open)
		return nil
	}
	var err error
	if policy.Dedupe || policy.Limits != nil {
		same = s.cfg.Store.Same(req)
		err = s.cfg.Store.AskIf(ctx, req, permit)
	} else {
		newest := 0
		if coded(req, policy) {
			newest = matchNewest
		}
		if err = permit(s.cfg.Store.Glance(req.Pseudonym, newest)); err == nil {
			err = s.cfg.Store.Ask(ctx, req)
		}
	}
	var refusal *consent.Refusal
	if errors.As(err, &refusal) {
		s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "request refused", slog.String("client", req.Client.ID), slog.String("code", string(refusal.Reason)))
		return refusedBy(refusal, now)
	}
	return err
}

// matchTries bounds the search for a match code that no other open request of
// the person has; newest is how many of these are compared.
const (
	matchTries  = 16
	matchNewest = 32
)

// coded reports whether a request has a match code: where the person has to
// key one, or policy wants it.
func coded(req *consent.Request, policy *consent.Policy) bool {
	return policy.MatchCode || req.Weakest() == consent.ACRMatch
}

// number gives the request its id and, if it has one, its match code. The code
// follows from the id, so that every process knows the codes of all open
// requests without reading them.
func (s *Server) number(req *consent.Request, policy *consent.Policy, open []consent.Brief) {
	req.ID = consent.NewID()
	if !coded(req, policy) {
		return
	}
	open = open[max(0, len(open)-matchNewest):]
	taken := make(map[consent.Secret]bool, len(open))
	for i := range open {
		taken[s.matchCode(open[i].ID)] = true
	}
	req.Bearers.MatchCode = s.matchCode(req.ID)
	for try := 0; taken[req.Bearers.MatchCode] && try < matchTries; try++ {
		req.ID = consent.NewID()
		req.Bearers.MatchCode = s.matchCode(req.ID)
	}
}

// matchCode draws 4 digits, the first 1 to 8, from the keyed code of attempt
// 0, which no message carries: a million values over 8000 codes, evenly.
func (s *Server) matchCode(id consent.ID) consent.Secret {
	n, err := strconv.Atoi(s.cfg.Handles.Code(id, 0))
	if err != nil {
		panic("ciba: a code that is no number: " + err.Error())
	}
	return consent.Secret(strconv.Itoa(1000 + n%8000))
}
