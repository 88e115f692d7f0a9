package workers_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"ringback/consent"
	"ringback/store"
)

// BenchmarkAskToProvider measures, on an idle house, from the call that stores
// a request to the moment when the provider's server has the message. One
// request at a time, each to be refused before the next.
func BenchmarkAskToProvider(b *testing.B) {
	w := newWorld(b)
	var on func(consent.Event)
	h := w.open(func(c *store.Config) { c.OnEvent = func(ev consent.Event) { on(ev) } })
	w.engine(h, func(f func(consent.Event)) { on = f })
	arrived, stop := w.phones.Inbox.Subscribe()
	defer stop()
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		start := time.Now()
		req := h.Asked("alice")
		<-arrived
		took = append(took, time.Since(start))
		if _, err := h.Decide(context.Background(), req.ID, h.Decision(req, consent.Denied)); err != nil {
			b.Fatal(err)
		}
		h.Eventually("the slot to be free", func() bool {
			mine, _, err := h.Slot(context.Background(), req.Pseudonym, consent.ID{1}, time.Second)
			return err == nil && mine && h.Release(context.Background(), req.Pseudonym, consent.ID{1}) == nil
		})
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
