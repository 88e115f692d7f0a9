package ciba

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"ringback/clients"
	"ringback/consent"
)

// Errors of a user_code (CIBA Core §13).
const (
	MissingUserCode Code = "missing_user_code"
	InvalidUserCode Code = "invalid_user_code"
)

// errUserCode is one answer for a wrong code and a person who has none.
var errUserCode = &Error{Code: InvalidUserCode, Description: "user_code: not the one that this person has chosen, ask them for it; the service's operator can send them a link to choose a new one"}

// checkUserCode checks the code that a client must give which has registered
// backchannel_user_code_parameter (CIBA Core §7.1). Of other clients it is
// ignored. No code is stored or logged.
func (s *Server) checkUserCode(ctx context.Context, who clients.Caller, person *consent.Person, code string) error {
	if !who.UserCode {
		return nil
	}
	if code == "" {
		return refuse(MissingUserCode, "user_code: missing; this client may ask only with the code that the person has chosen")
	}
	if !consent.IsUserCode(code) {
		return errUserCode // could be nobody's
	}
	if until, ok := s.frozen(s.cfg.Directory.Pseudonym(person.ID), who.Group()); ok { // its guesses would be taken from others
		return refusedBy(&consent.Refusal{Reason: consent.ReasonFrozen, Until: until}, s.cfg.Now())
	}
	right, err := s.cfg.Directory.TryUserCode(ctx, who.Group(), person.ID, consent.Secret(code))
	var refusal *consent.Refusal
	switch {
	case errors.As(err, &refusal):
		s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "too many wrong user codes", slog.String("client", who.ID), slog.String("code", string(refusal.Reason)))
		return refusedBy(refusal, s.cfg.Now())
	case errors.Is(err, consent.ErrNotFound): // erased a moment ago
		return errUnknownUser
	case err != nil:
		return err
	case !right:
		return errUserCode
	}
	return nil
}

// frozen reports whether a person has stopped a client or its group, and until
// when.
func (s *Server) frozen(p consent.Pseudonym, party string) (time.Time, bool) {
	until, ok := s.cfg.Store.Glance(p, 0).Frozen[party]
	return until, ok && s.cfg.Now().Before(until)
}
