package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ringback/consent"
)

// numberClaims is the first token of keys in DEVICES that say whose a number
// is: numberClaims.<numberID>, the owner's pseudonym.
const numberClaims = "number"

// claimGrace is the time that a writer has from claiming a number to storing
// the person. A claim without the person is void only after twice that time.
const claimGrace = 15 * time.Second

// claimNumber makes p the owner of a number, in all processes. It returns
// consent.ErrTaken if somebody else is. Also our own claim is made again, so
// that its time is now.
func (s *Store) claimNumber(ctx context.Context, p consent.Pseudonym, phone consent.Phone) error {
	_, err := s.dir.devices.change(ctx, numberClaims+"."+s.numberID(phone), func(m message) ([]byte, error) {
		if owner := consent.Pseudonym(m.data); m.data != nil && owner != p {
			has, err := s.hasNumber(ctx, owner, phone)
			if err != nil {
				return nil, err
			}
			// The owner may be about to be stored.
			if has || s.cfg.Now().Sub(m.at) < 2*claimGrace {
				return nil, fmt.Errorf("the phone number %w; if that person was removed a moment ago, try again in a minute", consent.ErrTaken)
			}
		}
		return []byte(p), nil
	})
	if err != nil && !errors.Is(err, consent.ErrTaken) {
		return fmt.Errorf("claiming a phone number: %w", err)
	}
	return err
}

// hasNumber reads whether the stored entry of p has the number.
func (s *Store) hasNumber(ctx context.Context, p consent.Pseudonym, phone consent.Phone) (bool, error) {
	m, err := s.dir.people.last(ctx, string(p))
	if err != nil {
		return false, err
	}
	person, _, err := s.openKept(ctx, p, m)
	if errors.Is(err, consent.ErrNotFound) {
		return false, nil
	}
	return err == nil && person.Phone == phone, err
}

// releaseNumber gives a number back if p owns it.
func (s *Store) releaseNumber(ctx context.Context, p consent.Pseudonym, phone consent.Phone) error {
	_, err := s.dir.devices.change(ctx, numberClaims+"."+s.numberID(phone), func(m message) ([]byte, error) {
		if m.data == nil || consent.Pseudonym(m.data) != p {
			return nil, errLeave
		}
		return nil, nil
	})
	if err != nil {
		return fmt.Errorf("releasing a phone number: %w", err)
	}
	return nil
}
