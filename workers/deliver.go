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

// slotLook is the least time until a slot is looked at again.
const slotLook = probeEvery / 4

// deliver lets a call to the provider go on with the request.
func (e *Engine) deliver(ctx context.Context, s *consent.State, step Step) {
	id, since := s.Request.ID, e.cfg.Now()
	e.sends[step.Route.Channel].enter(call{holder: s.Request.Client.Counted(), run: func() {
		e.guard(ctx, id, func() { e.rest(ctx, id, e.send(ctx, s, step, since)) })
	}}, func() { // it holds up nobody else while it waits for room
		if p, waited := e.turns.leave(id); waited {
			e.wakeNext(p, since)
		}
	})
}

// turn takes the person's slot if it is the request's turn, or if it has it.
func (e *Engine) turn(ctx context.Context, req *consent.Request) (mine bool, err error) {
	p, now := req.Pseudonym, e.cfg.Now()
	if e.turns.rings(p, req.ID, now) { // it goes on
		return e.take(ctx, req, now)
	}
	behind, joined := e.turns.join(p, req.Client.Counted(), req.ID) // before looking: the slot may be given back in between
	if next, ok := e.turns.next(p, e.waits); ok && next != req.ID {
		e.queue.add(next, now) // it finds out whether the slot is free
	} else if mine, err = e.take(ctx, req, now); err != nil {
		return false, err
	}
	if !mine && joined {
		e.cfg.Log.InfoContext(ctx, "waits for the person's other prompts", slog.String("req", req.ID.String()), slog.String("client", req.Client.ID), slog.Int("behind", behind+1))
	}
	return mine, nil
}

// take takes the person's slot, or sees to it that the request is looked at when
// that ends.
func (e *Engine) take(ctx context.Context, req *consent.Request, now time.Time) (mine bool, err error) {
	p, party := req.Pseudonym, req.Client.Counted()
	mine, free, err := e.cfg.Store.Slot(ctx, p, req.ID, slotLife)
	if err != nil {
		return false, fmt.Errorf("taking the slot: %w", err)
	}
	free = now.Add(max(free.Sub(now), slotLook)) // whatever somebody did to the clock since it was taken
	if mine {
		e.turns.rang(p, party, req.ID, free)
		e.wakeNext(p, free)
	} else {
		e.turns.join(p, party, req.ID)
		e.queue.mark(req.ID, func(it *item) { it.at = min(it.at, free.UnixNano()) })
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

// giveWay takes a request out of its person's line, and gives back their slot,
// which it has or may have. Then the next one rings.
func (e *Engine) giveWay(ctx context.Context, p consent.Pseudonym, id consent.ID, slot bool) (err error) {
	if where, waited := e.turns.leave(id); waited {
		p = where
	} else if !slot {
		return nil
	}
	if slot {
		if err = e.cfg.Store.Release(ctx, p, id); err != nil {
			err = fmt.Errorf("releasing the slot: %w", err)
		}
	}
	e.wakeNext(p, e.cfg.Now())
	return err
}

// release gives the person's slot back once the request is decided.
func (e *Engine) release(ctx context.Context, s *consent.State) error {
	if s.Decided == nil {
		return nil
	}
	p, id := s.Request.Pseudonym, s.Request.ID
	return e.giveWay(ctx, p, id, e.turns.yield(p, id, unused) || len(s.Tried) > 0)
}

// unused says that a request makes no use of the person's prompt any more.
func unused(time.Time) bool { return false }

// stepBack lets the next one ring while a request is not to be sent: unless it
// rings itself.
func (e *Engine) stepBack(ctx context.Context, s *consent.State) {
	p, id := s.Request.Pseudonym, s.Request.ID
	slot := e.turns.yield(p, id, func(since time.Time) bool { return rings(s, since) })
	if err := e.giveWay(ctx, p, id, slot); err != nil {
		e.cfg.Log.WarnContext(ctx, "slot not given back, it ends by itself", slog.String("req", id.String()), slog.Any("err", err))
	}
}

// rings reports whether a prompt of the request came to a device since then, or may
// have come.
func rings(s *consent.State, since time.Time) bool {
	for _, a := range s.Tried {
		o, receipt := s.Outcomes[a.N], consent.Receipt{Delivered: true}
		if r, reported := s.Receipts[a.N]; reported {
			receipt = r
		}
		if o.Status != consent.Refused && o.Status != consent.Unreachable && receipt.Delivered && !a.At.Before(since) {
			return true
		}
	}
	return false
}

// send takes the person's slot, claims the attempt, sends, and writes what
// became of it. Nothing is claimed once the engine stops, or the channel went
// down. Whoever has no slot waits until it is their turn.
func (e *Engine) send(ctx context.Context, s *consent.State, step Step, since time.Time) (r result) {
	if e.stopping() {
		return result{until: e.cfg.Now()}
	}
	s, err := e.still(ctx, s, step, since)
	if s == nil {
		return result{until: e.cfg.Now(), err: err}
	}
	req, b := s.Request, e.breakers[step.Route.Channel]
	if !b.begin(req.ID) {
		return result{until: e.cfg.Now(), why: Channel}
	}
	var o consent.Outcome
	defer func() { // also when it panics
		for _, id := range b.end(req.ID, o, e.cfg.Now()) {
			e.queue.add(id, e.cfg.Now())
		}
	}()
	switch mine, err := e.turn(ctx, req); {
	case err != nil:
		return result{err: err}
	case !mine:
		return result{until: req.ExpiresAt.Add(expiryDelay), why: Turn}
	}
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
	msg, err := e.render(ctx, s, &a, step.Device)
	if err != nil {
		return o, fmt.Errorf("rendering: %w", err)
	}
	if err := e.cfg.Store.Try(ctx, req.ID, a); err != nil {
		return o, err
	}
	e.breakers[a.Channel].ask(req.ID, e.cfg.Now())
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

// render makes the message of an attempt, and says in the attempt what it shows.
func (e *Engine) render(ctx context.Context, s *consent.State, a *consent.Attempt, d consent.Device) (channels.Message, error) {
	req := s.Request
	person, err := e.cfg.Directory.Person(ctx, req.Approver)
	if err != nil {
		return channels.Message{}, err
	}
	view, err := e.cfg.Templates.View(req, person, e.turns.waiting(req.Pseudonym))
	if err != nil {
		return channels.Message{}, err
	}
	m, err := e.cfg.Templates.Message(e.cfg.Channels[a.Channel].Kind(), view, templates.Ask{
		Channel: a.Channel, Code: e.cfg.Handles.Code(req.ID, a.N), Link: e.cfg.PublicURL + "/a/" + e.cfg.Handles.Ticket(req.ID, a.N),
		Reply: a.Reply, Match: req.Weakest() == consent.ACRMatch,
	})
	if err != nil {
		return channels.Message{}, err
	}
	a.Presentation, a.Reply = &m.Presentation, m.Reply
	return channels.Message{ID: fmt.Sprintf("%s.%d", req.ID, a.N), Ref: e.cfg.Handles.CallbackRef(req.ID, a.N), To: d.Address, Content: m.Content}, nil
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
