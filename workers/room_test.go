package workers_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"ringback/channels/fakes"
	"ringback/consent"
	"ringback/store"
	"ringback/store/storetest"
)

// jam lets a client's messages fill its share of the channel sms, and more wait.
func (w *world) jam(h *storetest.House, client string, more int) (asked []*consent.Request) {
	w.t.Helper()
	for i := range 48 + more {
		asked = append(asked, h.Asked(fmt.Sprint("p", i), by(client)))
	}
	h.Eventually("its share to be full", func() bool {
		c := w.last.Stats().Channels["sms"]
		return c.Busy == 48 && c.Waiting == more
	})
	return asked
}

// TestRoomForOthers: one client's people whose provider answers slowly hold up
// nobody else's, and those that waited for room go when there is some.
func TestRoomForOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.RouteStep{Channel: "sms"})
	w.crowd(60)
	slow := newStall()
	w.send["sms"] = slow.way
	h := w.running()
	t.Cleanup(slow.release)
	w.clock.stop() // or it would be down
	asked := w.jam(h, "busy", 12)
	h.Asked("alice", by("other"))
	h.Eventually("another client's message to be under way", func() bool { return w.last.Stats().Channels["sms"].Busy == 49 })
	for _, req := range asked[48:] {
		if n := len(state(t, h, req).Tried); n != 0 {
			t.Errorf("%d attempts are claimed that wait for room", n)
		}
	}
	slow.release()
	for _, req := range asked {
		rings(t, h, req)
	}
}

// TestStaleAfterRoom: what waited for room is looked at again: it may be too late,
// decided or unreachable by then.
func TestStaleAfterRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.RouteStep{Channel: "sms"})
	w.crowd(60)
	slow := newStall()
	w.send["sms"] = slow.way
	h := w.running()
	t.Cleanup(slow.release)
	w.clock.stop()
	asked := w.jam(h, "busy", 3)
	late, denied, last := asked[48], asked[49], asked[50]
	answer(t, h, denied, consent.Denied)
	w.clock.set(time.Hour - 15*time.Second) // all have 15 seconds left
	slow.release()
	h.Eventually("them to be looked at", func() bool { return idle(w.last.Stats()) })
	for _, req := range []*consent.Request{late, denied, last} {
		if n := len(state(t, h, req).Tried); n != 0 {
			t.Errorf("%d attempts after that, want none", n)
		}
	}
	for _, req := range asked[:48] {
		rings(t, h, req)
	}
}

// TestRoomForNotices: a client that does not answer holds up no other one, and is
// told nothing that is out of date by then.
func TestRoomForNotices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hang, waiting := make(chan struct{}), atomic.Int64{}
	w.door.before = func(s *consent.State) {
		if s.Request.Client.ID == "hangs" {
			waiting.Add(1)
			<-hang
		}
	}
	h := w.running()
	release := func() { close(hang) }
	t.Cleanup(func() {
		if release != nil {
			release()
		}
	})
	ping := func(client string) *consent.Request {
		req := h.Asked("carol", by(client), func(r *consent.Request) { r.Mode, r.Bearers.NotificationToken = consent.Ping, "t" })
		answer(t, h, req, consent.Approved)
		return req
	}
	var told []*consent.Request
	for range 6 {
		told = append(told, ping("hangs"))
	}
	h.Eventually("its share to be full", func() bool {
		c := w.last.Stats().Notices
		return c.Busy == 4 && c.Waiting == 2 && waiting.Load() == 4
	})
	other := ping("answers")
	h.Eventually("another one to be told", func() bool { return state(t, h, other).Notified[1].Done })
	var behind []*consent.Request
	for _, req := range told {
		if len(state(t, h, req).Notices) == 0 {
			behind = append(behind, req)
		}
	}
	if len(behind) != 2 {
		t.Fatalf("%d wait, want 2", len(behind))
	}
	if _, err := h.Settle(t.Context(), behind[0].ID, h.Settlement(behind[0], consent.Redeemed)); err != nil {
		t.Fatal(err)
	}
	w.clock.set(2 * time.Second)
	release()
	release = nil
	h.Eventually("the rest to be told", func() bool { return state(t, h, behind[1]).Notified[1].Done && idle(w.last.Stats()) })
	if n := len(state(t, h, behind[0]).Notices); n != 0 {
		t.Error("told of what it had come for")
	}
}

// TestRoomForHosts: several clients with one host that hangs hold no more than it
// may.
func TestRoomForHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hang := make(chan struct{})
	w.door.host = func(s *consent.State) string { return s.Request.Client.Name }
	w.door.before = func(s *consent.State) {
		if s.Request.Client.Name == "hangs" {
			<-hang
		}
	}
	h := w.running()
	t.Cleanup(func() { close(hang) })
	ping := func(client, host string) *consent.Request {
		req := h.Asked("carol", by(client), func(r *consent.Request) {
			r.Mode, r.Client.Name, r.Bearers.NotificationToken = consent.Ping, host, "t"
		})
		answer(t, h, req, consent.Approved)
		return req
	}
	for i := range 20 {
		ping(fmt.Sprint("c", i%7), "hangs")
	}
	h.Eventually("the host's share to be full", func() bool {
		c := w.last.Stats().Notices
		return c.Busy == 16 && c.Waiting == 4
	})
	other := ping("other", "answers")
	h.Eventually("another one to be told", func() bool { return state(t, h, other).Notified[1].Done })
}

// TestNothingBegins: once the engine is to stop nothing is claimed any more, and it
// returns when what is under way has ended.
func TestNothingBegins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.RouteStep{Channel: "sms"})
	w.crowd(60)
	slow := newStall()
	w.send["sms"] = slow.way
	var on func(consent.Event)
	h := w.open(func(c *store.Config) { c.OnEvent = func(ev consent.Event) { on(ev) } })
	end := w.engine(h, func(f func(consent.Event)) { on = f })
	t.Cleanup(slow.release)
	asked := w.jam(h, "busy", 10)
	ended := make(chan struct{})
	go func() { defer close(ended); end() }()
	h.Eventually("what waits to be forgotten", func() bool { return w.last.Stats().Channels["sms"].Waiting == 0 })
	h.Asked("alice", by("other"))
	select {
	case <-ended:
		t.Error("it returned before what is under way has ended")
	default:
	}
	slow.release()
	<-ended
	for i, req := range asked {
		if s := state(t, h, req); len(s.Tried) != len(s.Outcomes) || len(s.Tried) != min(1, max(0, 48-i)) {
			t.Errorf("request %d: %d attempts, %d outcomes", i, len(s.Tried), len(s.Outcomes))
		}
	}
	if n := len(w.phones.Inbox.Sent("+12025550101")); n != 0 {
		t.Error("sent after the end")
	}
}

// TestGraceEnds: an engine does not wait longer than its grace for a call that
// never ends, and leaves that attempt without an outcome.
func TestGraceEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.grace = 50 * time.Millisecond
	w.phones.Always(fakes.Step{Failure: fakes.Hang})
	var on func(consent.Event)
	h := w.open(func(c *store.Config) { c.OnEvent = func(ev consent.Event) { on(ev) } })
	end := w.engine(h, func(f func(consent.Event)) { on = f })
	req := h.Asked("alice")
	h.Eventually("the provider to be called", func() bool { return w.phones.Calls() == 1 })
	end() // returns
	if n := len(state(t, h, req).Tried); n != 1 {
		t.Errorf("%d attempts", n)
	}
}

// TestRestartWithMany: requests of the past are looked at, each person gets one
// prompt, and new ones need not wait for them.
func TestRestartWithMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const people = 150
	w.crowd(people)
	var asked []*consent.Request
	h := w.restarted(func(h *storetest.House) {
		for i := range people {
			asked = append(asked, h.Asked(fmt.Sprint("p", i), by("first")), h.Asked(fmt.Sprint("p", i), by("second")))
		}
	})
	rings(t, h, h.Asked("alice"))
	for i := 0; i < len(asked); i += 2 {
		h.Eventually("a prompt", func() bool { return rang(t, h, asked[i]) || rang(t, h, asked[i+1]) })
	}
	w.queued(h, people)
	if n := len(w.phones.Inbox.Sent("")); n != people+1 {
		t.Errorf("%d messages, want %d", n, people+1)
	}
}
