package store_test

import (
	"slices"
	"sync"
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
		consent.FactDecided, consent.FactSettled, consent.FactNotice, consent.FactNotified, consent.FactRevoked,
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
	if !slices.Equal(got, []consent.ID{fresh.ID, open.ID}) {
		t.Errorf("%d events, want those of the two requests that may need something", len(got))
	}
	next := h.Asked("carol")
	h.Eventually("the next event", func() bool { return len(r.all()) == 3 })
	if e := r.all()[2]; e.ID != next.ID || !e.Local {
		t.Errorf("event = %+v, want the new request's, local", e)
	}
}
