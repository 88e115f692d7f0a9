package workers_test

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/channels"
	"ringback/channels/fakes"
	"ringback/consent"
	"ringback/details"
	"ringback/keys"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/templates"
	"ringback/workers"
)

const (
	account  = "AC00000000000000000000000000000000"
	sender   = "+12025550100"
	secret   = "0123456789abcdef0123456789abcdef"
	escalate = 400 * time.Millisecond
)

// world is a real store, a fake provider and the engines between them.
type world struct {
	t       testing.TB
	phones  *fakes.Twilio
	sms     *channels.SMSConfig
	words   *templates.Set
	console lines
	policy  *consent.Policy
	door    *door
	around  func(consent.Store) consent.Store // what engines see of a store; nil: all of it
}

// lines keeps what the console channel writes.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// door answers notices as planned and counts them.
type door struct {
	mu      sync.Mutex
	answers []consent.Notified
	asked   []int
}

func (d *door) Notify(_ context.Context, _ *consent.State, n int) consent.Notified {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, n)
	if len(d.answers) == 0 {
		return consent.Notified{Done: true, Code: "204"}
	}
	a := d.answers[0]
	d.answers = d.answers[1:]
	return a
}

func (d *door) notices() []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]int{}, d.asked...)
}

func newWorld(t testing.TB, steps ...consent.RouteStep) *world {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, door: &door{}, phones: fakes.NewTwilio(fakes.TwilioConfig{AccountSID: account, AuthToken: secret, From: sender, Now: time.Now})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.phones.Serve(ctx, ln) }()
	t.Cleanup(func() { cancel(); <-done })
	w.sms = &channels.SMSConfig{Provider: "twilio", AccountSID: account, AuthToken: secret, From: sender, BaseURL: "http://" + ln.Addr().String()}
	reg, err := details.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if w.words, err = templates.New(templates.Config{Details: reg, Scopes: map[string]map[string]string{"read": {"en": "read your notes"}}}); err != nil {
		t.Fatal(err)
	}
	if steps == nil {
		steps = []consent.RouteStep{{Channel: "sms", Reply: true}}
	}
	w.policy = &consent.Policy{Routes: []consent.Route{{Steps: steps, EscalateAfter: escalate}}}
	return w
}

// open returns a paused store with people in it; engine opens the eyes of it.
func (w *world) open(change ...func(*store.Config)) *storetest.House {
	w.t.Helper()
	h := storetest.New(w.t, append(change, func(c *store.Config) { c.Paused = true })...)
	w.settle(h)
	return h
}

// settle puts alice and bob into a store's directory.
func (w *world) settle(h *storetest.House) {
	w.t.Helper()
	if err := h.SetFile(nil, []consent.Person{
		{ID: "alice", Name: "Alice", Phone: "+12025550101"}, {ID: "bob", Name: "Bob", Phone: "+12025550102"}, {ID: "carol", Name: "Carol"},
	}, nil); err != nil {
		w.t.Fatal(err)
	}
}

// engine runs an engine over h until the test or the returned function ends it.
func (w *world) engine(h *storetest.House, wire func(func(consent.Event))) (stop func()) {
	w.t.Helper()
	open, err := channels.Open(channels.Config{SMS: w.sms, Console: &w.console, PublicURL: "https://consent.example", Timeout: 2 * time.Second})
	if err != nil {
		w.t.Fatal(err)
	}
	facts := consent.Store(h)
	if w.around != nil {
		facts = w.around(facts)
	}
	e := workers.New(workers.Config{
		Store: facts, Directory: h, Devices: h, Handles: keys.NewHandles(h.Root), Templates: w.words, Channels: open,
		Notifiers: map[consent.Door]workers.Notifier{consent.DoorCIBA: w.door}, Policy: func() *consent.Policy { return w.policy },
		Types: func([]byte) []string { return nil }, PublicURL: "https://consent.example", Grace: 3 * time.Second, Now: time.Now, Log: storetest.Log(),
	})
	wire(e.OnEvent)
	h.Start()
	h.AwaitReady()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return stop
}

// running is the usual world: one store, one engine.
func (w *world) running() *storetest.House {
	w.t.Helper()
	var on func(consent.Event)
	h := w.open(func(c *store.Config) { c.OnEvent = func(ev consent.Event) { on(ev) } })
	w.engine(h, func(f func(consent.Event)) { on = f })
	return h
}

func state(t testing.TB, h *storetest.House, req *consent.Request) *consent.State {
	t.Helper()
	s, err := h.Get(t.Context(), req.ID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

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
