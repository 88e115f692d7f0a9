package audit_test

import (
	"bytes"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"ringback/audit"
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
