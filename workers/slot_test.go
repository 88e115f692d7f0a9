package workers_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"ringback/consent"
)

// TestOnePromptAtATime: a person's second request rings when the first has
// been answered, not before.
func TestOnePromptAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Routes[0].EscalateAfter = time.Hour
	h := w.running()
	first := h.Asked("alice")
	h.Eventually("the first prompt", func() bool { return len(state(t, h, first).Outcomes) == 1 })
	second, other := h.Asked("alice"), h.Asked("bob")
	h.Eventually("another person's prompt", func() bool { return len(state(t, h, other).Outcomes) == 1 })
	if n := len(state(t, h, second).Tried); n != 0 {
		t.Fatalf("two prompts at once")
	}
	if _, err := h.Decide(t.Context(), first.ID, h.Decision(first, consent.Denied)); err != nil {
		t.Fatal(err)
	}
	h.Eventually("the second prompt", func() bool { return len(state(t, h, second).Outcomes) == 1 })
}

// handover is a store whose slot is given back in the moment after somebody
// was told that it is taken.
type handover struct {
	consent.Store
	taken    func()        // called once
	released chan struct{} // closed with the first release
	fails    error         // what every release returns, though it was one
	once     [2]sync.Once
}

func (s *handover) Slot(ctx context.Context, p consent.Pseudonym, id consent.ID, ttl time.Duration) (bool, time.Time, error) {
	mine, free, err := s.Store.Slot(ctx, p, id, ttl)
	if err == nil && !mine {
		s.once[0].Do(s.taken)
	}
	return mine, free, err
}

func (s *handover) Release(ctx context.Context, p consent.Pseudonym, id consent.ID) error {
	err := errors.Join(s.Store.Release(ctx, p, id), s.fails)
	s.once[1].Do(func() { close(s.released) })
	return err
}

// TestSlotGivenBackMeanwhile: a request that is told to wait in the very moment
// in which the slot is given back does not wait for the slot's end.
func TestSlotGivenBackMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Routes[0].EscalateAfter = time.Hour
	slot := &handover{released: make(chan struct{})}
	w.around = func(facts consent.Store) consent.Store { slot.Store = facts; return slot }
	h := w.running()
	first := h.Asked("alice")
	h.Eventually("the first prompt", func() bool { return len(state(t, h, first).Outcomes) == 1 })
	slot.taken = func() {
		if _, err := h.Decide(context.Background(), first.ID, h.Decision(first, consent.Denied)); err != nil {
			t.Error(err)
		}
		<-slot.released
		time.Sleep(20 * time.Millisecond) // whoever gave it back wakes who waits
	}
	second := h.Asked("alice")
	h.Eventually("the second prompt", func() bool { return len(state(t, h, second).Outcomes) == 1 })
}

// TestSlotGivenBackInVain: a request does not wait for the slot's end because
// the one before it was told that giving the slot back went wrong.
func TestSlotGivenBackInVain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Routes[0].EscalateAfter = time.Hour
	told := make(chan struct{})
	slot := &handover{taken: func() { close(told) }, released: make(chan struct{}), fails: errors.New("no answer")}
	w.around = func(facts consent.Store) consent.Store { slot.Store = facts; return slot }
	h := w.running()
	first := h.Asked("alice")
	h.Eventually("the first prompt", func() bool { return len(state(t, h, first).Outcomes) == 1 })
	second := h.Asked("alice")
	select {
	case <-told:
	case <-time.After(30 * time.Second):
		t.Fatal("the second request was not told to wait")
	}
	if _, err := h.Decide(t.Context(), first.ID, h.Decision(first, consent.Denied)); err != nil {
		t.Fatal(err)
	}
	h.Eventually("the second prompt", func() bool { return len(state(t, h, second).Outcomes) == 1 })
}
