package approve

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/consent"
	"ringback/templates"
)

// ticketLife is how long a link shows anything (approval.md: 10 minutes after
// its attempt).
const ticketLife = 10 * time.Minute

// visit is one look at a page.
type visit struct {
	ticket  string
	state   *consent.State
	attempt *consent.Attempt
	person  *consent.Person
	view    templates.View
}

// page shows the request that a ticket locates; a POST with a well-formed code
// answers it.
func (s *Server) page(c echo.Context) error {
	ctx := c.Request().Context()
	v, err := s.visit(ctx, c.Param("ticket"))
	switch {
	case errors.Is(err, consent.ErrNotFound):
		return s.render(c, http.StatusNotFound, templates.PageData{State: templates.NotFound})
	case err != nil:
		return s.unavailable(c, v, err)
	}
	if c.Request().Method == http.MethodPost {
		return s.post(c, v)
	}
	return s.show(c, v, http.StatusOK, "")
}

// visit looks up what a ticket locates. Everything that is wrong with a link
// is consent.ErrNotFound, so that nobody learns which requests there are.
func (s *Server) visit(ctx context.Context, ticket string) (*visit, error) {
	raw, n, ok := s.cfg.Handles.ParseTicket(ticket)
	if !ok {
		return nil, consent.ErrNotFound
	}
	v := &visit{ticket: ticket}
	var err error
	if v.state, err = s.cfg.Store.Get(ctx, raw); err != nil {
		return nil, err
	}
	if v.attempt = attempt(v.state, n); v.attempt == nil || !s.cfg.Now().Before(v.attempt.At.Add(ticketLife)) {
		return nil, consent.ErrNotFound
	}
	if v.person, err = s.cfg.Directory.Person(ctx, v.state.Request.Approver); err != nil {
		return nil, err
	}
	waiting := len(s.cfg.Store.History(v.state.Request.Pseudonym).Open)
	if v.state.Decided == nil {
		waiting-- // this one
	}
	v.view, err = s.cfg.Templates.View(v.state.Request, v.person, max(waiting, 0))
	return v, err
}

// card returns which card the state calls for. A request whose time is over
// gets that written, whoever looks: no terminal answer without a fact.
func (s *Server) card(ctx context.Context, v *visit) (templates.State, error) {
	now := s.cfg.Now()
	if v.state.Overdue(now) {
		d, err := s.expire(ctx, v.state)
		if !errors.Is(err, consent.ErrDecided) {
			return "", err
		}
		v.state.Decided = &d
	}
	d := v.state.Decided
	switch {
	case d == nil && !(now.Before(v.attempt.TicketUntil) && now.Before(v.attempt.CodeUntil)):
		return templates.NotFound, nil // an old link to a request that still waits
	case d == nil && len(v.state.Misses) >= consent.MaxMisses:
		return templates.TooMany, nil
	case d == nil:
		return templates.Asking, nil
	case d.Verb == consent.Withdrawn:
		return templates.Withdrawn, nil
	case d.Verb == consent.Expired:
		return templates.Ended, nil
	case d.Means != consent.ByPage || d.Attempt != v.attempt.N:
		return templates.Elsewhere, nil
	case d.Verb == consent.Approved:
		return templates.Allowed, nil
	case d.NotMe:
		return templates.Blocked, nil
	default:
		return templates.Refused, nil
	}
}

// show renders the page as it stands; problem says what was wrong with the
// form just sent, if one was.
func (s *Server) show(c echo.Context, v *visit, status int, problem templates.Problem) error {
	card, err := s.card(c.Request().Context(), v)
	if err != nil {
		return s.unavailable(c, v, err)
	}
	if card == templates.NotFound {
		return s.render(c, http.StatusNotFound, templates.PageData{State: card, Lang: v.view.Lang})
	}
	p := templates.PageData{State: card, View: &v.view, Lang: v.view.Lang}
	switch card {
	case templates.Asking:
	case templates.Allowed:
		if v.view, err = s.cfg.Templates.View(given(v.state.Request, v.state.Decided), v.person, 0); err != nil {
			return s.unavailable(c, v, err)
		}
		return s.render(c, http.StatusOK, p)
	case templates.Blocked:
		p.BlockedFor = s.freezeTime()
		return s.render(c, http.StatusOK, p)
	default:
		return s.render(c, http.StatusOK, p)
	}
	if p.Smaller, err = s.smaller(v.state.Request, v.view.Lang); err != nil {
		return s.unavailable(c, v, err)
	}
	p.CSRF = s.form(c, v.ticket)
	p.NeedCode = true
	p.NeedMatch = v.state.Request.Weakest() == consent.ACRMatch
	p.NeedPhr = v.state.Request.Weakest() == consent.ACRPhr
	p.Problem = problem
	p.TriesLeft = consent.MaxMisses - len(v.state.Misses)
	return s.render(c, status, p)
}

// post reads an answer. Whatever is not a form of this page with a well-formed
// code changes nothing; then the guess is claimed, and only then compared.
func (s *Server) post(c echo.Context, v *visit) error {
	ctx, r := c.Request().Context(), c.Request()
	if card, err := s.card(ctx, v); err != nil {
		return s.unavailable(c, v, err)
	} else if card != templates.Asking {
		return s.show(c, v, http.StatusOK, "")
	}
	f, ok := readForm(r)
	req := v.state.Request
	needMatch := f.answer == templates.AnswerAllow && req.Weakest() == consent.ACRMatch
	switch {
	case !ok:
		return s.show(c, v, http.StatusBadRequest, templates.NoAnswer)
	case !s.fromOurPage(r) || !s.genuine(r, v.ticket, f.csrf):
		return s.show(c, v, http.StatusForbidden, templates.Stale)
	case f.answer == "":
		return s.show(c, v, http.StatusUnprocessableEntity, templates.NoAnswer)
	case f.answer == templates.AnswerAllow && req.Weakest() == consent.ACRPhr:
		return s.show(c, v, http.StatusForbidden, "")
	case f.code == "":
		return s.show(c, v, http.StatusUnprocessableEntity, templates.MissingCode)
	case needMatch && f.match == "":
		return s.show(c, v, http.StatusUnprocessableEntity, templates.MissingMatch)
	}
	var granted json.RawMessage
	if f.answer == templates.AnswerAllow {
		var err error
		if granted, err = s.granted(req, f.less); errors.Is(err, errSmaller) {
			return s.show(c, v, http.StatusUnprocessableEntity, templates.BadSmaller)
		} else if err != nil {
			return s.unavailable(c, v, err)
		}
	}
	nonce := nonceOf("form " + f.body)
	n, err := s.guess(ctx, req.ID, v.attempt.Channel, nonce)
	switch {
	case errors.Is(err, consent.ErrGuesses):
		v.state.Misses = make([]consent.Miss, consent.MaxMisses)
		return s.show(c, v, http.StatusOK, "")
	case err != nil:
		return s.unavailable(c, v, err)
	}
	v.state.Misses = make([]consent.Miss, n) // as many as are used up now
	right := s.cfg.Handles.CheckCode(req.ID, v.attempt.N, f.code) && s.cfg.Now().Before(v.attempt.CodeUntil)
	matched := len(req.Bearers.MatchCode) > 0 && subtle.ConstantTimeCompare([]byte(f.match), []byte(req.Bearers.MatchCode)) == 1
	if !right || needMatch && !matched {
		return s.show(c, v, http.StatusUnprocessableEntity, templates.WrongCode)
	}
	return s.answer(c, v, f, granted, matched, nonce)
}

// answer stores what the person said, and shows what stands.
func (s *Server) answer(c echo.Context, v *visit, f answerForm, granted json.RawMessage, matched bool, nonce string) error {
	ctx := c.Request().Context()
	_, shown, err := s.cfg.Templates.Card(v.view)
	if err != nil {
		return s.unavailable(c, v, err)
	}
	ev := consent.Evidence{
		Verb: consent.Denied, NotMe: f.answer == templates.AnswerBlock, By: v.person.ID, Means: consent.ByPage,
		Attempt: v.attempt.N, ACR: consent.ACRTap, AMR: s.methods(v.attempt.Channel, matched), Presentation: &shown, Nonce: nonce,
	}
	if matched {
		ev.ACR = consent.ACRMatch
	}
	if f.answer == templates.AnswerAllow {
		ev.Verb, ev.Granted = consent.Approved, granted
	}
	d, err := s.decide(ctx, v.state, ev)
	if err != nil && !errors.Is(err, consent.ErrDecided) {
		return s.unavailable(c, v, err)
	}
	v.state.Decided = &d
	return s.show(c, v, http.StatusOK, "")
}

func (s *Server) unavailable(c echo.Context, v *visit, err error) error {
	var id consent.ID
	p := templates.PageData{State: templates.Unavailable}
	if v != nil {
		id, p.Lang = v.state.Request.ID, v.view.Lang
	}
	s.fault(c.Request().Context(), "answering a page", id, err)
	c.Response().Header().Set("Retry-After", "5")
	return s.render(c, http.StatusServiceUnavailable, p)
}

// render writes a page whole, so that a fault in a template leaves no half.
func (s *Server) render(c echo.Context, status int, p templates.PageData) error {
	if p.Lang == "" {
		p.Lang = templates.Language(c.Request().Header.Get("Accept-Language"))
	}
	p.Nonce, _ = c.Get(nonceKey).(string)
	var b bytes.Buffer
	if err := s.cfg.Templates.Page(&b, p); err != nil {
		s.fault(c.Request().Context(), "rendering a page", consent.ID{}, err)
		return c.NoContent(http.StatusInternalServerError)
	}
	return c.HTMLBlob(status, b.Bytes())
}
