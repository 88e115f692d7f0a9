package keys

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
	"time"
)

func TestRingSaveFails(t *testing.T) {
	t.Parallel()
	s, c := new(shelf), newClock()
	r := openTestRing(t, s, c)
	lost := errors.New("no answer")
	before := r.List()[0]

	s.before = func() error { return lost }
	if err := r.Rotate(t.Context()); !errors.Is(err, lost) {
		t.Errorf("Rotate without a store = %v, want %v", err, lost)
	}
	if r.List()[0] != before {
		t.Error("a rotation that was not saved is in use")
	}
	s.before = nil

	s.after = func() error { s.after = nil; return lost } // saved, but the answer was lost
	if err := r.Rotate(t.Context()); err != nil {
		t.Errorf("Rotate with a lost answer = %v", err)
	}
	if list := r.List(); list[0] == before || list[2].KID != before.KID || len(list) != 5 {
		t.Errorf("after a lost answer: %+v, want one rotation", list)
	}
}

// TestRingStaleReplica: an old value read from a lagging replica does not
// replace a newer one in use.
func TestRingStaleReplica(t *testing.T) {
	t.Parallel()
	s, c := new(shelf), newClock()
	r := openTestRing(t, s, c)
	old, rev := bytes.Clone(s.data), s.rev
	if err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := r.List()[0]
	s.data, s.rev = old, rev
	if err := r.turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.List()[0]; got != want {
		t.Errorf("current = %v, want %v", got, want)
	}
}

func TestRingRefusesForeignStore(t *testing.T) {
	t.Parallel()
	s, c := new(shelf), newClock()
	openTestRing(t, s, c)
	before := bytes.Clone(s.data)
	cfg := RingConfig{Root: testRoot(2), Store: s, Now: c.Now, Log: slog.New(slog.DiscardHandler)}
	if _, err := OpenRing(t.Context(), cfg); !errors.Is(err, ErrSealed) {
		t.Errorf("OpenRing with another root key = %v, want ErrSealed", err)
	}
	for _, data := range [][]byte{{}, {1}, before[:40], append(bytes.Clone(before), 0)} {
		s.data = data
		cfg.Root = testRoot(1)
		if _, err := OpenRing(t.Context(), cfg); !errors.Is(err, ErrSealed) {
			t.Errorf("OpenRing of %d damaged bytes = %v, want ErrSealed", len(data), err)
		}
		if !bytes.Equal(s.data, data) {
			t.Error("OpenRing overwrote what it could not read")
		}
	}
}

func TestRingStaysSmall(t *testing.T) {
	t.Parallel()
	s, c := new(shelf), newClock()
	r := openTestRing(t, s, c)
	err := r.change(t.Context(), func(doc *document, now time.Time) (bool, error) {
		for range maxRetired {
			if err := errors.Join(doc.Token.rotate(now), doc.Evidence.rotate(now)); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.data) > 60<<10 {
		t.Errorf("the stored ring has %d bytes and does not fit a message", len(s.data))
	}
	c.Advance(learnWithin)
	if err := r.Rotate(t.Context()); !errors.Is(err, ErrTooSoon) {
		t.Errorf("rotation %d = %v, want ErrTooSoon", maxRetired+1, err)
	}
	c.Advance(keepRetired)
	if err := r.Rotate(t.Context()); err != nil {
		t.Errorf("rotating after 90 days: %v", err)
	}
}
