package approve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
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
	nonce   string // names the message, see nonceOf
	person  *consent.Person
	device  consent.Device
	reply   templates.Reply
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
	// it again next month, so what has had its effect has none again, restarts
	// or not. Until the effect is durable the message may come as often as it
	// takes: each step below does nothing the second time.
	key := "message " + c.Param("provider") + " " + got.MessageID
	replayed, err := s.cfg.Store.Seen(ctx, key)
	var said string
	if err == nil && !replayed {
		if said, err = s.take(ctx, m); err == nil {
			replayed, err = s.taken(ctx, key)
		}
	}
	switch {
	case err != nil:
		return s.later(c, consent.ID{}, err)
	case replayed:
		return twiml(c, "")
	}
	if got.OptOut {
		said = "" // the provider has answered already
	}
	return twiml(c, said)
}

// taken remembers that a message has had its effect, and reports whether
// somebody else has remembered it meanwhile.
func (s *Server) taken(ctx context.Context, key string) (replayed bool, err error) {
	first, err := s.cfg.Store.First(ctx, key)
	return !first, err
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
			nonce := nonceOf(strings.Join([]string{"message", channel, in.MessageID, in.Body}, " "))
			return message{channel, nonce, p, d, templates.ReadReply(in.Body)}, nil
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
	first, err := s.cfg.Store.Once(ctx, "answers by message", "not understood "+m.device.ID, s.cfg.Now().Add(time.Hour))
	if err != nil || !first {
		return "", err
	}
	return say(templates.AnswerNothing), nil
}
