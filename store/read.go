package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"ringback/consent"
)

// Get implements consent.Store. Where this process is the only writer and
// remembers the request there is no I/O.
func (s *Store) Get(ctx context.Context, id consent.ID) (*consent.State, error) {
	remembered, whole := s.recent.get(id)
	if remembered != nil && whole && s.exclusive {
		st := copyState(remembered)
		return &st, nil
	}
	s.recent.begin(id)
	st, err := s.read(ctx, id, remembered)
	if err != nil {
		s.recent.end(id, nil)
		return nil, err
	}
	s.recent.end(id, st)
	c := copyState(st)
	return &c, nil
}

// read reads every fact of one request from the stream. What was remembered
// of it saves decrypting its asked again.
func (s *Store) read(ctx context.Context, id consent.ID, remembered *consent.State) (*consent.State, error) {
	known, isKnown := s.Peek(id)
	if remembered != nil { // as long as the person's key is there
		if _, err := s.dataKey(ctx, remembered.Request.Pseudonym, false); err != nil {
			return nil, err
		}
	}
	msgs, err := s.reader.latest(ctx, s.names.facts(id))
	if err != nil {
		return nil, err
	}
	if len(msgs) == 0 && !s.exclusive {
		// A replica may not know yet what the leader has acknowledged.
		subject := s.names.fact(place{ID: id, Kind: consent.FactAsked})
		if _, err := s.leaderMessage(ctx, s.names.stream(streamConsent), subject); err != nil {
			return nil, fmt.Errorf("reading a request: %w", err)
		}
		if msgs, err = s.reader.latest(ctx, s.names.facts(id)); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(msgs, func(a, b message) int { return cmp.Compare(a.seq, b.seq) })
	var st consent.State
	for _, m := range msgs {
		p, err := s.names.parseFact(m.subject)
		if err != nil {
			return nil, fmt.Errorf("reading a request: fact %d: %w", m.seq, err)
		}
		if p.Kind == consent.FactAsked && remembered != nil {
			st.Request = remembered.Request
		} else if err := s.decodeInto(ctx, &st, p, m); err != nil {
			return nil, err
		}
		st.Seq = m.seq
	}
	if isKnown {
		if err := s.whole(ctx, known, &st); err != nil {
			return nil, fmt.Errorf("reading a request: %w", err)
		}
	}
	if st.Request == nil { // unknown, or its asked has aged out before the rest
		return nil, fmt.Errorf("reading a request: %w", consent.ErrNotFound)
	}
	return &st, nil
}

// whole returns an error where facts are missing that memory has seen before.
func (s *Store) whole(ctx context.Context, known consent.Brief, st *consent.State) error {
	for kind, missing := range map[consent.FactKind]bool{
		consent.FactAsked:   st.Request == nil,
		consent.FactDecided: known.Decided != "" && st.Decided == nil,
		consent.FactSettled: known.Settled != "" && st.Settled == nil,
	} {
		if !missing {
			continue
		}
		_, err := s.leaderMessage(ctx, s.names.stream(streamConsent), s.names.fact(place{ID: known.ID, Kind: kind}))
		switch {
		case errors.Is(err, consent.ErrNotFound):
			return s.lose(consent.Loss{Stream: streamConsent, Why: fmt.Sprintf("%s of request %s cannot be read any more", kind, known.ID)})
		case err != nil:
			return err
		default: // a replica was behind
			return errIncomplete
		}
	}
	return nil
}

// decodeInto decodes a stored fact and adds it to st.
func (s *Store) decodeInto(ctx context.Context, st *consent.State, p place, m message) error {
	switch p.Kind {
	case consent.FactAsked:
		var req consent.Request
		bearers, err := s.decode(ctx, m, &req)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(bearers, &req.Bearers); err != nil {
			return fmt.Errorf("reading fact %d: bearers: %w", m.seq, err)
		}
		insert(st, p, &req)
		return nil
	case consent.FactTried:
		return decodeAs[consent.Attempt](ctx, s, st, p, m)
	case consent.FactOutcome:
		return decodeAs[consent.Outcome](ctx, s, st, p, m)
	case consent.FactReceipt:
		return decodeAs[consent.Receipt](ctx, s, st, p, m)
	case consent.FactMissed:
		return decodeAs[consent.Miss](ctx, s, st, p, m)
	case consent.FactDecided:
		return decodeAs[consent.Decision](ctx, s, st, p, m)
	case consent.FactSettled:
		return decodeAs[consent.Settlement](ctx, s, st, p, m)
	case consent.FactRenewed:
		return decodeAs[consent.Renewal](ctx, s, st, p, m)
	case consent.FactRevoked:
		return decodeAs[consent.Revocation](ctx, s, st, p, m)
	case consent.FactNotice:
		return decodeAs[consent.Notice](ctx, s, st, p, m)
	default:
		return decodeAs[consent.Notified](ctx, s, st, p, m)
	}
}

func decodeAs[T any](ctx context.Context, s *Store, st *consent.State, p place, m message) error {
	var v T
	if _, err := s.decode(ctx, m, &v); err != nil {
		return err
	}
	insert(st, p, v)
	return nil
}

// undecided confirms at the leader that a request has no decision.
func (s *Store) undecided(ctx context.Context, id consent.ID) error {
	_, err := s.leaderMessage(ctx, s.names.stream(streamConsent), s.names.fact(place{ID: id, Kind: consent.FactDecided}))
	switch {
	case errors.Is(err, consent.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("looking for a decision: %w", err)
	default:
		return consent.ErrDecided
	}
}
