package approve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/channels"
	"ringback/channels/content"
	"ringback/consent"
	"ringback/templates"
)

// UserCodes keeps the codes that people choose and some agents must give (CIBA
// Core §7.1). The store implements it. Of a chance to choose that is over,
// every method says consent.ErrNotFound.
type UserCodes interface {
	// OfferUserCode lets person choose until the time given; an earlier chance
	// is over then.
	OfferUserCode(ctx context.Context, person string, until time.Time) (id [16]byte, err error)
	// CodeChange returns a chance that was offered.
	CodeChange(ctx context.Context, id [16]byte) (consent.CodeChange, error)
	// MissCodeChange uses up the next of consent.MaxMisses guesses at the
	// message's code, and returns its number: of a nonce that it knows, the one
	// that it had. consent.ErrGuesses when all are gone, consent.ErrDecided when
	// a code was chosen.
	MissCodeChange(ctx context.Context, id [16]byte, nonce string) (n int, err error)
	// ChooseUserCode makes code the person's; consent.ErrDecided when one was
	// chosen already.
	ChooseUserCode(ctx context.Context, id [16]byte, code consent.Secret) error
}

// offerLife is how long a person may take to choose.
const offerLife = 10 * time.Minute

// OfferUserCode sends a person the link to the page where they choose their
// user_code, with the code for it in the message's text, and returns until
// when they can. consent.ErrUnreachable where no message could be sent.
func (s *Server) OfferUserCode(ctx context.Context, person *consent.Person) (time.Time, error) {
	ch, device, err := s.reach(ctx, person)
	if err != nil {
		return time.Time{}, err
	}
	until := s.cfg.Now().Add(offerLife)
	id, err := s.cfg.UserCodes.OfferUserCode(ctx, person.ID, until)
	if err != nil {
		return time.Time{}, err
	}
	link := s.cfg.PublicURL + "/u/" + s.cfg.Handles.UserCodeTicket(id)
	text := s.cfg.Templates.OfferUserCode(person.Locale, s.cfg.Handles.Code(id, 0), link, offerLife)
	return until, s.tell(ctx, ch, person, device, text)
}

// reach finds the device that a person is told something at in words. Other
// channels are for requests, along their routes.
func (s *Server) reach(ctx context.Context, person *consent.Person) (channels.Channel, consent.Device, error) {
	devices, err := s.cfg.Directory.Devices(ctx, person.ID)
	if err != nil {
		return nil, consent.Device{}, err
	}
	why := "they have no phone number, or the channel for it is not configured"
	for _, d := range devices {
		switch ch := s.cfg.Channels[d.Channel]; {
		case ch == nil, ch.Kind() != content.KindText:
		case d.Stopped:
			why = "STOP was written from the phone; START undoes it"
		default:
			return ch, d, nil
		}
	}
	return nil, consent.Device{}, fmt.Errorf("%w: %s", consent.ErrUnreachable, why)
}

// tell sends words that ask nothing of anybody's request.
func (s *Server) tell(ctx context.Context, ch channels.Channel, person *consent.Person, d consent.Device, text content.Text) error {
	_, err := ch.Send(ctx, channels.Message{ID: "user-code." + random(9), To: d.Address, Content: text})
	if errors.Is(err, channels.ErrStopped) {
		err = errors.Join(err, s.cfg.Devices.StopDevice(ctx, person.ID, d.ID, true))
	}
	if err == nil {
		return nil
	}
	s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "message about a user code not sent", slog.String("channel", d.Channel), slog.String("code", channels.Code(err)), slog.Any("err", err))
	if errors.Is(err, channels.ErrAmbiguous) {
		return fmt.Errorf("%w as far as we know: the provider gave no answer (%s), and the message may still arrive", consent.ErrUnreachable, channels.Code(err))
	}
	return fmt.Errorf("%w: the provider refused it (%s)", consent.ErrUnreachable, channels.Code(err))
}

// announce tells a person that the user_code is a new one.
func (s *Server) announce(ctx context.Context, person *consent.Person) {
	ch, device, err := s.reach(ctx, person)
	if err != nil {
		s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "person not told of a new user code", slog.Any("err", err))
		return
	}
	_ = s.tell(ctx, ch, person, device, s.cfg.Templates.UserCodeChanged(person.Locale)) // logged there
}

// chance is one look at the page where a person chooses a user_code.
type chance struct {
	ticket string
	id     [16]byte
	change consent.CodeChange
	person *consent.Person
}

// userCode shows that page; a POST with the message's code chooses.
func (s *Server) userCode(c echo.Context) error {
	v, err := s.chance(c.Request().Context(), c.Param("ticket"))
	switch {
	case errors.Is(err, consent.ErrNotFound):
		return s.render(c, http.StatusNotFound, templates.PageData{State: templates.NotFound})
	case err != nil:
		return s.unavailable(c, nil, err)
	}
	if c.Request().Method == http.MethodPost {
		return s.choose(c, v)
	}
	return s.showChance(c, v, http.StatusOK, "")
}

// chance looks up what a ticket locates. Everything that is wrong with a link
// is consent.ErrNotFound.
func (s *Server) chance(ctx context.Context, ticket string) (*chance, error) {
	id, ok := s.cfg.Handles.ParseUserCodeTicket(ticket)
	if !ok {
		return nil, consent.ErrNotFound
	}
	v := &chance{ticket: ticket, id: id}
	var err error
	if v.change, err = s.cfg.UserCodes.CodeChange(ctx, id); err != nil {
		return nil, err
	}
	v.person, err = s.cfg.Directory.PersonOf(ctx, v.change.Person)
	return v, err
}

// showChance renders the page as it stands; problem says what was wrong with
// the form just sent, if one was.
func (s *Server) showChance(c echo.Context, v *chance, status int, problem templates.Problem) error {
	p := templates.UserCodePage{State: templates.Choosing, Lang: v.person.Locale, Problem: problem, TriesLeft: consent.MaxMisses - v.change.Misses}
	switch {
	case v.change.Done:
		p, status = templates.UserCodePage{State: templates.Allowed, Lang: p.Lang}, http.StatusOK
	case p.TriesLeft <= 0:
		p, status = templates.UserCodePage{State: templates.TooMany, Lang: p.Lang}, http.StatusOK
	default:
		p.CSRF = s.form(c, v.ticket)
		p.Nonce, _ = c.Get(nonceKey).(string)
	}
	var b bytes.Buffer
	if err := s.cfg.Templates.UserCodePage(&b, p); err != nil {
		s.fault(c.Request().Context(), "rendering a page", consent.ID{}, err)
		return c.NoContent(http.StatusInternalServerError)
	}
	return c.HTMLBlob(status, b.Bytes())
}

// choose reads a form. Whatever could not be right changes nothing; then the
// guess is claimed, and only then compared.
func (s *Server) choose(c echo.Context, v *chance) error {
	ctx, r := c.Request().Context(), c.Request()
	if v.change.Done {
		return s.showChance(c, v, http.StatusOK, "")
	}
	f, ok := readUserCodeForm(r)
	switch {
	case !ok:
		return s.showChance(c, v, http.StatusBadRequest, templates.BadUserCode)
	case !s.fromOurPage(r) || !s.genuine(r, v.ticket, f.csrf):
		return s.showChance(c, v, http.StatusForbidden, templates.Stale)
	case f.code == "":
		return s.showChance(c, v, http.StatusUnprocessableEntity, templates.MissingCode)
	case !consent.IsUserCode(f.chosen):
		return s.showChance(c, v, http.StatusUnprocessableEntity, templates.BadUserCode)
	case f.again != f.chosen:
		return s.showChance(c, v, http.StatusUnprocessableEntity, templates.Unequal)
	}
	n, err := s.cfg.UserCodes.MissCodeChange(ctx, v.id, nonceOf("form "+f.body))
	switch {
	case errors.Is(err, consent.ErrGuesses):
		v.change.Misses = consent.MaxMisses
		return s.showChance(c, v, http.StatusOK, "")
	case err != nil:
		return s.unchosen(c, v, err)
	}
	v.change.Misses = n
	if !s.cfg.Handles.CheckCode(v.id, 0, f.code) {
		return s.showChance(c, v, http.StatusUnprocessableEntity, templates.WrongCode)
	}
	if err := s.setUserCode(context.WithoutCancel(ctx), v, f.chosen); err != nil {
		return s.unchosen(c, v, err)
	}
	v.change.Done = true
	return s.showChance(c, v, http.StatusOK, "")
}

// setUserCode makes code the person's, unless somebody was faster. The person is
// told first: neither whoever goes away now, nor an end of this process, keeps
// them from it.
func (s *Server) setUserCode(ctx context.Context, v *chance, code string) error {
	mu := &s.choosing[int(v.id[len(v.id)-1])%len(s.choosing)] // so that of several at once one tells
	mu.Lock()
	defer mu.Unlock()
	now, err := s.chance(ctx, v.ticket)
	switch {
	case err != nil:
		return err
	case now.change.Done:
		return consent.ErrDecided
	}
	s.announce(ctx, v.person)
	if err := s.cfg.UserCodes.ChooseUserCode(ctx, v.id, consent.Secret(code)); err != nil {
		return err
	}
	s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "user code chosen")
	return nil
}

// unchosen answers a form that could not be stored.
func (s *Server) unchosen(c echo.Context, v *chance, err error) error {
	switch {
	case errors.Is(err, consent.ErrDecided):
		v.change.Done = true
		return s.showChance(c, v, http.StatusOK, "")
	case errors.Is(err, consent.ErrNotFound):
		return s.render(c, http.StatusNotFound, templates.PageData{State: templates.NotFound})
	}
	return s.unavailable(c, nil, err)
}
