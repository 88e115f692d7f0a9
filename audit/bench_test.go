package audit_test

import (
	"bytes"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"ringback/audit"
	"ringback/consent"
)

// prepare stores n redeemed requests of eight facts each.
func prepare(b *testing.B, n int) *house {
	b.Helper()
	h := newHouse(b)
	people := make([]string, 16)
	for i := range people {
		people[i] = h.add()
	}
	var writers sync.WaitGroup
	for w := range 32 {
		writers.Go(func() {
			for i := w; i < n; i += 32 {
				h.story(people[i%len(people)], redeemed)
			}
		})
	}
	writers.Wait()
	return h
}

// BenchmarkSeal measures facts sealed per second on one core, which the store
// shares; a sixth of them finish a request.
func BenchmarkSeal(b *testing.B) {
	const requests = 1000
	var facts int
	var used time.Duration
	for b.Loop() {
		b.StopTimer()
		h := prepare(b, requests)
		cores := runtime.GOMAXPROCS(1)
		b.StartTimer()
		used -= processor(b)
		var out bytes.Buffer
		h.must(h.auditor.Erased(b.Context(), "nobody")) // finds the end of the chain
		h.must(audit.Seal(h.auditor, b.Context()))
		b.StopTimer()
		used += processor(b)
		runtime.GOMAXPROCS(cores)
		h.must(h.auditor.Export(b.Context(), &out))
		report := h.holds(out.Bytes())
		facts += report.Facts
		h.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(facts)/b.Elapsed().Seconds(), "facts/s")
	b.ReportMetric(float64(facts)/used.Seconds(), "facts/cpu-s")
}

// BenchmarkEnds measures the processor time that it takes, on one core which the
// store shares, to ask and to end a request, and to seal either.
func BenchmarkEnds(b *testing.B) {
	const requests, together = 4000, 256
	var asking, sealing, ending, proving time.Duration
	for b.Loop() {
		b.StopTimer()
		h := newHouse(b)
		person := h.add()
		cores := runtime.GOMAXPROCS(1)
		h.must(h.auditor.Erased(b.Context(), "nobody")) // finds the end of the chain
		spent := func(do func()) time.Duration {
			before := processor(b)
			do()
			return processor(b) - before
		}
		ids := make([]consent.ID, requests)
		b.StartTimer()
		asking += spent(func() {
			var writers sync.WaitGroup
			for w := range 32 {
				writers.Go(func() {
					for i := w; i < requests; i += 32 {
						ids[i] = h.Asked(person).ID
					}
				})
			}
			writers.Wait()
		})
		sealing += spent(func() { h.must(audit.Seal(h.auditor, b.Context())) })
		ending += spent(func() {
			for batch := range slices.Chunk(ids, together) {
				ended, err := h.End(b.Context(), batch, time.Now().Add(time.Hour))
				h.must(err)
				if len(ended) != len(batch) {
					b.Fatalf("%d ended, want %d", len(ended), len(batch))
				}
			}
		})
		proving += spent(func() { h.must(audit.Seal(h.auditor, b.Context())) })
		b.StopTimer()
		runtime.GOMAXPROCS(cores)
		h.Close()
		b.StartTimer()
	}
	for name, took := range map[string]time.Duration{"ask": asking, "seal": sealing, "end": ending, "prove": proving} {
		b.ReportMetric(float64(took.Microseconds())/float64(b.N*requests), "cpu-µs/"+name)
	}
}

// processor is the processor time that this process has used.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkVerify(b *testing.B) {
	h := prepare(b, 500)
	out, jwks := h.export(), h.ring.EvidenceJWKS()
	b.SetBytes(int64(len(out)))
	for b.Loop() {
		report, err := audit.Verify(bytes.NewReader(out), jwks)
		if err != nil || !report.OK() {
			b.Fatal(err, report.Failures)
		}
	}
}
