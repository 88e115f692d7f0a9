package workers

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"ringback/consent"
)

// BenchmarkQueue is what the queue costs with 250,000 waiting.
func BenchmarkQueue(b *testing.B) {
	const many = 250_000
	start := time.Now()
	fill := func() (*queue, []consent.ID) {
		q, ids := newQueue(), make([]consent.ID, many)
		for i := range ids {
			ids[i] = consent.NewID()
			q.add(ids[i], start.Add(rand.N(5*time.Minute)))
		}
		return q, ids
	}
	b.Run("later", func(b *testing.B) { // looked at, and waits again
		q, _ := fill()
		b.ResetTimer()
		for i := range b.N {
			due, ok, _ := q.take(start.Add(time.Hour))
			if !ok {
				b.Fatal("nothing is due")
			}
			q.done(due.id, start.Add(5*time.Minute+time.Duration(i)), Answer)
		}
	})
	b.Run("forget", func(b *testing.B) { // a new one is looked at and forgotten
		q, _ := fill()
		b.ResetTimer()
		for range b.N {
			id := consent.NewID()
			q.add(id, start.Add(rand.N(5*time.Minute)))
			q.add(id, start.Add(-time.Second))
			due, _, _ := q.take(start)
			q.done(due.id, time.Time{}, Answer)
		}
	})
	b.Run("collect", func(b *testing.B) {
		q, _ := fill()
		b.ResetTimer()
		for range b.N {
			runtime.GC()
		}
		runtime.KeepAlive(q)
	})
}
