package workers_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"ringback/channels"
	"ringback/consent"
	"ringback/store/storetest"
)

// TestLineGoesOn: whatever becomes of the request whose turn it is, the one behind
// it rings.
func TestLineGoesOn(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	type line struct {
		*world
		h      *storetest.House
		hook   *hooks
		second *consent.Request
	}
	run := func(t *testing.T, l line, person string, befalls func(l line)) {
		t.Helper()
		l.queued(l.h, 0)
		first := l.h.Asked(person, by("first"))
		rings(t, l.h, first)
		l.second = l.h.Asked(person, by("second"), func(r *consent.Request) { r.ExpiresAt = r.AskedAt.Add(50 * time.Second) })
		l.queued(l.h, 1)
		third := l.h.Asked(person, by("third"))
		l.queued(l.h, 2)
		befalls(l)
		answer(t, l.h, first, consent.Denied)
		rings(t, l.h, third)
		answer(t, l.h, third, consent.Denied)
	}
	open := func(t *testing.T, console way) (l line) {
		w := newWorld(t)
		w.crowd(60)
		w.policy.Routes[0].EscalateAfter = time.Hour
		w.policy.Routes = append([]consent.Route{{Client: "second", Steps: []consent.RouteStep{{Channel: "console"}}, EscalateAfter: time.Hour}}, w.policy.Routes...)
		if console != nil {
			w.send["console"] = console
		}
		l = line{world: w, hook: w.hook(&hooks{})}
		l.h = w.running()
		return l
	}
	t.Run("its step", func(t *testing.T) {
		t.Parallel()
		l, n := open(t, nil), 50
		for name, befalls := range map[string]func(l line){
			"was withdrawn":   func(l line) { answer(t, l.h, l.second, consent.Withdrawn) },
			"cannot be read":  func(l line) { l.hook.get.set(of(l.second.ID, func() error { return boom })) },
			"is not there":    func(l line) { l.hook.get.set(of(l.second.ID, func() error { return consent.ErrNotFound })) },
			"panics":          func(l line) { l.hook.get.set(of(l.second.ID, func() error { panic(boom) })) },
			"cannot be asked": func(l line) { l.hook.slot.set(of(l.second.ID, func() error { return boom })) },
		} {
			n++
			t.Run(name, func(t *testing.T) { run(t, l, fmt.Sprint("p", n), befalls) })
		}
	})
	t.Run("its turn comes too late", func(t *testing.T) {
		t.Parallel()
		run(t, open(t, nil), "alice", func(l line) {
			l.clock.stop() // or it would end in a while
			l.clock.set(40 * time.Second)
		})
	})
	t.Run("it has ended", func(t *testing.T) {
		t.Parallel()
		run(t, open(t, nil), "alice", func(l line) { l.clock.set(53 * time.Second) })
	})
	t.Run("its channel went down", func(t *testing.T) {
		t.Parallel()
		run(t, open(t, func(context.Context, channels.Message, channels.Channel) (channels.Receipt, error) {
			return channels.Receipt{}, channels.RetryAfter(time.Hour)
		}), "alice", func(l line) { l.breaks(l.h, "console", "second") })
	})
	t.Run("its client has no room", func(t *testing.T) {
		t.Parallel()
		hang := newStall()
		l := open(t, hang.way)
		t.Cleanup(hang.release)
		run(t, l, "alice", func(l line) {
			l.clock.stop() // or the channel would be down
			for i := range 48 {
				l.h.Asked(fmt.Sprint("p", i), by("second"))
			}
			l.h.Eventually("the client's share to be full", func() bool { return hang.waiting.Load() == 48 })
		})
	})
}

// breaks lets a channel go down that refuses all, by requests of a client to five
// people.
func (w *world) breaks(h *storetest.House, channel, client string) {
	w.t.Helper()
	for i := range 5 {
		h.Asked(fmt.Sprint("p", i), by(client))
	}
	h.Eventually("channel "+channel+" to be down", func() bool { return w.last.Stats().Channels[channel].Down })
}
