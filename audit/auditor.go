package audit

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"ringback/consent"
	"ringback/keys"
)

const (
	// linger is how long the auditor lets facts gather after the first one:
	// short, so that sealing is steady work under load and not a burst.
	linger = 100 * time.Millisecond
	// checkpointEvery is the time between checkpoints while there is
	// something new.
	checkpointEvery = time.Minute
	// retryAfter is the pause after a failure.
	retryAfter = time.Second
	// lookEvery is how often an idle auditor looks for facts although nobody
	// woke it, and a standing-by one at the chain.
	lookEvery = 2 * time.Second
	// takeOverAfter is the age of an unsealed fact at which a standing-by
	// auditor takes over: well beyond patience, which one at work may use.
	takeOverAfter = 8 * time.Second
)

// Config is what an Auditor needs.
type Config struct {
	Source Source           // required
	Ring   *keys.Ring       // signs checkpoints, evidence and exports; required
	Now    func() time.Time // required
	Log    *slog.Logger     // required
}

// Auditor seals facts. Any number of processes may run one over the same
// store: the store takes one successor of each record, and whoever loses a
// race stands by until the winner falls behind.
type Auditor struct {
	cfg  Config
	wake chan struct{}

	unsealed atomic.Int64 // when the oldest fact not known to be sealed was stored, Unix ns; 0: none
	active   atomic.Bool  // Run does the sealing, as far as this process knows
	standing atomic.Bool  // Run stands by

	mu     sync.Mutex // held while the chain grows
	head   head
	recent *recent
}

// head is the end of the chain as this process knows it.
type head struct {
	known   bool
	seq     uint64         // of the last record; 0: none
	hash    consent.Digest // of it
	sealed  uint64         // its Sealed
	kind    string         // its Type
	checked time.Time      // when this process last wrote a checkpoint
}

// New returns an Auditor. Call Run, and Wake whenever a fact was stored.
func New(cfg Config) *Auditor {
	return &Auditor{cfg: cfg, wake: make(chan struct{}, 1), recent: newRecent()}
}

// Wake says that a fact was stored. It never blocks.
func (a *Auditor) Wake() {
	if a.unsealed.Load() == 0 {
		a.unsealed.CompareAndSwap(0, a.cfg.Now().UnixNano())
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Lag is the age of the oldest fact that is not known to be sealed; 0 if all
// are. It grows while sealing fails, and while nothing runs.
func (a *Auditor) Lag() time.Duration {
	since := a.unsealed.Load()
	if since == 0 {
		return 0
	}
	return max(0, a.cfg.Now().Sub(time.Unix(0, since)))
}

// Run seals facts within a second, under load within a few, and signs a
// checkpoint every minute in which there were some, until ctx ends. It resumes
// after the last sealed fact.
func (a *Auditor) Run(ctx context.Context) {
	a.active.Store(true)
	defer a.active.Store(false)
	defer a.standing.Store(false)
	for ctx.Err() == nil {
		if a.active.Load() {
			a.work(ctx)
		} else {
			a.standing.Store(true)
			a.standBy(ctx)
			a.standing.Store(!a.active.Load())
		}
	}
}

// work seals until another auditor turns out to do so, or ctx ends.
func (a *Auditor) work(ctx context.Context) {
	for ctx.Err() == nil {
		err := a.seal(ctx, time.Time{})
		switch {
		case err == nil:
			if !a.idle(ctx) {
				return
			}
		case errors.Is(err, errOvertaken):
			a.active.Store(false)
			return
		case ctx.Err() == nil:
			a.cfg.Log.WarnContext(ctx, "sealing failed", slog.Any("err", err))
			pause(ctx, retryAfter)
		}
	}
}

// idle writes a checkpoint if one is due, then waits for facts and lets some
// gather. It returns false when there is nothing to go on with: ctx ended, or
// the checkpoint showed that another auditor is at work.
func (a *Auditor) idle(ctx context.Context) bool {
	a.mu.Lock()
	left, err := a.checkpoint(ctx)
	a.mu.Unlock()
	if errors.Is(err, errOvertaken) {
		a.active.Store(false)
		return false
	}
	if err != nil && ctx.Err() == nil {
		a.cfg.Log.WarnContext(ctx, "checkpoint failed", slog.Any("err", err))
	}
	wait := jitter(5 * lookEvery)
	if left > 0 {
		wait = min(wait, left)
	}
	look := time.NewTimer(wait)
	defer look.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-look.C:
		return true
	case <-a.wake:
		return pause(ctx, linger)
	}
}

// standBy watches the auditor that does the work and takes over when a fact
// stays unsealed for too long.
func (a *Auditor) standBy(ctx context.Context) {
	if !pause(ctx, jitter(lookEvery)) {
		return
	}
	late, err := a.late(ctx)
	if err != nil {
		if ctx.Err() == nil {
			a.cfg.Log.WarnContext(ctx, "watching the sealing failed", slog.Any("err", err))
		}
		return
	}
	if late > jitter(takeOverAfter) {
		a.active.Store(true)
	}
}

// late returns the age of the oldest unsealed fact and notes it for Lag.
func (a *Auditor) late(ctx context.Context) (time.Duration, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.head.known = false
	if err := a.locate(ctx); err != nil {
		return 0, err
	}
	before := a.unsealed.Load()
	first, err := a.cfg.Source.Facts(ctx, a.head.sealed, 1)
	if err != nil {
		return 0, err
	}
	if len(first) == 0 {
		a.allSealed(before)
		return a.Lag(), nil
	}
	a.unsealed.Store(first[0].At.UnixNano())
	return a.cfg.Now().Sub(first[0].At), nil
}

// allSealed notes that no fact was found after the head, with what was unsealed
// before. A Wake since then is about a fact that the reading may have missed;
// and where a fact was stored all the same it is one that cannot be read, so
// that Lag grows until nobody may ask.
func (a *Auditor) allSealed(before int64) {
	if a.cfg.Source.Written() > a.head.sealed {
		a.unsealed.CompareAndSwap(0, a.cfg.Now().UnixNano())
		return
	}
	a.unsealed.CompareAndSwap(before, 0)
}

// jitter spreads d by a quarter, so that processes do not move in step.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2)
}

// pause waits; false means that ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
