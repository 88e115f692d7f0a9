package workers_test

import (
	"testing"
	"time"

	"ringback/consent"
	"ringback/store"
	"ringback/store/storetest"
)

// TestDecidedElsewhere: what a process without an engine decided is told by the
// one that has the only engine, which learns of it from the stream alone.
func TestDecidedElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Routes[0].EscalateAfter = time.Hour // nothing else wakes the request
	srv := storetest.NewServer(t)
	var on func(consent.Event)
	here := w.open(func(c *store.Config) {
		c.Dir, c.URL, c.Monitor, c.OnEvent = "", srv.URL, srv.Monitor, func(ev consent.Event) { on(ev) }
	})
	elsewhere := here.Beside(func(c *store.Config) { c.OnEvent = nil })
	elsewhere.Start()
	w.settle(elsewhere)
	w.engine(here, func(f func(consent.Event)) { on = f })
	req := here.Asked("alice", func(r *consent.Request) { r.Mode, r.Bearers.NotificationToken = consent.Ping, "t" })
	here.Eventually("an accepted attempt", func() bool { return state(t, here, req).Outcomes[1].Status == consent.Accepted })
	if _, err := elsewhere.Decide(t.Context(), req.ID, elsewhere.Decision(req, consent.Approved)); err != nil {
		t.Fatal(err)
	}
	here.Eventually("the client to be told", func() bool { return state(t, here, req).Notified[1].Done })
	if got := w.door.notices(); len(got) != 1 {
		t.Errorf("notices %v, want one", got)
	}
}
