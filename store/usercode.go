package store

import (
	"context"
	"crypto/cipher"
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
	u, err := s.readUserCode(ctx, e.pseudonym)
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
	u, err := s.readUserCode(ctx, p)
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
// message that offered the change, and returns its number, or the one that a
// guess with the same nonce has. consent.ErrGuesses when all are gone,
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
			n = slices.Index(c.Misses, nonce) + 1
			return errLeave
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

// readUserCode reads what the leader has. Who never had anything has an empty
// one. consent.ErrNotFound for somebody whom the directory does not know.
func (s *Store) readUserCode(ctx context.Context, p consent.Pseudonym) (u storedUserCode, err error) {
	if _, err := s.PersonOf(ctx, p); err != nil {
		return u, err
	}
	m, err := s.dir.devices.last(ctx, userCodeKey(p))
	if err != nil || len(m.data) == 0 {
		return u, err
	}
	key, err := s.storedKey(ctx, p, keyNow)
	if errors.Is(err, consent.ErrNotFound) { // erased, and its removal is on its way
		return u, nil
	}
	if err != nil {
		return u, err
	}
	return s.openUserCode(ctx, key, p, m)
}

// openUserCode decrypts what replaceUserCode wrote. What cannot be read is as if
// it were not there.
func (s *Store) openUserCode(ctx context.Context, key cipher.AEAD, p consent.Pseudonym, m message) (u storedUserCode, err error) {
	if len(m.data) == 0 {
		return u, nil
	}
	plain, err := openValue(key, s.userCodeSubject(p), m.data)
	if err == nil {
		err = json.Unmarshal(plain, &u)
	}
	if err != nil { // of an erased person of the same id, or forged
		s.skipped(ctx, "user code of "+string(p), err)
		return storedUserCode{}, nil
	}
	if u.V != consent.Version {
		return storedUserCode{}, errEntryVersion
	}
	return u, nil
}

// changeUserCode is replaceUserCode for those who do not hold the lock.
func (s *Store) changeUserCode(ctx context.Context, p consent.Pseudonym, change func(*storedUserCode) error) error {
	defer s.holdUserCode(p)()
	return s.replaceUserCode(ctx, p, change)
}

// replaceUserCode writes what change makes of the stored one. When change
// returns an error, nothing is written. Who was erased meanwhile has no key.
func (s *Store) replaceUserCode(ctx context.Context, p consent.Pseudonym, change func(*storedUserCode) error) error {
	if _, err := s.PersonOf(ctx, p); err != nil {
		return err
	}
	_, err := s.dir.devices.change(ctx, userCodeKey(p), func(m message) ([]byte, error) {
		use := keyNow
		if s.dir.declared(p) { // nobody adds those of the file
			use = keyAnew
		}
		key, err := s.storedKey(ctx, p, use)
		if err != nil {
			return nil, err
		}
		u, err := s.openUserCode(ctx, key, p, m)
		if err != nil {
			return nil, err
		}
		if err := change(&u); err != nil {
			return nil, err
		}
		u.V = consent.Version
		plain, err := json.Marshal(u)
		if err != nil {
			return nil, fmt.Errorf("encoding a user code: %w", err)
		}
		return sealValue(key, s.userCodeSubject(p), plain), nil
	})
	return err
}

// removeUserCode removes all of it, of somebody whose key is gone. It is
// written also where there is none, so that no change under way makes one.
func (s *Store) removeUserCode(ctx context.Context, p consent.Pseudonym) error {
	if _, err := s.dir.devices.write(ctx, userCodeKey(p), nil); err != nil {
		return fmt.Errorf("removing a user code: %w", err)
	}
	return nil
}

func userCodeKey(p consent.Pseudonym) string { return userCodes + "." + string(p) }

func (s *Store) userCodeSubject(p consent.Pseudonym) string {
	return s.dir.devices.prefix + userCodeKey(p)
}
