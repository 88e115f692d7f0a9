package workers_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringback/channels"
	"ringback/consent"
	"ringback/store/storetest"
	"ringback/workers"
)

// TestPanics: a panic, wherever, ends one step. It is logged with its stack and
// counted, that request is looked at again later, and everybody else goes on.
func TestPanics(t *testing.T) {
	t.Parallel()
	for name, arrange := range map[string]func(w *world, boom func()){
		"in a channel": func(w *world, boom func()) {
			w.policy.Routes[0].EscalateAfter = time.Second
			w.send["sms"] = func(ctx context.Context, m channels.Message, to channels.Channel) (channels.Receipt, error) {
				if m.To == "+12025550101" {
					boom()
				}
				return to.Send(ctx, m)
			}
		},
		"in a template": func(w *world, boom func()) {
			w.know().person.set(func(id string) error {
				if id == "alice" {
					boom()
				}
				return nil
			})
		},
		"in a look": func(w *world, boom func()) {
			w.know().devices.set(func(id string) error {
				if id == "alice" {
					boom()
				}
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var left atomic.Int64
			left.Store(2)
			arrange(w, func() {
				if left.Add(-1) >= 0 {
					panic("at the disco")
				}
			})
			h := w.running()
			poor := h.Asked("alice")
			rings(t, h, h.Asked("bob"))
			h.Eventually("the first panic", func() bool { return w.last.Stats().Panics >= 1 })
			rings(t, h, h.Asked("bob", func(r *consent.Request) { r.Client.ID = "other" }, answered(t, w, h)))
			rings(t, h, poor)
			if n := w.last.Stats().Panics; n != 2 {
				t.Errorf("%d panics counted, want 2", n)
			}
			log := w.log.String()
			if !strings.Contains(log, "at the disco") || !strings.Contains(log, "panic_test.go") || !strings.Contains(log, poor.ID.String()) {
				t.Errorf("the log does not say what happened to whom: %s", log)
			}
			h.Eventually("nothing to be under way", func() bool { return idle(w.last.Stats()) })
		})
	}
}

// answered answers what bob is asked, so that he can be asked again.
func answered(t *testing.T, w *world, h *storetest.House) func(*consent.Request) {
	return func(r *consent.Request) {
		for _, b := range h.History(r.Pseudonym).Open {
			if _, err := h.Decide(t.Context(), b.ID, h.Decision(r, consent.Denied)); err != nil {
				t.Error(err)
			}
		}
	}
}

// idle reports whether no call is under way and none waits.
func idle(s workers.Stats) bool {
	n := s.Notices.Busy + s.Notices.Waiting
	for _, c := range s.Channels {
		n += c.Busy + c.Waiting
	}
	return n == 0
}

// TestNotifierPanics: the client is told later.
func TestNotifierPanics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var panicked atomic.Bool
	w.door.before = func(*consent.State) {
		if !panicked.Swap(true) {
			panic("at the disco")
		}
	}
	h := w.running()
	req := h.Asked("carol", func(r *consent.Request) { r.Mode, r.Bearers.NotificationToken = consent.Ping, "t" })
	answer(t, h, req, consent.Denied)
	h.Eventually("the panic", func() bool { return w.last.Stats().Panics == 1 })
	other := h.Asked("carol", func(r *consent.Request) { r.Mode, r.Bearers.NotificationToken = consent.Ping, "t" })
	answer(t, h, other, consent.Denied)
	h.Eventually("another one to be told", func() bool { return state(t, h, other).Notified[1].Done })
	w.clock.set(31 * time.Second) // the claim is given up
	h.Eventually("it to be told", func() bool { return state(t, h, req).Notified[2].Done })
	h.Eventually("nothing to be under way", func() bool { return idle(w.last.Stats()) })
	if n := w.last.Stats().Panics; n != 1 {
		t.Errorf("%d panics counted, want one", n)
	}
}
