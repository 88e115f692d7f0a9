package store

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

// shareMinutes is how many minutes a use counts against a share at most: those
// of onceFor, and the ones that it begins and ends in.
const shareMinutes = int64(onceFor/time.Minute) + 2

// shares are whose the uses are that this process has had an external server
// remember, and how many more that may be. As in uses, nobody may have more
// than is left for others. Each process counts its own uses alone, and all see
// the same room: where n processes are flooded by one client, a part of n+1 is
// still left for others.
type shares struct {
	seed maphash.Seed // nobody outside can choose who counts as whom

	mu     sync.Mutex
	left   int64                          // room for more, when last asked, less what this process has taken since
	held   map[uint32]int64               // how many are whose
	ends   [shareMinutes]map[uint32]int64 // of them those that end in a minute
	minute int64                          // up to which what has ended is given back
}

func newShares(now time.Time) *shares {
	return &shares{seed: maphash.MakeSeed(), left: usesMost, held: make(map[uint32]int64), minute: minuteOf(now)}
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// fits reports whether one more leaves whose it is within the share.
func (s *shares) fits(whose string, now time.Time) bool {
	owner := uint32(maphash.String(s.seed, whose))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pass(now)
	return s.held[owner] < s.left
}

// add counts a use that is remembered for so long.
func (s *shares) add(whose string, now time.Time, ahead time.Duration) {
	owner := uint32(maphash.String(s.seed, whose))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left--
	s.held[owner]++
	end := min(minuteOf(now.Add(ahead+onceSkew)), s.minute+shareMinutes-1)
	in := &s.ends[max(end, s.minute)%shareMinutes]
	if *in == nil {
		*in = make(map[uint32]int64)
	}
	(*in)[owner]++
}

// pass gives back what has ended. s.mu is held.
func (s *shares) pass(now time.Time) {
	until := minuteOf(now)
	s.minute = max(s.minute, until-shareMinutes)
	for ; s.minute < until; s.minute++ {
		in := &s.ends[s.minute%shareMinutes]
		for owner, n := range *in {
			if s.held[owner] -= n; s.held[owner] == 0 {
				delete(s.held, owner)
			}
		}
		*in = nil
	}
}

// room learns how much there is.
func (s *shares) room(most, there int64) {
	if most <= 0 { // a stream that an earlier release made has no limit
		most = usesMost
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = most - there
}

// lookAtUses learns how full the external server's memory of single uses is.
// When the server is too busy to say so, what this process takes is counted.
func (s *Store) lookAtUses(ctx context.Context) {
	stream, err := s.js.Stream(ctx, s.names.stream(streamJTI))
	if err != nil {
		return
	}
	info := stream.CachedInfo()
	s.shares.room(info.Config.MaxMsgs, int64(info.State.Msgs))
}
