package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestChoose reads which faults are wanted, and how often.
func TestChoose(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		words string
		full  bool
		want  string // name=count …; "": refused
	}{
		{"kill=7 power", false, "kill=7 power=5"},
		{"kill power", true, "kill=500 power=30"},
		{"steady", false, "steady=1"}, // the short form leaves it out, and somebody wants it
		{"nothing", false, ""},
		{"kill=many", false, ""},
		{"kill=0", false, ""},
	} {
		got, err := choose(strings.Fields(tt.words), tt.full)
		if said := spelled(got); said != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("choose(%q, %v) = %q, %v, want %q", tt.words, tt.full, said, err, tt.want)
		}
	}
	for _, full := range []bool{false, true} {
		got, err := choose(nil, full)
		if err != nil || len(got) == 0 {
			t.Fatalf("choose(nothing, %v) = %v, %v", full, got, err)
		}
		for _, o := range got {
			if o.count < 1 {
				t.Errorf("%s is done %d times", o.name, o.count)
			}
		}
	}
}

func spelled(all []order) string {
	var words []string
	for _, o := range all {
		words = append(words, o.name+"="+strconv.Itoa(o.count))
	}
	return strings.Join(words, " ")
}

// TestReadmeNamesAll: README.md beside this says what every fault is.
func TestReadmeNamesAll(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names() {
		if !strings.Contains(string(text), "| `"+name+"` |") {
			t.Errorf("README.md has no row for %s", name)
		}
	}
}
