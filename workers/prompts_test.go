package workers_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"ringback/channels"
	"ringback/consent"
	"ringback/store/storetest"
	"ringback/workers"
)

// by makes a request that of a client, for an hour.
func by(client string) func(*consent.Request) {
	return func(r *consent.Request) {
		r.Client.ID, r.ExpiresAt = client, r.AskedAt.Add(time.Hour)
	}
}

// rang reports whether a provider took a message of a request.
func rang(t testing.TB, h *storetest.House, req *consent.Request) bool {
	t.Helper()
	for _, o := range state(t, h, req).Outcomes {
		if o.Status == consent.Accepted {
			return true
		}
	}
	return false
}

// rings awaits the prompt of a request.
func rings(t testing.TB, h *storetest.House, req *consent.Request) {
	t.Helper()
	h.Eventually("the prompt of "+req.Client.ID, func() bool { return rang(t, h, req) })
}

// answer decides a request.
func answer(t testing.TB, h *storetest.House, req *consent.Request, v consent.Verb) {
	t.Helper()
	if _, err := h.Decide(context.Background(), req.ID, h.Decision(req, v)); err != nil {
		t.Fatal(err)
	}
}

// queued awaits that a number of requests wait for their turn.
func (w *world) queued(h *storetest.House, n int) {
	w.t.Helper()
	h.Eventually("requests that wait for their turn", func() bool { return w.last.Stats().Waiting[workers.Turn] == n })
}

// TestPromptsTakeTurns: a client with many requests holds up another one's by one
// prompt.
func TestPromptsTakeTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.running()
	first := h.Asked("alice", by("a"))
	rings(t, h, first)
	var waiting []*consent.Request
	for i, client := range []string{"a", "a", "b", "c", "b"} {
		waiting = append(waiting, h.Asked("alice", by(client)))
		w.queued(h, i+1)
	}
	for _, i := range []int{2, 0, 3, 4, 1} {
		answer(t, h, first, consent.Denied)
		first = waiting[i]
		rings(t, h, first)
		for j, req := range waiting {
			if req != first && rang(t, h, req) && state(t, h, req).Decided == nil {
				t.Fatalf("%d rings beside %d", j, i)
			}
		}
	}
}

// TestPromptEnds: when a prompt's time is over exactly the next one rings.
func TestPromptEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.running()
	var all []*consent.Request
	for i, client := range []string{"a", "b", "c", "d"} {
		all = append(all, h.Asked("alice", by(client)))
		if i == 0 {
			rings(t, h, all[0])
		} else {
			w.queued(h, i)
		}
	}
	for i := 1; i < len(all); i++ {
		w.clock.set(61 * time.Second)
		rings(t, h, all[i])
		w.queued(h, len(all)-1-i)
	}
}

// TestGoesOnWhileOthersWait: who has the prompt escalates, whoever waits.
func TestGoesOnWhileOthersWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.RouteStep{Channel: "sms"}, consent.RouteStep{Channel: "console"})
	h := w.running()
	first := h.Asked("alice", by("a"))
	rings(t, h, first)
	second := h.Asked("alice", by("b"))
	h.Eventually("the second channel", func() bool { return state(t, h, first).Outcomes[2].Status == consent.Accepted })
	if rang(t, h, second) {
		t.Error("two prompts at once")
	}
	answer(t, h, first, consent.Denied)
	rings(t, h, second)
}

// TestNoPromptNoSlot: a request that has the person's prompt and does not ring
// gives it back, whatever keeps it from ringing.
func TestNoPromptNoSlot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook, folk := w.hook(&hooks{}), w.know()
	noRoom, refusal := errors.New("no room"), atomic.Pointer[error]{}
	w.send["sms"] = func(ctx context.Context, m channels.Message, to channels.Channel) (channels.Receipt, error) {
		if err := refusal.Swap(nil); err != nil {
			return channels.Receipt{}, *err
		}
		return to.Send(ctx, m)
	}
	var h *storetest.House
	decided := func(id consent.ID) error {
		d := consent.Decision{V: consent.Version, Verb: consent.Denied, Means: consent.ByPage, At: time.Now(), Nonce: "n"}
		_, err := h.Decide(context.Background(), id, d)
		return err
	}
	cases := map[string]func(){
		"refused for now":              func() { err := channels.RetryAfter(time.Hour); refusal.Store(&err) },
		"no such number":               func() { err := channels.ErrUndeliverable; refusal.Store(&err) },
		"it cannot be claimed":         func() { hook.try.set(once(func(consent.ID) error { return noRoom })) },
		"it was decided just before":   func() { hook.try.set(once(decided)) },
		"it panics when it is claimed": func() { hook.try.set(once(func(consent.ID) error { panic("at the disco") })) },
		"the slot cannot be taken":     func() { hook.slot.set(once(func(consent.ID) error { return noRoom })) },
		"it is not rendered": func() {
			fails := once(func(consent.ID) error { return noRoom })
			folk.person.set(func(string) error { return fails(consent.ID{}) })
		},
		"the slot cannot be given back at first": func() {
			hook.release.set(once(func(consent.ID) error { return noRoom }))
			hook.try.set(once(func(id consent.ID) error {
				if err := h.Try(context.Background(), id, consent.Attempt{V: consent.Version, N: 1, Channel: "sms", Device: "d", At: time.Now()}); err != nil {
					return err
				}
				return decided(id)
			}))
		},
	}
	w.crowd(len(cases))
	h = w.running()
	n := 0
	for name, arrange := range cases {
		person := fmt.Sprint("p", n)
		n++
		t.Run(name, func(t *testing.T) {
			arrange()
			slots := hook.slots.Load()
			first := h.Asked(person, by("first"))
			h.Eventually("the first one not to ring", func() bool {
				why := w.last.Waits(consent.Brief{ID: first.ID})
				return hook.slots.Load() > slots && (why != "" || state(t, h, first).Decided != nil)
			})
			rings(t, h, h.Asked(person, by("second")))
			if rang(t, h, first) && name != "the slot cannot be taken" {
				t.Error("the first one rang, too")
			}
		})
	}
}
