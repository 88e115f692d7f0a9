package approve

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ringback/consent"
)

// nonceOf names an answer by all that was sent: the same message or form is one
// guess and one decision however often it is taken, and any other is another.
func nonceOf(sent string) string {
	sum := sha256.Sum256([]byte(sent))
	return encoding.EncodeToString(sum[:16])
}

// guess claims one of the request's guesses and returns its number. Only then
// may a comparison have an effect or an answer.
func (s *Server) guess(ctx context.Context, id consent.ID, channel, nonce string) (int, error) {
	return s.cfg.Store.Miss(ctx, id, consent.Miss{V: consent.Version, Channel: channel, At: s.cfg.Now(), Nonce: nonce})
}

// decide makes a decision of evidence and stores it. It returns the decision
// that stands: ours, or with consent.ErrDecided the one that was there first.
// An answer that is taken again, because its first try did not come through,
// has the same nonce and is ours.
func (s *Server) decide(ctx context.Context, st *consent.State, ev consent.Evidence) (consent.Decision, error) {
	d, err := consent.Decide(st, ev, s.cfg.Details, s.cfg.Now())
	if errors.Is(err, consent.ErrEnded) {
		return s.expire(ctx, st)
	}
	if err != nil {
		return d, err
	}
	if d.Verb == consent.Denied {
		if err := s.freeze(ctx, st.Request, d.NotMe); err != nil {
			return consent.Decision{}, err
		}
	}
	stored, err := s.cfg.Store.Decide(ctx, st.Request.ID, d)
	if err == nil {
		s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "request decided", slog.String("req", st.Request.ID.String()),
			slog.String("client", st.Request.Client.ID), slog.String("step", string(d.Verb)),
			slog.String("channel", string(d.Means)), slog.Int("attempt", d.Attempt))
	}
	return stored, err
}

// freeze stops the client from asking this person again where the denial calls
// for it. It comes before the decision, so that no crash can leave an agent
// refused as unexpected but free to ask again.
func (s *Server) freeze(ctx context.Context, req *consent.Request, notMe bool) error {
	until, frozen := s.cfg.Policy().FreezeUntil(req.Client.Counted(), notMe, s.cfg.Store.History(req.Pseudonym), s.cfg.Now())
	if !frozen {
		return nil
	}
	if err := s.cfg.Store.Freeze(ctx, req.Pseudonym, req.Client.Counted(), until); err != nil {
		return fmt.Errorf("freezing the pair: %w", err)
	}
	return nil
}

// freezeTime is how long "not me" stops the client.
func (s *Server) freezeTime() time.Duration {
	now := s.cfg.Now()
	until, _ := s.cfg.Policy().FreezeUntil("", true, consent.History{}, now)
	return until.Sub(now)
}

// expire writes that an overdue request's time is over, and returns what
// stands with consent.ErrDecided: no answer of a person was stored.
func (s *Server) expire(ctx context.Context, st *consent.State) (consent.Decision, error) {
	d, err := consent.Expire(st, random(16), s.cfg.Now())
	if err != nil {
		return d, err
	}
	d, err = s.cfg.Store.Decide(ctx, st.Request.ID, d)
	if err == nil {
		err = consent.ErrDecided
	}
	return d, err
}

// attempt returns attempt n of the request, or nil.
func attempt(st *consent.State, n int) *consent.Attempt {
	for i := range st.Tried {
		if st.Tried[i].N == n {
			return &st.Tried[i]
		}
	}
	return nil
}

// methods are the amr values (RFC 8176) of a reply code that a channel brought,
// and of the match_code beside it.
func (s *Server) methods(channel string, matched bool) []string {
	const otp = "otp"
	amr := []string{otp}
	if ch, ok := s.cfg.Channels[channel]; ok { // it may be configured no longer
		amr[0] = ch.Method()
	}
	if !matched {
		return amr
	}
	if amr[0] != otp {
		amr = append(amr, otp)
	}
	return append(amr, "mca")
}
