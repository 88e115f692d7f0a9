package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// ringKey is the key in KEYS of the sealed signing keys.
const ringKey = "ring"

// LoadKeys returns the sealed signing keys and their revision; nil, 0 and no
// error when there are none yet. A consent.ErrLost where there were some: what
// they signed must not be followed by what others sign.
func (s *Store) LoadKeys(ctx context.Context) ([]byte, uint64, error) {
	kept, err := s.dir.rings.Get(ctx, ringKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, s.keysUnneeded(ctx)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading the signing keys: %w", err)
	}
	return append([]byte{}, kept.Value()...), kept.Revision(), nil
}

// ringGone is the loss of all signing keys.
var ringGone = consent.Loss{Stream: "KV_" + bucketKeys, Why: "the signing keys are gone"}

// keysUnneeded returns an error where something is stored that rests on signing
// keys.
func (s *Store) keysUnneeded(ctx context.Context) error {
	for _, name := range []string{"KV_" + bucketKeys, streamAudit, streamConsent} {
		stream, err := s.js.Stream(ctx, s.names.full(name))
		if err != nil {
			return fmt.Errorf("looking for signing keys: %w", err)
		}
		if stream.CachedInfo().State.LastSeq > 0 {
			return s.lose(ringGone)
		}
	}
	return nil
}

// SaveKeys replaces the sealed signing keys if their revision is still rev (0:
// if there are none). consent.ErrClaimed when somebody was faster.
func (s *Store) SaveKeys(ctx context.Context, data []byte, rev uint64) error {
	m := &nats.Msg{Subject: "$KV." + s.names.stream(bucketKeys) + "." + ringKey, Data: data}
	_, err := s.publish(ctx, "KV_"+bucketKeys, m, jetstream.WithExpectLastSequencePerSubject(rev))
	if isOvertaken(err) {
		return fmt.Errorf("writing the signing keys: %w", consent.ErrClaimed)
	}
	if err != nil {
		return fmt.Errorf("writing the signing keys: %w", err)
	}
	return nil
}
