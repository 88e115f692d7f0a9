package workers_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/channels/fakes"
	"ringback/consent"
	"ringback/keys"
	"ringback/store"
	"ringback/store/storetest"
)

var yes = regexp.MustCompile(`YES (\d{6})`)

func TestDeliver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.running()
	req := h.Asked("alice")
	h.Eventually("an accepted attempt", func() bool { return state(t, h, req).Outcomes[1].Status == consent.Accepted })
	sent := w.phones.Inbox.Sent("+12025550101")
	if len(sent) != 1 {
		t.Fatalf("%d messages, want 1", len(sent))
	}
	m := yes.FindStringSubmatch(sent[0].Text)
	if m == nil || !keys.NewHandles(h.Root).CheckCode(req.ID, 1, m[1]) {
		t.Errorf("the message has no code that counts: %q", sent[0].Text)
	}
	s := state(t, h, req)
	a := s.Tried[0]
	if strings.Contains(a.Presentation.Rendered, m[1]) {
		t.Errorf("the evidence holds the code: %q", a.Presentation.Rendered)
	}
	if digest, _ := req.AskedDigest(); a.Presentation.AskedDigest != digest || !a.Reply || a.Device == "" || strings.Contains(a.Device, "0101") {
		t.Errorf("attempt = %+v", a)
	}
	if s.Outcomes[1].ProviderID == "" {
		t.Errorf("outcome = %+v", s.Outcomes[1])
	}
}

func TestNobodyToReach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.running()
	req := h.Asked("carol", func(r *consent.Request) { r.ExpiresAt = r.AskedAt.Add(time.Second) })
	h.Eventually("the request to expire", func() bool { return state(t, h, req).Status() == consent.StatusExpired })
	if s := state(t, h, req); len(s.Tried) != 0 || s.Decided.By != "clock" {
		t.Errorf("state = %+v", s)
	}
}

func TestEscalate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.RouteStep{Channel: "sms"}, consent.RouteStep{Channel: "console"})
	h := w.running()
	w.phones.Always(fakes.Step{Failure: fakes.TooMany})
	req := h.Asked("alice")
	h.Eventually("the second channel", func() bool { return state(t, h, req).Outcomes[2].Status == consent.Accepted })
	s := state(t, h, req)
	if s.Tried[0].Channel != "sms" || s.Outcomes[1].Status != consent.Refused || s.Tried[1].Channel != "console" {
		t.Errorf("tried = %+v, outcomes = %+v", s.Tried, s.Outcomes)
	}
}

// TestCrashBetweenClaimAndOutcome: what was claimed is never sent again under
// its number; the escalation covers it.
func TestCrashBetweenClaimAndOutcome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := storetest.New(t)
	req := h.Asked("alice")
	if err := h.Try(t.Context(), req.ID, consent.Attempt{V: consent.Version, N: 1, Channel: "sms", Device: "d", At: time.Now(), CodeUntil: time.Now().Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	var on func(consent.Event)
	h.Config.Paused, h.Config.OnEvent = true, func(ev consent.Event) { on(ev) }
	h.Reopen()
	w.settle(h)
	w.engine(h, func(f func(consent.Event)) { on = f })
	h.Eventually("the next attempt", func() bool { return state(t, h, req).Outcomes[2].Status == consent.Accepted })
	if sent := w.phones.Inbox.Sent("+12025550101"); len(sent) != 1 {
		t.Errorf("%d messages, want the one of attempt 2", len(sent))
	}
	if _, ok := state(t, h, req).Outcomes[1]; ok {
		t.Error("attempt 1 got an outcome from nowhere")
	}
}

// TestTwoProcesses: each of two engines sees every fact; every message is sent
// once.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Routes[0].EscalateAfter = time.Hour
	srv := storetest.NewServer(t)
	var on [2]func(consent.Event)
	one := w.open(func(c *store.Config) {
		c.Dir, c.URL, c.Monitor, c.OnEvent = "", srv.URL, srv.Monitor, func(ev consent.Event) { on[0](ev) }
	})
	two := one.Beside(func(c *store.Config) { c.OnEvent = func(ev consent.Event) { on[1](ev) } })
	w.settle(two)
	const people = 30
	var list []consent.Person
	for i := range people {
		list = append(list, consent.Person{ID: fmt.Sprint("p", i), Phone: consent.Phone(fmt.Sprintf("+1202556%04d", i))})
	}
	for _, h := range []*storetest.House{one, two} {
		if err := h.SetFile(nil, list, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.engine(one, func(f func(consent.Event)) { on[0] = f })
	w.engine(two, func(f func(consent.Event)) { on[1] = f })
	var asked []*consent.Request
	for i := range people {
		asked = append(asked, []*storetest.House{one, two}[i%2].Asked(fmt.Sprint("p", i)))
	}
	// The second look by the process that did not write is over after five seconds.
	deadline := time.Now().Add(5 * time.Second)
	for _, req := range asked {
		one.Eventually("an accepted attempt", func() bool { return state(t, one, req).Outcomes[1].Status == consent.Accepted })
	}
	one.Eventually("the other process to have looked", func() bool { return time.Now().After(deadline) })
	for i, req := range asked {
		if n := len(w.phones.Inbox.Sent(fmt.Sprintf("+1202556%04d", i))); n != 1 {
			t.Errorf("request %d: %d messages, want 1", i, n)
		}
		if n := len(state(t, two, req).Tried); n != 1 {
			t.Errorf("request %d: %d attempts, want 1", i, n)
		}
	}
}

func TestNotices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.door.answers = []consent.Notified{{Code: "503"}, {Done: true, Code: "204"}}
	h := w.running()
	req := h.Asked("alice", func(r *consent.Request) { r.Mode, r.Bearers.NotificationToken = consent.Ping, "t" })
	if _, err := h.Decide(t.Context(), req.ID, h.Decision(req, consent.Approved)); err != nil {
		t.Fatal(err)
	}
	h.Eventually("the second notice", func() bool { return len(state(t, h, req).Notified) == 2 })
	s := state(t, h, req)
	if got := w.door.notices(); len(got) != 2 || got[0] != 1 || got[1] != 2 || !s.Notified[2].Done {
		t.Errorf("notices %v, stored %+v", got, s.Notified)
	}
	if early := s.Notices[0].At.Sub(req.AskedAt); early < time.Second {
		t.Errorf("the client was told %s after it asked", early)
	}
}

// TestNoticesEnd: a client that never answers is not told for ever, and the
// last fact says that it was given up.
func TestNoticesEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.door.answers = slices.Repeat([]consent.Notified{{Code: "503"}}, 9)
	h := w.running()
	req := h.Asked("alice", func(r *consent.Request) { r.Mode, r.Bearers.NotificationToken = consent.Ping, "t" })
	if _, err := h.Decide(t.Context(), req.ID, h.Decision(req, consent.Denied)); err != nil {
		t.Fatal(err)
	}
	h.Eventually("the last notice", func() bool { return state(t, h, req).Notified[6].Done })
	if s := state(t, h, req); len(s.Notified) != 6 || s.Notified[5].Done || s.Notified[6].Code != "503" {
		t.Errorf("stored %+v, want six refused ones", s.Notified)
	}
}

// TestUnreachableForEver: a number that the provider refuses is not tried again.
func TestUnreachableForEver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.running()
	w.phones.Always(fakes.Step{Failure: fakes.OptedOut})
	req := h.Asked("alice")
	h.Eventually("the device to be stopped", func() bool {
		devices, err := h.Devices(t.Context(), "alice")
		return err == nil && len(devices) > 0 && devices[0].Stopped
	})
	h.Eventually("the outcome", func() bool { return len(state(t, h, req).Outcomes) == 1 })
	if s := state(t, h, req); s.Outcomes[1].Status != consent.Unreachable || s.Status() != consent.StatusPending {
		t.Errorf("outcomes = %+v, %s", s.Outcomes, s.Status())
	}
	calls := w.phones.Calls()
	again := h.Asked("alice")
	other := h.Asked("bob")
	h.Eventually("another person's attempt", func() bool { return len(state(t, h, other).Outcomes) == 1 })
	if s := state(t, h, again); len(s.Tried) != 0 || w.phones.Calls() != calls+1 {
		t.Errorf("tried again: %+v", s.Tried)
	}
}

// TestStopInFlight: a stopping engine lets a delivery end and writes its
// outcome.
func TestStopInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var on func(consent.Event)
	h := w.open(func(c *store.Config) { c.OnEvent = func(ev consent.Event) { on(ev) } })
	stop := w.engine(h, func(f func(consent.Event)) { on = f })
	w.phones.Always(fakes.Step{Failure: fakes.Late, Delay: 500 * time.Millisecond})
	req := h.Asked("alice")
	h.Eventually("the provider to be called", func() bool { return w.phones.Calls() == 1 })
	stop()
	if s := state(t, h, req); s.Outcomes[1].Status != consent.Accepted {
		t.Errorf("outcomes = %+v", s.Outcomes)
	}
}
