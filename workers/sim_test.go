package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/channels"
	"ringback/channels/content"
	"ringback/consent"
	"ringback/details"
	"ringback/keys"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/templates"
)

// sim is an engine that the test runs itself, one look after the other, over a
// real store, with a clock that stands still. What is random comes from a seed.
type sim struct {
	consent.Store // what the engine sees
	t             *testing.T
	h             *storetest.House
	e             *Engine
	clock         *atomic.Int64

	mu     sync.Mutex
	rnd    *rand.Rand
	seed   uint64
	odds   int                             // one in so many steps fails; 0: none
	slots  map[consent.Pseudonym]simSlot   // as the store has them
	told   map[consent.ID]int              // notices, by request
	live   map[consent.ID]*consent.Request // not decided by the test
	poor   map[consent.ID]bool             // their steps fail for ever
	barred consent.ID                      // cannot take the slot
	gets   map[consent.ID]int              // looks, by request

	events []consent.Event // on their way
}

// simSlot is who has a person's slot.
type simSlot struct {
	id    consent.ID
	until time.Time
}

func (s *sim) now() time.Time { return time.Unix(0, s.clock.Load()).UTC() }

func (s *sim) forward(d time.Duration) { s.clock.Add(int64(d)) }

// draw is a random number below n.
func (s *sim) draw(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rnd.IntN(n)
}

// fails returns an error now and then, or panics.
func (s *sim) fails(id consent.ID) error {
	s.mu.Lock()
	poor, odds := s.poor[id], s.odds
	s.mu.Unlock()
	if !poor && (odds == 0 || s.draw(odds) > 0) {
		return nil
	}
	if s.draw(3) == 0 {
		panic("at the disco")
	}
	return errors.New("no answer")
}

func (s *sim) Get(ctx context.Context, id consent.ID) (*consent.State, error) {
	s.mu.Lock()
	s.gets[id]++
	s.mu.Unlock()
	if err := s.fails(id); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, id)
}

func (s *sim) Slot(ctx context.Context, p consent.Pseudonym, id consent.ID, ttl time.Duration) (bool, time.Time, error) {
	if err := s.fails(id); err != nil {
		return false, time.Time{}, err
	}
	if id == s.barred {
		return false, time.Time{}, errors.New("no answer")
	}
	mine, until, err := s.Store.Slot(ctx, p, id, ttl)
	if mine {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.slots[p] = simSlot{id, until}
	}
	return mine, until, err
}

func (s *sim) Release(ctx context.Context, p consent.Pseudonym, id consent.ID) error {
	err := s.Store.Release(ctx, p, id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots[p].id == id {
		delete(s.slots, p)
	}
	return err
}

func (s *sim) Try(ctx context.Context, id consent.ID, a consent.Attempt) error {
	if err := s.fails(id); err != nil {
		return err
	}
	if b, known := s.Peek(id); known {
		if slot := s.slot(b.Pseudonym); slot.id != id {
			s.t.Errorf("seed %d: an attempt is claimed without the person's slot", s.seed)
		}
	}
	return s.Store.Try(ctx, id, a)
}

// slot is who has a person's slot now; nobody: zero.
func (s *sim) slot(p consent.Pseudonym) simSlot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slot := s.slots[p]; slot.until.After(s.now()) {
		return slot
	}
	return simSlot{}
}

func (s *sim) End(ctx context.Context, ids []consent.ID, now time.Time) ([]consent.ID, error) {
	if s.odds > 0 && s.draw(4) == 0 {
		if err := s.fails(ids[0]); err != nil {
			return nil, err
		}
	}
	some := make([]consent.ID, 0, len(ids))
	for _, id := range ids {
		if s.odds == 0 || s.draw(4) > 0 {
			some = append(some, id)
		}
	}
	ended, err := s.Store.End(ctx, some, now)
	for _, id := range ended { // their facts arrive, sooner or later
		b, _ := s.h.Peek(id)
		ev := consent.Event{ID: id, Kind: consent.FactDecided, Pseudonym: b.Pseudonym, ExpiresAt: b.ExpiresAt, Local: true}
		if b.Settled != "" {
			ev.Kind = consent.FactSettled
		}
		if s.draw(2) == 0 {
			s.e.OnEvent(ev)
		} else {
			s.events = append(s.events, ev)
		}
	}
	if err == nil && len(some) < len(ids) && s.draw(2) == 0 {
		err = errors.New("not all of them")
	}
	return ended, err
}

// Kind implements channels.Channel.
func (s *sim) Kind() content.Kind { return content.KindText }

// Method implements channels.Channel.
func (s *sim) Method() string { return "sms" }

// Send implements channels.Channel.
func (s *sim) Send(context.Context, channels.Message) (channels.Receipt, error) {
	if s.odds == 0 {
		return channels.Receipt{ProviderID: "id"}, nil
	}
	switch s.draw(10) {
	case 0:
		return channels.Receipt{}, channels.RetryAfter(time.Duration(s.draw(90)) * time.Second)
	case 1:
		return channels.Receipt{}, channels.ErrUndeliverable
	case 2:
		return channels.Receipt{}, channels.ErrAmbiguous
	case 3:
		if s.draw(3) == 0 {
			panic("at the disco")
		}
	}
	return channels.Receipt{ProviderID: "id"}, nil
}

// Notify implements Notifier.
func (s *sim) Host(_ context.Context, st *consent.State) string { return st.Request.Client.ID }

func (s *sim) Notify(_ context.Context, st *consent.State, _ int) consent.Notified {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told[st.Request.ID]++
	return consent.Notified{Done: s.rnd.IntN(3) > 0, Code: "x"}
}

// simHouse is the store of all simulations of a test.
func simHouse(t *testing.T, people int) (*storetest.House, *atomic.Int64) {
	t.Helper()
	clock := &atomic.Int64{}
	clock.Store(time.Now().UnixNano())
	h := storetest.New(t, func(c *store.Config) { c.Now = func() time.Time { return time.Unix(0, clock.Load()).UTC() } })
	var list []consent.Person
	for i := range people {
		list = append(list, consent.Person{ID: fmt.Sprint("p", i), Phone: consent.Phone(fmt.Sprintf("+1202556%04d", i))})
	}
	if err := h.SetFile(nil, append(list, consent.Person{ID: "nobody"}), nil); err != nil {
		t.Fatal(err)
	}
	return h, clock
}

func newSim(t *testing.T, h *storetest.House, clock *atomic.Int64, seed uint64) *sim {
	t.Helper()
	s := &sim{
		Store: h, t: t, h: h, clock: clock, rnd: rand.New(rand.NewPCG(seed, 11)), seed: seed, slots: map[consent.Pseudonym]simSlot{},
		told: map[consent.ID]int{}, live: map[consent.ID]*consent.Request{}, poor: map[consent.ID]bool{},
		gets: map[consent.ID]int{},
	}
	reg, err := details.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	words, err := templates.New(templates.Config{Details: reg, Scopes: map[string]map[string]string{"read": {"en": "read your notes"}}})
	if err != nil {
		t.Fatal(err)
	}
	step := func(channel string) consent.RouteStep { return consent.RouteStep{Channel: channel} }
	policy := &consent.Policy{Routes: []consent.Route{
		{Client: "a", Steps: []consent.RouteStep{step("sms"), step("console")}, EscalateAfter: 30 * time.Second},
		{Client: "b", Steps: []consent.RouteStep{step("console")}, EscalateAfter: 30 * time.Second},
		{Steps: []consent.RouteStep{step("sms")}, EscalateAfter: 30 * time.Second},
	}}
	s.e = New(Config{
		Store: s, Directory: h, Devices: h, Handles: keys.NewHandles(h.Root), Templates: words,
		Channels:  map[string]channels.Channel{"sms": s, "console": s},
		Notifiers: map[consent.Door]Notifier{consent.DoorCIBA: s},
		Policy:    func() *consent.Policy { return policy }, Types: func([]byte) []string { return nil },
		PublicURL: "https://consent.example", Now: s.now, Log: slog.New(slog.DiscardHandler),
	})
	s.e.running.Store(true)
	return s
}

// ask stores a new request, and tells the engine of it.
func (s *sim) ask(person, client string, life time.Duration, mode consent.DeliveryMode, local bool) *consent.Request {
	req := s.h.Asked(person, func(r *consent.Request) {
		r.Client.ID, r.ExpiresAt, r.Mode = client, r.AskedAt.Add(life), mode
		if mode != consent.Poll {
			r.Bearers.NotificationToken = "t"
		}
	})
	s.live[req.ID] = req
	s.event(req, consent.FactAsked, local)
	return req
}

func (s *sim) event(req *consent.Request, kind consent.FactKind, local bool) {
	s.e.OnEvent(consent.Event{ID: req.ID, Kind: kind, N: 1, Pseudonym: req.Pseudonym, ExpiresAt: req.ExpiresAt, Local: local})
}

// decide answers a request, here or in another process, which gives the slot back.
func (s *sim) decide(req *consent.Request, v consent.Verb, local bool) {
	delete(s.live, req.ID)
	if _, err := s.h.Decide(context.Background(), req.ID, s.h.Decision(req, v)); err != nil && !errors.Is(err, consent.ErrDecided) {
		s.t.Fatal(err)
	}
	if !local {
		s.Release(context.Background(), req.Pseudonym, req.ID)
	}
	s.event(req, consent.FactDecided, local)
}

// settle lets the engine do all that is due.
func (s *sim) settle() {
	ctx := context.Background()
	for n := 0; ; n++ {
		if n > 100_000 {
			s.t.Fatalf("seed %d: looks without end", s.seed)
		}
		s.idle()
		if batch := s.e.ends.take(); len(batch) > 0 {
			s.e.endSome(ctx, batch)
			continue
		}
		due, ok, _ := s.e.queue.take(s.now())
		if !ok && len(s.events) > 0 {
			s.e.OnEvent(s.events[0])
			s.events = s.events[1:]
			continue
		} else if !ok {
			break
		}
		if !s.e.ending(due, s.now()) {
			s.e.look(ctx, due)
		}
	}
}

// idle awaits the calls to the outside.
func (s *sim) idle() {
	lanes := []*lane{s.e.notices}
	for _, l := range s.e.sends {
		lanes = append(lanes, l)
	}
	for _, l := range lanes {
		l.running.Wait()
	}
}

// back sets the clock back. The store does not measure slots by it.
func (s *sim) back(d time.Duration) {
	ctx, was := context.Background(), s.now()
	s.forward(-d)
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, slot := range s.slots {
		s.h.Release(ctx, p, slot.id)
		delete(s.slots, p)
		if left := slot.until.Sub(was); left > 0 {
			_, until, _ := s.h.Slot(ctx, p, slot.id, left)
			s.slots[p] = simSlot{slot.id, until}
		}
	}
	s.e.queue.rush(s.now())
}

// watch does once what the engine does in between.
func (s *sim) watch() {
	for _, b := range s.e.breakers {
		if id, ok := b.tick(s.now()); ok {
			s.e.queue.add(id, s.now())
		}
	}
	s.e.turns.sweep(s.now())
}
