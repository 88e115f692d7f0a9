package store

import (
	"testing"
	"time"

	"ringback/consent"
)

// TestSlotsInMemory: alone, a store keeps who rings in memory, by the same rules
// as between processes: one prompt of a person at a time, for as long as it was
// taken, and given back by nobody else.
func TestSlotsInMemory(t *testing.T) {
	t.Parallel()
	var s slots
	one, two := consent.ID{1}, consent.ID{2}
	now := goldenNow
	for i, step := range []struct {
		after   time.Duration
		person  consent.Pseudonym
		id      consent.ID
		release bool
		mine    bool
		until   time.Duration // from the beginning on
	}{
		{0, "alice", one, false, true, time.Minute},
		{time.Second, "alice", one, false, true, time.Minute}, // it has it, and no longer for asking again
		{0, "alice", two, false, false, time.Minute},
		{0, "bob", two, false, true, time.Minute + time.Second},
		{0, "alice", two, true, false, 0}, // not its to give back
		{0, "alice", two, false, false, time.Minute},
		{0, "alice", one, true, false, 0},
		{0, "alice", two, false, true, time.Minute + time.Second},
		{time.Minute - 1, "alice", one, false, false, time.Minute + time.Second},
		{1, "alice", one, false, true, 2*time.Minute + time.Second},                                  // over
		{-time.Hour, "alice", two, false, true, time.Minute + time.Second - time.Hour + time.Minute}, // the clock was set back
	} {
		now = now.Add(step.after)
		if step.release {
			s.release(step.person, step.id)
			continue
		}
		mine, until := s.take(step.person, step.id, now, time.Minute)
		if mine != step.mine || until.Sub(goldenNow) != step.until {
			t.Errorf("step %d: %v, until %v, want %v, %v", i, mine, until.Sub(goldenNow), step.mine, step.until)
		}
	}
}
