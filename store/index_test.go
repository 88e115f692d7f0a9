package store_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ringback/consent"
	"ringback/store"
	"ringback/store/storetest"
)

// clock is a clock that only a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now().UTC().Round(0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// model is what the index should say, written down by the test.
type model struct {
	reqs   []*consent.Request
	states map[consent.ID]*consent.Brief
}

// TestIndexEqualsFacts does random things to random requests and compares
// memory with what was done, again after a restart, with the copy of the
// index and without, and in a second process.
func TestIndexEqualsFacts(t *testing.T) {
	t.Parallel()
	houses(t, func(t *testing.T, h *storetest.House) {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		rnd := rand.New(rand.NewPCG(seed, 0))
		m := &model{states: map[consent.ID]*consent.Brief{}}
		for range 4 {
			for range 150 {
				m.step(t, h, rnd)
			}
			m.check(t, "while running", h)
			h.Reopen()
			m.check(t, "after a restart", h)
			if h.Config.Dir != "" {
				os.Remove(filepath.Join(h.Config.Dir, "index.snapshot"))
				h.Close()
				os.Remove(filepath.Join(h.Config.Dir, "index.snapshot"))
				h.Reopen()
				m.check(t, "after a restart without a copy of the index", h)
			} else {
				b := h.Beside()
				m.check(t, "in another process", b)
				b.Close()
			}
		}
	})
}

// step does one random thing.
func (m *model) step(t *testing.T, h *storetest.House, rnd *rand.Rand) {
	t.Helper()
	ctx := t.Context()
	if len(m.reqs) == 0 || rnd.IntN(4) == 0 {
		req := h.Request(fmt.Sprint("person-", rnd.IntN(5)), func(r *consent.Request) {
			r.Client.ID = fmt.Sprint("client-", rnd.IntN(3))
			r.Interval = 1 + rnd.IntN(9)
			r.Resource = fmt.Sprint("https://", rnd.IntN(2), ".example")
			r.Client.Group = []string{"", "host a.example", "registrant b;c"}[rnd.IntN(3)]
			r.Binding = []consent.Binding{"", "jkt:a", "x5t#S256:b"}[rnd.IntN(3)]
		})
		if err := h.Ask(ctx, req); err != nil {
			t.Fatal(err)
		}
		m.reqs = append(m.reqs, req)
		m.states[req.ID] = &consent.Brief{
			ID: req.ID, Client: req.Client.ID, Binding: req.Binding.Tag(), Pseudonym: req.Pseudonym, AskedAt: req.AskedAt, ExpiresAt: req.ExpiresAt,
			Same: h.Same(req), Interval: req.Interval, Mode: req.Mode,
		}
		return
	}
	req := m.reqs[rnd.IntN(len(m.reqs))]
	b := m.states[req.ID]
	now := h.Config.Now().UTC().Round(0)
	var err error
	switch rnd.IntN(4) {
	case 0:
		err = h.Try(ctx, req.ID, consent.Attempt{V: 1, N: b.Tried + 1, At: now})
		if b.Decided == "" {
			b.Tried, b.TriedAt = b.Tried+1, now
		} else if err == consent.ErrDecided {
			err = nil
		}
	case 1:
		if b.Tried > 0 {
			err = h.Conclude(ctx, req.ID, consent.Outcome{V: 1, N: 1 + rnd.IntN(b.Tried), Status: consent.Accepted, At: now})
		}
	case 2:
		verb := []consent.Verb{consent.Approved, consent.Denied, consent.Withdrawn, consent.Expired}[rnd.IntN(4)]
		d := h.Decision(req, verb)
		_, err = h.Decide(ctx, req.ID, d)
		if b.Decided == "" {
			b.Decided, b.EndedAt = verb, d.At.UTC().Round(0)
		} else if err == consent.ErrDecided {
			err = nil
		}
	case 3:
		if b.Decided != consent.Approved {
			return
		}
		verb := []consent.SettleVerb{consent.Redeemed, consent.Cancelled, consent.Lapsed}[rnd.IntN(3)]
		v := h.Settlement(req, verb)
		_, err = h.Settle(ctx, req.ID, v)
		if b.Settled == "" {
			b.Settled, b.EndedAt = verb, v.At.UTC().Round(0)
		} else if err == consent.ErrSettled {
			err = nil
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// check compares Peek, History, Requests and Stats with the model.
func (m *model) check(t *testing.T, when string, h *storetest.House) {
	t.Helper()
	open := map[consent.Pseudonym][]consent.Brief{}
	recent := map[consent.Pseudonym]map[string]int{} // by what counts
	over := 0
	for _, req := range m.reqs {
		want := *m.states[req.ID]
		got, ok := h.Peek(req.ID)
		if got.Mode == "" { // what only the process knows that was asked, and its copy of the index
			want.Mode = ""
		}
		if diff := gocmp.Diff(want, got); !ok || diff != "" {
			t.Fatalf("%s: Peek = %v (-want +got):\n%s", when, ok, diff)
		}
		if want.Decided == "" {
			open[req.Pseudonym] = append(open[req.Pseudonym], got)
		}
		if want.Decided != "" && want.Decided != consent.Approved || want.Settled != "" {
			over++
		}
		if recent[req.Pseudonym] == nil {
			recent[req.Pseudonym] = map[string]int{}
		}
		recent[req.Pseudonym][req.Client.Counted()]++
	}
	for p, n := range recent {
		hist := h.History(p)
		byID := func(a, b consent.Brief) int { return cmp.Compare(a.ID.String(), b.ID.String()) }
		if diff := gocmp.Diff(open[p], hist.Open, cmpopts.EquateEmpty(), cmpopts.SortSlices(byID)); diff != "" {
			t.Fatalf("%s: open requests (-want +got):\n%s", when, diff)
		}
		if !slices.IsSortedFunc(hist.Open, func(a, b consent.Brief) int { return a.AskedAt.Compare(b.AskedAt) }) {
			t.Errorf("%s: open requests are not in the order in which they were asked", when)
		}
		got := map[string]int{}
		for _, past := range hist.Recent {
			got[past.Client]++
		}
		if diff := gocmp.Diff(n, got); diff != "" {
			t.Errorf("%s: recent requests (-want +got):\n%s", when, diff)
		}
	}
	if got := h.Stats().Open; got != len(m.reqs)-over {
		t.Errorf("%s: %d open, want %d", when, got, len(m.reqs)-over)
	}
	var seen []consent.ID
	for cursor, first := "", true; first || cursor != ""; first = false {
		list, next, err := h.Requests(context.Background(), consent.Filter{}, cursor, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range list {
			seen = append(seen, st.Request.ID)
			if st.Status() == "" {
				t.Error("a request without a status")
			}
		}
		cursor = next
	}
	if len(seen) != len(m.reqs) {
		t.Errorf("%s: Requests lists %d, want %d", when, len(seen), len(m.reqs))
	}
	for i, req := range m.reqs[:min(len(seen), len(m.reqs))] {
		if seen[i] != req.ID {
			t.Fatalf("%s: Requests lists another one at %d", when, i)
		}
	}
}

func TestFiltersOfRequests(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := storetest.New(t, func(cfg *store.Config) { cfg.Now = c.now })
	ctx := t.Context()
	stuck := h.Asked("alice")
	fine := h.Asked("alice", func(r *consent.Request) { r.Client.ID = "other" })
	for _, req := range []*consent.Request{stuck, fine} {
		if err := h.Try(ctx, req.ID, consent.Attempt{V: 1, N: 1, At: c.now()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Conclude(ctx, fine.ID, consent.Outcome{V: 1, N: 1, Status: consent.Accepted, At: c.now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Decide(ctx, fine.ID, h.Decision(fine, consent.Denied)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		filter consent.Filter
		want   []consent.ID
	}{
		{"all", consent.Filter{}, []consent.ID{stuck.ID, fine.ID}},
		{"client", consent.Filter{Client: "other"}, []consent.ID{fine.ID}},
		{"status", consent.Filter{Status: consent.StatusPending}, []consent.ID{stuck.ID}},
		{"denied", consent.Filter{Status: consent.StatusDenied}, []consent.ID{fine.ID}},
		{"stuck, too early", consent.Filter{Stuck: true}, nil},
	}
	check := func(name string, f consent.Filter, want []consent.ID) {
		t.Helper()
		list, next, err := h.Requests(ctx, f, "", 10)
		var got []consent.ID
		for _, st := range list {
			got = append(got, st.Request.ID)
		}
		if err != nil || next != "" || !slices.Equal(got, want) {
			t.Errorf("%s: Requests = %v, %q, %v, want %v", name, got, next, err, want)
		}
	}
	for _, tt := range tests {
		check(tt.name, tt.filter, tt.want)
	}
	c.forward(61 * time.Second)
	check("stuck", consent.Filter{Stuck: true}, []consent.ID{stuck.ID})
	h.Reopen()
	check("stuck after a restart", consent.Filter{Stuck: true}, []consent.ID{stuck.ID})
	if _, _, err := h.Requests(ctx, consent.Filter{}, "!", 10); err == nil {
		t.Error("a cursor that is none was accepted")
	}
}

// TestPastIsPruned looks at what memory keeps of requests that ended: all for
// a minute, that they were there for a day, nothing later.
func TestPastIsPruned(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := storetest.New(t, func(cfg *store.Config) { cfg.Now = c.now })
	ctx := t.Context()
	denied, open := h.Asked("alice"), h.Asked("alice", func(r *consent.Request) { r.ExpiresAt = r.AskedAt.Add(20 * time.Hour) })
	if _, err := h.Decide(ctx, denied.ID, h.Decision(denied, consent.Denied)); err != nil {
		t.Fatal(err)
	}
	past := func(verbs ...consent.Verb) {
		t.Helper()
		var got []consent.Verb
		for _, p := range h.History(h.Pseudonym("alice")).Recent {
			if p.Client != "agent" || p.Verb != "" && p.At.IsZero() {
				t.Errorf("past request %+v", p)
			}
			got = append(got, p.Verb)
		}
		slices.Sort(got)
		slices.Sort(verbs)
		if !slices.Equal(got, verbs) {
			t.Errorf("recent requests have verbs %q, want %q", got, verbs)
		}
	}
	past(consent.Denied, "")
	c.forward(2 * time.Hour)
	h.Reopen() // sweeps
	if _, ok := h.Peek(denied.ID); ok {
		t.Error("an ended request is still in memory two hours later")
	}
	if _, ok := h.Peek(open.ID); !ok {
		t.Error("an open request was forgotten")
	}
	past(consent.Denied, "")
	h.Reopen() // now from the copy
	past(consent.Denied, "")
	c.forward(23 * time.Hour)
	h.Reopen()
	past()
	if st, err := h.Get(ctx, denied.ID); err != nil || st.Status() != consent.StatusDenied {
		t.Errorf("Get of an old request = %v, %v", st, err)
	}
}
