package store

import (
	"context"
	"fmt"
	"sync"
	"time"

	"ringback/consent"
)

// feedMost bounds the facts that wait for the follower; what is beyond is read
// from the stream.
const feedMost = 1 << 14

// feed passes the facts of the only writer on to its follower, as they became
// durable: to be sent each of them again by the server took a fifth of the
// processor time of a request.
type feed struct {
	mu     sync.Mutex
	queue  []message
	missed bool          // more is stored, or may be
	wake   chan struct{} // capacity 1: something waits
}

// add takes a fact.
func (f *feed) add(m message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) < feedMost {
		f.queue = append(f.queue, m)
	} else {
		f.missed = true
	}
	f.poke()
}

// miss says that a fact may have been stored that is not fed.
func (f *feed) miss() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.missed = true
	f.poke()
}

// poke wakes the follower.
func (f *feed) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// take returns what waits, and whether there may be more in the stream.
func (f *feed) take() (all []message, missed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all, missed = f.queue, f.missed
	f.queue, f.missed = nil, false
	return all, missed
}

// followOwn follows the facts of a store whose only writer is this process:
// first those that are stored, then those that are fed. What is not fed, because
// its acknowledgement was lost, is found by the gap that it leaves.
func (s *Store) followOwn(ctx context.Context, f *following) error {
	info, err := s.js.Stream(ctx, s.names.stream(streamConsent))
	if err != nil {
		return fmt.Errorf("following facts: %w", err)
	}
	there := info.CachedInfo().State
	if !f.begun {
		f.until = there.LastSeq
		if f.last = s.loadSnapshot(ctx); f.last == 0 && there.Msgs > 0 {
			since := there.LastTime.Add(-followSince) // by the server's clock, which dates the messages
			first, _, err := s.batch(ctx, streamConsent, batchRequest{StartTime: &since, Batch: 1})
			if err != nil || len(first) == 0 {
				return fmt.Errorf("following facts: where to begin: %w", err)
			}
			f.last = first[0].seq - 1
		}
		f.last = max(f.last, there.FirstSeq-min(1, there.FirstSeq)) // the rest has aged out, or is declared lost
		f.begun = true
	}
	if err := s.catchUp(ctx, f, there.LastSeq); err != nil {
		return err
	}
	if !f.ready {
		s.caughtUp(f)
	}
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.feed.wake:
			fed, missed := s.feed.take()
			for _, m := range fed {
				if m.seq > f.last+1 {
					if err := s.catchUp(ctx, f, m.seq-1); err != nil {
						return err
					}
				}
				if m.seq > f.last {
					s.take(ctx, f, m)
				}
			}
			if missed {
				if err := s.catchUp(ctx, f, 0); err != nil {
					return err
				}
			}
		case <-sweep.C: // and look for what nobody acknowledged, with nothing behind it
			if err := s.catchUp(ctx, f, 0); err != nil {
				return err
			}
			s.index.sweep(f.keep())
			s.snapshot(ctx, f, max(snapshotLeast, s.index.size()/2))
		}
	}
}

// catchUp reads what is stored up to a sequence, or for 0 all there is.
func (s *Store) catchUp(ctx context.Context, f *following, upTo uint64) error {
	for upTo == 0 || f.last < upTo {
		batch, more, err := s.batchAfter(ctx, streamConsent, f.last, batchMax)
		if err != nil {
			return fmt.Errorf("following facts: %w", err)
		}
		for _, m := range batch {
			s.take(ctx, f, m)
		}
		if len(batch) == 0 && upTo > f.last {
			return s.lose(consent.Loss{Stream: streamConsent, From: f.last + 1, To: upTo, Why: "they cannot be read"})
		}
		if len(batch) == 0 || !more {
			return nil
		}
		if !f.ready && f.fresh-f.swept >= sweepAfter {
			f.swept = f.fresh
			s.index.sweep(f.keep())
		}
	}
	return nil
}

// take passes one message on. What cannot be read stays where it is; it is
// logged and counted as seen, for every reader of the request will report it.
func (s *Store) take(ctx context.Context, f *following, m message) {
	if f.last > 0 && m.seq > f.last+1 && !s.gone().covers(streamConsent, f.last+1, m.seq-1) {
		_ = s.lose(consent.Loss{Stream: streamConsent, From: f.last + 1, To: m.seq - 1, Why: "they are gone"}) // whoever writes next is told
	}
	f.last = max(f.last, m.seq)
	s.head.saw(streamConsent, m.seq)
	f.fresh++
	defer s.followed.Store(f.last)
	if s.exclusive {
		s.tail.add(m)
	}
	if s.names.isFiller(m.subject) {
		return
	}
	p, err := s.names.parseFact(m.subject)
	var l label
	if err == nil {
		l, err = parseLabel(m.label)
	}
	if err != nil {
		s.unreadable(ctx, m.seq, err)
		return
	}
	s.index.apply(p, &l, m.seq)
	if f.ready && s.cfg.OnEvent != nil {
		s.cfg.OnEvent(consent.Event{
			ID: p.ID, Kind: p.Kind, N: p.N, Seq: m.seq, At: m.at,
			Pseudonym: l.Pseudonym, ExpiresAt: l.Expires, Local: l.Writer == s.writer,
		})
	}
}
