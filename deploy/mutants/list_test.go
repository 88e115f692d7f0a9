package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

// TestEveryChangeApplies: a change that is no longer one of the code would be
// noticed by nobody.
func TestEveryChangeApplies(t *testing.T) {
	t.Parallel()
	list, err := read("list")
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 60 {
		t.Errorf("there are %d changes, want 60 at least", len(list))
	}
	for _, m := range list {
		if _, err := m.apply(root); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
		for _, p := range m.Packages {
			if tests, _ := filepath.Glob(filepath.Join(root, p, "*_test.go")); len(tests) == 0 {
				t.Errorf("%s: %s has no tests", m.Name, p)
			}
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	const text = `# remark

=== one
file a/b.go
test ./a ./c
run  TestX|TestY
--- old
	if x {

# no remark
--- new
	if !x {

=== two
file a.go
test ./a
--- old
y
--- new
`
	got, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []mutant{
		{"one", "a/b.go", []string{"./a", "./c"}, "TestX|TestY", "\tif x {\n\n# no remark", "\tif !x {"},
		{"two", "a.go", []string{"./a"}, "", "y", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parse (-want +got):\n%s", diff)
	}
	for name, bad := range map[string]string{
		"no name":            strings.Replace(text, "=== one", "", 1),
		"no file":            strings.Replace(text, "file a/b.go", "", 1),
		"a file elsewhere":   strings.Replace(text, "a/b.go", "../b.go", 1),
		"a test":             strings.Replace(text, "b.go", "b_test.go", 1),
		"no packages":        strings.Replace(text, "./a ./c", "", 1),
		"every package":      strings.Replace(text, "./c", "./...", 1),
		"an unknown word":    strings.Replace(text, "run ", "walk", 1),
		"nothing to replace": strings.Replace(text, "y\n", "", 1),
		"no change":          strings.Replace(text, "y\n--- new\n", "y\n--- new\ny\n", 1),
	} {
		if got, err := parse(bad); err == nil {
			t.Errorf("%s: parse = %+v, want an error", name, got)
		}
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte("one two two"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		old  string
		want string // empty: it does not apply
	}{{"one", "1 two two"}, {"two", ""}, {"three", ""}} {
		m := mutant{Name: "n", File: "a.go", Old: tt.old, New: "1"}
		got, err := m.apply(dir)
		if string(got) != tt.want || (tt.want == "") != errors.Is(err, errMoved) {
			t.Errorf("apply of %q = %q, %v, want %q", tt.old, got, err, tt.want)
		}
	}
}

// TestSample: every commit tries others, and all are tried in the end.
func TestSample(t *testing.T) {
	t.Parallel()
	var all []mutant
	for _, n := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		all = append(all, mutant{Name: n})
	}
	seen := map[string]bool{}
	for commit := range uint64(26) {
		some := sample(all, 6, commit)
		if len(some) != 6 {
			t.Fatalf("sample has %d, want 6", len(some))
		}
		once := map[string]bool{}
		for _, m := range some {
			seen[m.Name], once[m.Name] = true, true
		}
		if len(once) != 6 {
			t.Errorf("commit %d tries one twice: %v", commit, some)
		}
	}
	if len(seen) != len(all) {
		t.Errorf("%d of %d are ever tried", len(seen), len(all))
	}
	if got := sample(all, 99, 1); len(got) != len(all) {
		t.Errorf("a sample of more than there are has %d", len(got))
	}
}
