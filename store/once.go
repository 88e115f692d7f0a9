package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Once reports whether key is seen for the first time, in any process; it is
// remembered for an hour. Only its SHA-256 is stored, in memory. After an error the key may
// count as seen.
func (s *Store) Once(ctx context.Context, key string, until time.Time) (bool, error) {
	err := s.publishVolatile(ctx, &nats.Msg{Subject: s.names.subject("jti", hashed(key))})
	switch {
	case err == nil:
		return true, nil
	case isSecond(err):
		return false, nil
	default:
		return false, fmt.Errorf("recording a single use: %w", err)
	}
}

// First reports whether key is seen for the first time within a year, in any
// process. It returns after that is durable. Only its SHA-256 is stored. After
// an error the key may count as seen.
func (s *Store) First(ctx context.Context, key string) (bool, error) {
	subject := s.names.subject("seen", hashed(key))
	mark := make([]byte, 16) // tells our own repetition from another's
	rand.Read(mark)          // never fails
	_, err := s.seen.write(ctx, subject, "", mark)
	if errors.Is(err, errSecond) {
		var there message
		if there, err = s.lastMessage(ctx, streamSeen, subject); err == nil {
			return bytes.Equal(there.data, mark), nil
		}
	}
	if err != nil {
		return false, fmt.Errorf("recording a single use: %w", err)
	}
	return true, nil
}

// hashed is the token of a subject for a key of any form.
func hashed(key string) string {
	sum := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
