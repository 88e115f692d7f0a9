package store

import (
	"crypto/sha256"
	"fmt"
	"hash/maphash"
	"maps"
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
	seed   maphash.Seed // nobody outside can choose keys of one shard
	most   int          // in one shard
	shards [useShards]useShard
}

type useShard struct {
	mu    sync.Mutex
	until map[[16]byte]int64 // half of the key's SHA-256 :: nanoseconds
	swept time.Time
	peak  int // most that the map has held: it does not shrink by itself
}

func newUses(now func() time.Time, most int) *uses {
	u := &uses{now: now, seed: maphash.MakeSeed(), most: most / useShards}
	for i := range u.shards {
		u.shards[i].until, u.shards[i].swept = make(map[[16]byte]int64), now()
	}
	return u
}

// first reports whether key is not remembered, and remembers it until the
// time given.
func (u *uses) first(key string, until time.Time) (bool, error) {
	sum := sha256.Sum256([]byte(key))
	half := [16]byte(sum[:])
	sh := &u.shards[maphash.String(u.seed, key)%useShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := u.now() // under the lock: what was over for an earlier caller is over for this one
	if ahead, err := remember(now, until); ahead <= 0 || err != nil {
		return false, err
	}
	if sh.until[half] > now.UnixNano() {
		return false, nil
	}
	since := now.Sub(sh.swept).Abs()
	if since >= usesSweep || len(sh.until) >= u.most && since >= usesRest {
		sh.sweep(now)
	}
	if len(sh.until) >= u.most {
		return false, fmt.Errorf("recording a single use: %d are remembered: %w", u.most*useShards, consent.ErrUnavailable)
	}
	sh.until[half] = until.UnixNano()
	sh.peak = max(sh.peak, len(sh.until))
	return true, nil
}

// sweep forgets what is over. sh.mu is held.
func (sh *useShard) sweep(now time.Time) {
	sh.swept = now
	maps.DeleteFunc(sh.until, func(_ [16]byte, until int64) bool { return until <= now.UnixNano() })
	if sh.peak > usesSmall && len(sh.until) < sh.peak/4 {
		rest := make(map[[16]byte]int64, len(sh.until))
		maps.Copy(rest, sh.until)
		sh.until, sh.peak = rest, len(rest)
	}
}
