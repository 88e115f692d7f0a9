package store

import (
	"context"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"ringback/consent"
)

// preloadMin is the number of people from which on their keys are read in
// one go at the start, instead of one by one.
const preloadMin = 500

// keylessTries is how often somebody without a key is looked at, with this pause,
// before the key counts as lost.
const (
	keylessTries = 10
	keylessPause = 200 * time.Millisecond
)

// Stored forms of the directory's entries.
type (
	storedPerson struct {
		V int `json:"v"`
		consent.Person
	}
	storedClient struct {
		V int `json:"v"`
		consent.Client
	}
	storedDevice struct {
		V       int       `json:"v"`
		Stopped bool      `json:"stopped"`
		At      time.Time `json:"at"`
		Sealed  []byte    `json:"sealed,omitempty"` // an ownDevice; none where the device follows from the person's entry
	}
	ownDevice struct {
		Channel  string    `json:"channel"`
		Address  string    `json:"address"`
		Name     string    `json:"name"`
		Enrolled time.Time `json:"enrolled"`
		By       string    `json:"by"`
	}
)

// errEntryVersion is returned for an entry of a later release.
var errEntryVersion = errors.New("written by a later release: upgrade this one")

// preloadKeys reads the stored data keys when there are many people to read.
func (s *Store) preloadKeys(ctx context.Context) error {
	stream, err := s.js.Stream(ctx, "KV_"+s.names.stream(bucketPeople))
	if err != nil {
		return fmt.Errorf("opening bucket %s: %w", bucketPeople, err)
	}
	if stream.CachedInfo().State.NumSubjects < preloadMin {
		return nil
	}
	keys := map[consent.Pseudonym][]byte{}
	prefix := s.names.subject("dek") + "."
	for after := uint64(0); ; {
		list, err := s.messagesAfter(ctx, streamDEK, after, batchMax)
		if err != nil {
			return fmt.Errorf("reading data keys: %w", err)
		}
		if len(list) == 0 {
			break
		}
		for _, m := range list {
			keys[consent.Pseudonym(strings.TrimPrefix(m.subject, prefix))] = m.data
		}
		after = list[len(list)-1].seq
	}
	s.dir.keys.preloaded.Store(&keys)
	return nil
}

// applyPerson takes one message of PEOPLE into memory.
func (s *Store) applyPerson(ctx context.Context, key string, data []byte) error {
	p := consent.Pseudonym(key)
	var e *member
	if data != nil {
		var person *consent.Person
		aead, err := s.preloadedKey(ctx, p)
		if err == nil {
			person, err = s.openPerson(aead, p, data)
		}
		switch {
		case errors.Is(err, ErrErased):
			// The entry's removal is on its way.
		case errors.Is(err, consent.ErrNotFound):
			// Another process is erasing somebody who is being added, or the key
			// is lost.
			s.dir.noteKeyless(key)
		case err != nil && !errors.Is(err, errDamaged) && !errors.Is(err, errEntryVersion):
			return err
		case err != nil:
			s.skipped(ctx, "person "+key, err)
		default:
			e = s.newMember(person)
		}
	}
	s.dir.replace(p, e)
	// Erased here or by another process: do not use the key any longer. Of one
	// who was added again since, the removal may never arrive.
	s.forgetKey(p)
	return nil
}

// noteKeyless remembers an entry without a key until the directory is open.
func (d *directory) noteKeyless(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keyless != nil {
		d.keyless[key] = true
	}
}

// keyless returns an error where the entry of somebody who has no key, and was
// not erased, is there at the start and stays: the key is lost.
func (s *Store) keyless(ctx context.Context, key string) error {
	for range keylessTries {
		m, err := s.dir.people.last(ctx, key)
		if err != nil || m.data == nil {
			return err
		}
		if _, err := s.keyMessage(ctx, consent.Pseudonym(key)); !errors.Is(err, consent.ErrNotFound) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("looking for a data key: %w", ctx.Err())
		case <-time.After(keylessPause):
		}
	}
	if s.losing != nil {
		s.losing.without(key)
		return nil
	}
	return s.lose(consent.Loss{Stream: streamDEK, Why: "there is no data key of person " + key})
}

// replace puts e in the place of the stored entry of p; nil removes it.
func (d *directory) replace(p consent.Pseudonym, e *member) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept.remove(p)
	if e != nil {
		d.kept.add(e)
	}
}

// openPerson decrypts what sealPerson wrote.
func (s *Store) openPerson(aead cipher.AEAD, p consent.Pseudonym, data []byte) (*consent.Person, error) {
	plain, err := openValue(aead, s.personPlace(p), data)
	if err != nil {
		return nil, err
	}
	var stored storedPerson
	if err := json.Unmarshal(plain, &stored); err != nil {
		return nil, fmt.Errorf("%w: %v", errDamaged, err)
	}
	if stored.V != consent.Version {
		return nil, errEntryVersion
	}
	if s.pseudonym(stored.ID) != p {
		return nil, errDamaged
	}
	return &stored.Person, nil
}

func (s *Store) sealPerson(aead cipher.AEAD, p consent.Pseudonym, person *consent.Person) ([]byte, error) {
	plain, err := json.Marshal(storedPerson{consent.Version, *person})
	if err != nil {
		return nil, fmt.Errorf("encoding a person: %w", err)
	}
	return sealValue(aead, s.personPlace(p), plain), nil
}

func (s *Store) personPlace(p consent.Pseudonym) string {
	return s.names.subject("people", string(p))
}

// applyClient takes one message of CLIENTS into memory.
func (s *Store) applyClient(ctx context.Context, key string, data []byte) error {
	id, err := untoken(key)
	if err != nil {
		s.skipped(ctx, "client "+key, errDamaged)
		return nil
	}
	var c *consent.Client
	if data != nil {
		if c, err = s.openClient(id, data); err != nil {
			s.skipped(ctx, "client "+id, err)
		}
	}
	d := s.dir
	d.mu.Lock()
	defer d.mu.Unlock()
	if c == nil {
		delete(d.kept.clients, id)
	} else {
		d.kept.clients[id] = c
	}
	return nil
}

// openClient decrypts what sealClient wrote. Sealing keeps whoever can write
// to the server from adding a client of his own.
func (s *Store) openClient(id string, data []byte) (*consent.Client, error) {
	plain, err := s.cfg.Vault.Unwrap(data, s.clientPlace(id))
	if err != nil {
		return nil, err
	}
	var stored storedClient
	if err := json.Unmarshal(plain, &stored); err != nil {
		return nil, fmt.Errorf("%w: %v", errDamaged, err)
	}
	if stored.V != consent.Version {
		return nil, errEntryVersion
	}
	if stored.ID != id {
		return nil, errDamaged
	}
	return &stored.Client, nil
}

func (s *Store) sealClient(c *consent.Client) ([]byte, error) {
	plain, err := json.Marshal(storedClient{consent.Version, *c})
	if err != nil {
		return nil, fmt.Errorf("encoding a client: %w", err)
	}
	sealed, err := s.cfg.Vault.Wrap(plain, s.clientPlace(c.ID))
	if err != nil {
		return nil, fmt.Errorf("sealing a client: %w", err)
	}
	return sealed, nil
}

// clientPlace is what a sealed client is bound to; no pseudonym looks like it.
func (s *Store) clientPlace(id string) string { return s.names.subject("clients", token(id)) }
