package workers_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"ringback/channels"
	"ringback/channels/fakes"
	"ringback/consent"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/workers"
)

// restarted is a store in which requests were asked before its engine starts.
func (w *world) restarted(ask func(h *storetest.House)) *storetest.House {
	w.t.Helper()
	h := storetest.New(w.t, func(c *store.Config) { c.Now = w.clock.now })
	ask(h)
	var on func(consent.Event)
	h.Config.Paused, h.Config.OnEvent = true, func(ev consent.Event) { on(ev) }
	h.Reopen()
	w.settle(h)
	w.engine(h, func(f func(consent.Event)) { on = f })
	return h
}

// down awaits that a channel is down, or is not.
func (w *world) down(h *storetest.House, channel string, want bool) {
	w.t.Helper()
	h.Eventually(fmt.Sprintf("channel %s to be down: %v", channel, want), func() bool { return w.last.Stats().Channels[channel].Down == want })
}

// TestOutage: an outage costs a request an attempt at most, and everybody goes on
// the moment that it is over.
func TestOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const people = 80
	w.crowd(people)
	w.phones.Always(fakes.Step{Failure: fakes.TooMany, RetryAfter: 3600})
	var asked []*consent.Request
	h := w.restarted(func(h *storetest.House) {
		for i := range people {
			asked = append(asked, h.Asked(fmt.Sprint("p", i), by("agent")))
		}
	})
	w.down(h, "sms", true)
	h.Eventually("the others to wait for it", func() bool {
		s := w.last.Stats()
		return s.Channels["sms"].Busy == 0 && s.Channels["sms"].Held >= people-2
	})
	calls := w.phones.Calls()
	h.Eventually("two probes", func() bool { return w.phones.Calls() >= calls+2 })
	w.phones.Always(fakes.Step{})
	for _, req := range asked {
		rings(t, h, req)
		if n := len(state(t, h, req).Tried); n > 2 {
			t.Errorf("a request took %d attempts, want one or two", n)
		}
	}
	w.down(h, "sms", false)
	if n := len(w.phones.Inbox.Sent("")); n != people {
		t.Errorf("%d messages, want %d", n, people)
	}
}

// TestOutageElsewhere: while a channel is down others are used at once, and no
// attempt is lost on it.
func TestOutageElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.RouteStep{Channel: "sms"}, consent.RouteStep{Channel: "console"})
	w.policy.Routes[0].EscalateAfter = time.Hour
	w.crowd(5)
	w.phones.Always(fakes.Step{Failure: fakes.TooMany})
	h := w.running()
	w.breaks(h, "sms", "agent")
	req := h.Asked("alice")
	rings(t, h, req)
	if a := state(t, h, req).Tried; len(a) != 1 || a[0].Channel != "console" {
		t.Errorf("tried %+v, want the console alone", a)
	}
}

// TestWhicheverWorksFirst: a request that waits for several channels goes on with
// the first that works.
func TestWhicheverWorksFirst(t *testing.T) {
	t.Parallel()
	for _, works := range []string{"sms", "console"} {
		t.Run(works, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, consent.RouteStep{Channel: "sms"}, consent.RouteStep{Channel: "console"})
			w.policy.Routes[0].EscalateAfter = time.Hour
			w.crowd(10)
			var back atomic.Bool
			w.send["sms"] = func(ctx context.Context, m channels.Message, to channels.Channel) (channels.Receipt, error) {
				if works == "sms" && back.Load() {
					return to.Send(ctx, m)
				}
				return channels.Receipt{}, channels.RetryAfter(time.Hour)
			}
			w.send["console"] = func(ctx context.Context, m channels.Message, to channels.Channel) (channels.Receipt, error) {
				if works == "console" && back.Load() {
					return to.Send(ctx, m)
				}
				return channels.Receipt{}, channels.RetryAfter(time.Hour)
			}
			h := w.running()
			w.breaks(h, "sms", "agent")
			w.down(h, "console", true) // those five tried it next
			req := h.Asked("alice")
			h.Eventually("it to wait", func() bool { return w.last.Stats().Waiting[workers.Channel] > 0 })
			back.Store(true)
			rings(t, h, req)
		})
	}
}

// TestHang: a provider that answers nobody is down before the first call to it
// ends, and costs a request an attempt at most.
func TestHang(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.crowd(20)
	var hangs atomic.Bool
	hang := newStall()
	hangs.Store(true)
	w.send["sms"] = func(ctx context.Context, m channels.Message, to channels.Channel) (channels.Receipt, error) {
		if hangs.Load() {
			if _, err := hang.way(ctx, m, to); err != nil {
				return channels.Receipt{}, err
			}
			return channels.Receipt{}, channels.ErrAmbiguous
		}
		return to.Send(ctx, m)
	}
	h := w.running()
	t.Cleanup(hang.release)
	var asked []*consent.Request
	ask := func() {
		asked = append(asked, h.Asked(fmt.Sprint("p", len(asked)), by("agent")))
	}
	for range 5 {
		ask()
	}
	h.Eventually("calls that hang", func() bool { return hang.waiting.Load() == 5 })
	w.clock.set(2 * time.Second)
	if w.last.Stats().Channels["sms"].Down {
		t.Error("down after two seconds")
	}
	w.clock.set(2 * time.Second)
	w.down(h, "sms", true)
	for range 15 {
		ask()
	}
	h.Eventually("one to probe, and the others to wait", func() bool {
		return hang.waiting.Load() == 6 && w.last.Stats().Channels["sms"].Held == 14
	})
	for _, req := range asked[:5] {
		if s := state(t, h, req); len(s.Tried) != 1 || len(s.Outcomes) != 0 {
			t.Errorf("after the channel went down: %d attempts, %d outcomes", len(s.Tried), len(s.Outcomes))
		}
	}
	hangs.Store(false)
	hang.release() // nobody was answered
	for i, req := range asked {
		if i < 6 { // they may have been reached
			continue
		}
		rings(t, h, req)
		if n := len(state(t, h, req).Tried); n != 1 {
			t.Errorf("%d attempts, want one", n)
		}
	}
	for _, req := range asked {
		if n := len(state(t, h, req).Tried); n > 2 {
			t.Errorf("%d attempts of one that was not answered", n)
		}
	}
}

// TestProbeWaitsForItsTurn: a request that is to probe a channel, and may not ring
// yet, holds up nobody else.
func TestProbeWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.crowd(6)
	w.policy.Routes = append([]consent.Route{{Client: "console", Steps: []consent.RouteStep{{Channel: "console"}}, EscalateAfter: time.Hour}}, w.policy.Routes...)
	h := w.running()
	rings(t, h, h.Asked("alice", by("console"))) // her prompt, which nobody answers
	w.phones.Always(fakes.Step{Failure: fakes.TooMany, RetryAfter: 3600})
	w.breaks(h, "sms", "agent")
	behind := h.Asked("alice", by("agent"))
	h.Eventually("the one behind it to be held", func() bool { return w.last.Stats().Waiting[workers.Channel] == 1 })
	other := h.Asked("bob", by("agent"))
	w.phones.Always(fakes.Step{})
	rings(t, h, other)
	w.down(h, "sms", false)
	if rang(t, h, behind) {
		t.Error("two prompts at once")
	}
}

// TestProbeFails: a probe whose step fails for ever, or who is forgotten, holds up
// nobody else.
func TestProbeFails(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"it cannot be read": context.DeadlineExceeded, "it is not there": consent.ErrNotFound} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.crowd(5)
			hook := w.hook(&hooks{})
			h := w.running()
			w.phones.Always(fakes.Step{Failure: fakes.TooMany, RetryAfter: 3600})
			w.breaks(h, "sms", "agent")
			w.clock.stop() // no probe meanwhile
			probe := h.Asked("alice")
			h.Eventually("it to be held", func() bool { return w.last.Stats().Waiting[workers.Channel] == 1 })
			other := h.Asked("bob")
			h.Eventually("both to be held", func() bool { return w.last.Stats().Waiting[workers.Channel] == 2 })
			hook.get.set(of(probe.ID, func() error { return err }))
			w.phones.Always(fakes.Step{})
			w.clock.start()
			rings(t, h, other)
		})
	}
}

// TestBackInTheSameMoment: a channel that comes back in the moment in which a
// request finds that it has to wait for it.
func TestBackInTheSameMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.crowd(6)
	folk := w.know()
	var hangs atomic.Bool
	hang := newStall()
	w.send["sms"] = func(ctx context.Context, m channels.Message, to channels.Channel) (channels.Receipt, error) {
		if hangs.Load() {
			return hang.way(ctx, m, to)
		}
		return channels.Receipt{}, channels.RetryAfter(time.Hour)
	}
	h := w.running()
	t.Cleanup(hang.release)
	w.breaks(h, "sms", "agent")
	hangs.Store(true)
	probe := h.Asked("alice")
	h.Eventually("the probe", func() bool { return hang.waiting.Load() == 1 })
	folk.devices.set(func(id string) error {
		if id == "bob" { // the probe is answered when his request has seen that the channel is down
			folk.devices.set(nil)
			hang.release()
			rings(t, h, probe)
			w.down(h, "sms", false)
		}
		return nil
	})
	rings(t, h, h.Asked("bob"))
}

// TestChannelNotConfigured: a device whose channel this program does not have is
// none, and a request that has no other waits.
func TestChannelNotConfigured(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.RouteStep{Channel: "console"}, consent.RouteStep{Channel: "sms"})
	w.without = "console"
	h := w.running()
	req := h.Asked("alice")
	rings(t, h, req)
	if a := state(t, h, req).Tried; a[0].Channel != "sms" {
		t.Errorf("tried %+v", a)
	}
	h.Asked("carol") // has no number
	h.Eventually("it to wait", func() bool { return w.last.Stats().Waiting[workers.Unreachable] == 1 })
}
