package keys

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// shelf is a RingStore in memory with the rules of the real one.
type shelf struct {
	mu     sync.Mutex
	data   []byte
	rev    uint64
	saves  int
	before func() error // called before each save, outside the lock; its error replaces the save
	after  func() error // called after each save
}

func (s *shelf) LoadKeys(context.Context) ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.data), s.rev, nil
}

func (s *shelf) SaveKeys(_ context.Context, data []byte, rev uint64) error {
	if s.before != nil {
		if err := s.before(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if rev != s.rev {
		return errors.New("wrong last sequence")
	}
	s.data, s.rev, s.saves = bytes.Clone(data), rev+1, s.saves+1
	if s.after != nil {
		return s.after()
	}
	return nil
}

// clock is a time that tests move.
type clock struct{ unix atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.unix.Store(1_800_000_000)
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(c.unix.Load(), 0) }
func (c *clock) Advance(d time.Duration) { c.unix.Add(int64(d / time.Second)) }

// withRSA is what a store holds after a start with RSA at the time of newClock.
var withRSA = sync.OnceValue(func() []byte {
	s := new(shelf)
	_, err := OpenRing(context.Background(), RingConfig{Root: testRoot(1), Store: s, Now: newClock().Now, Log: slog.New(slog.DiscardHandler), RSA: true})
	if err != nil {
		panic(err)
	}
	return s.data
})

// rsaShelf returns a store with RSA keys, which take long to make.
func rsaShelf() *shelf { return &shelf{data: bytes.Clone(withRSA()), rev: 1} }

func openTestRing(t testing.TB, s RingStore, c *clock) *Ring {
	t.Helper()
	r, err := OpenRing(t.Context(), RingConfig{Root: testRoot(1), Store: s, Now: c.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
