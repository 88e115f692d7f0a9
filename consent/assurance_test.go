package consent_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
)

const tap, match, phr = consent.ACRTap, consent.ACRMatch, consent.ACRPhr

func TestRank(t *testing.T) {
	t.Parallel()
	for i, acr := range []string{"", tap, match, phr} {
		if got := consent.Rank(acr); got != i {
			t.Errorf("Rank(%q) = %d, want %d", acr, got, i)
		}
	}
	for _, acr := range []string{"gold", "PHR", " phr", "phrh", "0", "urn:ringback:acr:tap ", "urn:ringback:acr:"} {
		if got := consent.Rank(acr); got != 0 {
			t.Errorf("Rank(%q) = %d, want 0", acr, got)
		}
	}
}

func TestStronger(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ a, b, want string }{
		{tap, match, match}, {match, tap, match}, {phr, match, phr}, {"", tap, tap}, {tap, "", tap}, {tap, "gold", tap}, {"gold", tap, tap}, {phr, phr, phr}, {"", "", ""},
	} {
		if got := consent.Stronger(tt.a, tt.b); got != tt.want {
			t.Errorf("Stronger(%q, %q) = %q, want %q", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestWanted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		asked   []string
		minimum string
		want    []string
	}{
		{nil, "", []string{tap, match, phr}},
		{nil, tap, []string{tap, match, phr}},
		{nil, match, []string{match, phr}},
		{nil, phr, []string{phr}},
		{[]string{"gold"}, match, []string{match, phr}}, // unknown values are ignored
		{[]string{"", "gold"}, "", []string{tap, match, phr}},
		{[]string{tap}, "", []string{tap}},
		{[]string{match, tap}, "", []string{match, tap}}, // in the client's order
		{[]string{phr, "gold", tap}, match, []string{phr}},
		{[]string{tap}, match, nil}, // policy excludes it
		{[]string{tap, match}, phr, nil},
		{[]string{tap, "gold"}, phr, nil},
	} {
		if diff := cmp.Diff(tt.want, consent.Wanted(tt.asked, tt.minimum)); diff != "" {
			t.Errorf("Wanted(%q, %q) mismatch (-want +got):\n%s", tt.asked, tt.minimum, diff)
		}
	}
}

// TestWantedIsNeverWeaker: whatever a client names, nothing below the minimum
// is wanted, and nothing that it excluded by naming others.
func TestWantedIsNeverWeaker(t *testing.T) {
	t.Parallel()
	values := []string{"", "gold", tap, match, phr}
	var lists [][]string
	for _, a := range values {
		lists = append(lists, []string{a})
		for _, b := range values {
			lists = append(lists, []string{a, b})
			for _, c := range values {
				lists = append(lists, []string{a, b, c})
			}
		}
	}
	for _, minimum := range values {
		for _, asked := range append(lists, nil) {
			got := consent.Wanted(asked, minimum)
			known := slices.ContainsFunc(asked, func(a string) bool { return consent.Rank(a) > 0 })
			for _, w := range got {
				if consent.Rank(w) < max(consent.Rank(minimum), 1) {
					t.Errorf("Wanted(%q, %q) = %q: %q is below the minimum", asked, minimum, got, w)
				}
				if known && !slices.Contains(asked, w) {
					t.Errorf("Wanted(%q, %q) = %q: %q was not asked for", asked, minimum, got, w)
				}
			}
			if !known && len(got) == 0 {
				t.Errorf("Wanted(%q, %q) is nothing, though the client left it open", asked, minimum)
			}
		}
	}
}

func TestSatisfiedAndWeakest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		wanted  []string
		weakest string
		reached []string // every one that satisfies
	}{
		{nil, "", nil},
		{[]string{tap}, tap, []string{tap, match, phr}},
		{[]string{match}, match, []string{match, phr}},
		{[]string{phr}, phr, []string{phr}},
		{[]string{phr, tap}, tap, []string{tap, match, phr}},
		{[]string{tap, phr}, tap, []string{tap, match, phr}},
		{[]string{phr, match}, match, []string{match, phr}},
	} {
		r := &consent.Request{ACR: tt.wanted}
		if got := r.Weakest(); got != tt.weakest {
			t.Errorf("Weakest of %q = %q, want %q", tt.wanted, got, tt.weakest)
		}
		for _, acr := range []string{"", "gold", "PHR", tap, match, phr} {
			if got, want := r.Satisfied(acr), slices.Contains(tt.reached, acr); got != want {
				t.Errorf("%q wanted: Satisfied(%q) = %v, want %v", tt.wanted, acr, got, want)
			}
		}
	}
}
