package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ringback/consent"
)

const (
	// scrubWait is how long a start waits for streams to be read whole. What is
	// left then is read while the store is in use.
	scrubWait = 5 * time.Second
	// scrubRest is how much longer than a read the pause after it is, then.
	scrubRest = 20
)

// scrub reads what is kept in files, as far as it was not read before an embedded
// server started, and finds what is missing: a server does not say of a message
// that it can no longer read it. It returns when everything is read, or after
// scrubWait, and goes on in the background.
func (s *Store) scrub(ctx, background context.Context) error {
	done := make(chan error, 1)
	busy := time.Now().Add(scrubWait)
	s.running.Go(func() { done <- s.scrubAll(background, busy) })
	wait := time.NewTimer(scrubWait)
	defer wait.Stop()
	select {
	case err := <-done:
		return err
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("reading the store: %w", ctx.Err())
	}
}

// scrubAll is scrub to its end.
func (s *Store) scrubAll(ctx context.Context, busy time.Time) (err error) {
	for _, stream := range s.names.kept() {
		label := s.names.label(stream)
		if _, once := writtenOnce[label]; once {
			err = errors.Join(err, s.scrubStream(ctx, label, busy))
		} else if s.srv == nil {
			err = errors.Join(err, s.countStream(ctx, stream, label))
		}
	}
	return err
}

// scrubStream reads one stream as far as nobody has, without a pause until a
// moment and with pauses from then on.
func (s *Store) scrubStream(ctx context.Context, stream string, busy time.Time) error {
	handle, err := s.js.Stream(ctx, s.names.stream(stream))
	if err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	there := handle.CachedInfo().State
	last := there.LastSeq
	if to, ok := s.readTo[stream]; ok {
		last = min(last, to)
	}
	for after := there.FirstSeq - min(1, there.FirstSeq); after < last; {
		began := time.Now()
		batch, _, err := s.batchAfter(ctx, stream, after, batchMax)
		if err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "store not read whole, a loss may go unnoticed", slog.String("step", stream), slog.Any("err", err))
			return nil
		}
		if len(batch) == 0 {
			return s.missing(ctx, stream, after+1, last)
		}
		for _, m := range batch {
			if m.seq != after+1 {
				if err := s.missing(ctx, stream, after+1, m.seq-1); err != nil {
					return err
				}
			}
			after = m.seq
		}
		if now := time.Now(); now.After(busy) {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(scrubRest * now.Sub(began)):
			}
		}
	}
	return nil
}

// countStream reads a stream whose messages others may replace or remove, and
// finds whether there are as many as the server says.
func (s *Store) countStream(ctx context.Context, stream, label string) error {
	for range keylessTries {
		before, err := s.js.Stream(ctx, stream)
		if err != nil {
			return fmt.Errorf("reading the store: %w", err)
		}
		subjects := map[string]bool{}
		read, err := s.countMessages(ctx, label, subjects)
		if err != nil {
			return fmt.Errorf("reading the store: %w", err)
		}
		was := before.CachedInfo().State
		now, err := before.Info(ctx)
		if err != nil {
			return fmt.Errorf("reading the store: %w", err)
		}
		if now.State.LastSeq != was.LastSeq || now.State.Msgs != was.Msgs {
			continue // somebody wrote meanwhile
		}
		if read < was.Msgs {
			return s.lose(consent.Loss{Stream: label, Why: fmt.Sprintf("of %d messages %d can be read", was.Msgs, read)})
		}
		if label == streamDEK {
			return s.everyKey(ctx, subjects)
		}
		return nil
	}
	return nil
}

// everyKey finds people without a key: the server counts what it has lost with
// what was removed.
func (s *Store) everyKey(ctx context.Context, subjects map[string]bool) error {
	for _, p := range s.dir.stored() {
		if !subjects[s.names.subject("dek", string(p))] {
			if err := s.keyless(ctx, string(p)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) countMessages(ctx context.Context, label string, subjects map[string]bool) (read uint64, err error) {
	for after, more := uint64(0), true; more; {
		var batch []message
		batch, more, err = s.batchAfter(ctx, label, after, batchMax)
		if err != nil || len(batch) == 0 {
			return read, err
		}
		read += uint64(len(batch))
		for _, m := range batch {
			subjects[m.subject] = true
		}
		after = batch[len(batch)-1].seq
	}
	return read, nil
}

// missing says that messages are lost, unless they have aged out since.
func (s *Store) missing(ctx context.Context, stream string, from, to uint64) error {
	handle, err := s.js.Stream(ctx, s.names.stream(stream))
	if err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	if first := handle.CachedInfo().State.FirstSeq; first > from || s.gone().covers(stream, from, to) {
		return nil
	}
	return s.isLost(s.lostError(ctx, []consent.Loss{{Stream: stream, From: from, To: to, Why: "they cannot be read"}}))
}
