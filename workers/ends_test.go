package workers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/channels/fakes"
	"ringback/consent"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/workers"
)

// batches remembers which requests were ended together.
type batches struct {
	mu  sync.Mutex
	ids [][]consent.ID
}

func (b *batches) add(ids []consent.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ids = append(b.ids, slices.Clone(ids))
}

func (b *batches) largest() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ids := range b.ids {
		n = max(n, len(ids))
	}
	return n
}

// expired awaits that all of them are.
func expired(t *testing.T, h *storetest.House, reqs []*consent.Request) {
	t.Helper()
	for i, req := range reqs {
		h.Eventually(fmt.Sprint("the end of ", i), func() bool { return state(t, h, req).Status() == consent.StatusExpired })
	}
}

// TestEndsTogether: many that end at once are ended together, without a look at
// each; only clients that are told of it cost one.
func TestEndsTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook, seen := w.hook(&hooks{}), &batches{}
	hook.end = func(ids []consent.ID) ([]consent.ID, error) {
		seen.add(ids)
		return hook.Store.End(context.Background(), ids, w.clock.now())
	}
	h := w.running()
	const polled, pushed = 300, 5
	var asked, told []*consent.Request
	for range polled { // carol has no number: nothing is sent
		asked = append(asked, h.Asked("carol"))
	}
	for range pushed {
		told = append(told, h.Asked("carol", func(r *consent.Request) { r.Mode, r.Bearers.NotificationToken = consent.Push, "t" }))
	}
	h.Eventually("all to wait for their end", func() bool { return w.last.Stats().Waiting[workers.Unreachable] == polled+pushed })
	gets, decides := hook.gets.Load(), hook.decides.Load()
	w.clock.set(5*time.Minute + 3*time.Second)
	expired(t, h, asked)
	expired(t, h, told)
	h.Eventually("clients that are pushed to be told", func() bool { return len(w.door.notices()) == pushed })
	h.Eventually("all to be forgotten", func() bool { return w.last.Backlog() == 0 })
	if n := seen.largest(); n < 50 {
		t.Errorf("at most %d were ended together, want more", n)
	}
	if n := hook.gets.Load() - gets; n > 4*pushed {
		t.Errorf("%d looks, want none at those that are polled", n)
	}
	if n := hook.decides.Load() - decides; n != 0 {
		t.Errorf("%d ended by itself", n)
	}
	if s := w.last.Stats(); s.Ends != 0 || s.Behind != 0 || w.last.Behind() != 0 {
		t.Errorf("%d wait to be ended, for %v", s.Ends, s.Behind)
	}
}

// TestLapse: an approval for which nobody comes ends, too, and who is pushed is told.
func TestLapse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.door.answers = slices.Repeat([]consent.Notified{{Code: "503", Delay: 3600}}, 3)
	h := w.running()
	polls := h.Asked("carol")
	pushed := h.Asked("carol", func(r *consent.Request) { r.Mode, r.Bearers.NotificationToken = consent.Push, "t" })
	for _, req := range []*consent.Request{polls, pushed} {
		answer(t, h, req, consent.Approved)
	}
	h.Eventually("the client to refuse the notice", func() bool { return len(state(t, h, pushed).Notified) == 1 })
	w.clock.set(5*time.Minute + 3*time.Second)
	for _, req := range []*consent.Request{polls, pushed} {
		h.Eventually("the lapse", func() bool { s := state(t, h, req); return s.Settled != nil && s.Settled.Verb == consent.Lapsed })
	}
	w.clock.set(time.Hour)
	h.Eventually("the client to be told again", func() bool { return len(w.door.notices()) >= 2 })
}

// TestEndsFail: what the store does not end is ended later, what it cannot end with
// others by itself.
func TestEndsFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook, boom := w.hook(&hooks{}), errors.New("boom")
	type ending func([]consent.ID) ([]consent.ID, error)
	var how atomic.Pointer[ending]
	hook.end = func(ids []consent.ID) ([]consent.ID, error) { return (*how.Load())(ids) }
	whole := func(ids []consent.ID) ([]consent.ID, error) {
		return hook.Store.End(context.Background(), ids, w.clock.now())
	}
	var poison consent.ID
	but := func(ids []consent.ID) ([]consent.ID, error) {
		return whole(slices.DeleteFunc(slices.Clone(ids), func(id consent.ID) bool { return id == poison }))
	}
	h := w.running()
	for _, tt := range []struct {
		name string
		end  ending
		most int64 // how often, before all is well
	}{
		{"not now", func([]consent.ID) ([]consent.ID, error) { return nil, boom }, 2},
		{"it panics", func([]consent.ID) ([]consent.ID, error) { panic(boom) }, 2},
		{"none is ended", func([]consent.ID) ([]consent.ID, error) { return nil, nil }, 2},
		{"one is not ended", but, 1 << 30},
		{"one fails", func(ids []consent.ID) ([]consent.ID, error) {
			ended, err := but(ids)
			return ended, errors.Join(err, boom)
		}, 1 << 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var calls atomic.Int64
			end := ending(func(ids []consent.ID) ([]consent.ID, error) {
				if calls.Add(1) > tt.most {
					return whole(ids)
				}
				return tt.end(ids)
			})
			how.Store(&end)
			var asked []*consent.Request
			for range 20 {
				asked = append(asked, h.Asked("carol"))
			}
			poison = asked[3].ID
			h.Eventually("all to wait", func() bool { return w.last.Stats().Waiting[workers.Unreachable] == len(asked) })
			w.clock.set(5*time.Minute + 3*time.Second)
			expired(t, h, asked)
			h.Eventually("all to be forgotten", func() bool { return w.last.Backlog() == 0 })
			if s := w.last.Stats(); s.Ends != 0 || calls.Load() == 0 {
				t.Errorf("%d wait to be ended, after %d calls", s.Ends, calls.Load())
			}
		})
	}
}

// TestEndFreesThePrompt: the end of a request that rings is the next one's turn.
func TestEndFreesThePrompt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.running()
	first := h.Asked("alice", by("first"), func(r *consent.Request) { r.ExpiresAt = r.AskedAt.Add(30 * time.Second) })
	rings(t, h, first)
	second := h.Asked("alice", by("second"))
	w.queued(h, 1)
	w.clock.stop() // the slot does not end by itself
	w.clock.set(33 * time.Second)
	expired(t, h, []*consent.Request{first})
	rings(t, h, second)
}

// TestEndsAreLeftToTheirProcess: a request that another process took in is ended by
// that, and if that is dead, by any.
func TestEndsAreLeftToTheirProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook, seen := w.hook(&hooks{}), &batches{}
	hook.end = func(ids []consent.ID) ([]consent.ID, error) {
		seen.add(ids)
		return hook.Store.End(context.Background(), ids, w.clock.now())
	}
	var on func(consent.Event)
	one := w.open(storetest.NewServer(t).Use, func(c *store.Config) { c.OnEvent = func(ev consent.Event) { on(ev) } })
	two := one.Beside(func(c *store.Config) { c.OnEvent = nil })
	two.Start()
	two.AwaitReady()
	w.engine(one, func(f func(consent.Event)) { on = f })
	end := w.clock.now().Add(time.Minute).UTC().Round(0)
	atEnd := func(r *consent.Request) { r.ExpiresAt = end }
	theirs, own := two.Asked("carol", atEnd), one.Asked("carol", atEnd)
	one.Eventually("both to be seen", func() bool { return w.last.Backlog() == 2 && w.last.Stats().Waiting[workers.Unreachable] >= 1 })
	w.clock.stop()
	w.clock.set(end.Add(2*time.Second + 900*time.Millisecond).Sub(w.clock.now())) // both have ended, a moment ago
	expired(t, one, []*consent.Request{own})
	one.Eventually("theirs to be left alone", func() bool { s := w.last.Stats(); return s.Ends == 0 && s.Due == 0 })
	if s := state(t, one, theirs); s.Decided != nil {
		t.Error("ended before its process had time to")
	}
	if n := hook.decides.Load(); n != 0 {
		t.Errorf("%d ended by itself", n)
	}
	w.clock.set(4 * time.Second)
	expired(t, one, []*consent.Request{theirs})
	if n := seen.largest(); n != 1 || len(seen.ids) != 2 {
		t.Errorf("ended in batches of at most %d: %d", n, len(seen.ids))
	}
}

// TestEndsOfThePast: what ended while no process ran is ended at the start.
func TestEndsOfThePast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.phones.Always(fakes.Step{Failure: fakes.Unavailable})
	var asked []*consent.Request
	h := w.restarted(func(h *storetest.House) {
		for range 300 {
			asked = append(asked, h.Asked("alice"))
		}
		w.clock.set(time.Hour)
	})
	expired(t, h, asked)
	if n := w.phones.Calls(); n != 0 {
		t.Errorf("%d messages of requests that had ended", n)
	}
	h.Eventually("all to be forgotten", func() bool { return w.last.Backlog() == 0 })
}
