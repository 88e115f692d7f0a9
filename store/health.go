package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"ringback/consent"
)

const (
	// fullAt is how full the stream of facts may be for a new request; the
	// rest belongs to decisions and settlements.
	fullAt = 0.8
	// leastFree is the disk space that the embedded server must have left for
	// a new request, for the same reason.
	leastFree = 256 << 20
	// readyWait is how long a new request waits for the store to catch up.
	readyWait = 2 * time.Second
	// perFact is what a stored fact takes beside subject, header and payload.
	perFact = 64
)

// health is what is known of the server's ability to take facts.
type health struct {
	used    atomic.Int64 // bytes in the stream of facts when last asked
	grown   atomic.Int64 // written by this process since
	limit   int64        // bytes that the stream takes; 0: no limit
	cramped atomic.Bool  // the disk is nearly full
	suspect atomic.Bool  // look at the server as if for the first time
	trouble atomic.Pointer[error]
	lost    atomic.Pointer[error] // something that was acknowledged; never taken back
}

// gone returns what is lost, nil for nothing.
func (h *health) gone() error {
	if err := h.lost.Load(); err != nil {
		return *err
	}
	return nil
}

// frozen returns why nothing can be written, nil when something can.
func (h *health) frozen() error {
	if err := h.gone(); err != nil {
		return err
	}
	if err := h.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// grew counts a stored fact until the server is asked again.
func (h *health) grew(bytes int) { h.grown.Add(int64(bytes) + perFact) }

// Fill returns how full the stream of facts is, from 0 to 1. From 0.8 on
// there are no new requests.
func (s *Store) Fill() float64 {
	h := &s.health
	if h.limit <= 0 {
		return 0
	}
	return float64(h.used.Load()+h.grown.Load()) / float64(h.limit)
}

// Healthy returns why the store takes no new requests, nil when it does: the
// present cause. It is a consent.ErrUnavailable.
func (s *Store) Healthy() error {
	if err := s.health.frozen(); err != nil {
		return err
	}
	switch {
	case s.Fill() >= fullAt:
		return fmt.Errorf("the store is %.0f %% full; facts leave it after 96 hours, or initialise a larger one: %w", 100*s.Fill(), consent.ErrUnavailable)
	case s.health.cramped.Load():
		return fmt.Errorf("less than %d MiB of disk are left for %s: %w", leastFree>>20, s.cfg.Dir, consent.ErrUnavailable)
	}
	return nil
}

// Stopped returns why the store will not work again in this process, nil while
// it may: something is lost, or an embedded server has met a write error. Exit,
// so that somebody looks at it.
func (s *Store) Stopped() error {
	if err := s.health.gone(); err != nil || s.srv == nil {
		return err
	}
	if err := s.health.frozen(); errors.Is(err, errStopped) {
		return err
	}
	return nil
}

// room refuses a new request where there is no room for its answer.
func (s *Store) room(ctx context.Context) error {
	err := s.awaitReady(ctx)
	if err == nil {
		err = s.Healthy()
	}
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	return nil
}

// awaitReady gives a store that has just been opened a moment to catch up.
func (s *Store) awaitReady(ctx context.Context) error {
	if s.Ready() {
		return nil
	}
	wait := time.NewTimer(readyWait)
	defer wait.Stop()
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return fmt.Errorf("the store is still reading what is open: %w", consent.ErrUnavailable)
	}
}
