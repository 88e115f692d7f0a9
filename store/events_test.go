package store_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/consent"
	"ringback/store"
	"ringback/store/storetest"
)

// recorder collects events.
type recorder struct {
	mu     sync.Mutex
	events []consent.Event
}

func (r *recorder) take(e consent.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) all() []consent.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

func TestEventsArriveInOrder(t *testing.T) {
	t.Parallel()
	var mine, others recorder
	h := storetest.New(t, storetest.NewServer(t).Use, func(c *store.Config) { c.OnEvent = mine.take })
	b := h.Beside(func(c *store.Config) { c.OnEvent = others.take })
	want := full(t, h)
	kinds := []consent.FactKind{
		consent.FactAsked, consent.FactTried, consent.FactTried, consent.FactOutcome, consent.FactReceipt, consent.FactMissed,
		consent.FactDecided, consent.FactSettled, consent.FactRenewed, consent.FactRenewed, consent.FactNotice, consent.FactNotified, consent.FactRevoked,
	}
	for name, r := range map[string]*recorder{"own": &mine, "others'": &others} {
		h.Eventually(name+" events", func() bool { return len(r.all()) == len(kinds) })
		var last uint64
		for i, e := range r.all() {
			if e.Kind != kinds[i] || e.ID != want.Request.ID || e.Pseudonym != want.Request.Pseudonym ||
				!e.ExpiresAt.Equal(want.Request.ExpiresAt) || e.Seq <= last || e.Local != (r == &mine) || e.At.IsZero() {
				t.Errorf("%s event %d = %+v, want %s after %d", name, i, e, kinds[i], last)
			}
			last = e.Seq
		}
	}
	_ = b
}

// TestWokenReadersSeeWhatWokeThem: a state read after an event, or after Wait,
// has the fact that it was about.
func TestWokenReadersSeeWhatWokeThem(t *testing.T) {
	t.Parallel()
	houses(t, func(t *testing.T, h *storetest.House) {
		events := make(chan consent.Event, 10000)
		h.Config.OnEvent = func(e consent.Event) { events <- e }
		h.Reopen()
		ctx, s := t.Context(), h.Store
		const requests = 160
		var wg sync.WaitGroup
		var seen atomic.Int64
		for range 8 {
			wg.Go(func() {
				for e := range events {
					st, err := s.Get(ctx, e.ID)
					seen.Add(1)
					if err != nil || e.Kind == consent.FactDecided && st.Decided == nil || e.Kind == consent.FactTried && len(st.Tried) < e.N ||
						e.Kind == consent.FactSettled && st.Settled == nil || st.Seq < e.Seq {
						t.Errorf("Get after %s %d = %+v, %v", e.Kind, e.N, st, err)
					}
				}
			})
		}
		var writers sync.WaitGroup
		for range 16 {
			writers.Go(func() {
				for range requests / 16 {
					req := h.Asked("alice")
					waited := make(chan struct{})
					go func() {
						defer close(waited)
						err := h.Wait(ctx, req.ID)
						if st, e := h.Get(ctx, req.ID); err != nil || e != nil || st.Decided == nil {
							t.Errorf("Get after Wait = %+v, %v, %v", st, e, err)
						}
					}()
					for n := 1; n <= 2; n++ {
						if err := h.Try(ctx, req.ID, consent.Attempt{V: 1, N: n, At: time.Now()}); err != nil {
							t.Error(err)
						}
					}
					if _, err := h.Decide(ctx, req.ID, h.Decision(req, consent.Approved)); err != nil {
						t.Error(err)
					}
					<-waited
					if _, err := h.Settle(ctx, req.ID, h.Settlement(req, consent.Redeemed)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writers.Wait()
		h.Eventually("every event", func() bool { return seen.Load() == 5*requests })
		h.Close() // the follower has ended
		close(events)
		wg.Wait()
	})
}

func TestStartSumsUp(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := storetest.New(t, func(cfg *store.Config) { cfg.Now = c.now })
	ctx := t.Context()
	old := h.Asked("alice")
	if _, err := h.Decide(ctx, old.ID, h.Decision(old, consent.Denied)); err != nil {
		t.Fatal(err)
	}
	c.forward(90 * time.Minute)
	fresh, open := h.Asked("alice"), h.Asked("bob")
	if _, err := h.Decide(ctx, fresh.ID, h.Decision(fresh, consent.Denied)); err != nil {
		t.Fatal(err)
	}
	var r recorder
	h.Config.OnEvent, h.Config.Paused = r.take, true
	h.Reopen()
	if h.Ready() || len(r.all()) > 0 {
		t.Error("a paused store follows")
	}
	h.Start()
	h.Start()
	h.AwaitReady()
	var got []consent.ID
	for _, e := range r.all() {
		got = append(got, e.ID)
		if e.Kind != consent.FactAsked || e.Local {
			t.Errorf("event of the summary = %+v, want asked, not local", e)
		}
	}
	if !slices.Equal(got, []consent.ID{open.ID, fresh.ID}) {
		t.Errorf("%d events, want those of the two requests that may need something, the youngest first", len(got))
	}
	next := h.Asked("carol")
	h.Eventually("the next event", func() bool { return len(r.all()) == 3 })
	if e := r.all()[2]; e.ID != next.ID || !e.Local {
		t.Errorf("event = %+v, want the new request's, local", e)
	}
}

// TestStartSumsUpInOrder: who was not asked yet comes first, in turn; of the
// others the youngest.
func TestStartSumsUpInOrder(t *testing.T) {
	t.Parallel()
	var r recorder
	h := storetest.New(t)
	var asked, tried []consent.ID
	for n := range 6 {
		req := h.Asked("alice")
		if n%2 == 0 {
			asked = append(asked, req.ID)
			continue
		}
		if err := h.Try(t.Context(), req.ID, consent.Attempt{V: 1, N: 1, Channel: "sms", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		tried = append([]consent.ID{req.ID}, tried...)
	}
	h.Config.OnEvent = r.take
	h.Reopen()
	h.AwaitReady()
	var got []consent.ID
	for _, e := range r.all() {
		got = append(got, e.ID)
	}
	if want := slices.Concat(asked, tried); !slices.Equal(got, want) {
		t.Errorf("announced %v, want %v", got, want)
	}
}
