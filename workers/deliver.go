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

// deliver takes the person's slot, claims the attempt, sends, and writes what
// became of it. It returns a time when somebody else has the slot.
func (e *Engine) deliver(ctx context.Context, s *consent.State, step Step) (time.Time, error) {
	req := s.Request
	ch, ok := e.cfg.Channels[step.Route.Channel]
	if !ok {
		return time.Time{}, fmt.Errorf("delivering: channel %q is not configured", step.Route.Channel)
	}
	e.queueUp(req) // before looking: the slot may be given back in between
	mine, free, err := e.cfg.Store.Slot(ctx, req.Pseudonym, req.ID, slotLife)
	if err == nil && !mine {
		if end := req.ExpiresAt.Add(expiryDelay); end.Before(free) {
			free = end
		}
		return free, nil
	}
	e.unqueue(req)
	if err != nil {
		return time.Time{}, fmt.Errorf("taking the slot: %w", err)
	}
	now := e.cfg.Now()
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
		return time.Time{}, fmt.Errorf("rendering: %w", err)
	}
	a.Presentation, a.Reply = &text.Presentation, text.Reply
	if err := e.cfg.Store.Try(ctx, req.ID, a); err != nil {
		return time.Time{}, err
	}
	receipt, sendErr := ch.Send(ctx, msg)
	o := outcome(receipt, sendErr)
	o.V, o.N, o.At = consent.Version, a.N, e.cfg.Now()
	e.log(ctx, s, a, o, sendErr)
	if errors.Is(sendErr, channels.ErrStopped) {
		if err := e.cfg.Devices.StopDevice(ctx, req.Approver, step.Device.ID, true); err != nil {
			e.cfg.Log.ErrorContext(ctx, "stopping a device", slog.String("req", req.ID.String()), slog.Any("err", err))
		}
	}
	return time.Time{}, e.cfg.Store.Conclude(ctx, req.ID, o)
}

// queueUp remembers that the request waits for its person's slot.
func (e *Engine) queueUp(req *consent.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.waiting[req.Pseudonym] == nil {
		e.waiting[req.Pseudonym] = make(map[consent.ID]bool)
	}
	e.waiting[req.Pseudonym][req.ID] = true
}

// unqueue forgets it: the request has the slot, or will ask for it again.
func (e *Engine) unqueue(req *consent.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.waiting[req.Pseudonym], req.ID)
	if len(e.waiting[req.Pseudonym]) == 0 {
		delete(e.waiting, req.Pseudonym)
	}
}

func (e *Engine) render(ctx context.Context, s *consent.State, a consent.Attempt, d consent.Device) (channels.Message, templates.Message, error) {
	req := s.Request
	person, err := e.cfg.Directory.Person(ctx, req.Approver)
	if err != nil {
		return channels.Message{}, templates.Message{}, err
	}
	e.mu.Lock()
	waiting := len(e.waiting[req.Pseudonym])
	e.mu.Unlock()
	view, err := e.cfg.Templates.View(req, person, waiting)
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
