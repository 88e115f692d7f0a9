package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// fill brings the stream of facts to where it ended, so that no sequence that was
// sealed or acknowledged is given out again: an empty one is made anew behind it,
// another one gets messages that stand for what is lost.
func (r *Repair) fill(ctx context.Context) error {
	target := r.Filled()
	if !r.may.Write || target == 0 {
		return nil
	}
	name := r.names.stream(streamConsent)
	stream, err := r.js.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("filling %s: %w", name, err)
	}
	there := stream.CachedInfo()
	if there.State.Msgs == 0 && there.State.LastSeq < target {
		config := there.Config
		config.FirstSeq = target + 1
		if err := r.js.DeleteStream(ctx, name); err != nil {
			return fmt.Errorf("filling %s: %w", name, err)
		}
		if _, err := r.js.CreateStream(ctx, config); err != nil {
			return fmt.Errorf("filling %s: %w", name, err)
		}
		return nil
	}
	for last := there.State.LastSeq; last < target; {
		n := min(target-last, batchTo)
		writes := make([]*write, n)
		for i := range writes {
			seq := last + 1 + uint64(i) // about; nothing rests on it
			writes[i] = newWrite(r.names.subject("consent", filler, strconv.Itoa(r.Epoch()), strconv.FormatUint(seq, 10)), "", nil)
		}
		if err := r.commit.submit(writes...); err != nil {
			return err
		}
		for _, w := range writes {
			if _, err := r.commit.wait(ctx, w); err != nil && !errors.Is(err, errSecond) {
				return fmt.Errorf("filling %s: %w", name, err)
			}
		}
		was := last
		if last, err = r.lastSeq(ctx, streamConsent); err != nil {
			return err
		}
		if last == was {
			return errors.New("filling " + name + ": its end does not move")
		}
	}
	return nil
}

// lastSeq is the end of a stream.
func (s *Store) lastSeq(ctx context.Context, label string) (uint64, error) {
	there, err := s.state(ctx, label)
	return there.LastSeq, err
}

// state is the server's word on a stream.
func (s *Store) state(ctx context.Context, label string) (jetstream.StreamState, error) {
	stream, err := s.js.Stream(ctx, s.names.full(label))
	if err != nil {
		return jetstream.StreamState{}, fmt.Errorf("looking at %s: %w", label, err)
	}
	return stream.CachedInfo().State, nil
}
