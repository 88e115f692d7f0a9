package store

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// userCodes is the first token of keys in DEVICES that hold what a person's
// user_code is: userCodes.<pseudonym>. It is kept beside the entry, since
// people of the configuration file have one too.
const userCodes = "user-code"

// storedUserCode is written with the person's data key, and only where nobody
// else has written since it was read.
type storedUserCode struct {
	V       int                 `json:"v"`
	Code    []byte              `json:"code,omitempty"` // MAC of what was chosen; empty: nothing yet
	At      time.Time           `json:"at,omitzero"`    // when it was chosen
	Guesses []consent.CodeGuess `json:"guesses,omitempty"`
	Change  *storedChange       `json:"change,omitempty"` // the newest one
}

// storedChange is a consent.CodeChange.
type storedChange struct {
	ID     []byte    `json:"id"`
	Until  time.Time `json:"until"`
	Misses []string  `json:"misses,omitempty"` // nonces of guesses
	Done   bool      `json:"done,omitempty"`
}

// codeLocks make those who try codes of one person at once wait for each other
// here instead of overtaking each other in the stream.
type codeLocks [64]sync.Mutex

// holdUserCode takes the lock of a person and returns what gives it back.
func (s *Store) holdUserCode(p consent.Pseudonym) func() {
	mu := &s.dir.codes[maphash.String(s.dir.keys.seed, string(p))%uint64(len(s.dir.codes))]
	mu.Lock()
	return mu.Unlock
}

// TryUserCode implements consent.Directory.
func (s *Store) TryUserCode(ctx context.Context, party, person string, code consent.Secret) (bool, error) {
	e := s.dir.byID(person)
	if e == nil {
		return false, consent.ErrNotFound
	}
	p := e.pseudonym
	defer s.holdUserCode(p)()
	guess, kept := consent.GuessBy(party, s.cfg.Now()), []byte(nil)
	err := s.replaceUserCode(ctx, p, func(u *storedUserCode) (err error) {
		kept = u.Code
		u.Guesses, err = consent.AdmitGuess(u.Guesses, guess)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("trying a user code: %w", err)
	}
	given := s.userCode(p, code)
	want := make([]byte, len(given)) // of nobody's code
	chosen := subtle.ConstantTimeEq(int32(copy(want, kept)), int32(len(given)))
	if chosen&subtle.ConstantTimeCompare(given, want) != 1 {
		return false, nil
	}
	err = s.replaceUserCode(ctx, p, func(u *storedUserCode) error {
		if i := slices.IndexFunc(u.Guesses, guess.Equal); i >= 0 {
			u.Guesses = slices.Delete(u.Guesses, i, i+1)
		}
		return nil
	})
	if err != nil { // it counts as wrong for a while
		s.log.LogAttrs(ctx, slog.LevelWarn, "a right user code still counts as a guess", slog.Any("err", err))
	}
	return true, nil
}

// HasUserCode reports whether the person has chosen a user_code.
// consent.ErrNotFound for an unknown person.
func (s *Store) HasUserCode(ctx context.Context, person string) (bool, error) {
	e := s.dir.byID(person)
	if e == nil {
		return false, consent.ErrNotFound
	}
	u, _, err := s.readUserCode(ctx, e.pseudonym)
	if err != nil {
		return false, fmt.Errorf("looking for a user code: %w", err)
	}
	return len(u.Code) > 0, nil
}

// OfferUserCode lets a person choose a user_code until the time given, and
// returns the name of that chance. An earlier one is over.
// consent.ErrNotFound for an unknown person.
func (s *Store) OfferUserCode(ctx context.Context, person string, until time.Time) (id [16]byte, err error) {
	e := s.dir.byID(person)
	if e == nil {
		return id, consent.ErrNotFound
	}
	owner, err := lower32.DecodeString(string(e.pseudonym))
	if err != nil {
		return id, fmt.Errorf("reading a pseudonym: %w", err)
	}
	rand.Read(id[copy(id[:], owner):]) // never fails
	err = s.changeUserCode(ctx, e.pseudonym, func(u *storedUserCode) error {
		u.Change = &storedChange{ID: id[:], Until: until.UTC()}
		return nil
	})
	if err != nil {
		return [16]byte{}, fmt.Errorf("offering a user code: %w", err)
	}
	return id, nil
}

// CodeChange returns a chance that OfferUserCode gave, consent.ErrNotFound
// when it is over.
func (s *Store) CodeChange(ctx context.Context, id [16]byte) (consent.CodeChange, error) {
	p := consent.NewPseudonym(id[:])
	u, _, err := s.readUserCode(ctx, p)
	if err != nil {
		return consent.CodeChange{}, fmt.Errorf("reading a change of a user code: %w", err)
	}
	c, err := u.changeOf(id, s.cfg.Now())
	if err != nil {
		return consent.CodeChange{}, err
	}
	return consent.CodeChange{Person: p, Until: c.Until, Misses: len(c.Misses), Done: c.Done}, nil
}

// MissCodeChange uses up the next of MaxMisses guesses at the code of the
// message that offered the change, and returns its number. consent.ErrGuesses
// when all are gone, consent.ErrClaimed when one with the same nonce exists,
// consent.ErrDecided when a code was chosen, consent.ErrNotFound when the
// chance is over.
func (s *Store) MissCodeChange(ctx context.Context, id [16]byte, nonce string) (n int, err error) {
	err = s.changeUserCode(ctx, consent.NewPseudonym(id[:]), func(u *storedUserCode) error {
		c, err := u.changeOf(id, s.cfg.Now())
		switch {
		case err != nil:
			return err
		case c.Done:
			return consent.ErrDecided
		case slices.Contains(c.Misses, nonce):
			return consent.ErrClaimed
		case len(c.Misses) >= consent.MaxMisses:
			return consent.ErrGuesses
		}
		c.Misses = append(c.Misses, nonce)
		n = len(c.Misses)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("using up a guess: %w", err)
	}
	return n, nil
}

// ChooseUserCode makes code the person's user_code and forgets guesses at the
// one before. Call it only after the guess at the message's code was right.
// Errors are those of MissCodeChange; consent.ErrInvalid for a code that
// nobody may choose.
func (s *Store) ChooseUserCode(ctx context.Context, id [16]byte, code consent.Secret) error {
	if !consent.IsUserCode(string(code)) {
		return fmt.Errorf("choosing a user code: %w", consent.ErrInvalid)
	}
	p := consent.NewPseudonym(id[:])
	err := s.changeUserCode(ctx, p, func(u *storedUserCode) error {
		c, err := u.changeOf(id, s.cfg.Now())
		if err == nil && c.Done {
			err = consent.ErrDecided
		}
		if err != nil {
			return err
		}
		c.Done = true
		u.Code, u.At, u.Guesses = s.userCode(p, code), s.cfg.Now().UTC().Truncate(time.Second), nil
		return nil
	})
	if err != nil {
		return fmt.Errorf("choosing a user code: %w", err)
	}
	return nil
}

// changeOf returns the change of that name while it lasts.
func (u *storedUserCode) changeOf(id [16]byte, now time.Time) (*storedChange, error) {
	if c := u.Change; c != nil && subtle.ConstantTimeCompare(c.ID, id[:]) == 1 && now.Before(c.Until) {
		return c, nil
	}
	return nil, consent.ErrNotFound
}

// userCode is what is kept of a code. Without the root key it cannot be
// guessed, however short.
func (s *Store) userCode(p consent.Pseudonym, code consent.Secret) []byte {
	return s.cfg.Vault.MAC("user-code", string(p)+string(code))
}

// readUserCode reads what the leader has, and the sequence to write after.
// Who never had anything has an empty one. consent.ErrNotFound for somebody
// whom the directory does not know.
func (s *Store) readUserCode(ctx context.Context, p consent.Pseudonym) (u storedUserCode, seq uint64, err error) {
	if _, err := s.PersonOf(ctx, p); err != nil {
		return u, 0, err
	}
	aead, err := s.dataKey(ctx, p, true)
	if err != nil {
		return u, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	subject := s.userCodeSubject(p)
	m, err := s.leaderMessage(ctx, "KV_"+s.names.stream(bucketDevices), subject)
	if errors.Is(err, consent.ErrNotFound) || err == nil && len(m.data) == 0 {
		return u, m.seq, nil
	}
	if err != nil {
		return u, 0, fmt.Errorf("%w: %w", consent.ErrUnavailable, err)
	}
	plain, err := openValue(aead, subject, m.data)
	if err == nil {
		err = json.Unmarshal(plain, &u)
	}
	if err != nil { // of an erased person of the same id, or forged
		s.skipped(ctx, "user code of "+string(p), err)
		return storedUserCode{}, m.seq, nil
	}
	if u.V != consent.Version {
		return u, 0, errEntryVersion
	}
	return u, m.seq, nil
}

// changeUserCode is replaceUserCode for those who do not hold the lock.
func (s *Store) changeUserCode(ctx context.Context, p consent.Pseudonym, change func(*storedUserCode) error) error {
	defer s.holdUserCode(p)()
	return s.replaceUserCode(ctx, p, change)
}

// replaceUserCode writes what change makes of the stored one, in the place of
// every earlier revision. When change returns an error, nothing is written.
func (s *Store) replaceUserCode(ctx context.Context, p consent.Pseudonym, change func(*storedUserCode) error) error {
	for range writeTries {
		u, seq, err := s.readUserCode(ctx, p)
		if err != nil {
			return err
		}
		if err := change(&u); err != nil {
			return err
		}
		u.V = consent.Version
		plain, err := json.Marshal(u)
		if err != nil {
			return fmt.Errorf("encoding a user code: %w", err)
		}
		aead, err := s.dataKey(ctx, p, true)
		if err != nil {
			return err
		}
		subject := s.userCodeSubject(p)
		m := &nats.Msg{
			Subject: subject,
			Header:  nats.Header{jetstream.MsgRollup: {jetstream.MsgRollupSubject}},
			Data:    sealValue(aead, subject, plain),
		}
		_, err = s.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(seq))
		switch {
		case err == nil:
			return nil
		case !isOvertaken(err):
			return fmt.Errorf("%w: %w", consent.ErrUnavailable, err)
		}
	}
	return consent.ErrUnavailable
}

// removeUserCode removes all of it.
func (s *Store) removeUserCode(ctx context.Context, p consent.Pseudonym) error {
	key := userCodes + "." + string(p)
	_, err := s.dir.devices.Get(ctx, key)
	if err == nil {
		err = s.dir.devices.Purge(ctx, key)
	}
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return fmt.Errorf("removing a user code: %w", err)
	}
	return nil
}

func (s *Store) userCodeSubject(p consent.Pseudonym) string {
	return "$KV." + s.names.stream(bucketDevices) + "." + userCodes + "." + string(p)
}
