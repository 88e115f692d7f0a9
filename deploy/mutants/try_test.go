package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// module is a module of two packages: what is tested well, and what is not.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":        "module m\n\ngo 1.26\n",
		"a/a.go":        "package a\n\nfunc Half(n int) int { return n / 2 }\n\nfunc Twice(n int) int { return n * 2 }\n",
		"a/a_test.go":   "package a\n\nimport \"testing\"\n\nfunc TestHalf(t *testing.T) {\n\tif Half(4) != 2 {\n\t\tt.Error(\"no half\")\n\t}\n}\n\nfunc TestTwice(t *testing.T) { Twice(1) }\n",
		"bad/bad.go":    "package bad\n\nconst N = 1\n",
		"bad/b_test.go": "package bad\n\nimport \"testing\"\n\nfunc TestBad(t *testing.T) { t.Error(N) }\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTry(t *testing.T) {
	t.Parallel()
	dir := module(t)
	const halves, twice = "return n / 2", "return n * 2"
	for _, tt := range []struct {
		name string
		m    mutant
		want verdict
	}{
		{"noticed", mutant{File: "a/a.go", Packages: []string{"./a"}, Old: halves, New: "return n / 3"}, noticed},
		{"noticed by ending the tests", mutant{File: "a/a.go", Packages: []string{"./a"}, Old: halves, New: `panic("no")`}, noticed},
		{"noticed by nobody", mutant{File: "a/a.go", Packages: []string{"./a"}, Old: twice, New: "return n"}, survives},
		{"noticed by tests that are not run", mutant{File: "a/a.go", Packages: []string{"./a"}, Run: "TestTwice", Old: halves, New: "return n / 3"}, survives},
		{"no build", mutant{File: "a/a.go", Packages: []string{"./a"}, Old: halves, New: "return nil"}, broken},
		{"no tests", mutant{File: "a/a.go", Packages: []string{"./a"}, Run: "TestThrice", Old: halves, New: "return n / 3"}, broken},
		{"tests that fail anyway", mutant{File: "bad/bad.go", Packages: []string{"./bad"}, Old: "1", New: "2"}, broken},
		{"moved", mutant{File: "a/a.go", Packages: []string{"./a"}, Old: "func", New: "fun"}, broken},
	} {
		tester := tester{root: dir, sound: map[string]error{}}
		if got := tester.try(t.Context(), &tt.m); got.verdict != tt.want {
			t.Errorf("%s: try = %s, %s, want %s", tt.name, got.verdict, got.why, tt.want)
		}
		if data, err := os.ReadFile(filepath.Join(dir, tt.m.File)); err != nil || len(data) == 0 {
			t.Fatal(err)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	exit := &exec.ExitError{}
	for _, tt := range []struct {
		out  string
		err  error
		want verdict
		why  string
	}{
		{"ok  \tm/a\t0.1s\n", nil, survives, ""},
		{"--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/row (0.00s)\nFAIL\n", exit, noticed, "by TestA/row"},
		{"panic: test timed out after 3m0s\n", exit, noticed, "by hanging"},
		{"panic: runtime error\nFAIL\tm/a\n", exit, noticed, "by ending the tests"},
		{"a.go:1: undefined: x\nFAIL\tm/a [build failed]\nFAIL\n", exit, broken, ""},
		{"--- FAIL: TestA (0.00s)\nFAIL\tm/b [build failed]\n", exit, broken, ""},
		{"go: no such tool\n", exit, broken, ""},
		{"", errors.New("no go"), broken, "no go"},
	} {
		got, why := judge([]byte(tt.out), tt.err)
		if got != tt.want || tt.why != "" && why != tt.why {
			t.Errorf("judge(%q, %v) = %s, %q, want %s, %q", tt.out, tt.err, got, why, tt.want, tt.why)
		}
	}
}
