package store

import (
	"errors"
	"testing"

	"ringback/consent"
)

// TestTurnOfOneThatIsGone: nobody overlooks the request of a process that said
// that it would ask, and has not been heard of since.
func TestTurnOfOneThatIsGone(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	gone := consent.NewID()
	seq, err := s.takeTurn(ctx, s.Pseudonym("alice"), gone.String(), 0)
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	ask := func(person string) error {
		r := newRequest(s, person)
		return s.AskIf(ctx, r, func(consent.History) error { calls++; return nil })
	}
	if err := ask("alice"); !errors.Is(err, consent.ErrUnavailable) || calls > 0 {
		t.Errorf("AskIf beside it = %v, after %d looks at the past", err, calls)
	}
	if err := ask("bob"); err != nil {
		t.Errorf("AskIf of somebody else = %v", err)
	}
	if _, err := s.takeTurn(ctx, s.Pseudonym("alice"), "", seq); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := ask("alice"); err != nil {
			t.Errorf("AskIf after it = %v", err)
		}
	}
	if _, err := s.takeTurn(ctx, s.Pseudonym("alice"), gone.String(), seq); !isOvertaken(err) {
		t.Errorf("a late process takes a turn that is not its own: %v", err)
	}
}
