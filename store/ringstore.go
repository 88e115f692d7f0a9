package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// ringKey is the key in KEYS of the sealed signing keys.
const ringKey = "ring"

// LoadKeys returns the sealed signing keys and their revision; nil, 0 and no
// error when there are none yet.
func (s *Store) LoadKeys(ctx context.Context) ([]byte, uint64, error) {
	kept, err := s.dir.rings.Get(ctx, ringKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading the signing keys: %w", err)
	}
	return kept.Value(), kept.Revision(), nil
}

// SaveKeys replaces the sealed signing keys if their revision is still rev (0:
// if there are none). consent.ErrClaimed when somebody was faster.
func (s *Store) SaveKeys(ctx context.Context, data []byte, rev uint64) error {
	_, err := s.dir.rings.Update(ctx, ringKey, data, rev)
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return fmt.Errorf("writing the signing keys: %w", consent.ErrClaimed)
	}
	if err != nil {
		return fmt.Errorf("writing the signing keys: %w", err)
	}
	return nil
}
