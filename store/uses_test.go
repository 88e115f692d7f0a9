package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/consent"
)

// still is a clock that stands until a test moves it.
type still struct{ at time.Time }

func newStill() *still { return &still{time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)} }

func (c *still) now() time.Time { return c.at }

func TestUses(t *testing.T) {
	t.Parallel()
	c := newStill()
	start := c.at
	u := newUses(c.now, usesMost)
	tests := []struct {
		name       string
		key        string
		at, until  time.Duration // after start
		want       bool
		wantsError bool
	}{
		{"new", "a", 0, time.Minute, true, false},
		{"again", "a", 0, time.Minute, false, false},
		{"again, valid for longer", "a", time.Second, time.Hour, false, false},
		{"again, valid for less", "a", time.Second, 2 * time.Second, false, false},
		{"another", "A", time.Second, time.Minute, true, false},
		{"empty", "", time.Second, time.Minute, true, false},
		{"in its last moment", "a", time.Minute - 1, time.Minute, false, false},
		{"when it is over", "a", time.Minute, time.Minute, false, false},
		{"long after it is over", "a", time.Hour, time.Minute, false, false},
		{"never valid", "b", time.Hour, 0, false, false},
		{"longest", "c", time.Hour, time.Hour + onceFor, true, false},
		{"too long", "d", time.Hour, time.Hour + onceFor + 1, false, true},
		{"for ever", "d", time.Hour, 1<<63 - 1, false, true},
		{"too long, but used", "c", time.Hour, time.Hour + onceFor + 1, false, true},
		{"made anew after it was over", "a", time.Hour, time.Hour + time.Minute, true, false},
		{"and again", "a", time.Hour, time.Hour + time.Minute, false, false},
		{"longest, to its end", "c", time.Hour + onceFor - 1, time.Hour + onceFor, false, false},
	}
	for _, tt := range tests { // in order: they share the clock
		c.at = start.Add(tt.at)
		got, err := u.first("agent", tt.key, start.Add(tt.until))
		if got != tt.want || (err != nil) != tt.wantsError {
			t.Errorf("%s: first = %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
}

// TestFullUsesForgetNothing floods memory: what is remembered stays until it
// is over, and then there is room again.
func TestFullUsesForgetNothing(t *testing.T) {
	t.Parallel()
	const most = 4 * useShards
	c := newStill()
	u := newUses(c.now, most)
	until := c.at.Add(10 * time.Minute)
	flood := func(name string, until time.Time) (taken []string) {
		for i := range 20 * most {
			key := fmt.Sprint(name, i)
			switch first, err := u.first(key, key, until); { // by as many clients
			case first:
				taken = append(taken, key)
			case !errors.Is(err, consent.ErrUnavailable):
				t.Fatalf("first of a new key = %v, want true or %v", err, consent.ErrUnavailable)
			}
		}
		return taken
	}
	first := flood("first", until)
	if len(first) != most {
		t.Fatalf("%d uses are remembered, want %d", len(first), most)
	}
	for _, ahead := range []time.Duration{0, 2 * time.Second, 5 * time.Minute, 10*time.Minute - 1} {
		c.at = until.Add(ahead - 10*time.Minute)
		if more := flood("more", c.at.Add(onceFor)); len(more) != 0 {
			t.Errorf("%d more were taken after %v", len(more), ahead)
		}
		for _, key := range first {
			if again, err := u.first("agent", key, until); again || err != nil {
				t.Fatalf("after %v a flood made a used key good again: %v", ahead, err)
			}
		}
	}
	c.at = until.Add(usesRest)
	if second := flood("second", c.at.Add(time.Minute)); len(second) != most {
		t.Errorf("%d uses are remembered after the first were over, want %d", len(second), most)
	}
}

// TestUsesAreShared: who has much is refused before who has little, and what
// is over is given back.
func TestUsesAreShared(t *testing.T) {
	t.Parallel()
	const most = 96 * useShards
	c := newStill()
	u := newUses(c.now, most)
	u.remember([16]byte{1}, c.at.Add(time.Hour)) // by an earlier process, and nobody's
	used := 0
	flood := func(whose string, n int, until time.Duration) (taken int) {
		for range n {
			used++
			switch first, err := u.first(whose, fmt.Sprint(used), c.at.Add(until)); {
			case first:
				taken++
			case !errors.Is(err, consent.ErrUnavailable):
				t.Fatalf("first of a new key = %v, want true or %v", err, consent.ErrUnavailable)
			}
		}
		return taken
	}
	about := func(what string, got, want int) {
		t.Helper()
		if got < want-useShards || got > want+useShards { // one of a shard
			t.Errorf("%s: %d, want about %d", what, got, want)
		}
	}
	about("one alone", flood("first", 4*most, time.Minute), most/2)
	about("another beside it", flood("second", 4*most, 10*time.Minute), most/4)
	for i := range 15 {
		if n := flood(fmt.Sprint("modest", i), 50, time.Minute); n < 45 { // one shard may be fuller than others
			t.Errorf("of 50 uses of one who has none %d are taken", n)
		}
	}
	if n := flood("first", 1000, time.Minute) + flood("second", 1000, time.Minute); n > 0 {
		t.Errorf("%d more are taken of those who have most", n)
	}
	c.at = c.at.Add(time.Minute + usesSweep)
	about("another, after the first is over", flood("third", 4*most, time.Minute), (most-most/4)/2)
	c.at = c.at.Add(10*time.Minute + usesSweep)
	about("one alone, after all is over", flood("second", 4*most, time.Minute), most/2)
	for i := range u.shards {
		sh := &u.shards[i]
		held := 0
		for _, n := range sh.held {
			held += n
		}
		if held != len(sh.until) {
			t.Fatalf("shard %d remembers %d and counts %d", i, len(sh.until), held)
		}
	}
}

// TestShardsCannotBeChosen has an attacker who knows how keys are hashed and
// where one process keeps them.
func TestShardsCannotBeChosen(t *testing.T) {
	t.Parallel()
	c := newStill()
	until := c.at.Add(time.Minute)
	known, target := newUses(c.now, usesMost), newUses(c.now, 20*useShards)
	var sameHash, sameShard []string
	for i := 0; len(sameHash) < 200 || len(sameShard) < 200; i++ {
		key := fmt.Sprint(i)
		if sha256.Sum256([]byte(key))[0]%useShards == 0 {
			sameHash = append(sameHash, key)
		}
		if sum := sha256.Sum256([]byte(key)); known.shard([16]byte(sum[:])) == &known.shards[0] {
			sameShard = append(sameShard, key)
		}
	}
	for name, keys := range map[string][]string{"hash": sameHash, "shard of another process": sameShard} {
		taken := 0
		for _, key := range keys {
			if first, _ := target.first("agent", key, until); first {
				taken++
			}
		}
		if taken < 100 {
			t.Errorf("keys of the same %s: %d of %d are taken, want most", name, taken, len(keys))
		}
	}
}

// TestUsesAndClocks sets the clock on the wall by mistake and sets it right
// again while others come: what was used is good once, whichever clock its end
// was set by.
func TestUsesAndClocks(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{2 * time.Minute, 5 * time.Minute, time.Hour, 3 * time.Hour, -5 * time.Minute, -time.Hour} {
		c := newStill()
		u := newUses(c.now, usesMost)
		var gone time.Duration // what a clock shows that nobody sets
		u.steady = func(time.Time) time.Duration { return gone }
		pass := func(d time.Duration) {
			gone += d
			c.at = c.at.Add(d)
			for i := range 4 * useShards { // somebody comes to most shards
				if first, err := u.first("agent", fmt.Sprint("other", gone, c.at, i), c.at.Add(time.Minute)); !first || err != nil {
					t.Fatal(first, err)
				}
			}
		}
		used := map[string]time.Time{}
		use := func(name string) {
			for i, ahead := range []time.Duration{time.Minute, 10 * time.Minute, onceFor} {
				key := fmt.Sprint(name, i)
				used[key] = c.at.Add(ahead)
				if first, err := u.first("agent", key, used[key]); !first || err != nil {
					t.Fatalf("%s: first = %v, %v", key, first, err)
				}
			}
		}
		again := func(when string) {
			t.Helper()
			for key, until := range used {
				if until.After(c.at.Add(onceFor)) {
					continue // refused by whoever asks
				}
				if first, err := u.first("agent", key, until); first || err != nil {
					t.Errorf("set by %v, %s: %s is good again (%v)", step, when, key, err)
				}
			}
		}
		use("before")
		c.at = c.at.Add(step)
		for range 3 {
			pass(usesSweep)
			again("by the wrong clock")
		}
		use("meanwhile")
		c.at = c.at.Add(-step)
		for range 70 {
			again("by the right clock")
			pass(usesSweep)
		}
	}
}

func TestUsesGiveMemoryBack(t *testing.T) {
	t.Parallel()
	c := newStill()
	u := newUses(c.now, usesMost)
	const many = 2 * usesSmall * useShards
	for i := range many {
		if first, err := u.first("agent", fmt.Sprint(i), c.at.Add(time.Minute)); !first || err != nil {
			t.Fatal(first, err)
		}
	}
	c.at = c.at.Add(usesSweep)
	for i := range 100 * useShards { // somebody comes to each shard
		if first, err := u.first("agent", fmt.Sprint("later", i), c.at.Add(time.Minute)); !first || err != nil {
			t.Fatal(first, err)
		}
	}
	for i := range u.shards {
		if sh := &u.shards[i]; sh.peak > usesSmall || len(sh.until) > usesSmall {
			t.Errorf("shard %d holds %d and has room for %d", i, len(sh.until), sh.peak)
		}
	}
}

// TestUsesRace lets 64 callers use each key while its end comes near and
// passes: it is good once before and never after.
func TestUsesRace(t *testing.T) {
	t.Parallel()
	start := time.Now()
	var ahead atomic.Int64
	u := newUses(func() time.Time { return start.Add(time.Duration(ahead.Load())) }, usesMost)
	for round := range 200 {
		key := fmt.Sprint(round)
		until := start.Add(time.Duration(round+1) * usesSweep)
		var wins atomic.Int32
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				if i == 32 {
					ahead.Store(int64(time.Duration(round+1) * usesSweep)) // and whoever comes now sweeps
				}
				if first, err := u.first("agent", key, until); err != nil {
					t.Errorf("first: %v", err)
				} else if first {
					wins.Add(1)
				}
			})
		}
		wg.Wait()
		if n := wins.Load(); n > 1 {
			t.Fatalf("a key was good %d times", n)
		}
	}
}

// BenchmarkUses reports what a remembered use costs when there are as many as
// there may be, and how long a shard is locked while it is swept.
func BenchmarkUses(b *testing.B) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	base := heap()
	u := newUses(time.Now, usesMost)
	until := time.Now().Add(time.Hour)
	n := 0
	for i := 0; ; i++ {
		first, err := u.first(fmt.Sprint("agent", i%1000), fmt.Sprint(i), until)
		if err != nil {
			break
		}
		if first {
			n++
		}
	}
	each := float64(heap()-base) / float64(n)
	before, sweeps := processorTime(), 0
	for b.Loop() {
		for i := range u.shards {
			u.shards[i].sweep(time.Now(), instant{})
			sweeps++
		}
	}
	b.ReportMetric(each, "B/use")
	b.ReportMetric(float64((processorTime()-before).Microseconds())/float64(sweeps), "cpu-us/shard")
}
