package store_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ringback/consent"
	"ringback/store"
	"ringback/store/storetest"
)

// spread runs b.N calls of do by so many writers and reports percentiles.
func spread(b *testing.B, writers int, do func(i int)) {
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	start, before := time.Now(), cpu()
	for range writers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < b.N; i = int(next.Add(1)) - 1 {
				begin := time.Now()
				do(i)
				took[i] = time.Since(begin)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-us")
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "writes/s")
	b.ReportMetric(float64(took[b.N/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[b.N*99/100].Microseconds())/1000, "p99-ms")
}

// cpu is the processor time that the process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var writers = []int{1, 32, 256}

func benchHouse(b *testing.B) *storetest.House {
	return storetest.New(b, func(c *store.Config) { c.MaxBytes = 16 << 30 })
}

func BenchmarkAsk(b *testing.B) {
	for _, n := range writers {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := benchHouse(b)
			spread(b, n, func(i int) {
				req := h.Request(fmt.Sprint("person-", i%1000))
				if err := h.Ask(b.Context(), req); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range writers {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := benchHouse(b)
			reqs := askMany(b, h, b.N)
			spread(b, n, func(i int) {
				if _, err := h.Decide(b.Context(), reqs[i], h.Decision(&consent.Request{Approver: "x"}, consent.Denied)); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// BenchmarkFlow is a request's whole way: asked, tried, outcome, decided,
// settled, five durable writes.
func BenchmarkFlow(b *testing.B) {
	for _, n := range writers {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := benchHouse(b)
			ctx := b.Context()
			spread(b, n, func(i int) {
				req := h.Request(fmt.Sprint("person-", i%1000))
				now := time.Now()
				_, e1 := h.Decide(ctx, req.ID, consent.Decision{}) // refused without I/O
				errs := []error{
					h.Ask(ctx, req),
					h.Try(ctx, req.ID, consent.Attempt{V: 1, N: 1, Channel: "sms", At: now}),
					h.Conclude(ctx, req.ID, consent.Outcome{V: 1, N: 1, Status: consent.Accepted, At: now}),
				}
				_, e2 := h.Decide(ctx, req.ID, h.Decision(req, consent.Approved))
				_, e3 := h.Settle(ctx, req.ID, h.Settlement(req, consent.Redeemed))
				if e1 == nil {
					b.Error("a decision without a nonce was taken")
				}
				for _, err := range append(errs, e2, e3) {
					if err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func BenchmarkPeek(b *testing.B) {
	h := benchHouse(b)
	reqs := askMany(b, h, 10000)
	b.ResetTimer()
	for i := range b.N {
		h.Peek(reqs[i%len(reqs)])
	}
}

func BenchmarkGet(b *testing.B) {
	b.Run("remembered", func(b *testing.B) {
		h := benchHouse(b)
		reqs := askMany(b, h, 100)
		b.ResetTimer()
		for i := range b.N {
			if _, err := h.Get(b.Context(), reqs[i%len(reqs)]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		h := benchHouse(b)
		reqs := askMany(b, h, 20000)
		b.ResetTimer()
		for i := range b.N {
			if _, err := h.Get(b.Context(), reqs[i%len(reqs)]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// askMany stores n requests of a thousand people.
func askMany(tb testing.TB, h *storetest.House, n int, change ...func(*consent.Request)) []consent.ID {
	ids := make([]consent.ID, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				req := h.Request(fmt.Sprint("person-", i%1000), change...)
				ids[i] = req.ID
				if err := h.Ask(tb.Context(), req); err != nil {
					tb.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return ids
}

// serverCache is longer than the server keeps in memory what was written last.
const serverCache = 15 * time.Second

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkOpenRequests reports what 100,000 open requests cost: live heap of
// the whole process with the embedded server, and the time from Open to Ready
// after a restart. Delivered ones have an attempt with its outcome.
func BenchmarkOpenRequests(b *testing.B) {
	const open = 100_000
	for _, delivered := range []bool{false, true} {
		b.Run(fmt.Sprintf("delivered=%v", delivered), func(b *testing.B) {
			for range b.N {
				h := benchHouse(b)
				long := func(r *consent.Request) {
					r.ExpiresAt, r.Binding, r.Client.Group = r.AskedAt.Add(time.Hour), "jkt:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "registrant bench"
				}
				askMany(b, h, 1000, long) // people, keys and buffers are there
				base := liveHeap()
				ids := askMany(b, h, open, long)
				if delivered {
					deliverAll(b, h, ids)
				}
				ids = nil
				b.StopTimer()
				if _, err := h.Facts(b.Context(), 1<<62, 1); err != nil { // all is sealed
					b.Fatal(err)
				}
				time.Sleep(serverCache) // what was just written is no part of a request's cost
				b.StartTimer()
				b.ReportMetric(float64(int64(liveHeap()-base))/open, "B/open")
				h.Close()
				start := time.Now()
				h.Reopen()
				b.ReportMetric(time.Since(start).Seconds(), "s-reopen")
				b.ReportMetric(float64(int64(liveHeap()-base))/open, "B/open-after")
				if n := h.Stats().Open; n < open {
					b.Errorf("%d open requests after the restart, want %d", n, open)
				}
				h.Close()
			}
		})
	}
}

func deliverAll(b *testing.B, h *storetest.House, ids []consent.ID) {
	var next atomic.Int64
	var wg sync.WaitGroup
	now := time.Now()
	for range 256 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(ids); i = int(next.Add(1)) - 1 {
				if err := h.Try(b.Context(), ids[i], consent.Attempt{V: 1, N: 1, Channel: "sms", At: now}); err != nil {
					b.Error(err)
				}
				if err := h.Conclude(b.Context(), ids[i], consent.Outcome{V: 1, N: 1, Status: consent.Accepted, At: now}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
