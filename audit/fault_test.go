package audit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/audit"
	"ringback/consent"
	"ringback/store/storetest"
)

// faulty is a store that fails on demand.
type faulty struct {
	audit.Source
	appended func() error // called after each stored record; its error is all that the caller sees
	append   func() error // called before; its error replaces the write
	evidence func() error // the same for evidence
	facts    func() error
}

var errLost = errors.New("no answer from the store")

func call(f func() error) error {
	if f == nil {
		return nil
	}
	return f()
}

func (s *faulty) Append(ctx context.Context, record []byte, after uint64) (uint64, error) {
	if err := call(s.append); err != nil {
		return 0, err
	}
	seq, err := s.Source.Append(ctx, record, after)
	if lost := call(s.appended); err == nil && lost != nil {
		return 0, lost
	}
	return seq, err
}

func (s *faulty) PutEvidence(ctx context.Context, p consent.Pseudonym, id consent.ID, data []byte) error {
	if err := call(s.evidence); err != nil {
		return err
	}
	return s.Source.PutEvidence(ctx, p, id, data)
}

func (s *faulty) Facts(ctx context.Context, after uint64, max int) ([]consent.StoredFact, error) {
	if err := call(s.facts); err != nil {
		return nil, err
	}
	return s.Source.Facts(ctx, after, max)
}

// every fails each nth of the first hundred calls.
func every(n int64) func() error {
	var calls atomic.Int64
	return func() error {
		if c := calls.Add(1); c < 100 && c%n == 0 {
			return errLost
		}
		return nil
	}
}

// on puts the auditor over a source.
func (h *house) on(s audit.Source, now func() time.Time) {
	h.auditor = audit.New(audit.Config{Source: s, Ring: h.ring, Now: now, Log: storetest.Log()})
}

// TestFaults: whatever fails on the way, and wherever the process dies, the
// chain has every fact once and the evidence is complete.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]*faulty{
		"answers to records are lost":      {appended: every(2)},
		"records are not stored":           {append: every(2)},
		"evidence is not stored":           {evidence: every(3)},
		"facts are not read":               {facts: every(2)},
		"everything fails now and then":    {appended: every(3), append: every(4), evidence: every(5), facts: every(3)},
		"records are refused as overtaken": {append: func() func() error { f := every(2); return func() error { return overtaken(f()) } }()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			source.Source = h.Store
			h.on(source, time.Now)
			person := h.add()
			const stories = 12
			for n := range stories {
				h.story(person, endings[n%len(endings)])
				if n%3 == 2 { // a new process, which knows only what is stored
					h.on(source, time.Now)
				}
				_ = audit.Seal(h.auditor, t.Context())
			}
			h.Eventually("everything to be sealed", func() bool { return audit.Seal(h.auditor, t.Context()) == nil })
			h.on(h.Store, time.Now)
			if report := h.holds(h.export()); len(report.Decisions) != 11 {
				t.Errorf("%d decisions, want 11", len(report.Decisions))
			}
		})
	}
}

// overtaken turns an error into that of a lost race.
func overtaken(err error) error {
	if err != nil {
		return consent.ErrClaimed
	}
	return nil
}

// TestEvidenceBeforeSeal: a record that seals the end of a request is not
// even tried while its evidence is not stored.
func TestEvidenceBeforeSeal(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.story(h.add(), redeemed)
	source := &faulty{Source: h.Store, evidence: func() error { return errLost }, append: func() error {
		t.Error("a record was written although evidence could not be stored")
		return errLost
	}}
	h.on(source, time.Now)
	if err := audit.Seal(h.auditor, t.Context()); !errors.Is(err, errLost) {
		t.Errorf("sealing without evidence = %v, want %v", err, errLost)
	}
}

// TestSealedHalfWay: facts of a request that another process sealed in part
// are read again for its evidence.
func TestSealedHalfWay(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	person := h.add()
	req := h.story(person, open)
	h.must(audit.Seal(h.auditor, t.Context()))
	h.on(h.Store, time.Now)
	state, err := h.Get(t.Context(), req.ID)
	h.must(err)
	d, err := consent.Decide(state, consent.Evidence{Verb: consent.Denied, By: person, Means: consent.ByPage, Nonce: "n"}, h.types, time.Now())
	h.must(err)
	_, err = h.Decide(t.Context(), req.ID, d)
	h.must(err)
	if report := h.holds(h.export()); len(report.Decisions) != 1 {
		t.Errorf("%d decisions, want 1", len(report.Decisions))
	}
}

// clock is a time that tests move.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }

func TestLag(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := new(clock)
	source := &faulty{Source: h.Store}
	h.on(source, c.Now)
	if lag := h.auditor.Lag(); lag != 0 {
		t.Errorf("Lag() = %v before there is a fact", lag)
	}
	h.story(h.add(), redeemed)
	h.auditor.Wake()
	c.Advance(time.Hour)
	h.auditor.Wake()
	if lag := h.auditor.Lag(); lag < time.Hour {
		t.Errorf("Lag() = %v an hour after a fact that nothing sealed", lag)
	}
	source.evidence = func() error { return errLost }
	if audit.Seal(h.auditor, t.Context()) == nil || h.auditor.Lag() < time.Hour {
		t.Errorf("Lag() = %v while sealing fails", h.auditor.Lag())
	}
	source.evidence = nil
	h.must(audit.Seal(h.auditor, t.Context()))
	if lag := h.auditor.Lag(); lag != 0 {
		t.Errorf("Lag() = %v after sealing", lag)
	}

	// An auditor that starts with a backlog nobody told it about.
	h.story(h.add(), redeemed)
	h.on(&faulty{Source: h.Store, append: func() error { return errLost }}, c.Now)
	if audit.Seal(h.auditor, t.Context()) == nil || h.auditor.Lag() < time.Hour {
		t.Errorf("Lag() = %v with an old fact unsealed", h.auditor.Lag())
	}
}

// blind is a store whose facts cannot be read any more.
type blind struct{ audit.Source }

func (blind) Facts(context.Context, uint64, int) ([]consent.StoredFact, error) { return nil, nil }

// TestBlind: an auditor that is shown nothing of what was stored does not take it
// for sealed, also when nobody wakes it.
func TestBlind(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.story(h.add(), redeemed)
	h.must(audit.Seal(h.auditor, t.Context()))
	h.story(h.add(), redeemed)
	c := new(clock)
	h.on(blind{h.Store}, c.Now)
	for range 3 {
		h.must(audit.Seal(h.auditor, t.Context()))
		c.Advance(time.Minute)
	}
	if lag := h.auditor.Lag(); lag < 2*time.Minute {
		t.Errorf("Lag() = %v with facts that cannot be seen", lag)
	}
	h.on(h.Store, c.Now)
	h.must(audit.Seal(h.auditor, t.Context()))
	if lag := h.auditor.Lag(); lag != 0 {
		t.Errorf("Lag() = %v after sealing", lag)
	}
}

func TestCheckpoints(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := new(clock)
	h.on(h.Store, c.Now)
	h.run()
	count := func() int {
		list, err := h.Records(t.Context(), 0, 1000)
		h.must(err)
		n := 0
		for _, r := range list {
			if audit.IsCheckpoint(r.Data) {
				n++
			}
		}
		return n
	}
	for want := 1; want <= 3; want++ {
		h.story(h.add(), denied)
		h.auditor.Wake()
		h.Eventually("a checkpoint", func() bool { return count() == want })
		// Within a minute there is no second one, whatever is sealed.
		before := h.sealed()
		h.story(h.add(), denied)
		h.auditor.Wake()
		h.Eventually("sealing", func() bool { return h.sealed() > before && h.auditor.Lag() == 0 })
		if got := count(); got != want {
			t.Fatalf("%d checkpoints within a minute, want %d", got, want)
		}
		c.Advance(time.Minute)
	}
	h.holds(h.export())
}

// TestTakeOver: when the auditor at work stops, another takes over; when it
// comes back, they do not disturb each other.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	first := newHouse(t, storetest.NewServer(t).Use)
	second := over(t, first.Beside())
	both := func() { first.auditor.Wake(); second.auditor.Wake() }
	stop := first.run()
	second.run()
	first.story(first.add(), redeemed)
	both()
	first.Eventually("sealing", func() bool { return first.sealed() > 0 })
	stop()
	length := second.sealed()
	second.people = 100
	second.story(second.add(), redeemed)
	both()
	first.Eventually("the other one to take over", func() bool { return first.sealed() > length && second.auditor.Lag() == 0 })
	first.run()
	first.story(first.add(), redeemed)
	both()
	first.Eventually("both to know that all is sealed", func() bool { return first.auditor.Lag() == 0 && second.auditor.Lag() == 0 })
	if report := first.holds(first.export()); len(report.Decisions) != 3 {
		t.Errorf("%d decisions, want 3", len(report.Decisions))
	}
}

// TestUnreadableChain: an auditor does not write over a record that it cannot
// read.
func TestUnreadableChain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.story(h.add(), redeemed)
	_, err := h.Append(t.Context(), []byte(`{"v":9,"type":"facts"}`), 0)
	h.must(err)
	if err := audit.Seal(h.auditor, t.Context()); err == nil {
		t.Error("sealing after an unreadable record succeeded")
	}
	if err := h.auditor.Erased(t.Context(), h.Pseudonym("x")); err == nil {
		t.Error("noting an erasure after an unreadable record succeeded")
	}
	if h.sealed() != 1 {
		t.Errorf("the chain has %d records, want 1", h.sealed())
	}
}

// TestErasedFromEverywhere: notes of erasures from several processes at once
// all find their place.
func TestErasedFromEverywhere(t *testing.T) {
	t.Parallel()
	first := newHouse(t, storetest.NewServer(t).Use)
	houses := []*house{first, over(t, first.Beside())}
	first.run()
	var writers sync.WaitGroup
	for i, h := range houses {
		for j := range 10 {
			writers.Go(func() { // two notes of one person in one millisecond would be one record
				if err := h.auditor.Erased(context.Background(), h.Pseudonym(fmt.Sprint(i, j))); err != nil {
					t.Error(err)
				}
			})
		}
		h.story(first.add(), denied)
		first.auditor.Wake()
	}
	writers.Wait()
	report := first.holds(first.export())
	if report.Last < 21 || len(report.Decisions) != 2 {
		t.Errorf("report = %+v, want 20 erasures among its records", report)
	}
}
