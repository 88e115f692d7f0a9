package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"ringback/consent"
)

// followed is a store whose follower the test runs, and the events that it passed
// on.
type followed struct {
	*Store
	f      following
	events map[consent.ID]int
}

func newFollowed(t *testing.T) *followed {
	t.Helper()
	g := newAlone(t)
	cfg, w := g.config(t), &followed{events: map[consent.ID]int{}}
	cfg.Paused, cfg.OnEvent = true, func(e consent.Event) { w.events[e.ID]++ }
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var err error
	if w.Store, err = Open(ctx, cfg); err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { w.Close(context.Background()) })
	return w
}

// upTo follows until it has seen n facts in all, and then fails.
func (w *followed) upTo(t *testing.T, n uint64, meanwhile func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.followOwn(ctx, &w.f) }()
	eventually(t, "it to be ready", w.Ready)
	meanwhile()
	eventually(t, "what was written to be followed", func() bool { return w.followed.Load() >= n })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("followOwn = %v", err)
	}
}

// TestFollowOwnAgain: a follower that failed goes on where it was, also in a
// store that was empty when it began.
func TestFollowOwnAgain(t *testing.T) {
	t.Parallel()
	w := newFollowed(t)
	var asked []*consent.Request
	ask := func() { asked = append(asked, openFor(t, w.Store, "alice")) }
	w.upTo(t, 2, func() { ask(); ask() })
	ask()
	w.upTo(t, 4, ask)
	w.upTo(t, 5, ask)
	for i, req := range asked {
		if n := w.events[req.ID]; n != 1 {
			t.Errorf("%d events of request %d, want one", n, i)
		}
	}
}

// TestFeedGaps: what is not fed, or fed late, is read from the stream, once and
// in order.
func TestFeedGaps(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(f *feed){
		"the first is lost":   func(f *feed) { f.queue = f.queue[1:] },
		"one is lost":         func(f *feed) { f.queue = append(f.queue[:2], f.queue[3:]...) },
		"the last is lost":    func(f *feed) { f.queue, f.missed = f.queue[:len(f.queue)-1], true },
		"all are lost":        func(f *feed) { f.queue, f.missed = nil, true },
		"two in other order":  func(f *feed) { f.queue[1], f.queue[2] = f.queue[2], f.queue[1] },
		"one comes twice":     func(f *feed) { f.queue = append(f.queue, f.queue[0]) },
		"nothing is the case": func(f *feed) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFollowed(t)
			w.upTo(t, 0, func() {})
			for range 5 {
				openFor(t, w.Store, "alice")
			}
			w.feed.mu.Lock()
			spoil(&w.feed)
			w.feed.mu.Unlock()
			w.upTo(t, 5, func() {})
			if len(w.events) != 5 || w.index.size() != 5 {
				t.Errorf("%d requests with events, %d known, want 5", len(w.events), w.index.size())
			}
			for id, n := range w.events {
				if n != 1 {
					t.Errorf("%d events of %s, want one", n, id)
				}
			}
		})
	}
}

// TestFeedOverflows: the feed is bounded, and says when there is more.
func TestFeedOverflows(t *testing.T) {
	t.Parallel()
	f := feed{wake: make(chan struct{}, 1)}
	for seq := range uint64(feedMost + 3) {
		f.add(message{seq: seq + 1})
	}
	<-f.wake
	if all, missed := f.take(); len(all) != feedMost || !missed {
		t.Errorf("take = %d, %v, want %d and more", len(all), missed, feedMost)
	}
	if all, missed := f.take(); len(all) != 0 || missed {
		t.Errorf("take again = %d, %v, want nothing", len(all), missed)
	}
	f.miss()
	<-f.wake
	if _, missed := f.take(); !missed {
		t.Error("take does not say that something was missed")
	}
}

// openFor stores a request that nobody has answered.
func openFor(t *testing.T, s *Store, person string) *consent.Request {
	t.Helper()
	now := s.cfg.Now().UTC().Truncate(time.Millisecond)
	req := &consent.Request{
		V: consent.Version, ID: consent.NewID(), Issuer: "https://consent.example", Door: consent.DoorCIBA,
		Client: consent.Party{ID: "agent", Name: "Agent"}, Approver: person, Pseudonym: s.Pseudonym(person),
		Scope: []string{"openid"}, ACR: []string{consent.ACRTap}, Salt: []byte("0123456789abcdef"),
		AskedAt: now, ExpiresAt: now.Add(5 * time.Minute), GrantLifetime: 300, Mode: consent.Poll, Interval: 5,
	}
	if err := s.Ask(t.Context(), req); err != nil {
		t.Fatalf("Ask: %v", err)
	}
	return req
}
