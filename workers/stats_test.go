package workers_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"ringback/channels"
	"ringback/consent"
	"ringback/workers"
)

// TestWaits: an operator sees what a request waits for, and whether there is
// something to mend.
func TestWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.crowd(7)
	w.send["console"] = func(context.Context, channels.Message, channels.Channel) (channels.Receipt, error) {
		return channels.Receipt{}, channels.RetryAfter(time.Hour)
	}
	w.policy.Limits = consent.DefaultLimits()
	w.policy.Limits.PersonPrompts = 3
	w.policy.Routes = append([]consent.Route{{Client: "console", Steps: []consent.RouteStep{{Channel: "console"}}, EscalateAfter: time.Hour}}, w.policy.Routes...)
	h := w.running()
	says := func(req *consent.Request, want string, stuck bool) {
		t.Helper()
		h.Eventually(want+" to be said", func() bool {
			b, _ := h.Peek(req.ID)
			said := w.last.Waits(b)
			return strings.HasPrefix(said, want) && (want == "") == (said == "") && w.last.Stuck(req.ID) == stuck
		})
	}
	first := h.Asked("alice", by("a"))
	rings(t, h, first)
	says(first, "", false)
	second := h.Asked("alice", by("b"))
	says(second, "waiting behind 1", false)
	third := h.Asked("alice", by("b")) // two at once may join in either order
	says(third, "waiting behind 2", false)
	answer(t, h, first, consent.Denied)
	says(first, "", false)
	rings(t, h, second)
	says(third, "waiting behind 1", false)

	says(h.Asked("carol", by("a")), "no channel of its route reaches a device", true)
	says(h.Asked("bob", by("a"), func(r *consent.Request) {
		r.AskedAt, r.ExpiresAt = r.AskedAt.Add(-time.Hour), r.AskedAt.Add(15*time.Second)
	}), "it ends too soon", false)
	h.Asked("p6", by("console")) // and refuses it
	h.Eventually("it to pause", func() bool { return w.last.Stats().Waiting[workers.Retry] == 1 })
	w.breaks(h, "console", "console")
	says(h.Asked("p5", by("console")), "channel console does not work since 20", true)
	for range 3 {
		h.Asked("bob", by("a"))
	}
	says(h.Asked("bob", by("other")), "the person has been asked too often", false)
	if got := w.last.Waits(consent.Brief{ID: consent.NewID()}); got != "" || w.last.Stuck(consent.NewID()) {
		t.Errorf("Waits of what is not there = %q", got)
	}
	stats := w.last.Stats()
	if c := stats.Channels["console"]; !c.Down || c.Held < 6 || stats.Channels["sms"].Down {
		t.Errorf("channels = %+v", stats.Channels)
	}
	for _, cause := range workers.Causes() {
		if n, ok := stats.Waiting[cause]; !ok || n < 0 || cause.String() == "" {
			t.Errorf("waiting for %q: %d, %v", cause, n, ok)
		}
	}
}

// TestSpent: after its last message a request waits, and an operator sees why.
func TestSpent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Limits = consent.DefaultLimits()
	w.policy.Limits.Notifications = 1
	w.send["sms"] = func(context.Context, channels.Message, channels.Channel) (channels.Receipt, error) {
		return channels.Receipt{}, channels.ErrAmbiguous
	}
	h := w.running()
	req := h.Asked("alice")
	h.Eventually("the outcome", func() bool { return len(state(t, h, req).Outcomes) == 1 })
	h.Eventually("it to be said", func() bool {
		b, _ := h.Peek(req.ID)
		return w.last.Waits(b) == "all its messages were sent or refused" && w.last.Stuck(req.ID)
	})
	w.down(h, "sms", true) // nobody was answered
}
