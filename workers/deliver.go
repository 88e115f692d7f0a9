package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ringback/channels"
	"ringback/consent"
	"ringback/templates"
)

// slotLife is how long one prompt keeps a person's other prompts back.
const slotLife = time.Minute

// deliver takes the person's slot, and lets a call to the provider go on with
// the request. Whoever has no slot waits until it is their turn.
func (e *Engine) deliver(ctx context.Context, s *consent.State, step Step) (r result, later bool, err error) {
	req, channel := s.Request, step.Route.Channel
	lane, ok := e.sends[channel]
	if !ok {
		return r, false, fmt.Errorf("delivering: channel %q is not configured", channel)
	}
	mine, err := e.turn(ctx, req)
	if err != nil {
		return r, false, err
	}
	if !mine {
		return result{until: req.ExpiresAt.Add(expiryDelay), why: Turn}, false, nil
	}
	lane.enter(req.Client.Counted(), func() {
		e.guard(ctx, req.ID, func() { e.rest(ctx, req.ID, e.send(ctx, s, step)) })
	})
	return r, true, nil
}

// turn takes the person's slot if it is the request's turn.
func (e *Engine) turn(ctx context.Context, req *consent.Request) (mine bool, err error) {
	p, party, now := req.Pseudonym, req.Client.Counted(), e.cfg.Now()
	behind, joined := e.turns.join(p, party, req.ID) // before looking: the slot may be given back in between
	if next, ok := e.turns.next(p, e.waits); ok && next != req.ID {
		e.queue.add(next, now) // it finds out whether the slot is free
	} else {
		var free time.Time
		if mine, free, err = e.cfg.Store.Slot(ctx, p, req.ID, slotLife); err != nil {
			return false, fmt.Errorf("taking the slot: %w", err)
		}
		if !mine {
			e.queue.mark(req.ID, func(it *item) { it.at = min(it.at, free.UnixNano()) })
		} else {
			e.turns.rang(p, party, req.ID, free)
			if next, ok := e.turns.next(p, e.waits); ok {
				e.queue.add(next, free)
			}
		}
	}
	if !mine && joined {
		e.cfg.Log.InfoContext(ctx, "waits for the person's other prompts", slog.String("req", req.ID.String()), slog.String("client", req.Client.ID), slog.Int("behind", behind+1))
	}
	return mine, nil
}

// waits reports whether a request still waits to be sent.
func (e *Engine) waits(id consent.ID) bool {
	b, known := e.cfg.Store.Peek(id)
	return !known || b.Decided == "" && e.cfg.Now().Before(b.ExpiresAt)
}

// wakeNext lets the next of those look again that wait for this person's slot.
func (e *Engine) wakeNext(p consent.Pseudonym, at time.Time) {
	if next, ok := e.turns.next(p, e.waits); ok {
		e.queue.add(next, at)
	}
}

// release gives the person's slot back once the request is decided, and lets
// the next one of that person ring.
func (e *Engine) release(ctx context.Context, s *consent.State) error {
	if s.Decided == nil {
		return nil
	}
	var err error
	if len(s.Tried) > 0 {
		err = e.cfg.Store.Release(ctx, s.Request.Pseudonym, s.Request.ID)
	}
	e.wakeNext(s.Request.Pseudonym, e.cfg.Now())
	if err != nil {
		return fmt.Errorf("releasing the slot: %w", err)
	}
	return nil
}

// send claims the attempt, sends, and writes what became of it. Nothing is
// claimed once the engine stops, or the channel went down.
func (e *Engine) send(ctx context.Context, s *consent.State, step Step) result {
	req, channel, now := s.Request, step.Route.Channel, e.cfg.Now()
	if e.stopping.Load() {
		return result{until: now}
	}
	b := e.breakers[channel]
	if !b.begin(req.ID, now) {
		return result{until: now, why: Channel}
	}
	var o consent.Outcome
	defer func() { // also when it panics
		for _, id := range b.end(req.ID, o, e.cfg.Now()) {
			e.queue.add(id, e.cfg.Now())
		}
	}()
	var err error
	if o, err = e.attempt(ctx, s, step); err != nil && !overtaken(err) {
		return result{err: err}
	}
	return result{until: e.cfg.Now()} // for what follows
}

// attempt is one attempt, from its claim to its outcome. The outcome says what
// the provider did, also where it could not be written; without a status the
// provider was not asked.
func (e *Engine) attempt(ctx context.Context, s *consent.State, step Step) (o consent.Outcome, err error) {
	req, now := s.Request, e.cfg.Now()
	codeUntil := now.Add(codeLife)
	if req.ExpiresAt.Before(codeUntil) {
		codeUntil = req.ExpiresAt
	}
	a := consent.Attempt{
		V: consent.Version, N: step.N, Channel: step.Route.Channel, Device: step.Device.ID, Reply: step.Route.Reply,
		At: now, TicketUntil: codeUntil, CodeUntil: codeUntil,
	}
	msg, text, err := e.render(ctx, s, a, step.Device)
	if err != nil {
		return o, fmt.Errorf("rendering: %w", err)
	}
	a.Presentation, a.Reply = &text.Presentation, text.Reply
	if err := e.cfg.Store.Try(ctx, req.ID, a); err != nil {
		return o, err
	}
	receipt, sendErr := e.cfg.Channels[a.Channel].Send(ctx, msg)
	o = outcome(receipt, sendErr)
	o.V, o.N, o.At = consent.Version, a.N, e.cfg.Now()
	e.log(ctx, s, a, o, sendErr)
	if errors.Is(sendErr, channels.ErrStopped) {
		if err := e.cfg.Devices.StopDevice(ctx, req.Approver, step.Device.ID, true); err != nil {
			e.cfg.Log.ErrorContext(ctx, "stopping a device", slog.String("req", req.ID.String()), slog.Any("err", err))
		}
	}
	return o, e.cfg.Store.Conclude(ctx, req.ID, o)
}

func (e *Engine) render(ctx context.Context, s *consent.State, a consent.Attempt, d consent.Device) (channels.Message, templates.Message, error) {
	req := s.Request
	person, err := e.cfg.Directory.Person(ctx, req.Approver)
	if err != nil {
		return channels.Message{}, templates.Message{}, err
	}
	view, err := e.cfg.Templates.View(req, person, e.turns.waiting(req.Pseudonym))
	if err != nil {
		return channels.Message{}, templates.Message{}, err
	}
	link := e.cfg.PublicURL + "/a/" + e.cfg.Handles.Ticket(req.ID, a.N)
	text, err := e.cfg.Templates.SMS(view, templates.SMS{
		Code: e.cfg.Handles.Code(req.ID, a.N), Link: link, Reply: a.Reply, Match: req.Weakest() == consent.ACRMatch,
	})
	if err != nil {
		return channels.Message{}, templates.Message{}, err
	}
	text.Presentation.Channel = a.Channel
	msg := channels.Message{ID: fmt.Sprintf("%s.%d", req.ID, a.N), To: d.Address, Text: text.Text, Link: link}
	if r, ok := e.cfg.Channels[a.Channel].(channels.Receiver); ok {
		msg.StatusURL = e.cfg.PublicURL + channels.StatusPath(r.Provider(), e.cfg.Handles.CallbackRef(req.ID, a.N))
	}
	return msg, text, nil
}

// outcome says what a channel's answer means for the request.
func outcome(r channels.Receipt, err error) consent.Outcome {
	o := consent.Outcome{Status: consent.Accepted, ProviderID: r.ProviderID}
	if err == nil {
		return o
	}
	o.Code = channels.Code(err)
	var retry *channels.Retry
	switch {
	case errors.Is(err, channels.ErrUndeliverable):
		o.Status = consent.Unreachable
	case errors.Is(err, channels.ErrAmbiguous):
		o.Status = consent.Unknown
	default:
		o.Status = consent.Refused
		if errors.As(err, &retry) {
			o.RetryAfter = int(retry.After / time.Second)
		}
	}
	return o
}

func (e *Engine) log(ctx context.Context, s *consent.State, a consent.Attempt, o consent.Outcome, err error) {
	level, took := slog.LevelInfo, o.At.Sub(a.At)
	if o.Status != consent.Accepted {
		level = slog.LevelWarn
	}
	e.cfg.Log.LogAttrs(ctx, level, "delivery attempted", slog.String("req", s.Request.ID.String()), slog.String("client", s.Request.Client.ID),
		slog.String("channel", a.Channel), slog.Int("attempt", a.N), slog.String("step", string(o.Status)), slog.String("code", o.Code), slog.Any("err", err), slog.Duration("took", took))
}
