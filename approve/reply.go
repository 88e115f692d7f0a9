package approve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/channels"
	"ringback/consent"
	"ringback/templates"
)

// maxWebhook bounds the body of a callback.
const maxWebhook = 64 << 10

// message is a verified message of a person we know.
type message struct {
	channel string
	id      string // the provider's
	person  *consent.Person
	device  consent.Device
	reply   templates.Reply
}

// open is an open request that was delivered to the device a message came
// from, with the newest attempt there.
type open struct {
	state   *consent.State
	attempt *consent.Attempt
}

// receive reads and verifies a callback. The body is bounded before anything
// else, and the signature comes before any effect.
func (s *Server) receive(c echo.Context) (inlet, channels.Inbound, int) {
	in, ok := s.receivers[c.Param("provider")]
	if !ok {
		return in, channels.Inbound{}, http.StatusNotFound
	}
	body, err := io.ReadAll(io.LimitReader(c.Request().Body, maxWebhook+1))
	if err != nil || len(body) > maxWebhook {
		return in, channels.Inbound{}, http.StatusRequestEntityTooLarge
	}
	got, err := in.Receive(c.Request(), body)
	if err != nil {
		s.cfg.Log.LogAttrs(c.Request().Context(), slog.LevelWarn, "callback refused", slog.String("channel", in.channel), slog.Any("err", err))
		return in, got, http.StatusForbidden
	}
	return in, got, 0
}

// inbound takes what a person wrote. The answer is TwiML: nothing, or one
// message to the person.
func (s *Server) inbound(c echo.Context) error {
	in, got, refused := s.receive(c)
	if refused != 0 {
		return c.NoContent(refused)
	}
	ctx := c.Request().Context()
	m, err := s.sender(ctx, in.channel, got)
	switch {
	case errors.Is(err, consent.ErrNotFound):
		return twiml(c, "") // a number of nobody's: no word that could tell or cost
	case err != nil:
		return s.later(c, consent.ID{}, err)
	}
	// A signature has no time in it. Whoever holds a genuine request could send
	// it again next month, so each message counts once, restarts or not.
	first, err := s.cfg.Store.First(ctx, "message "+c.Param("provider")+" "+got.MessageID)
	if err != nil {
		return s.later(c, consent.ID{}, err)
	}
	if !first {
		return twiml(c, "")
	}
	said, err := s.take(ctx, m)
	if err != nil {
		return s.later(c, consent.ID{}, err)
	}
	if got.OptOut {
		said = "" // the provider has answered already
	}
	return twiml(c, said)
}

// later answers that the callback could not be taken.
func (s *Server) later(c echo.Context, req consent.ID, err error) error {
	s.fault(c.Request().Context(), "taking a callback", req, err)
	c.Response().Header().Set("Retry-After", "5")
	return c.NoContent(http.StatusServiceUnavailable)
}

// sender finds the person and the device behind a number; consent.ErrNotFound
// if there is not exactly one.
func (s *Server) sender(ctx context.Context, channel string, in channels.Inbound) (message, error) {
	p, err := s.cfg.Directory.Find(ctx, consent.HintPhone, in.From)
	if err != nil {
		return message{}, err
	}
	devices, err := s.cfg.Directory.Devices(ctx, p.ID)
	if err != nil {
		return message{}, err
	}
	for _, d := range devices {
		if d.Channel == channel && d.Address == in.From {
			return message{channel, in.MessageID, p, d, templates.ReadReply(in.Body)}, nil
		}
	}
	return message{}, consent.ErrNotFound
}

// take acts on a message and returns what to say; "" is nothing.
func (s *Server) take(ctx context.Context, m message) (string, error) {
	say := func(a templates.Answer) string { return s.cfg.Templates.Say(a, m.person.Locale, nil, 0) }
	switch m.reply.Keyword {
	case templates.Stop:
		return say(templates.AnswerStopped), s.cfg.Devices.StopDevice(ctx, m.person.ID, m.device.ID, true)
	case templates.Start:
		return say(templates.AnswerStarted), s.cfg.Devices.StopDevice(ctx, m.person.ID, m.device.ID, false)
	case templates.Help:
		return say(templates.AnswerHelp), nil
	case templates.Yes, templates.No:
		return s.weigh(ctx, m)
	}
	// Two machines must not talk for ever: this answer goes once an hour.
	first, err := s.cfg.Store.Once(ctx, "not understood "+m.device.ID, s.cfg.Now().Add(time.Hour))
	if err != nil || !first {
		return "", err
	}
	return say(templates.AnswerNothing), nil
}

// delivered lists the person's open requests that a message on this device
// told of, newest first.
func (s *Server) delivered(ctx context.Context, m message) ([]open, error) {
	now := s.cfg.Now()
	var out []open
	for _, b := range s.cfg.Store.History(s.cfg.Directory.Pseudonym(m.person.ID)).Open {
		st, err := s.cfg.Store.Get(ctx, b.ID)
		if errors.Is(err, consent.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if st.Decided != nil || st.Overdue(now) || st.Request.Approver != m.person.ID {
			continue
		}
		var newest *consent.Attempt
		for i := range st.Tried {
			a := &st.Tried[i]
			o, known := st.Outcomes[a.N]
			reached := !known || o.Status == consent.Accepted || o.Status == consent.Unknown
			if a.Channel == m.channel && a.Device == m.device.ID && reached && (newest == nil || a.N > newest.N) {
				newest = a
			}
		}
		if newest != nil {
			out = append(out, open{st, newest})
		}
	}
	slices.Reverse(out) // of those told of at the same time, the last one that was asked
	slices.SortStableFunc(out, func(a, b open) int { return b.attempt.At.Compare(a.attempt.At) })
	return out, nil
}

// weigh finds the request that a YES or NO is about. With a code, each request
// that the code is compared with is charged a guess first, newest first. A NO
// without one counts only where exactly one request was delivered.
func (s *Server) weigh(ctx context.Context, m message) (string, error) {
	requests, err := s.delivered(ctx, m)
	if err != nil {
		return "", err
	}
	say := func(a templates.Answer, left int) string { return s.cfg.Templates.Say(a, m.person.Locale, nil, left) }
	if m.reply.Code == "" {
		switch {
		case len(requests) == 0:
			return say(templates.AnswerEnded, 0), nil
		case len(requests) > 1:
			return say(templates.AnswerAmbiguous, 0), nil
		case !requests[0].attempt.Reply:
			return say(templates.AnswerNotHere, 0), nil
		}
		return s.conclude(ctx, m, requests[0])
	}
	answer, left := templates.AnswerEnded, 0
	for _, o := range requests {
		if !s.cfg.Now().Before(o.attempt.CodeUntil) {
			continue
		}
		if !o.attempt.Reply || m.reply.Keyword == templates.Yes && !o.state.Request.Satisfied(consent.ACRTap) {
			if answer == templates.AnswerEnded {
				answer = templates.AnswerNotHere
			}
			continue
		}
		n, err := s.guess(ctx, o.state.Request.ID, m.channel, "message "+m.id)
		switch {
		case errors.Is(err, consent.ErrClaimed):
			continue // this very message was compared before
		case errors.Is(err, consent.ErrGuesses):
			if answer != templates.AnswerWrong {
				answer = templates.AnswerTooMany
			}
			continue
		case err != nil:
			return "", err
		}
		if s.cfg.Handles.CheckCode(o.state.Request.ID, o.attempt.N, m.reply.Code) {
			return s.conclude(ctx, m, o)
		}
		if rest := consent.MaxMisses - n; rest > 0 && rest > left {
			answer, left = templates.AnswerWrong, rest
		} else if answer != templates.AnswerWrong {
			answer = templates.AnswerTooMany
		}
	}
	return say(answer, left), nil
}

// conclude stores the answer that a message gave.
func (s *Server) conclude(ctx context.Context, m message, o open) (string, error) {
	ev := consent.Evidence{
		Verb: consent.Denied, By: m.person.ID, Means: consent.ByReply, Attempt: o.attempt.N,
		ACR: consent.ACRTap, AMR: methods(m.channel, false), Presentation: o.attempt.Presentation,
	}
	answer := templates.AnswerRefused
	if m.reply.Keyword == templates.Yes {
		ev.Verb, answer = consent.Approved, templates.AnswerAllowed
	}
	view, err := s.cfg.Templates.View(o.state.Request, m.person, 0)
	if err != nil {
		return "", err
	}
	switch _, err := s.decide(ctx, o.state, ev); {
	case errors.Is(err, consent.ErrDecided):
		answer = templates.AnswerEnded
	case errors.Is(err, consent.ErrAssurance):
		answer = templates.AnswerNotHere
	case err != nil:
		s.fault(ctx, "storing an answer", o.state.Request.ID, err)
		return "", err
	}
	return s.cfg.Templates.Say(answer, m.person.Locale, &view, 0), nil
}
