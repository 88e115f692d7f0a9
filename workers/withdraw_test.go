package workers_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/channels"
	"ringback/consent"
)

// taken keeps what a channel was told to take back.
type taken struct {
	mu  sync.Mutex
	ids []string
	err error
	way func()
}

func (k *taken) back(_ context.Context, id string) error {
	if k.way != nil {
		k.way()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ids = append(k.ids, id)
	return k.err
}

func (k *taken) all() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.ids, " ")
}

// TestWithdraw: once a request is decided, however that came, its messages are
// taken back where they can be, each once.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(w *world, decide func(consent.Verb)){
		"denied":    func(_ *world, decide func(consent.Verb)) { decide(consent.Denied) },
		"approved":  func(_ *world, decide func(consent.Verb)) { decide(consent.Approved) },
		"withdrawn": func(_ *world, decide func(consent.Verb)) { decide(consent.Withdrawn) },
		"expired":   func(w *world, _ func(consent.Verb)) { w.clock.set(2 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, k := newWorld(t), &taken{}
			w.recall = map[string]func(context.Context, string) error{"sms": k.back}
			h := w.running()
			req := h.Asked("alice")
			rings(t, h, req)
			h.Eventually("the outcome", func() bool { return state(t, h, req).Outcomes[1].ProviderID != "" })
			if got := k.all(); got != "" {
				t.Fatalf("taken back while it is open: %s", got)
			}
			id := state(t, h, req).Outcomes[1].ProviderID
			end(w, func(v consent.Verb) { answer(t, h, req, v) })
			h.Eventually("it to be taken back", func() bool { return k.all() == id })
			if name == "approved" {
				if _, err := h.Settle(t.Context(), req.ID, h.Settlement(req, consent.Redeemed)); err != nil {
					t.Fatal(err)
				}
			}
			h.Eventually("nothing to do", func() bool { return w.last.Stats().Channels["sms"].Busy == 0 })
			if got := k.all(); got != id {
				t.Errorf("taken back: %s, want %s", got, id)
			}
		})
	}
}

// TestWithdrawFails: a channel that cannot take a message back, or that panics,
// holds up nothing.
func TestWithdrawFails(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]*taken{
		"an error": {err: &channels.Retry{Err: errors.New("not now")}},
		"a panic":  {way: func() { panic("withdrawing") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.recall = map[string]func(context.Context, string) error{"sms": k.back}
			h := w.running()
			first, second := h.Asked("alice"), h.Asked("alice")
			h.Eventually("one to ring", func() bool { return rang(t, h, first) || rang(t, h, second) })
			if !rang(t, h, first) {
				first, second = second, first
			}
			answer(t, h, first, consent.Denied)
			rings(t, h, second)
			h.Eventually("the log to say so", func() bool { return strings.Contains(w.log.String(), "message not taken back") })
			if n := len(state(t, h, first).Tried); n != 1 {
				t.Errorf("%d attempts", n)
			}
		})
	}
}
