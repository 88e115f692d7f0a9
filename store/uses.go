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
// never forgotten: where there is too much of it, more is refused, and of those
// first who have most: nobody may have more than is left for others. Alone one
// gets half of the room, two a third each, and who comes with little finds some
// however many have filled theirs.
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
	until map[useKey]use
	held  map[uint32]int // how many are whose
	swept time.Time
	peak  int // most that until has held: it does not shrink by itself
}

// useKey is a part of the key's SHA-256 that nobody finds another key for, nor
// meets by chance. It is no longer so that a use takes no more memory for
// telling whose it is.
type useKey [12]byte

// use is until when something counts, and whose it is: a hash that nobody
// outside can choose. What an earlier process remembered is nobody's.
type use struct {
	until instant
	whose uint32
}

const nobody = 0

// instant is a time by two clocks, in seconds since the start: the one on the
// wall, and one that only goes on. What was used is over when it is by both: a
// clock that is set ahead by mistake, and back, must make nothing good again.
type instant struct{ wall, steady int32 }

func (i instant) over(now instant) bool { return now.wall >= i.wall && now.steady >= i.steady }

func newUses(now func() time.Time, most int) *uses {
	u := &uses{now: now, start: now(), seed: maphash.MakeSeed(), most: most / useShards}
	u.steady = func(now time.Time) time.Duration { return now.Sub(u.start) } // by its monotonic reading
	for i := range u.shards {
		u.shards[i].until, u.shards[i].held, u.shards[i].swept = make(map[useKey]use), make(map[uint32]int), u.start
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
// time given, against the share of whose it is.
func (u *uses) first(whose, key string, until time.Time) (bool, error) {
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
	k := useKey(half[:])
	if used, there := sh.until[k]; there {
		if !used.until.over(at) {
			return false, nil
		}
		sh.forget(k, used.whose)
	}
	owner := uint32(maphash.String(u.seed, whose))
	since, fits := now.Sub(sh.swept).Abs(), u.fits(sh, owner)
	if since >= usesSweep || !fits && since >= usesRest {
		sh.sweep(now, at)
		fits = u.fits(sh, owner)
	}
	if !fits {
		return false, fmt.Errorf("recording a single use: this client has as many as are left for others, of %d: %w", u.most*useShards, consent.ErrUnavailable)
	}
	sh.remember(k, use{u.instant(now, ahead, math.Ceil), owner})
	if u.notes != nil {
		u.notes.add(half, until)
	}
	return true, nil
}

// fits reports whether one more of the owner's leaves it within its share.
func (u *uses) fits(sh *useShard, owner uint32) bool {
	return sh.held[owner] < u.most-len(sh.until)
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
	k := useKey(half[:])
	if used, there := sh.until[k]; there {
		sh.forget(k, used.whose)
	}
	sh.remember(k, use{u.instant(now, min(until.Sub(now), onceFor), math.Ceil), nobody})
}

// remember remembers a use that is not remembered. sh.mu is held.
func (sh *useShard) remember(k useKey, one use) {
	sh.until[k] = one
	sh.held[one.whose]++
	sh.peak = max(sh.peak, len(sh.until))
}

// forget forgets a use, which its owner's share then has room for. sh.mu is
// held.
func (sh *useShard) forget(k useKey, owner uint32) {
	delete(sh.until, k)
	if sh.held[owner]--; sh.held[owner] == 0 {
		delete(sh.held, owner)
	}
}

// sweep forgets what is over. sh.mu is held.
func (sh *useShard) sweep(now time.Time, at instant) {
	sh.swept = now
	for k, one := range sh.until {
		if one.until.over(at) {
			sh.forget(k, one.whose)
		}
	}
	if sh.peak > usesSmall && len(sh.until) < sh.peak/4 {
		sh.until, sh.held, sh.peak = fresh(sh.until), fresh(sh.held), len(sh.until)
	}
}

// fresh returns a copy that has no room for what was in m before.
func fresh[K comparable, V any](m map[K]V) map[K]V {
	rest := make(map[K]V, len(m))
	maps.Copy(rest, m)
	return rest
}
