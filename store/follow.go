package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

const (
	// followSince is how far back the follower starts: every request that may
	// be open, and what counts in a history.
	followSince = keepAny
	// followAhead is the number of messages that may be under way to it.
	followAhead = 4096
	// sweepEvery is how often the index forgets.
	sweepEvery = 15 * time.Second
	// sweepAfter is the number of messages of the past after which it does.
	sweepAfter = 1 << 18
	// sumUp is how long after its end a request is still announced when the
	// store starts: its client may not have been told yet.
	sumUp = time.Hour
)

// following is the state of the follower, which one goroutine owns.
type following struct {
	fresh int    // facts since the last copy of the index
	swept int    // of them those before the last sweep
	last  uint64 // everything up to this sequence has been taken
	until uint64 // what was stored before the start
	begun bool   // last says where to go on, of the only writer
	ready bool
}

// follow feeds index, waiters and OnEvent until ctx ends.
func (s *Store) follow(ctx context.Context) {
	var f following
	for ctx.Err() == nil {
		err := s.followOnce(ctx, &f)
		if ctx.Err() != nil {
			s.snapshot(context.WithoutCancel(ctx), &f, 1)
			return
		}
		s.log.WarnContext(ctx, "facts not followed, trying again", slog.Any("err", err))
		select {
		case <-ctx.Done():
		case <-time.After(followRetry):
		}
	}
}

// followOnce follows from where it stands until something fails.
func (s *Store) followOnce(ctx context.Context, f *following) error {
	if s.exclusive {
		return s.followOwn(ctx, f)
	}
	return s.followAll(ctx, f)
}

// followAll follows the facts of all processes with one consumer. Of several
// processes only one seals, and that one reads the facts; the others need their
// headers alone.
func (s *Store) followAll(ctx context.Context, f *following) error {
	js, err := jetstream.New(s.fc)
	if err != nil {
		return fmt.Errorf("using JetStream: %w", err)
	}
	name := s.names.stream(streamConsent)
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("opening %s: %w", name, err)
	}
	there := stream.CachedInfo().State
	if f.until == 0 {
		f.until = there.LastSeq
	}
	since := there.LastTime.Add(-followSince) // by the server's clock, which dates the messages
	config := jetstream.OrderedConsumerConfig{HeadersOnly: true, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since}
	if f.last > 0 {
		config.DeliverPolicy, config.OptStartTime, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, nil, f.last+1
	}
	consumer, err := js.OrderedConsumer(ctx, name, config)
	if err != nil {
		return fmt.Errorf("following %s: %w", name, err)
	}
	if !f.ready && (there.Msgs == 0 || consumer.CachedInfo().NumPending == 0) {
		s.caughtUp(f)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(followAhead))
	if err != nil {
		return fmt.Errorf("following %s: %w", name, err)
	}
	defer messages.Stop()
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	swept := s.cfg.Now()
	for n := 1; ; n++ {
		m, err := messages.Next(jetstream.NextMaxWait(sweepEvery))
		switch {
		case err == nil:
			meta, err := m.Metadata()
			if err != nil {
				return fmt.Errorf("following %s: %w", name, err) // it comes again, with what follows it
			}
			seq := meta.Sequence.Stream
			s.take(ctx, f, message{subject: m.Subject(), label: m.Headers().Get(headerName), seq: seq, at: meta.Timestamp})
			if !f.ready && (seq >= f.until || meta.NumPending == 0) {
				s.caughtUp(f)
			}
		case !errors.Is(err, nats.ErrTimeout):
			return fmt.Errorf("following %s: %w", name, err)
		}
		if now := s.cfg.Now(); n%256 == 0 && now.Sub(swept) > sweepEvery || err != nil || !f.ready && n%sweepAfter == 0 {
			swept = now
			s.index.sweep(f.keep())
		}
	}
}

// snapshot makes a copy of the index after so many facts.
func (s *Store) snapshot(ctx context.Context, f *following, after int) {
	if !s.exclusive || !f.ready || f.fresh < after {
		return
	}
	f.fresh, f.swept = 0, 0
	if err := s.saveSnapshot(f.last); err != nil {
		s.log.WarnContext(ctx, "no copy of the index, the next start takes longer", slog.Any("err", err))
	}
}

// keep is how long the index keeps what ended: longer before the summary.
func (f *following) keep() time.Duration {
	if f.ready {
		return keepEnded
	}
	return sumUp
}

// unreadable says that a message is no fact that this release can read.
func (s *Store) unreadable(ctx context.Context, seq uint64, err error) {
	s.log.ErrorContext(ctx, "unreadable fact", slog.Any("err", fmt.Errorf("fact %d: %w", seq, err)))
}

// caughtUp announces the requests of the past that may need something.
func (s *Store) caughtUp(f *following) {
	f.ready = true
	s.index.sweep(sumUp)
	if s.cfg.OnEvent != nil {
		for _, e := range s.index.summary() {
			s.cfg.OnEvent(e)
		}
	}
	close(s.ready)
}

// summary returns one event for each request in the index: first those that
// nobody was asked yet, as they came, then the others, the youngest first, for
// most of the old ones have had all that they need.
func (x *index) summary() []consent.Event {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := make([]consent.Event, 0, len(x.byID))
	add := func(e *entry) {
		out = append(out, consent.Event{
			ID: e.id, Kind: consent.FactAsked, Seq: e.seq, At: time.Unix(0, e.asked).UTC(),
			Pseudonym: consent.Pseudonym(e.who.String()), ExpiresAt: time.Unix(0, e.expires).UTC(),
		})
	}
	fresh := func(e *entry) bool { return e.decided == 0 && e.attempts == 0 }
	for e := x.entries.at(x.all.first); e != nil; e = x.entries.at(e.all.next) {
		if fresh(e) {
			add(e)
		}
	}
	for e := x.entries.at(x.all.last); e != nil; e = x.entries.at(e.all.prev) {
		if !fresh(e) {
			add(e)
		}
	}
	return out
}

// Ready reports whether every fact stored before Start is in memory. Until
// then Peek and History know too little.
func (s *Store) Ready() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}
