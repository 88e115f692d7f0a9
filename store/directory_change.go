package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// writeTries bounds the retries of a change that others interfere with. Of
// those who change one entry at once, one gets through with every try.
const writeTries = 64

// errLeave is returned by an edit that has nothing to change.
var errLeave = errors.New("the entry stays as it is")

// last reads what the stream's leader holds under a key: data is nil where
// there is nothing any more, seq is what the next write comes after.
func (f *follower) last(ctx context.Context, key string) (message, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	m, err := f.s.leaderMessage(ctx, f.stream, f.prefix+key)
	switch {
	case errors.Is(err, consent.ErrNotFound):
		return message{}, nil
	case err != nil:
		return message{}, fmt.Errorf("reading from %s: %w", f.stream, err)
	case removed(m.header):
		m.data = nil
	case m.data == nil:
		m.data = []byte{}
	}
	return m, nil
}

// change writes under a key what edit makes of what is there, nil for nothing,
// and returns the sequence that memory is to wait for: of the write, or of what
// is there where edit returned errLeave. Where somebody has written meanwhile,
// edit is asked again: what was removed stays removed. What edit reads
// elsewhere is never older than the entry it is given.
func (f *follower) change(ctx context.Context, key string, edit func(m message) ([]byte, error), opts ...jetstream.PublishOpt) (uint64, error) {
	return f.changeAfter(ctx, key, key, edit, opts...)
}

// changeAfter is change for an entry that another, the guard, decides about:
// edit is given the guard, and asked again where that was written meanwhile.
func (f *follower) changeAfter(ctx context.Context, key, guard string, edit func(m message) ([]byte, error), opts ...jetstream.PublishOpt) (uint64, error) {
	for range writeTries {
		m, err := f.last(ctx, guard)
		if err != nil {
			return 0, err
		}
		data, err := edit(m)
		switch {
		case errors.Is(err, errLeave):
			return m.seq, nil
		case errors.Is(err, errDamaged):
			// The key may be that of somebody who was added since.
			if now, err := f.last(ctx, guard); err == nil && now.seq != m.seq {
				continue
			}
			return 0, err
		case err != nil:
			return 0, err
		}
		seq, err := f.write(ctx, key, data, append(opts, jetstream.WithExpectLastSequenceForSubject(m.seq, f.prefix+guard))...)
		if !isOvertaken(err) {
			return seq, err
		}
	}
	return 0, fmt.Errorf("writing to %s: others write the same all the time: %w", f.stream, consent.ErrUnavailable)
}

// remove removes what is under a key, and with clear what hangs on it. Whoever
// adds an entry before all of that is gone is removed as well: clear may have
// taken what is theirs. It reports whether there was an entry.
func (f *follower) remove(ctx context.Context, key string, clear func(entry message) error) (had bool, err error) {
	errAgain := errors.New("somebody was added meanwhile")
	for range writeTries {
		var entry message
		first, err := f.change(ctx, key, func(m message) ([]byte, error) {
			entry = m
			return nil, nil
		})
		had = had || entry.data != nil
		if err == nil {
			err = f.wait(ctx, first)
		}
		if err == nil {
			err = clear(entry)
		}
		if err != nil {
			return had, err
		}
		// Once more, so that nobody who has read of what is cleared can write
		// an entry, and every process forgets what it read until now.
		second, err := f.change(ctx, key, func(m message) ([]byte, error) {
			if m.data != nil {
				return nil, errAgain
			}
			return nil, nil
		})
		if err == nil {
			return had, f.wait(ctx, second)
		}
		if !errors.Is(err, errAgain) {
			return had, err
		}
	}
	return had, fmt.Errorf("removing from %s: somebody adds it again all the time: %w", f.stream, consent.ErrUnavailable)
}

// write is the one place where an entry is written. It takes the place of all
// earlier revisions: they may name somebody who was erased.
func (f *follower) write(ctx context.Context, key string, data []byte, opts ...jetstream.PublishOpt) (uint64, error) {
	m := &nats.Msg{Subject: f.prefix + key, Header: nats.Header{}, Data: data}
	if f.bucket {
		m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
		if data == nil {
			m.Header.Set(operation, "PURGE")
		}
	}
	ack, err := f.publish(ctx, m, opts...)
	switch {
	case err == nil:
		return ack.Sequence, nil
	case isOvertaken(err):
		return 0, err
	}
	return 0, fmt.Errorf("writing to %s: %w", f.stream, err)
}

// keys lists the keys of a pattern that the stream's leader has a message
// for, be it that of a removal.
func (f *follower) keys(ctx context.Context, pattern string) ([]string, error) {
	stream, err := f.s.js.Stream(ctx, f.stream)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", f.stream, away(err))
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(f.prefix+pattern))
	if err != nil {
		return nil, fmt.Errorf("looking at %s: %w", f.stream, away(err))
	}
	var out []string
	for subject := range info.State.Subjects {
		out = append(out, strings.TrimPrefix(subject, f.prefix))
	}
	return out, nil
}

// catchUp returns when memory knows all that was written before.
func (f *follower) catchUp(ctx context.Context) error {
	stream, err := f.s.js.Stream(ctx, f.stream)
	if err != nil {
		return fmt.Errorf("opening %s: %w", f.stream, away(err))
	}
	return f.wait(ctx, stream.CachedInfo().State.LastSeq)
}
