package store

import (
	"fmt"
	"sync"
	"time"
)

const (
	// failedFor is how long a write that failed counts, until somebody tries
	// another.
	failedFor = 10 * time.Second
	// overdueAfter is how long a write may wait for its acknowledgement before
	// the store counts as silent.
	overdueAfter = 3 * time.Second
)

// fate is what became of the latest writes.
type fate struct {
	mu     sync.Mutex
	stored time.Time // when one was last acknowledged
	failed time.Time // when one was last given up
	why    error     // it was
	waits  time.Time // since when the one that was sent first waits
}

func (f *fate) ok(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stored = now
}

func (f *fate) gaveUp(now time.Time, why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed, f.why = now, why
}

func (f *fate) waiting(now time.Time, since time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waits = now.Add(-since)
}

func (f *fate) storedSince(t time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stored.After(t)
}

// trouble returns why writes do not get through, nil when they do.
func (f *fate) trouble(now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.why != nil && f.failed.After(f.stored) && now.Sub(f.failed) < failedFor:
		return fmt.Errorf("the last write failed: %w", f.why)
	case f.waits.After(f.stored) && now.Sub(f.waits) > overdueAfter:
		return fmt.Errorf("a write has waited %s for its acknowledgement", now.Sub(f.waits).Round(time.Second))
	}
	return nil
}
