package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/nats-io/nats.go"
)

// Once reports whether key is seen for the first time within an hour, in any
// process. Only its SHA-256 is stored, in memory. After an error the key may
// count as seen.
func (s *Store) Once(ctx context.Context, key string) (bool, error) {
	sum := sha256.Sum256([]byte(key))
	err := s.publishVolatile(ctx, &nats.Msg{Subject: s.names.subject("jti", base64.RawURLEncoding.EncodeToString(sum[:]))})
	switch {
	case err == nil:
		return true, nil
	case isSecond(err):
		return false, nil
	default:
		return false, fmt.Errorf("recording a single use: %w", err)
	}
}
