package workers_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/channels"
	"ringback/channels/content"
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

// TestMain lets more tests run at once than there are processors: they wait for
// seconds to pass.
func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		flag.Set("test.parallel", "12")
	}
	os.Exit(m.Run())
}

// world is a real store, a fake provider and the engines between them.
type world struct {
	t       testing.TB
	phones  *fakes.Twilio
	sms     *channels.SMSConfig
	words   *templates.Set
	console lines
	log     lines
	clock   clock
	policy  *consent.Policy
	door    *door
	around  func(consent.Store) consent.Store         // what engines see of a store; nil: all of it
	people  func(consent.Directory) consent.Directory // and of a directory
	send    map[string]way                            // instead of a channel
	recall  map[string]func(ctx context.Context, providerID string) error
	without string // a channel that is not configured
	grace   time.Duration
	last    *workers.Engine  // that was started
	more    []consent.Person // in every directory
}

// clock is the world's, which a test may set or stop.
type clock struct{ ahead, stands atomic.Int64 }

func (c *clock) now() time.Time {
	if at := c.stands.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Now().Add(time.Duration(c.ahead.Load()))
}

// set moves it, also while it stands.
func (c *clock) set(by time.Duration) {
	if c.stands.Load() != 0 {
		c.stands.Add(int64(by))
	}
	c.ahead.Add(int64(by))
}

// stop lets it stand still.
func (c *clock) stop() { c.stands.Store(c.now().UnixNano()) }

// start lets it go on.
func (c *clock) start() {
	c.ahead.Store(c.stands.Load() - time.Now().UnixNano())
	c.stands.Store(0)
}

// way is a channel that does as it is told; it gets the one that it stands
// for, nil where there is none.
type way func(ctx context.Context, m channels.Message, to channels.Channel) (channels.Receipt, error)

// told is a channel with a way of its own.
type told struct {
	say way
	to  channels.Channel
}

func (c told) Kind() content.Kind { return content.KindText }

func (c told) Method() string { return "otp" }

func (c told) Send(ctx context.Context, m channels.Message) (channels.Receipt, error) {
	return c.say(ctx, m, c.to)
}

// recaller is a channel that takes messages back.
type recaller struct {
	channels.Channel
	back func(ctx context.Context, providerID string) error
}

func (c recaller) Withdraw(ctx context.Context, providerID string) error {
	return c.back(ctx, providerID)
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

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// door answers notices as planned and counts them.
type door struct {
	before  func(s *consent.State)        // called first; may be nil
	host    func(s *consent.State) string // nil: each client has its own
	mu      sync.Mutex
	answers []consent.Notified
	asked   []int
}

func (d *door) Host(_ context.Context, s *consent.State) string {
	if d.host != nil {
		return d.host(s)
	}
	return s.Request.Client.ID
}

func (d *door) Notify(_ context.Context, s *consent.State, n int) consent.Notified {
	if d.before != nil {
		d.before(s)
	}
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
	w := &world{t: t, grace: 3 * time.Second, door: &door{}, send: map[string]way{}, phones: fakes.NewTwilio(fakes.TwilioConfig{AccountSID: account, AuthToken: secret, From: sender, Now: time.Now})}
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
	h := storetest.New(w.t, append(change, func(c *store.Config) { c.Paused, c.Now = true, w.clock.now })...)
	w.settle(h)
	return h
}

// settle puts alice, bob and others into a store's directory.
func (w *world) settle(h *storetest.House) {
	w.t.Helper()
	if err := h.SetFile(nil, append([]consent.Person{
		{ID: "alice", Name: "Alice", Phone: "+12025550101"}, {ID: "bob", Name: "Bob", Phone: "+12025550102"}, {ID: "carol", Name: "Carol"},
	}, w.more...), nil); err != nil {
		w.t.Fatal(err)
	}
}

// crowd adds people, named p0, p1 and so on, to every directory.
func (w *world) crowd(n int) {
	for i := range n {
		w.more = append(w.more, consent.Person{ID: fmt.Sprint("p", i), Phone: consent.Phone(fmt.Sprintf("+1202556%04d", i))})
	}
}

// engine runs an engine over h until the test or the returned function ends it.
func (w *world) engine(h *storetest.House, wire func(func(consent.Event))) (stop func()) {
	w.t.Helper()
	open, err := channels.Open(channels.Config{SMS: w.sms, Console: &w.console, PublicURL: "https://consent.example", Timeout: 2 * time.Second})
	if err != nil {
		w.t.Fatal(err)
	}
	facts, people := consent.Store(h), consent.Directory(h)
	if w.around != nil {
		facts = w.around(facts)
	}
	if w.people != nil {
		people = w.people(people)
	}
	delete(open, w.without)
	for name, say := range w.send {
		open[name] = told{say, open[name]}
	}
	for name, back := range w.recall {
		open[name] = recaller{open[name], back}
	}
	e := workers.New(workers.Config{
		Store: facts, Directory: people, Devices: h, Handles: keys.NewHandles(h.Root), Templates: w.words, Channels: open,
		Notifiers: map[consent.Door]workers.Notifier{consent.DoorCIBA: w.door}, Policy: func() *consent.Policy { return w.policy },
		Types: func([]byte) []string { return nil }, PublicURL: "https://consent.example", Grace: w.grace, Now: w.clock.now,
		Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	})
	w.last = e
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
