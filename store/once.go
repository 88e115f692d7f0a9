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
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// onceFor is how long a single use is remembered at most.
const onceFor = time.Hour + time.Minute

// onceSkew is how far the clocks of two processes may differ.
const onceSkew = 5 * time.Second

// Once reports whether key is seen for the first time, in any process, and
// remembers it until the time given. What is over already is not first; more
// than an hour and a minute ahead is an error. consent.ErrUnavailable when too
// much is remembered, of whose it is or in all, or the server does not answer;
// after that the key may count as seen. Keys are hashed. The embedded store remembers them over a
// restart, but for the last moment before the process was killed; a restart of
// the external server forgets them.
func (s *Store) Once(ctx context.Context, whose, key string, until time.Time) (bool, error) {
	if s.exclusive {
		return s.uses.first(whose, key, until)
	}
	now := s.cfg.Now()
	ahead, err := remember(now, until)
	if ahead <= 0 || err != nil {
		return false, err
	}
	if !s.shares.fits(whose, now) {
		return false, fmt.Errorf("recording a single use: this client has as many as are left for others: %w", consent.ErrUnavailable)
	}
	m := &nats.Msg{Subject: s.names.subject("jti", hashed(key))}
	_, err = s.publishVolatile(ctx, m, jetstream.WithMsgTTL(seconds(min(ahead+onceSkew, onceFor))))
	if api := (*jetstream.APIError)(nil); !errors.As(err, &api) { // without an answer it may be there
		s.shares.add(whose, now, ahead)
	}
	switch {
	case err == nil:
		// Once it is over, the server may have forgotten an earlier one.
		return until.After(s.cfg.Now()), nil
	case isSecond(err):
		return false, nil
	case ctx.Err() != nil:
		return false, fmt.Errorf("recording a single use: %w", err)
	default:
		return false, fmt.Errorf("recording a single use: %w: %w", err, consent.ErrUnavailable)
	}
}

// remember is how long a use must be remembered; not at all if it is over.
func remember(now, until time.Time) (time.Duration, error) {
	ahead := until.Sub(now)
	if ahead > onceFor {
		return 0, fmt.Errorf("recording a single use: it ends in %v, and at most %v can be remembered: refuse what is valid for longer", ahead, onceFor)
	}
	return ahead, nil
}

// First reports whether key is seen for the first time within a year, in any
// process. It returns after that is durable. Only its SHA-256 is stored. After
// an error the key may count as seen.
func (s *Store) First(ctx context.Context, key string) (bool, error) {
	subject := s.names.subject("seen", hashed(key))
	mark := make([]byte, 16) // tells our own repetition from another's
	rand.Read(mark)          // never fails
	_, err := s.seen.write(ctx, newWrite(subject, "", mark))
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

// Seen reports whether First was asked about key within a year, in any process.
func (s *Store) Seen(ctx context.Context, key string) (bool, error) {
	_, err := s.lastMessage(ctx, streamSeen, s.names.subject("seen", hashed(key)))
	if errors.Is(err, consent.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for a single use: %w", err)
	}
	return true, nil
}

// hashed is the token of a subject for a key of any form.
func hashed(key string) string {
	sum := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
