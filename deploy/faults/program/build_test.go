package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestChange: a change that does not fit the sources any more is an error, not
// another program.
func TestChange(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text, want string
		ok         bool
	}{
		{"a b c", "a X c", true},
		{"a c", "", false},
		{"b b", "", false},
	} {
		got, err := Change{File: "f.go", Old: "b", New: "X"}.apply(tt.text)
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("apply(%q) = %q, %v", tt.text, got, err)
		}
	}
}

// TestSteppedFits: the standard library is still as Stepped wants it.
func TestSteppedFits(t *testing.T) {
	t.Parallel()
	list, err := Overlay(t.Context(), t.TempDir(), Stepped())
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(list); err != nil || strings.Count(string(text), "overlay") < 2 {
		t.Errorf("the overlay is %s, %v", text, err)
	}
}

// TestProcess starts a process, reads what it prints and ends it.
func TestProcess(t *testing.T) {
	t.Parallel()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	sh, log := Program{File: shell}, filepath.Join(t.TempDir(), "log")
	start := func(script string) *Process {
		t.Helper()
		p, err := sh.Start(Options{Args: []string{"-c", script}, Env: []string{"WORD=spoken"}, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := start(`echo $WORD; echo '{"level":"WARN"}' >&2; exit 3`)
	<-p.Ended()
	if p.Code() != 3 || p.Output() != "spoken\n{\"level\":\"WARN\"}\n" || len(p.Complaints()) != 1 || p.Running() {
		t.Errorf("code %d, output %q, complaints %q", p.Code(), p.Output(), p.Complaints())
	}
	if err := p.UntilServing(t.Context(), "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "spoken") {
		t.Errorf("UntilServing of one that has ended = %v", err)
	}
	p = start(`trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.01; done`)
	for !strings.Contains(p.Output(), "ready") {
		time.Sleep(time.Millisecond)
	}
	if code, _, err := p.Stop(time.Minute); code != 0 || err != nil || !strings.Contains(p.Output(), "asked") || strings.Contains(p.Output(), "spoken") {
		t.Errorf("Stop = %d, %v, output %q", code, err, p.Output())
	}
	p = start(`trap '' TERM; echo ready; while :; do sleep 0.01; done`)
	for !strings.Contains(p.Output(), "ready") {
		time.Sleep(time.Millisecond)
	}
	if _, _, err := p.Stop(50 * time.Millisecond); err == nil || p.Running() {
		t.Errorf("Stop of one that does not = %v", err)
	}
}
