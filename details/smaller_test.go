package details

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestSmaller(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "testdata/vehicle.yaml")
	l := mustParse(t, r, payment)
	want := []Smaller{{Label: "Amount", Value: "50.00 EUR", Currency: "EUR"}}
	if diff := cmp.Diff(want, l.Smaller("en"), cmpopts.IgnoreUnexported(Smaller{})); diff != "" {
		t.Error(diff)
	}
	for typed, amount := range map[string]string{
		"20": `"20.00"`, "20.5": `"20.50"`, " 20,50 ": `"20.50"`, "007": `"7.00"`, "50": `"50.00"`, "0.01": `"0.01"`,
	} {
		got, err := l.Reduce(map[int]string{0: typed}, nil)
		if err != nil {
			t.Errorf("Reduce to %q: %v", typed, err)
			continue
		}
		if want := strings.Replace(string(l.Canonical()), `"50.00"`, amount, 1); string(got.Canonical()) != want {
			t.Errorf("Reduce to %q = %s, want %s", typed, got.Canonical(), want)
		}
		if err := l.Narrow(got); err != nil {
			t.Errorf("Narrow to %q: %v", typed, err)
		}
	}
	for _, typed := range []string{"", "-1", "1.000", "1,000.00", "1e1", "+1", "twenty", "20 EUR", strings.Repeat("9", 16), "٢٠"} {
		if got, err := l.Reduce(map[int]string{0: typed}, nil); err == nil {
			t.Errorf("Reduce to %q = %s, want an error", typed, got.Canonical())
		}
	}
	for _, typed := range []string{"50.01", "0", "0.00", "999"} {
		got, err := l.Reduce(map[int]string{0: typed}, nil)
		if err != nil {
			t.Errorf("Reduce to %q: %v", typed, err)
		} else if l.Narrow(got) == nil {
			t.Errorf("Narrow to %q holds", typed)
		}
	}
}

func TestSmallerLists(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "testdata/vehicle.yaml")
	l := mustParse(t, r, access)
	places := l.Smaller("de")
	var choices [][]string
	for _, s := range places {
		choices = append(choices, s.Choices)
	}
	if diff := cmp.Diff([][]string{{"lesen", "ändern"}, {"Kontakte", "Kalender"}}, choices); diff != "" {
		t.Fatal(diff)
	}
	got, err := l.Reduce(nil, map[int][]int{0: {1}, 1: {0}})
	if err != nil || l.Narrow(got) != nil {
		t.Fatalf("Reduce = %v, %v", got, err)
	}
	if s := string(got.Canonical()); !strings.Contains(s, `"actions":["read"],"datatypes":["calendar"]`) {
		t.Errorf("Reduce = %s", s)
	}
	for _, without := range []map[int][]int{{0: {0, 1}}, {7: {0}}, {-1: {0}}} {
		if got, err := l.Reduce(nil, without); err == nil {
			t.Errorf("Reduce without %v = %s, want an error", without, got.Canonical())
		}
	}
	if _, err := l.Reduce(map[int]string{0: "1"}, nil); err == nil {
		t.Error("a list was lowered")
	}
	if got := mustParse(t, r, call).Smaller("en"); len(got) != 0 {
		t.Errorf("Smaller of a call = %v", got)
	}
}
