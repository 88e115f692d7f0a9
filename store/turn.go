package store

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

const (
	// turnStripes is how many people can be asked at a time by one process.
	turnStripes = 128
	// turnTTL is how long it is remembered whom somebody was about to ask: longer
	// than a write may take.
	turnTTL = 20 * time.Second
	// turnWait is how long one waits for the request of another process.
	turnWait = 2 * time.Second
	// turnLook is how often one looks for it meanwhile.
	turnLook = 2 * time.Millisecond
)

// AskIf implements consent.Store. Several processes have one message for each
// person, in memory: who asked last. It is replaced only by somebody whose memory
// has that request, so that nobody overlooks another's.
func (s *Store) AskIf(ctx context.Context, req *consent.Request, admit func(consent.History) error) error {
	mu := &s.turns[maphash.String(s.dir.keys.seed, string(req.Pseudonym))%turnStripes]
	mu.Lock()
	defer mu.Unlock()
	if s.exclusive {
		if err := admit(s.History(req.Pseudonym)); err != nil {
			return err
		}
		return s.Ask(ctx, req)
	}
	for range writeTries {
		seq, err := s.awaitTurn(ctx, req.Pseudonym)
		if err != nil {
			return fmt.Errorf("asking: %w", err)
		}
		if err := admit(s.History(req.Pseudonym)); err != nil {
			return err
		}
		seq, err = s.takeTurn(ctx, req.Pseudonym, req.ID.String(), seq)
		if isOvertaken(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("asking: %w", err)
		}
		err = s.Ask(ctx, req)
		if err != nil && ctx.Err() == nil && !errors.Is(err, consent.ErrUnavailable) { // else it may have been asked
			_, _ = s.takeTurn(ctx, req.Pseudonym, "", seq) // whoever comes next waits in vain otherwise, not for long
		}
		return err
	}
	return fmt.Errorf("asking: others ask the same person all the time: %w", consent.ErrUnavailable)
}

func (s *Store) turnSubject(p consent.Pseudonym) string { return s.names.subject("turn", string(p)) }

// takeTurn says that a request is about to be asked, if nobody else has said so
// since.
func (s *Store) takeTurn(ctx context.Context, p consent.Pseudonym, id string, after uint64) (uint64, error) {
	return s.publishVolatile(ctx, &nats.Msg{Subject: s.turnSubject(p), Data: []byte(id)},
		jetstream.WithMsgTTL(turnTTL), jetstream.WithExpectLastSequencePerSubject(after))
}

// awaitTurn returns when memory has the request that was asked last, and what the
// next turn comes after.
func (s *Store) awaitTurn(ctx context.Context, p consent.Pseudonym) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, turnWait)
	defer cancel()
	m, err := s.leaderMessage(ctx, s.names.stream(streamTurn), s.turnSubject(p))
	switch {
	case errors.Is(err, consent.ErrNotFound), errors.Is(err, nats.ErrNoResponders), isNoStream(err): // nobody; or the server has forgotten
		return 0, nil
	case err != nil:
		return 0, err
	}
	id, err := consent.ParseID(string(m.data))
	if err != nil { // given back
		return m.seq, nil
	}
	for {
		if _, known := s.Peek(id); known {
			return m.seq, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("another request to the same person is under way: %w", consent.ErrUnavailable)
		case <-time.After(turnLook):
		}
	}
}

// isNoStream reports whether the server has no such stream.
func isNoStream(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamNotFound
}
