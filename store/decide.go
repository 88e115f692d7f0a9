package store

import (
	"context"
	"errors"

	"ringback/consent"
)

// Miss implements consent.Store.
func (s *Store) Miss(ctx context.Context, id consent.ID, m consent.Miss) (int, error) {
	if m.Nonce == "" {
		return 0, errNonce
	}
	st, err := s.Get(ctx, id)
	if err != nil {
		return 0, err
	}
	for _, there := range st.Misses {
		if there.Nonce == m.Nonce {
			return there.N, nil
		}
	}
	for m.N = len(st.Misses) + 1; m.N <= consent.MaxMisses; m.N++ {
		err := s.put(ctx, st.Request, place{id, consent.FactMissed, m.N}, label{At: m.At}, m)
		var taken *takenError
		if !errors.As(err, &taken) {
			return m.N, err
		}
		var there consent.Miss
		if _, err := s.decode(ctx, taken.found, &there); err != nil {
			return 0, err
		}
		if there.Nonce == m.Nonce {
			return m.N, nil
		}
	}
	return 0, consent.ErrGuesses
}

// Decide implements consent.Store.
func (s *Store) Decide(ctx context.Context, id consent.ID, d consent.Decision) (consent.Decision, error) {
	if d.Nonce == "" {
		return consent.Decision{}, errNonce
	}
	st, err := s.Get(ctx, id)
	if err != nil {
		return consent.Decision{}, err
	}
	won := st.Decided
	if won == nil {
		err := s.put(ctx, st.Request, place{ID: id, Kind: consent.FactDecided}, label{At: d.At, Verb: string(d.Verb)}, d)
		var taken *takenError
		if !errors.As(err, &taken) {
			return d, err
		}
		won = new(consent.Decision)
		if _, err := s.decode(ctx, taken.found, won); err != nil {
			return consent.Decision{}, err
		}
	}
	if won.Nonce == d.Nonce && won.Verb == d.Verb {
		return *won, nil
	}
	return *won, consent.ErrDecided
}

// Settle implements consent.Store.
func (s *Store) Settle(ctx context.Context, id consent.ID, v consent.Settlement) (consent.Settlement, error) {
	if v.Nonce == "" {
		return consent.Settlement{}, errNonce
	}
	st, err := s.Get(ctx, id)
	if err != nil {
		return consent.Settlement{}, err
	}
	won := st.Settled
	if won == nil {
		err := s.put(ctx, st.Request, place{ID: id, Kind: consent.FactSettled}, label{At: v.At, Verb: string(v.Verb)}, v)
		var taken *takenError
		if !errors.As(err, &taken) {
			return v, err
		}
		won = new(consent.Settlement)
		if _, err := s.decode(ctx, taken.found, won); err != nil {
			return consent.Settlement{}, err
		}
	}
	if won.Nonce == v.Nonce && won.Verb == v.Verb {
		return *won, nil
	}
	return *won, consent.ErrSettled
}
