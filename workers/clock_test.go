package workers_test

import (
	"testing"
	"time"

	"ringback/channels/fakes"
	"ringback/consent"
	"ringback/workers"
)

// TestClockSet: somebody sets the clock back or ahead. Whatever a request waits
// for, it does not wait for that.
func TestClockSet(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{-20 * time.Second, -time.Hour, 2 * time.Minute} {
		t.Run(step.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.crowd(2)
			w.policy.Routes = append([]consent.Route{{
				Client: "escalates", Steps: []consent.RouteStep{{Channel: "console"}, {Channel: "sms"}}, EscalateAfter: 50 * time.Second,
			}}, w.policy.Routes...)
			h := w.running()
			w.phones.Plan(fakes.Step{Failure: fakes.TooMany, RetryAfter: 50})
			pauses := h.Asked("alice", by("agent"))
			h.Eventually("it to pause", func() bool { return w.last.Stats().Waiting[workers.Retry] == 1 })
			escalates := h.Asked("bob", by("escalates"))
			h.Eventually("it to be sent", func() bool { return len(state(t, h, escalates).Outcomes) == 1 })
			rings(t, h, h.Asked("p0", by("first")))
			behind := h.Asked("p0", by("agent"))
			w.queued(h, 1)
			w.clock.set(step)
			for name, req := range map[string]*consent.Request{"pauses": pauses, "escalates": escalates, "waits for its turn": behind, "is new": h.Asked("p1", by("agent"))} {
				h.Eventually("a message of what "+name, func() bool {
					s := state(t, h, req)
					for _, a := range s.Tried {
						if a.Channel == "sms" && s.Outcomes[a.N].Status == consent.Accepted {
							return true
						}
					}
					return false
				})
			}
		})
	}
}

// TestClockAndSlot: a slot that ended before now, as somebody set the clock ahead
// since it was taken, is not looked at over and over.
func TestClockAndSlot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.hook(&hooks{until: func(until time.Time) time.Time { return until.Add(-time.Hour) }})
	h := w.running()
	first := h.Asked("alice", by("first"))
	rings(t, h, first)
	second := h.Asked("alice", by("second"))
	w.queued(h, 1)
	before := hook.slots.Load()
	h.Eventually("two more looks", func() bool { return hook.slots.Load() >= before+2 })
	if n := hook.slots.Load() - before; n > 20 {
		t.Errorf("%d looks, want a few", n)
	}
	time.Sleep(300 * time.Millisecond) // as long as there should be one or two
	if n := hook.slots.Load() - before; n > 20 {
		t.Errorf("%d looks, want a few", n)
	}
	answer(t, h, first, consent.Denied)
	rings(t, h, second)
}
