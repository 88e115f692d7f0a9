package store

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// thawTTL is how long the message that ends a freeze is kept, for followers
// that were away.
const thawTTL = time.Minute

// Freeze stops client from asking the person until the time given. A later
// end that is already there stays; a time that is over ends the freeze.
func (s *Store) Freeze(ctx context.Context, p consent.Pseudonym, client string, until time.Time) error {
	ttl := thawTTL
	lasts := until.After(s.cfg.Now())
	if lasts {
		ttl = seconds(until.Sub(s.cfg.Now()))
	}
	text, err := until.UTC().MarshalText()
	if err != nil {
		return fmt.Errorf("encoding a freeze: %w", err)
	}
	seq, err := s.dir.freezes.change(ctx, string(p)+"."+token(client), func(m message) ([]byte, error) {
		var there time.Time
		if lasts && there.UnmarshalText(m.data) == nil && there.After(until) {
			return nil, errLeave
		}
		return text, nil
	}, jetstream.WithMsgTTL(ttl))
	if err != nil {
		return fmt.Errorf("writing a freeze: %w", err)
	}
	return s.dir.freezes.wait(ctx, seq)
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

// thaw ends every freeze of an erased person, as if they had done so: a later
// person of the same id is somebody else, in every process.
func (s *Store) thaw(ctx context.Context, p consent.Pseudonym) error {
	text, err := time.Time{}.MarshalText()
	if err != nil {
		return fmt.Errorf("encoding a freeze: %w", err)
	}
	list, err := s.dir.freezes.keys(ctx, string(p)+".*")
	var seq uint64
	for _, key := range list {
		if seq, err = s.dir.freezes.write(ctx, key, text, jetstream.WithMsgTTL(thawTTL)); err != nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("ending freezes: %w", err)
	}
	return s.dir.freezes.wait(ctx, seq)
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
