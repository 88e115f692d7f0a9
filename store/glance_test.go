package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
	"ringback/store/storetest"
)

// TestGlance: the newest open requests in order, and who may not ask.
func TestGlance(t *testing.T) {
	t.Parallel()
	h := storetest.New(t)
	p := h.Pseudonym("alice")
	var open []consent.ID
	for i := range 6 {
		req := h.Asked("alice")
		if i%2 == 1 {
			open = append(open, req.ID)
		} else if _, err := h.Decide(t.Context(), req.ID, h.Decision(req, consent.Denied)); err != nil {
			t.Fatal(err)
		}
	}
	h.Asked("bob")
	if err := h.Freeze(t.Context(), p, "agent", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for newest, want := range map[int][]consent.ID{0: nil, 2: open[1:], 3: open, 9: open} {
		got := h.Glance(p, newest)
		var ids []consent.ID
		for _, b := range got.Open {
			ids = append(ids, b.ID)
		}
		if diff := cmp.Diff(want, ids); diff != "" || got.Recent != nil || got.Frozen["agent"].IsZero() {
			t.Errorf("Glance(alice, %d) = %+v: %s", newest, got, diff)
		}
	}
}
