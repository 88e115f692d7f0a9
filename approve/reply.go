package approve

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/channels"
	"ringback/consent"
	"ringback/templates"
)

// message is a verified message of a person we know.
type message struct {
	channel string
	nonce   string // names the message, see nonceOf
	person  *consent.Person
	device  consent.Device
	reply   templates.Reply
}

// inbound takes what a person wrote, and answers with at most one message to the
// person.
func (s *Server) inbound(c echo.Context, in inlet, got channels.Inbound) error {
	ctx := c.Request().Context()
	m, err := s.sender(ctx, in, got)
	switch {
	case errors.Is(err, consent.ErrNotFound):
		return in.Answer(c.Response(), got, "") // nobody's address: no word that could tell or cost
	case err != nil:
		return s.later(c, consent.ID{}, err)
	}
	// A signature has no time in it. Whoever holds a genuine request could send
	// it again next month, so what has had its effect has none again, restarts
	// or not. Until the effect is durable the message may come as often as it
	// takes: each step below does nothing the second time.
	key := "message " + in.Provider() + " " + got.MessageID
	replayed, err := s.cfg.Store.Seen(ctx, key)
	var said string
	switch {
	case err != nil:
	case replayed:
		said, err = s.again(ctx, m)
	default:
		if said, err = s.take(ctx, m); err == nil {
			replayed, err = s.taken(ctx, key)
		}
		if replayed { // somebody else says it
			said = ""
		}
	}
	if err != nil {
		return s.later(c, consent.ID{}, err)
	}
	return in.Answer(c.Response(), got, said)
}

// taken remembers that a message has had its effect, and reports whether
// somebody else has remembered it meanwhile.
func (s *Server) taken(ctx context.Context, key string) (replayed bool, err error) {
	first, err := s.cfg.Store.First(ctx, key)
	return !first, err
}

// sender finds the person and the device behind a number; consent.ErrNotFound
// if there is not exactly one.
func (s *Server) sender(ctx context.Context, in inlet, got channels.Inbound) (message, error) {
	p, err := s.cfg.Directory.Find(ctx, consent.HintPhone, got.From)
	if err != nil {
		return message{}, err
	}
	devices, err := s.cfg.Directory.Devices(ctx, p.ID)
	if err != nil {
		return message{}, err
	}
	for _, d := range devices {
		if d.Channel == in.channel && d.Address == got.From {
			nonce := nonceOf(strings.Join([]string{"message", in.channel, got.MessageID, got.Body}, " "))
			return message{in.channel, nonce, p, d, templates.ReadReply(got.Body)}, nil
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
