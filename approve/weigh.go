package approve

import (
	"context"
	"errors"
	"slices"
	"time"

	"ringback/consent"
	"ringback/templates"
)

const (
	// lookBack is how long after its end a request is still known to the one
	// who answers it late.
	lookBack = 24 * time.Hour
	// lookMost is how many requests that have ended are looked at, the newest.
	lookMost = 8
)

// told is a request that a message on the person's device told of, with the
// newest attempt there.
type told struct {
	state   *consent.State
	attempt *consent.Attempt
}

// delivered lists the requests that messages on this device told of, newest
// first: those that are open, and the newest of those that have ended. Where the
// time of one is over that is written first.
func (s *Server) delivered(ctx context.Context, m message) (open, ended []told, err error) {
	now := s.cfg.Now()
	history := s.cfg.Store.History(s.cfg.Directory.Pseudonym(m.person.ID))
	for _, b := range history.Open {
		t, err := s.told(ctx, m, b.ID)
		if err == nil && t.state != nil && t.state.Overdue(now) {
			var d consent.Decision
			if d, err = s.expire(ctx, t.state); errors.Is(err, consent.ErrDecided) {
				t.state.Decided, err = &d, nil
			}
		}
		switch {
		case err != nil:
			return nil, nil, err
		case t.state == nil:
		case t.state.Decided == nil:
			open = append(open, t)
		default:
			ended = append(ended, t)
		}
	}
	slices.Reverse(open) // of those told of at the same time, the last one that was asked
	slices.SortStableFunc(open, newest)
	slices.Reverse(history.Recent)
	slices.SortStableFunc(history.Recent, func(a, b consent.Past) int { return b.At.Compare(a.At) })
	for _, p := range history.Recent {
		if len(ended) >= lookMost {
			break
		}
		if p.Verb == "" || now.Sub(p.At) >= lookBack {
			continue
		}
		t, err := s.told(ctx, m, p.ID)
		if err != nil {
			return nil, nil, err
		}
		if t.state != nil && t.state.Decided != nil {
			ended = append(ended, t)
		}
	}
	slices.SortStableFunc(ended, newest)
	return open, ended, nil
}

func newest(a, b told) int { return b.attempt.At.Compare(a.attempt.At) }

// told reads a request; without a state where no message on the device told of
// it.
func (s *Server) told(ctx context.Context, m message, id consent.ID) (told, error) {
	st, err := s.cfg.Store.Get(ctx, id)
	if errors.Is(err, consent.ErrNotFound) {
		return told{}, nil
	}
	if err != nil || st.Request.Approver != m.person.ID {
		return told{}, err
	}
	var last *consent.Attempt
	for i := range st.Tried {
		a := &st.Tried[i]
		o, known := st.Outcomes[a.N]
		reached := !known || o.Status == consent.Accepted || o.Status == consent.Unknown
		if a.Channel == m.channel && a.Device == m.device.ID && reached && (last == nil || a.N > last.N) {
			last = a
		}
	}
	if last == nil {
		return told{}, nil
	}
	return told{st, last}, nil
}

// fits reports whether the message's code is that of the newest attempt.
func (s *Server) fits(m message, t told) bool {
	return m.reply.Code != "" && s.cfg.Handles.CheckCode(t.state.Request.ID, t.attempt.N, m.reply.Code)
}

// weigh finds the request that a YES or NO is about, and says what to answer.
// A NO without a code counts only where exactly one request was delivered.
func (s *Server) weigh(ctx context.Context, m message) (string, error) {
	open, ended, err := s.delivered(ctx, m)
	if err != nil {
		return "", err
	}
	for _, t := range ended { // this very message, whose answer did not come through
		if t.state.Decided.Nonce == m.nonce {
			return s.said(m, t)
		}
	}
	if m.reply.Code != "" {
		return s.weighCode(ctx, m, open, ended)
	}
	switch {
	case len(open) == 0 && len(ended) > 0:
		return s.late(m, ended[0])
	case len(open) == 0:
		return s.say(m, templates.AnswerEnded, 0), nil
	case len(open) > 1:
		return s.say(m, templates.AnswerAmbiguous, 0), nil
	case !open[0].attempt.Reply:
		return s.say(m, templates.AnswerNotHere, 0), nil
	}
	return s.conclude(ctx, m, open[0])
}

// again is what a message is answered that the provider brings once more: nothing,
// unless it came too late. Then the words were all the effect that it had, and the
// process may have ended before it had said them.
func (s *Server) again(ctx context.Context, m message) (string, error) {
	if m.reply.Keyword != templates.Yes && m.reply.Keyword != templates.No {
		return "", nil
	}
	open, ended, err := s.delivered(ctx, m)
	if err != nil {
		return "", err
	}
	for _, t := range ended {
		if t.state.Decided.Verb == consent.Expired && (s.fits(m, t) || m.reply.Code == "" && len(open) == 0) {
			return s.late(m, t)
		}
	}
	return "", nil
}

// weighCode compares the message's code with every request that may be
// answered by it. Before anything follows a guess is claimed: for a code that
// fits at its own request alone, for any other at every request that it was
// compared with.
func (s *Server) weighCode(ctx context.Context, m message, open, ended []told) (string, error) {
	var compared []told
	elsewhere, spent := false, false
	for _, t := range open {
		switch {
		case !s.cfg.Now().Before(t.attempt.CodeUntil):
		case !t.attempt.Reply, m.reply.Keyword == templates.Yes && !t.state.Request.Satisfied(consent.ACRTap):
			elsewhere = true
		case len(t.state.Misses) >= consent.MaxMisses && !missed(t.state, m.nonce):
			spent = true
		default:
			compared = append(compared, t)
		}
	}
	if i := slices.IndexFunc(compared, func(t told) bool { return s.fits(m, t) }); i >= 0 {
		t := compared[i]
		if _, err := s.guess(ctx, t.state.Request.ID, m.channel, m.nonce); errors.Is(err, consent.ErrGuesses) {
			return s.say(m, templates.AnswerTooMany, 0), nil
		} else if err != nil {
			return "", err
		}
		return s.conclude(ctx, m, t)
	}
	// A code of a request that has ended opens nothing, and is no guess.
	if i := slices.IndexFunc(ended, func(t told) bool { return s.fits(m, t) }); i >= 0 {
		return s.late(m, ended[i])
	}
	left := 0
	for _, t := range compared {
		n, err := s.guess(ctx, t.state.Request.ID, m.channel, m.nonce)
		if err != nil && !errors.Is(err, consent.ErrGuesses) {
			return "", err
		}
		if err == nil {
			left = max(left, consent.MaxMisses-n)
		}
	}
	switch {
	case left > 0:
		return s.say(m, templates.AnswerWrong, left), nil
	case len(compared) > 0 || spent:
		return s.say(m, templates.AnswerTooMany, 0), nil
	case elsewhere:
		return s.say(m, templates.AnswerNotHere, 0), nil
	case len(ended) > 0:
		return s.late(m, ended[0])
	}
	return s.say(m, templates.AnswerEnded, 0), nil
}

// missed reports whether the guess of that nonce has been charged.
func missed(st *consent.State, nonce string) bool {
	return slices.ContainsFunc(st.Misses, func(m consent.Miss) bool { return m.Nonce == nonce })
}

// conclude stores the answer that a message gave.
func (s *Server) conclude(ctx context.Context, m message, t told) (string, error) {
	ev := consent.Evidence{
		Verb: consent.Denied, By: m.person.ID, Means: consent.ByReply, Attempt: t.attempt.N,
		ACR: consent.ACRTap, AMR: s.methods(m.channel, false), Presentation: t.attempt.Presentation, Nonce: m.nonce,
	}
	if m.reply.Keyword == templates.Yes {
		ev.Verb = consent.Approved
	}
	d, err := s.decide(ctx, t.state, ev)
	switch {
	case err == nil:
		t.state.Decided = &d
		return s.said(m, t)
	case errors.Is(err, consent.ErrDecided):
		t.state.Decided = &d
		return s.late(m, t)
	case errors.Is(err, consent.ErrAssurance):
		return s.say(m, templates.AnswerNotHere, 0), nil
	}
	s.fault(ctx, "storing an answer", t.state.Request.ID, err)
	return "", err
}

// said is the answer to a message that decided.
func (s *Server) said(m message, t told) (string, error) {
	answer := templates.AnswerRefused
	if t.state.Decided.Verb == consent.Approved {
		answer = templates.AnswerAllowed
	}
	return s.sayOf(m, answer, t)
}

// late is the answer to a message about a request that has ended otherwise.
func (s *Server) late(m message, t told) (string, error) {
	if t.state.Decided.Verb != consent.Expired {
		return s.say(m, templates.AnswerEnded, 0), nil
	}
	return s.sayOf(m, templates.AnswerLate, t)
}

// say is an answer in the person's language; sayOf one that names the request.
func (s *Server) say(m message, a templates.Answer, left int) string {
	return s.cfg.Templates.Say(a, m.person.Locale, nil, left)
}

func (s *Server) sayOf(m message, a templates.Answer, t told) (string, error) {
	view, err := s.cfg.Templates.View(given(t.state.Request, t.state.Decided), m.person, 0)
	if err != nil {
		return "", err
	}
	return s.cfg.Templates.Say(a, m.person.Locale, &view, 0), nil
}
