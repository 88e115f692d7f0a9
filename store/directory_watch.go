package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

const (
	// followIdle is how long nothing may arrive before a follower asks the
	// server whether it has missed something.
	followIdle = 20 * time.Second
	// readIdle is the same while what is there is read for the first time.
	readIdle = 2 * time.Second
	// followRetry is the pause after a failure.
	followRetry = time.Second
)

// operation is the header of a message in a bucket that stands for a removal.
const operation = "KV-Operation"

// errBehind is returned when the stream is further than what has arrived.
var errBehind = errors.New("the stream is ahead of its follower")

// follower keeps memory in step with one stream whose newest message per
// subject is its content: first all of them, then every change.
type follower struct {
	s      *Store
	stream string // its name on the server
	prefix string // of subjects; the rest is the key
	bucket bool   // it keeps earlier revisions, and a removal is a message
	// apply takes one message into memory. data is nil for a removed key. An
	// error means that it cannot be done now and is tried again.
	apply func(ctx context.Context, key string, data []byte) error
	// publish writes a message; the following itself never does.
	publish func(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error)

	mu      sync.Mutex
	changed *sync.Cond
	seen    uint64 // everything up to here has been applied
	ready   bool   // everything that was there at the start has been applied
}

func (s *Store) newFollower(stream, prefix string, apply func(context.Context, string, []byte) error) *follower {
	f := &follower{s: s, stream: stream, prefix: prefix, apply: apply}
	f.publish = func(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
		return s.publish(ctx, s.names.label(stream), m, opts...)
	}
	f.changed = sync.NewCond(&f.mu)
	return f
}

// run follows until ctx ends.
func (f *follower) run(ctx context.Context) {
	for {
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		f.s.log.WarnContext(ctx, "directory not followed, trying again", slog.Any("err", err))
		f.advance(0, false) // whoever waits looks whether it is for ever
		select {
		case <-ctx.Done():
			return
		case <-time.After(followRetry):
		}
	}
}

// wait returns when everything up to seq has been applied; for 0 when all
// that was there at the start has.
func (f *follower) wait(ctx context.Context, seq uint64) error {
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changed.Broadcast()
	})
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.ready || f.seen < seq {
		if err := f.s.health.gone(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for the directory: %w", ctx.Err())
		}
		f.changed.Wait()
	}
	return nil
}

func (f *follower) advance(seq uint64, ready bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = max(f.seen, seq)
	f.ready = f.ready || ready
	f.changed.Broadcast()
}

func (f *follower) isReady() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ready
}

func (f *follower) position() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

// follow reads from where memory stands until something fails.
func (f *follower) follow(ctx context.Context) error {
	stream, err := f.s.js.Stream(ctx, f.stream)
	if err != nil {
		return fmt.Errorf("opening %s: %w", f.stream, err)
	}
	there := stream.CachedInfo().State
	seen := f.position()
	if there.LastSeq < seen {
		return fmt.Errorf("%s went back from %d to %d: was an older copy restored under a running process? restart it", f.stream, seen, there.LastSeq)
	}
	config := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}
	if seen > 0 {
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, seen+1
	}
	if there.Msgs == 0 || there.LastSeq == seen {
		f.advance(there.LastSeq, true)
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, there.LastSeq+1
	}
	consumer, err := f.s.js.OrderedConsumer(ctx, f.stream, config)
	if err != nil {
		return fmt.Errorf("following %s: %w", f.stream, err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("following %s: %w", f.stream, err)
	}
	defer messages.Stop()
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()

	behind, wait := there.LastSeq, followIdle
	if !f.isReady() {
		wait = readIdle
	}
	for {
		m, err := messages.Next(jetstream.NextMaxWait(wait))
		wait = followIdle
		if errors.Is(err, nats.ErrTimeout) {
			if err := f.readable(ctx); err != nil {
				return err
			}
			// What was there when the last wait began has arrived by now, or
			// has been removed since, or was lost on its way.
			if f.position() < behind {
				if there.LastSeq == behind {
					f.advance(behind, true) // nothing of it is left to deliver
				} else {
					return fmt.Errorf("following %s: %w", f.stream, errBehind)
				}
			}
			info, err := stream.Info(ctx)
			if err != nil {
				return fmt.Errorf("looking at %s: %w", f.stream, err)
			}
			behind = info.State.LastSeq
			continue
		}
		if err != nil {
			return fmt.Errorf("following %s: %w", f.stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("following %s: %w", f.stream, err)
		}
		data := m.Data()
		if removed(m.Headers()) {
			data = nil
		} else if data == nil {
			data = []byte{}
		}
		if err := f.apply(ctx, strings.TrimPrefix(m.Subject(), f.prefix), data); err != nil {
			return fmt.Errorf("following %s: %w", f.stream, err)
		}
		f.advance(meta.Sequence.Stream, meta.NumPending == 0)
	}
}

// readable loses what the server counts among its messages and cannot read any
// more: it never arrives, and is not missed.
func (f *follower) readable(ctx context.Context) error {
	if f.isReady() {
		return nil
	}
	keys, err := f.keys(ctx, ">")
	if err != nil {
		return err
	}
	for _, key := range keys {
		m, err := f.last(ctx, key)
		if err != nil {
			return err
		}
		if m.seq > 0 {
			continue
		}
		still, err := f.keys(ctx, key) // it may have been removed since
		if err != nil {
			return err
		}
		if len(still) > 0 {
			return f.s.lose(consent.Loss{Stream: f.s.names.label(f.stream), Why: "the entry " + key + " cannot be read any more"})
		}
	}
	return nil
}

// removed reports whether a message stands for the end of its key.
func removed(h nats.Header) bool {
	return h.Get(operation) != "" || h.Get(jetstream.MarkerReasonHeader) != ""
}
