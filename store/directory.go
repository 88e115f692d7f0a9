package store

import (
	"context"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// Channels of the devices that the directory derives from a person's entry.
const (
	channelSMS     = "sms"
	channelConsole = "console"
)

// directory keeps people, clients, device states and freezes in memory. What
// it hands out is shared and never changed.
type directory struct {
	people, clients, devices, freezes *follower

	rings jetstream.KeyValue
	slots jetstream.Stream
	keys  *dataKeys
	codes codeLocks

	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.RWMutex
	file    *layer // of the configuration; replaced whole
	kept    *layer // of the buckets
	devised map[consent.Pseudonym]map[string]deviceState
	frozen  map[consent.Pseudonym]map[string]time.Time
	where   func(kind, id string) string // place of an entry of the file
	keyless map[string]bool              // entries without a key that were met, until the directory is open
}

var _ consent.Directory = (*Store)(nil)

// openDirectory opens buckets and streams, and returns when memory holds all
// that was stored. s.js must be set.
func (s *Store) openDirectory(ctx context.Context) error {
	d := &directory{
		keys:    &dataKeys{seed: maphash.MakeSeed()},
		file:    newLayer(),
		kept:    newLayer(),
		devised: map[consent.Pseudonym]map[string]deviceState{},
		frozen:  map[consent.Pseudonym]map[string]time.Time{},
		keyless: map[string]bool{},
	}
	var err error
	if d.rings, err = s.bucket(ctx, bucketKeys); err != nil {
		return err
	}
	for name, stream := range map[string]*jetstream.Stream{streamDEK: &d.keys.stream, streamSlot: &d.slots} {
		if *stream, err = s.js.Stream(ctx, s.names.stream(name)); err != nil {
			return fmt.Errorf("opening stream %s: %w", name, err)
		}
	}
	s.dir = d
	if err := s.preloadKeys(ctx); err != nil {
		return err
	}
	d.people = s.followBucket(bucketPeople, s.applyPerson)
	d.clients = s.followBucket(bucketClients, s.applyClient)
	d.devices = s.followBucket(bucketDevices, s.applyDevice)
	d.freezes = s.newFollower(s.names.stream(streamFreeze), s.names.subject("freeze")+".", s.applyFreeze)

	var running context.Context
	running, d.stop = context.WithCancel(context.WithoutCancel(ctx))
	all := []*follower{d.people, d.clients, d.devices, d.freezes}
	for _, f := range all {
		d.done.Go(func() { f.run(running) })
	}
	for _, f := range all {
		if err := f.wait(ctx, 0); err != nil {
			s.closeDirectory()
			return err
		}
	}
	d.keys.preloaded.Store(nil)
	d.mu.Lock()
	keyless := d.keyless
	d.keyless = nil
	d.mu.Unlock()
	for key := range keyless {
		if err := s.keyless(ctx, key); err != nil {
			s.closeDirectory()
			return err
		}
	}
	return nil
}

// closeDirectory ends the followers and returns when they have ended.
func (s *Store) closeDirectory() {
	if s.dir == nil {
		return
	}
	s.dir.stop()
	s.dir.done.Wait()
}

func (s *Store) followBucket(name string, apply func(context.Context, string, []byte) error) *follower {
	bucket := s.names.stream(name)
	f := s.newFollower("KV_"+bucket, "$KV."+bucket+".", apply)
	f.bucket = true
	return f
}

// Client returns the client with this id, or consent.ErrNotFound. The client
// is shared and must not be changed.
func (s *Store) Client(_ context.Context, id string) (*consent.Client, error) {
	d := s.dir
	d.mu.RLock()
	defer d.mu.RUnlock()
	if c, ok := d.file.clients[id]; ok {
		return c, nil
	}
	if c, ok := d.kept.clients[id]; ok {
		return c, nil
	}
	return nil, consent.ErrNotFound
}

// Person returns the person with this id, or consent.ErrNotFound. The person
// is shared and must not be changed.
func (s *Store) Person(_ context.Context, id string) (*consent.Person, error) {
	if e := s.dir.byID(id); e != nil {
		return e.person, nil
	}
	return nil, consent.ErrNotFound
}

// PersonOf returns who stands behind a pseudonym, or consent.ErrNotFound.
func (s *Store) PersonOf(_ context.Context, p consent.Pseudonym) (*consent.Person, error) {
	d := s.dir
	d.mu.RLock()
	defer d.mu.RUnlock()
	if e, ok := d.file.byPseudonym[p]; ok {
		return e.person, nil
	}
	if e, ok := d.kept.byPseudonym[p]; ok {
		return e.person, nil
	}
	return nil, consent.ErrNotFound
}

// Find returns the one person with this value, consent.ErrNotFound if there
// is none or more than one. Numbers are in E.164 form; the case of email
// addresses does not matter.
func (s *Store) Find(ctx context.Context, kind consent.HintKind, value string) (*consent.Person, error) {
	d := s.dir
	var found *member
	switch kind {
	case consent.HintID:
		return s.Person(ctx, value)
	case consent.HintPhone:
		found = d.only(func(l *layer) []*member { return l.byPhone[consent.Phone(value)] })
	case consent.HintEmail:
		found = d.only(func(l *layer) []*member { return l.byEmail[strings.ToLower(value)] })
	}
	if found == nil {
		return nil, consent.ErrNotFound
	}
	return found.person, nil
}

// Pseudonym is stable for ever and needs no lookup.
func (s *Store) Pseudonym(person string) consent.Pseudonym {
	if e := s.dir.byID(person); e != nil {
		return e.pseudonym
	}
	return s.pseudonym(person)
}

func (s *Store) pseudonym(person string) consent.Pseudonym {
	return consent.NewPseudonym(s.cfg.Vault.MAC("pseudonym", person))
}

// byID returns the entry that counts for an id: the file's before any other.
func (d *directory) byID(id string) *member {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if e, ok := d.file.byID[id]; ok {
		return e
	}
	return d.kept.byID[id]
}

// only returns the one entry among those that list finds, or nil.
func (d *directory) only(list func(*layer) []*member) *member {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var found *member
	for _, e := range list(d.file) {
		if found != nil {
			return nil
		}
		found = e
	}
	for _, e := range list(d.kept) {
		if _, shadowed := d.file.byID[e.person.ID]; shadowed {
			continue
		}
		if found != nil {
			return nil
		}
		found = e
	}
	return found
}

// declared reports whether the configuration file has the person.
func (d *directory) declared(p consent.Pseudonym) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	_, ok := d.file.byPseudonym[p]
	return ok
}

// stored lists the people who are not in the configuration file alone.
func (d *directory) stored() []consent.Pseudonym {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Collect(maps.Keys(d.kept.byPseudonym))
}

// layer is one source of entries.
type layer struct {
	clients     map[string]*consent.Client
	byID        map[string]*member
	byPseudonym map[consent.Pseudonym]*member
	byPhone     map[consent.Phone][]*member
	byEmail     map[string][]*member
}

// member is a person with what is derived from it.
type member struct {
	person    *consent.Person
	pseudonym consent.Pseudonym
	number    string // id of the device that the phone number is; empty without one
}

func newLayer() *layer {
	return &layer{
		clients:     map[string]*consent.Client{},
		byID:        map[string]*member{},
		byPseudonym: map[consent.Pseudonym]*member{},
		byPhone:     map[consent.Phone][]*member{},
		byEmail:     map[string][]*member{},
	}
}

func (s *Store) newMember(p *consent.Person) *member {
	e := &member{person: p, pseudonym: s.pseudonym(p.ID)}
	if p.Phone != "" {
		e.number = s.numberID(p.Phone)
	}
	return e
}

var lower32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// numberID stands for a telephone number where the number may not be.
func (s *Store) numberID(phone consent.Phone) string {
	return lower32.EncodeToString(s.cfg.Vault.MAC("phone", string(phone))[:10])
}

func (l *layer) add(e *member) {
	l.byID[e.person.ID] = e
	l.byPseudonym[e.pseudonym] = e
	if p := e.person.Phone; p != "" {
		l.byPhone[p] = append(l.byPhone[p], e)
	}
	if m := strings.ToLower(e.person.Email); m != "" {
		l.byEmail[m] = append(l.byEmail[m], e)
	}
}

func (l *layer) remove(p consent.Pseudonym) {
	e, ok := l.byPseudonym[p]
	if !ok {
		return
	}
	delete(l.byID, e.person.ID)
	delete(l.byPseudonym, p)
	drop(l.byPhone, e.person.Phone, e)
	drop(l.byEmail, strings.ToLower(e.person.Email), e)
}

// drop takes e out of the list at key.
func drop[K comparable](lists map[K][]*member, key K, e *member) {
	var rest []*member
	for _, other := range lists[key] {
		if other != e {
			rest = append(rest, other)
		}
	}
	if rest == nil {
		delete(lists, key)
	} else {
		lists[key] = rest
	}
}

// token makes any text one token of a subject or key.
func token(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// untoken is the inverse of token.
func untoken(t string) (string, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(t)
	return string(raw), err
}

// skipped logs an entry that cannot be read. Others must stay usable, so it
// is as if it were not there.
func (s *Store) skipped(ctx context.Context, what string, err error) {
	s.log.ErrorContext(ctx, "directory entry unreadable, left out", slog.Any("err", fmt.Errorf("%s: %w", what, err)))
}
