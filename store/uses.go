package store

import (
	"crypto/sha256"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"sync"
	"time"

	"ringback/consent"
)

const (
	// usesMost is how many uses are remembered at a time, in up to 230 MB.
	usesMost = 4 << 20
	// useShards is the number of parts that are locked one by one.
	useShards = 64
	// usesSweep is how often a shard forgets what is over.
	usesSweep = time.Minute
	// usesRest is how long a full shard rests before it looks again for what
	// is over.
	usesRest = time.Second
	// usesSmall is the size up to which a shard's map is not made anew.
	usesSmall = 1 << 10
)

// uses remembers in memory what was used once. What may still be presented is
// never forgotten: where there is too much of it, more is refused.
type uses struct {
	now    func() time.Time
	start  time.Time
	steady func(now time.Time) time.Duration // since start, by a clock that nobody sets
	seed   maphash.Seed                      // nobody outside can choose keys of one shard
	most   int                               // in one shard
	notes  *useNotes                         // for the next start; nil: none
	shards [useShards]useShard
}

type useShard struct {
	mu    sync.Mutex
	until map[[16]byte]instant // by half of the key's SHA-256
	swept time.Time
	peak  int // most that the map has held: it does not shrink by itself
}

// instant is a time by two clocks, in seconds since the start: the one on the
// wall, and one that only goes on. What was used is over when it is by both: a
// clock that is set ahead by mistake, and back, must make nothing good again.
type instant struct{ wall, steady int32 }

func (i instant) over(now instant) bool { return now.wall >= i.wall && now.steady >= i.steady }

func newUses(now func() time.Time, most int) *uses {
	u := &uses{now: now, start: now(), seed: maphash.MakeSeed(), most: most / useShards}
	u.steady = func(now time.Time) time.Duration { return now.Sub(u.start) } // by its monotonic reading
	for i := range u.shards {
		u.shards[i].until, u.shards[i].swept = make(map[[16]byte]instant), u.start
	}
	return u
}

// instant returns the time that lies so far ahead of now. Seconds are rounded,
// so that two times take the room of one.
func (u *uses) instant(now time.Time, ahead time.Duration, round func(float64) float64) instant {
	return instant{
		int32(round((now.Round(0).Sub(u.start.Round(0)) + ahead).Seconds())),
		int32(round((u.steady(now) + ahead).Seconds())),
	}
}

// first reports whether key is not remembered, and remembers it until the
// time given.
func (u *uses) first(key string, until time.Time) (bool, error) {
	sum := sha256.Sum256([]byte(key))
	half := [16]byte(sum[:])
	sh := u.shard(half)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := u.now() // under the lock: what was over for an earlier caller is over for this one
	ahead, err := remember(now, until)
	if ahead <= 0 || err != nil {
		return false, err
	}
	at := u.instant(now, 0, math.Floor)
	if used, there := sh.until[half]; there && !used.over(at) {
		return false, nil
	}
	since := now.Sub(sh.swept).Abs()
	if since >= usesSweep || len(sh.until) >= u.most && since >= usesRest {
		sh.sweep(now, at)
	}
	if len(sh.until) >= u.most {
		return false, fmt.Errorf("recording a single use: %d are remembered: %w", u.most*useShards, consent.ErrUnavailable)
	}
	sh.until[half] = u.instant(now, ahead, math.Ceil)
	sh.peak = max(sh.peak, len(sh.until))
	if u.notes != nil {
		u.notes.add(half, until)
	}
	return true, nil
}

// shard is where a key is remembered.
func (u *uses) shard(half [16]byte) *useShard {
	return &u.shards[maphash.Bytes(u.seed, half[:])%useShards]
}

// remember takes a note of an earlier process.
func (u *uses) remember(half [16]byte, until time.Time) {
	sh := u.shard(half)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := u.now()
	sh.until[half] = u.instant(now, min(until.Sub(now), onceFor), math.Ceil)
	sh.peak = max(sh.peak, len(sh.until))
}

// sweep forgets what is over. sh.mu is held.
func (sh *useShard) sweep(now time.Time, at instant) {
	sh.swept = now
	maps.DeleteFunc(sh.until, func(_ [16]byte, until instant) bool { return until.over(at) })
	if sh.peak > usesSmall && len(sh.until) < sh.peak/4 {
		rest := make(map[[16]byte]instant, len(sh.until))
		maps.Copy(rest, sh.until)
		sh.until, sh.peak = rest, len(rest)
	}
}
