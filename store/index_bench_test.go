package store

import (
	"runtime"
	"testing"
	"time"

	"ringback/consent"
)

// manyOpen is a number of open requests at which the garbage collector and
// the caches of the processor count.
const manyOpen = 250_000

// fillIndex has 250,000 requests asked, ten of each person.
func fillIndex(s *Store) []consent.ID {
	ids := make([]consent.ID, manyOpen)
	for i := range ids {
		ids[i] = consent.NewID()
		askOne(s, ids[i], uint64(i+1))
	}
	return ids
}

func askOne(s *Store, id consent.ID, seq uint64) {
	var w who
	w[0], w[1], w[2] = byte(seq/10), byte(seq/10>>8), byte(seq/10>>16)
	now := time.Now()
	l := label{V: 1, Pseudonym: consent.Pseudonym(w.String()), At: now, Expires: now.Add(time.Hour), Client: "agent", Interval: 5}
	s.index.apply(place{ID: id, Kind: consent.FactAsked}, &l, seq)
}

// BenchmarkManyOpen is what the index costs with 250,000 open requests.
func BenchmarkManyOpen(b *testing.B) {
	b.Run("insert", func(b *testing.B) {
		s := bare()
		fillIndex(s)
		b.ResetTimer()
		for i := range b.N {
			askOne(s, consent.NewID(), uint64(manyOpen+i+1))
		}
	})
	b.Run("apply", func(b *testing.B) {
		s := bare()
		ids := fillIndex(s)
		l := label{V: 1, At: time.Now()}
		b.ResetTimer()
		for i := range b.N {
			s.index.apply(place{ID: ids[i*7919%manyOpen], Kind: consent.FactTried, N: 1}, &l, uint64(manyOpen+i+1))
		}
	})
	b.Run("peek", func(b *testing.B) {
		s := bare()
		ids := fillIndex(s)
		b.ResetTimer()
		for i := range b.N {
			s.Peek(ids[i*7919%manyOpen])
		}
	})
	b.Run("sweep", func(b *testing.B) {
		s := bare()
		fillIndex(s)
		b.ResetTimer()
		for range b.N {
			s.index.sweep(keepEnded)
		}
	})
	b.Run("collect", func(b *testing.B) {
		s := bare()
		fillIndex(s)
		b.ResetTimer()
		for range b.N {
			runtime.GC()
		}
		runtime.KeepAlive(s)
	})
}
