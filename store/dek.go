package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// keyLife is how long an opened data key is used without looking whether it
// still exists.
const keyLife = 60 * time.Second

// keySweep is the number of loads after which expired keys are dropped.
const keySweep = 1024

// keyShards spreads the locks that keep a key from being loaded many times at
// once.
const keyShards = 64

// sealVersion is the first byte of every value under a data key.
const sealVersion = 1

// errDamaged is returned for a value that its key does not open: it was
// changed, moved or written under another key.
var errDamaged = errors.New("damaged, or not written with this person's data key")

// ErrErased is returned for everything that was kept under the data key of an
// erased person. It is a consent.ErrNotFound.
var ErrErased = fmt.Errorf("the person was erased: %w", consent.ErrNotFound)

// keyUse says what may be done where a person has no data key.
type keyUse int

const (
	keyThere keyUse = iota // nothing: who has none is unknown or was erased
	keyMade                // one is made, but for somebody who was erased
	keyNow                 // keyThere, as the leader knows it
	keyAnew                // one is made, also for somebody who was erased: they are being added
)

// dataKeys opens and remembers the key of each person. A key is a message
// that is written once; an empty message in its place says that the person
// was erased, so that no late writer makes a new key for the same person.
type dataKeys struct {
	opened sync.Map // consent.Pseudonym :: *openKey
	locks  [keyShards]sync.Mutex
	seed   maphash.Seed
	loads  atomic.Uint64
	stream jetstream.Stream

	preloaded atomic.Pointer[map[consent.Pseudonym][]byte] // wrapped; only while the directory is being opened
}

type openKey struct {
	aead  cipher.AEAD
	until time.Time
}

func (k *dataKeys) lock(p consent.Pseudonym) *sync.Mutex {
	return &k.locks[maphash.String(k.seed, string(p))%keyShards]
}

// dataKey returns the AES-256-GCM of a person's data key. It takes no nonce
// (NonceSize is 0) and puts a random one in front of what it seals. Where
// there is no key, create makes one. It returns ErrErased for an erased
// person, consent.ErrNotFound where there is no key and create is false.
func (s *Store) dataKey(ctx context.Context, p consent.Pseudonym, create bool) (cipher.AEAD, error) {
	k := s.dir.keys
	if v, ok := k.opened.Load(p); ok {
		if key := v.(*openKey); s.cfg.Now().Before(key.until) {
			return key.aead, nil
		}
	}
	lock := k.lock(p)
	lock.Lock()
	defer lock.Unlock()
	if v, ok := k.opened.Load(p); ok {
		if key := v.(*openKey); s.cfg.Now().Before(key.until) {
			return key.aead, nil
		}
	}
	use := keyThere
	if create {
		use = keyMade
	}
	wrapped, err := s.wrappedKey(ctx, p, use)
	if err != nil {
		k.opened.Delete(p)
		return nil, err
	}
	aead, err := s.unwrapKey(p, wrapped)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	if k.loads.Add(1)%keySweep == 0 {
		k.opened.Range(func(p, v any) bool {
			if !now.Before(v.(*openKey).until) {
				k.opened.CompareAndDelete(p, v)
			}
			return true
		})
	}
	k.opened.Store(p, &openKey{aead, now.Add(keyLife)})
	return aead, nil
}

// preloadedKey is dataKey without create for reading the directory: it does
// not fill memory with the keys of people whom nobody asks.
func (s *Store) preloadedKey(ctx context.Context, p consent.Pseudonym) (cipher.AEAD, error) {
	if all := s.dir.keys.preloaded.Load(); all != nil && len((*all)[p]) > 0 {
		return s.unwrapKey(p, (*all)[p])
	}
	return s.storedKey(ctx, p, keyThere)
}

// storedKey is a person's data key as it is stored, whatever is remembered.
func (s *Store) storedKey(ctx context.Context, p consent.Pseudonym, use keyUse) (cipher.AEAD, error) {
	wrapped, err := s.wrappedKey(ctx, p, use)
	if err != nil {
		return nil, err
	}
	return s.unwrapKey(p, wrapped)
}

// forgetKey drops what is remembered of a key, and what it opened. A load
// under way is waited for: it may have read the key before it was deleted.
func (s *Store) forgetKey(p consent.Pseudonym) {
	lock := s.dir.keys.lock(p)
	lock.Lock()
	s.dir.keys.opened.Delete(p)
	lock.Unlock()
	s.recent.dropAll(p)
}

// keyMessage reads what the leader holds of a key: empty is the mark of erasure.
func (s *Store) keyMessage(ctx context.Context, p consent.Pseudonym) (message, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return s.leaderMessage(ctx, s.names.stream(streamDEK), s.names.subject("dek", string(p)))
}

// wrappedKey reads the stored form of a key, or makes one.
func (s *Store) wrappedKey(ctx context.Context, p consent.Pseudonym, use keyUse) (_ []byte, err error) {
	subject := s.names.subject("dek", string(p))
	for try := range writeTries {
		var m message
		if use == keyNow || use == keyAnew {
			m, err = s.keyMessage(ctx, p)
		} else {
			m, err = s.lastMessage(ctx, streamDEK, subject)
		}
		switch {
		case err == nil && len(m.data) > 0:
			return m.data, nil
		case err == nil && (use == keyAnew || use == keyMade && s.dir.declared(p)):
			// Erased once, and now added or in the configuration file again.
			if err := s.reviveKey(ctx, m); err != nil {
				return nil, err
			}
		case err == nil:
			return nil, ErrErased
		case !errors.Is(err, consent.ErrNotFound), use == keyThere, use == keyNow:
			return nil, fmt.Errorf("reading a data key: %w", err)
		case s.knows(p) && try < keylessTries: // between an erasure and its mark
			select {
			case <-ctx.Done():
				return nil, fmt.Errorf("reading a data key: %w", ctx.Err())
			case <-time.After(keylessPause):
			}
			continue
		case s.knows(p):
			return nil, s.lose(consent.Loss{Stream: streamDEK, Why: "there is no data key of person " + string(p) + ", of whom there are facts"})
		}
		key := make([]byte, 32)
		rand.Read(key) // never fails
		wrapped, err := s.cfg.Vault.Wrap(key, string(p))
		if err != nil {
			return nil, fmt.Errorf("wrapping a data key: %w", err)
		}
		_, err = s.publish(ctx, streamDEK, &nats.Msg{Subject: subject, Data: wrapped})
		if err == nil {
			return wrapped, nil
		}
		if !isSecond(err) {
			return nil, fmt.Errorf("writing a data key: %w", err)
		}
		// Somebody else made it; theirs is the one.
	}
	return nil, fmt.Errorf("making a data key: %w", consent.ErrUnavailable)
}

func (s *Store) unwrapKey(p consent.Pseudonym, wrapped []byte) (cipher.AEAD, error) {
	key, err := s.cfg.Vault.Unwrap(wrapped, string(p))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errDamaged, err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("opening a data key: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// eraseKey overwrites the person's key where it lies and leaves a mark that
// keeps another from being made. It may be called again after any error. It
// reports whether there was a key.
func (s *Store) eraseKey(ctx context.Context, p consent.Pseudonym) (had bool, err error) {
	defer s.forgetKey(p)
	for range writeTries {
		m, err := s.keyMessage(ctx, p)
		switch {
		case err == nil && len(m.data) == 0:
			return had, nil
		case err == nil:
			had = true
			if err := s.expunge(ctx, streamDEK, m, s.dir.keys.stream.SecureDeleteMsg); err != nil {
				return had, fmt.Errorf("deleting a data key: %w", err)
			}
		case !errors.Is(err, consent.ErrNotFound):
			return had, fmt.Errorf("reading a data key: %w", err)
		}
		if _, err := s.publish(ctx, streamDEK, &nats.Msg{Subject: s.names.subject("dek", string(p))}); err == nil {
			return had, nil
		} else if !isSecond(err) {
			return had, fmt.Errorf("marking a data key as erased: %w", err)
		}
	}
	return had, fmt.Errorf("deleting a data key: %w", consent.ErrUnavailable)
}

// reviveKey takes a mark of erasure away, so that the person, who is being
// added anew, gets a new key. What was under the old one stays unreadable.
func (s *Store) reviveKey(ctx context.Context, mark message) error {
	if err := s.expunge(ctx, streamDEK, mark, s.dir.keys.stream.DeleteMsg); err != nil {
		return fmt.Errorf("making room for a new data key: %w", err)
	}
	return nil
}

// sealValue encrypts a value that is stored at place, which is its subject.
func sealValue(aead cipher.AEAD, place string, plain []byte) []byte {
	out := make([]byte, 1, 1+len(plain)+aead.Overhead())
	out[0] = sealVersion
	return aead.Seal(out, nil, plain, []byte(place))
}

// openValue is the inverse of sealValue; it returns errDamaged for anything
// else.
func openValue(aead cipher.AEAD, place string, sealed []byte) ([]byte, error) {
	if len(sealed) < 1+aead.Overhead() || sealed[0] != sealVersion {
		return nil, errDamaged
	}
	plain, err := aead.Open(nil, nil, sealed[1:], []byte(place))
	if err != nil {
		return nil, errDamaged
	}
	return plain, nil
}
