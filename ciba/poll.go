package ciba

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/clients"
	"ringback/consent"
)

// polling is how a client comes for the answer to what it asked.
type polling struct {
	param   string // the parameter that names the request
	source  string // where its value comes from
	parse   func(string) (id [16]byte, ok bool)
	foreign *Error // of what is unknown, another client's, or redeemed

	may func(*consent.Client) error // reports why the client may not come for it
}

// poll answers a poll (CIBA Core §10.1 and §11).
func (s *Server) poll(c echo.Context, who clients.Caller, f form, by *polling) error {
	r := c.Request()
	wait := waitOf(r.Header["Prefer"])
	t, err := s.exchange(r.Context(), who, f, by, wait)
	if errors.Is(err, errForeign) {
		err = by.foreign
	}
	var e *Error
	if wait > 0 && !(errors.As(err, &e) && e.Code == SlowDown) {
		c.Response().Header().Set("Preference-Applied", "wait="+strconv.Itoa(seconds(wait)))
	}
	return reply(c, t, err)
}

// exchange answers one poll: the client is known; then comes ownership, then
// state. The only error that leaves a trace is slow_down, in the pace.
func (s *Server) exchange(ctx context.Context, who clients.Caller, f form, by *polling, wait time.Duration) (*tokens, error) {
	if err := mayCome(who, by); err != nil {
		return nil, err
	}
	handle := f.Get(by.param)
	if handle == "" {
		return nil, refuse(InvalidRequest, "%s: missing, send the one that %s returned", by.param, by.source)
	}
	id, ok := by.parse(handle)
	if !ok {
		return nil, errForeign
	}
	st, err := s.await(ctx, who, id, wait)
	if err != nil {
		return nil, err
	}
	if st.Status() != consent.StatusApproved {
		return nil, ended(st)
	}
	if err := isFor(f, st.Request); err != nil {
		return nil, err
	}
	if wait > 0 { // its registration may have changed meanwhile
		if who.Client, err = s.cfg.Clients.Client(ctx, who.ID); errors.Is(err, consent.ErrNotFound) {
			err = clients.ErrCredentials
		}
		if err == nil {
			err = mayCome(who, by)
		}
		if err != nil {
			return nil, err
		}
	}
	return s.redeem(ctx, who, st, handle)
}

// mayCome reports why the caller may not come for an answer at all.
func mayCome(who clients.Caller, by *polling) error {
	if err := by.may(who.Client); err != nil {
		return err
	}
	return who.CanBind()
}

// await returns the state of the caller's own request once it is decided, or
// the error to answer. A pending request is answered from memory.
func (s *Server) await(ctx context.Context, who clients.Caller, id consent.ID, wait time.Duration) (*consent.State, error) {
	held := false
	if b, known := s.cfg.Store.Peek(id); known {
		if b.Client != who.ID {
			return nil, errForeign
		}
		if b.Binding != [8]byte{} && b.Binding != who.Key.Tag() {
			st, err := s.owned(ctx, who, id)
			if err == nil {
				err = who.MayCollect(st.Request.Binding)
			}
			return nil, cmp.Or(err, error(errForeign))
		}
		if b.Decided == "" && s.cfg.Now().Before(b.ExpiresAt) {
			if err := s.hold(ctx, id, b.Interval, b.ExpiresAt, wait); err != nil {
				return nil, err
			}
			held = true
		}
	}
	st, err := s.owned(ctx, who, id)
	if err == nil {
		err = who.MayCollect(st.Request.Binding)
	}
	if err == nil && !held && st.Decided == nil && !st.Overdue(s.cfg.Now()) {
		if err = s.hold(ctx, id, st.Request.Interval, st.Request.ExpiresAt, wait); err == nil {
			st, err = s.owned(ctx, who, id)
		}
	}
	if err != nil {
		return nil, err
	}
	if st.Overdue(s.cfg.Now()) {
		err = s.expire(ctx, st)
	} else if st.Decided == nil {
		return nil, errPending
	}
	s.pace.forget(id)
	return st, err
}

// owned reads a request. One of another client and one that does not exist are
// the same answer.
func (s *Server) owned(ctx context.Context, who clients.Caller, id consent.ID) (*consent.State, error) {
	st, err := s.cfg.Store.Get(ctx, id)
	if errors.Is(err, consent.ErrNotFound) {
		return nil, errForeign
	}
	if err == nil && st.Request.Client.ID != who.ID {
		return nil, errForeign
	}
	return st, err
}

// hold answers a poll of a pending request. It returns nil as soon as the
// request may have left that state: a decision is durable, or its time is over.
func (s *Server) hold(ctx context.Context, id consent.ID, interval int, ends time.Time, wait time.Duration) error {
	now := s.cfg.Now()
	next, ok := s.pace.poll(id, now, interval, s.holds.has(id))
	if !ok {
		e := refuse(SlowDown, "polled too early or twice at a time, wait %d seconds between polls", next)
		e.RetryAfter = time.Duration(next) * time.Second
		return e
	}
	if wait == 0 {
		return errPending
	}
	held, end := context.WithTimeout(ctx, min(wait, ends.Sub(now)))
	defer end()
	if !s.holds.begin(id, end) {
		return errPending
	}
	defer s.holds.end(id)
	err := s.cfg.Store.Wait(held, id)
	switch {
	case ctx.Err() != nil: // nobody is there to take an answer, so nothing is settled
		return ctx.Err()
	case err == nil:
		return nil
	case held.Err() == nil:
		return err
	case s.cfg.Now().Before(ends):
		return errPending
	}
	return nil
}
