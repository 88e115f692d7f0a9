package store_test

import (
	"sync/atomic"
	"testing"
	"time"

	"ringback/consent"
	"ringback/store"
	"ringback/store/storetest"
)

// TestOwedNotice: a request that is over stays in memory while its client is
// to be told once more, and a restart announces it. No other does, nor one
// that this went on for too long with.
func TestOwedNotice(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	h := storetest.New(t, func(c *store.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	ctx := t.Context()
	told := func(done ...bool) consent.ID {
		req := h.Asked("alice", func(r *consent.Request) { r.Mode, r.Bearers.NotificationToken = consent.Ping, "t" })
		if _, err := h.Decide(ctx, req.ID, h.Decision(req, consent.Denied)); err != nil {
			t.Fatal(err)
		}
		for i, done := range done {
			if err := h.Claim(ctx, req.ID, consent.Notice{V: consent.Version, N: i + 1, At: h.Config.Now()}); err != nil {
				t.Fatal(err)
			}
			if err := h.Notified(ctx, req.ID, consent.Notified{V: consent.Version, N: i + 1, Done: done, At: h.Config.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		return req.ID
	}
	never, heard, later, owed := told(), told(true), told(false, true), told(false)
	known := func(id consent.ID) bool { _, ok := h.Peek(id); return ok }
	pass := func(d time.Duration) {
		ahead.Add(int64(d))
		askMany(t, h, 300) // the index is swept now and then while facts arrive
	}
	pass(10 * time.Minute)
	h.Eventually("what needs nothing is forgotten", func() bool { return !known(never) && !known(heard) && !known(later) })
	if !known(owed) {
		t.Fatal("forgotten before its client was told")
	}
	var announced recorder
	h.Config.OnEvent = announced.take
	h.Reopen()
	for _, e := range announced.all() {
		if e.ID == never || e.ID == heard || e.ID == later {
			t.Errorf("announced %+v, which needs nothing", e)
		}
		if e.ID == owed {
			owed = consent.ID{}
		}
	}
	if owed != (consent.ID{}) {
		t.Error("the restart did not announce a request whose client is to be told")
	}
	last := told(false)
	pass(2 * time.Hour)
	h.Eventually("nobody waits for ever", func() bool { return !known(last) })
}
