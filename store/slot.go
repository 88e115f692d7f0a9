package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// slotTries bounds how often Slot looks again when the slot changes hands.
const slotTries = 8

// Slot takes the person's one visible prompt for id, for at most ttl. It
// returns true if id has it (already), else false and when to look again.
// Between processes the slot is one write-once message in memory that the
// server forgets by itself.
func (s *Store) Slot(ctx context.Context, p consent.Pseudonym, id consent.ID, ttl time.Duration) (bool, time.Time, error) {
	if s.exclusive {
		mine, until := s.slots.take(p, id, s.cfg.Now(), ttl)
		return mine, until, nil
	}
	subject := s.names.subject("slot", string(p))
	for range slotTries {
		now := s.cfg.Now()
		until := now.Add(ttl)
		m := &nats.Msg{Subject: subject, Data: []byte(id.String() + " " + strconv.FormatInt(until.UnixMilli(), 10))}
		_, err := s.publishVolatile(ctx, m, jetstream.WithMsgTTL(seconds(ttl)))
		if err == nil {
			return true, until, nil
		}
		if !isSecond(err) {
			return false, time.Time{}, fmt.Errorf("taking a slot: %w", err)
		}
		held, err := s.lastMessage(ctx, streamSlot, subject)
		if errors.Is(err, consent.ErrNotFound) {
			continue // given back meanwhile
		}
		if err != nil {
			return false, time.Time{}, fmt.Errorf("looking at a slot: %w", err)
		}
		holder, until := parseSlot(held.data)
		if until.After(now) && !until.After(now.Add(ttl+onceSkew)) { // else somebody has set the clock back
			return holder == id, until, nil
		}
		// Over by our clock, while the server takes a while to forget.
		if err := s.vacate(ctx, held); err != nil {
			return false, time.Time{}, err
		}
	}
	return false, s.cfg.Now().Add(time.Second), nil
}

// Release gives the slot back if id has it.
func (s *Store) Release(ctx context.Context, p consent.Pseudonym, id consent.ID) error {
	if s.exclusive {
		s.slots.release(p, id)
		return nil
	}
	held, err := s.lastMessage(ctx, streamSlot, s.names.subject("slot", string(p)))
	if errors.Is(err, consent.ErrNotFound) {
		return nil
	}
	if errors.Is(err, nats.ErrNoResponders) {
		return s.names.createVolatile(ctx, s.js) // the server forgot all slots
	}
	if err != nil {
		return fmt.Errorf("looking at a slot: %w", err)
	}
	if holder, _ := parseSlot(held.data); holder != id {
		return nil
	}
	return s.vacate(ctx, held)
}

// slots are those of a store that has no other process: they end with it.
type slots struct {
	mu    sync.Mutex
	taken map[consent.Pseudonym]slot
	swept int // how many there were after those that were over went
}

type slot struct {
	id    consent.ID
	until time.Time
}

// slotsFew is how many slots are kept without looking for those that are over.
const slotsFew = 1024

// take is Store.Slot.
func (s *slots) take(p consent.Pseudonym, id consent.ID, now time.Time, ttl time.Duration) (mine bool, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, ok := s.taken[p]
	if ok && held.until.After(now) && !held.until.After(now.Add(ttl)) { // else somebody has set the clock back
		return held.id == id, held.until
	}
	if len(s.taken) >= slotsFew+2*s.swept {
		maps.DeleteFunc(s.taken, func(_ consent.Pseudonym, h slot) bool { return !h.until.After(now) })
		s.swept = len(s.taken)
	}
	if s.taken == nil {
		s.taken = make(map[consent.Pseudonym]slot)
	}
	until = now.Add(ttl)
	s.taken[p] = slot{id, until}
	return true, until
}

// release gives a slot back if id has it.
func (s *slots) release(p consent.Pseudonym, id consent.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[p].id == id {
		delete(s.taken, p)
	}
}

// vacate removes exactly this message, so that a slot which somebody else has
// taken since stays theirs.
func (s *Store) vacate(ctx context.Context, held message) error {
	if err := s.expunge(ctx, streamSlot, held, s.dir.slots.DeleteMsg); err != nil {
		return fmt.Errorf("giving back a slot: %w", err)
	}
	return nil
}

// publishVolatile publishes to a stream in memory. A server that was
// restarted has forgotten the stream itself; then it is made again.
func (s *Store) publishVolatile(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (seq uint64, err error) {
	ack, err := s.js.PublishMsg(ctx, m, opts...)
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
		if err = s.names.createVolatile(ctx, s.js); err == nil {
			ack, err = s.js.PublishMsg(ctx, m, opts...)
		}
	}
	if err != nil {
		return 0, away(err)
	}
	return ack.Sequence, nil
}

// parseSlot reads who holds a slot until when. A message that cannot be read
// is over.
func parseSlot(data []byte) (consent.ID, time.Time) {
	name, end, _ := strings.Cut(string(data), " ")
	id, err := consent.ParseID(name)
	ms, err2 := strconv.ParseInt(end, 10, 64)
	if err != nil || err2 != nil {
		return consent.ID{}, time.Time{}
	}
	return id, time.UnixMilli(ms)
}

// seconds rounds a lifetime up to what the server keeps messages for.
func seconds(d time.Duration) time.Duration {
	return max(d+time.Second-1, time.Second).Truncate(time.Second)
}
