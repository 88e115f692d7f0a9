package store

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"ringback/consent"
	"ringback/keys"
)

// benchPeople is the number of people of a benchmark.
const benchPeople = 1000

// openBench opens an embedded store with people in it.
func openBench(b *testing.B) (*Store, []string) {
	b.Helper()
	cfg := Config{
		Dir: b.TempDir(), Vault: keys.NewVault(keys.NewRoot()), Now: time.Now, MaxBytes: 1 << 30,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if err := Init(b.Context(), cfg); err != nil {
		b.Fatal(err)
	}
	s, err := Open(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close(b.Context()) })
	ids := make([]string, benchPeople)
	file := make([]consent.Person, benchPeople)
	for i := range ids {
		ids[i] = fmt.Sprint("person-", i)
		file[i] = consent.Person{ID: ids[i], Phone: consent.Phone(fmt.Sprint("+120255", 10000+i))}
	}
	if err := s.SetFile([]consent.Client{*pollClient("agent")}, file, nil); err != nil {
		b.Fatal(err)
	}
	return s, ids
}

func BenchmarkDataKey(b *testing.B) {
	s, ids := openBench(b)
	for _, id := range ids {
		if _, err := s.dataKey(b.Context(), s.Pseudonym(id), true); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.dataKey(b.Context(), s.Pseudonym(ids[rand.IntN(benchPeople)]), true); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkDirectory(b *testing.B) {
	s, ids := openBench(b)
	ctx := b.Context()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c, err := s.Client(ctx, "agent")
			p, err2 := s.Person(ctx, ids[rand.IntN(benchPeople)])
			if err != nil || err2 != nil || c.MayName(p) {
				b.Error(err, err2)
				return
			}
		}
	})
}

func BenchmarkSlot(b *testing.B) {
	s, ids := openBench(b)
	id := consent.NewID()
	for i := 0; b.Loop(); i++ {
		p := s.Pseudonym(ids[i%benchPeople])
		if _, _, err := s.Slot(b.Context(), p, id, time.Minute); err != nil {
			b.Fatal(err)
		}
		if err := s.Release(b.Context(), p, id); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOnce compares memory with the stream of an external server.
func BenchmarkOnce(b *testing.B) {
	b.Run("embedded", func(b *testing.B) {
		s, _ := openBench(b)
		s.uses = newUses(s.cfg.Now, 1<<40) // it uses more than a real one ever may
		benchOnce(b, s)
	})
	b.Run("external", func(b *testing.B) {
		benchOnce(b, newGround(b).open(b))
	})
}

func benchOnce(b *testing.B, s *Store) {
	b.ResetTimer()
	before := processorTime()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if first, err := s.Once(b.Context(), "agent", fmt.Sprint(rand.Uint64()), time.Now().Add(time.Minute)); err != nil || !first {
				b.Error(first, err)
				return
			}
		}
	})
	b.ReportMetric(float64((processorTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// processorTime is what this process has used, however busy the machine is.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFacts reports the time of one fact as the auditor reads it, in
// batches of 256.
func BenchmarkFacts(b *testing.B) {
	s, ids := openBench(b)
	const facts = 4096
	now := time.Now().UTC()
	done := make(chan error)
	for w := range 64 {
		go func() {
			for i := w; i < facts; i += 64 {
				id := ids[i%benchPeople]
				err := s.Ask(b.Context(), &consent.Request{
					V: consent.Version, ID: consent.NewID(), Issuer: "https://consent.example", Door: consent.DoorCIBA,
					Client: consent.Party{ID: "agent", Name: "Agent"}, Approver: id, Pseudonym: s.Pseudonym(id),
					Scope: []string{"openid"}, ACR: []string{consent.ACRTap}, Salt: []byte("0123456789abcdef"),
					AskedAt: now, ExpiresAt: now.Add(time.Hour), GrantLifetime: 300, Mode: consent.Poll, Interval: 5,
				})
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 64 {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	after := uint64(0)
	for n := 0; n < b.N; {
		list, err := s.Facts(b.Context(), after, 256)
		if err != nil {
			b.Fatal(err)
		}
		n += len(list)
		after = 0
		if len(list) == 256 {
			after = list[255].Seq
		}
	}
}
