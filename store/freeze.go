package store

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// thawTTL is how long the message that ends a freeze is kept, for followers
// that were away.
const thawTTL = time.Minute

// Freeze stops client from asking the person until the time given. A later
// end that is already there stays; a time that is over ends the freeze.
func (s *Store) Freeze(ctx context.Context, p consent.Pseudonym, client string, until time.Time) error {
	now := s.cfg.Now()
	ttl := thawTTL
	if until.After(now) {
		if s.frozen(p)[client].After(until) {
			return nil
		}
		ttl = seconds(until.Sub(now))
	}
	text, err := until.UTC().MarshalText()
	if err != nil {
		return fmt.Errorf("encoding a freeze: %w", err)
	}
	m := &nats.Msg{Subject: s.names.subject("freeze", string(p), token(client)), Data: text}
	ack, err := s.js.PublishMsg(ctx, m, jetstream.WithMsgTTL(ttl))
	if err != nil {
		return fmt.Errorf("writing a freeze: %w", err)
	}
	return s.dir.freezes.wait(ctx, ack.Sequence)
}

// frozen lists the clients that may not ask the person, and until when. Nil
// for none. It does no I/O.
func (s *Store) frozen(p consent.Pseudonym) map[string]time.Time {
	d := s.dir
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := d.frozen[p]
	if len(list) == 0 {
		return nil
	}
	out := maps.Clone(list)
	now := s.cfg.Now()
	maps.DeleteFunc(out, func(_ string, until time.Time) bool { return !until.After(now) })
	if len(out) == 0 {
		return nil
	}
	return out
}

// thaw forgets every freeze of an erased person. Other processes forget when
// it is over; nobody asks them about this person any more.
func (s *Store) thaw(ctx context.Context, p consent.Pseudonym) error {
	stream, err := s.js.Stream(ctx, s.dir.freezes.stream)
	if err == nil {
		err = stream.Purge(ctx, jetstream.WithPurgeSubject(s.names.subject("freeze", string(p), "*")))
	}
	if err != nil {
		return fmt.Errorf("removing freezes: %w", err)
	}
	s.dir.mu.Lock()
	defer s.dir.mu.Unlock()
	delete(s.dir.frozen, p)
	return nil
}

// applyFreeze takes one message of FREEZE into memory.
func (s *Store) applyFreeze(ctx context.Context, key string, data []byte) error {
	owner, rest, _ := strings.Cut(key, ".")
	client, err := untoken(rest)
	var until time.Time
	if err == nil && data != nil {
		err = until.UnmarshalText(data)
	}
	if err != nil {
		s.skipped(ctx, "freeze "+key, errDamaged)
		return nil
	}
	p, d, now := consent.Pseudonym(owner), s.dir, s.cfg.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.frozen[p]
	maps.DeleteFunc(list, func(_ string, until time.Time) bool { return !until.After(now) })
	if until.After(now) {
		if list == nil {
			list = map[string]time.Time{}
			d.frozen[p] = list
		}
		list[client] = until
	} else {
		delete(list, client)
	}
	if len(list) == 0 {
		delete(d.frozen, p)
	}
	return nil
}
