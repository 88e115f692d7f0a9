package workers

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"ringback/consent"
)

// notify lets a call to the client go on with the request.
func (e *Engine) notify(ctx context.Context, s *consent.State, step Step) {
	id, since := s.Request.ID, e.cfg.Now()
	c := call{holder: s.Request.Client.Counted(), run: func() {
		e.guard(ctx, id, func() { e.rest(ctx, id, e.tell(ctx, s, step, since)) })
	}}
	if n, ok := e.cfg.Notifiers[s.Request.Door]; ok {
		c.endpoint = n.Host(ctx, s)
	}
	e.notices.enter(c, func() {})
}

// tell claims the notice, tells the client and writes its answer.
func (e *Engine) tell(ctx context.Context, s *consent.State, step Step, since time.Time) result {
	if e.stopping() {
		return result{until: e.cfg.Now()}
	}
	s, err := e.still(ctx, s, step, since)
	if s == nil {
		return result{until: e.cfg.Now(), err: err}
	}
	id := s.Request.ID
	n, ok := e.cfg.Notifiers[s.Request.Door]
	if !ok {
		return result{err: errors.New("notifying the client: no room answers for door " + string(s.Request.Door))}
	}
	if err := e.cfg.Store.Claim(ctx, id, consent.Notice{V: consent.Version, N: step.N, At: e.cfg.Now()}); err != nil {
		if overtaken(err) {
			return result{until: e.cfg.Now()}
		}
		return result{err: err}
	}
	answer := n.Notify(ctx, s, step.N)
	level := slog.LevelInfo
	if !answer.Done {
		level = slog.LevelWarn
	}
	answer.V, answer.N, answer.At = consent.Version, step.N, e.cfg.Now()
	answer.Done = answer.Done || step.N >= maxNotices // then it is given up
	e.cfg.Log.LogAttrs(ctx, level, "client notified", slog.String("req", id.String()), slog.String("client", s.Request.Client.ID), slog.Int("attempt", step.N), slog.String("code", answer.Code))
	if err := e.cfg.Store.Notified(ctx, id, answer); err != nil {
		return result{err: err}
	}
	return result{until: e.cfg.Now()}
}
