package workers_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"ringback/channels"
	"ringback/consent"
	"ringback/store/storetest"
)

// seen is what the outside found in the store while it was called.
type seen struct {
	mu    sync.Mutex
	lines []string
}

func (s *seen) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

func (s *seen) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.lines...)
}

// TestClaimsComeFirst looks into the store while a provider or a client is
// being called: what is done there is claimed already. Looked at afterwards,
// either order leaves the same.
func TestClaimsComeFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var h *storetest.House
	var req *consent.Request
	var asked sync.WaitGroup
	asked.Add(1)
	var found seen
	w.send["sms"] = func(ctx context.Context, m channels.Message, to channels.Channel) (channels.Receipt, error) {
		asked.Wait()
		s := state(t, h, req)
		found.note("sent with %d claimed, %d concluded", len(s.Tried), len(s.Outcomes))
		return to.Send(ctx, m)
	}
	w.door.before = func(*consent.State) {
		asked.Wait()
		s := state(t, h, req)
		found.note("told with %d claimed, %d answered", len(s.Notices), len(s.Notified))
	}
	w.door.answers = []consent.Notified{{Code: "503"}}
	h = w.running()
	req = h.Asked("alice", func(r *consent.Request) { r.Mode, r.Bearers.NotificationToken = consent.Ping, "t" })
	asked.Done()
	h.Eventually("an accepted attempt", func() bool { return state(t, h, req).Outcomes[1].Status == consent.Accepted })
	if _, err := h.Decide(t.Context(), req.ID, h.Decision(req, consent.Approved)); err != nil {
		t.Fatal(err)
	}
	h.Eventually("the second notice", func() bool { return len(state(t, h, req).Notified) == 2 })
	want := []string{"sent with 1 claimed, 0 concluded", "told with 1 claimed, 0 answered", "told with 2 claimed, 1 answered"}
	if got := found.all(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("what the outside found: %q, want %q", got, want)
	}
}

// TestLostClaimsSendNothing: where somebody else has the attempt, or decided
// meanwhile, no provider is asked.
func TestLostClaimsSendNothing(t *testing.T) {
	t.Parallel()
	for _, lost := range []error{consent.ErrClaimed, consent.ErrDecided, consent.ErrUnavailable} {
		w := newWorld(t)
		s := w.hook(&hooks{})
		tried := make(chan bool, 8)
		s.try.set(func(consent.ID) error { tried <- true; return lost })
		w.send["sms"] = func(context.Context, channels.Message, channels.Channel) (channels.Receipt, error) {
			t.Errorf("%v, and yet a message is sent", lost)
			return channels.Receipt{}, nil
		}
		h := w.running()
		h.Asked("alice")
		<-tried
		<-tried // by then the first try is over
	}
}

// TestCodesLiveTenMinutes: code and link of a message live for ten minutes, or
// as long as the request.
func TestCodesLiveTenMinutes(t *testing.T) {
	t.Parallel()
	for lifetime, want := range map[time.Duration]time.Duration{time.Hour: 10 * time.Minute, 5 * time.Minute: 5 * time.Minute} {
		w := newWorld(t)
		w.clock.stop()
		h := w.running()
		req := h.Asked("alice", func(r *consent.Request) {
			r.AskedAt = w.clock.now()
			r.ExpiresAt = r.AskedAt.Add(lifetime)
		})
		h.Eventually("an attempt", func() bool { return len(state(t, h, req).Tried) > 0 })
		a := state(t, h, req).Tried[0]
		if code, link := a.CodeUntil.Sub(a.At), a.TicketUntil.Sub(a.At); code != want || link != want {
			t.Errorf("of a request for %v the code lives %v and the link %v, want %v", lifetime, code, link, want)
		}
	}
}
