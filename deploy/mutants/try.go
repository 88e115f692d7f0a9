package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// verdict is what became of a change.
type verdict string

const (
	noticed  verdict = "noticed"  // a test failed
	survives verdict = "SURVIVES" // all tests passed
	broken   verdict = "BROKEN"   // it says nothing: it does not build, or its tests fail without it
)

// result is a verdict with what there is to say.
type result struct {
	verdict verdict
	why     string
	took    time.Duration
}

// timeout is when tests that a change makes hang are given up. That is noticed.
const timeout = 2 * time.Minute

// tester runs tests.
type tester struct {
	root  string
	sound map[string]error // packages and pattern :: how they end without a change
}

// try runs the tests of a change, without it and with it.
func (t *tester) try(ctx context.Context, m *mutant) result {
	began := time.Now()
	v, why := t.verdict(ctx, m)
	if why != "" {
		why += " "
	}
	return result{v, why, time.Since(began)}
}

func (t *tester) verdict(ctx context.Context, m *mutant) (verdict, string) {
	changed, err := m.apply(t.root)
	if err != nil {
		return broken, err.Error()
	}
	key := strings.Join(m.Packages, " ") + " -run " + m.Run
	err, known := t.sound[key]
	if !known {
		err = t.check(ctx, m)
		t.sound[key] = err
	}
	if err != nil {
		return broken, err.Error()
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return broken, err.Error()
	}
	defer os.RemoveAll(dir)
	overlay, err := writeOverlay(dir, filepath.Join(t.root, filepath.FromSlash(m.File)), changed)
	if err != nil {
		return broken, err.Error()
	}
	out, err := t.test(ctx, m, "-overlay", overlay, "-failfast", "-timeout", timeout.String())
	return judge(out, err)
}

// check runs the tests of a change without it. They must pass, and there must
// be some.
func (t *tester) check(ctx context.Context, m *mutant) error {
	out, err := t.test(ctx, m)
	if err != nil {
		return fmt.Errorf("its tests fail without it: %w\n%s", err, clip(out))
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "ok") && !strings.Contains(line, "[no tests to run]") {
			return nil
		}
	}
	return errors.New("it names no tests")
}

// test runs the tests of a change.
func (t *tester) test(ctx context.Context, m *mutant, flags ...string) ([]byte, error) {
	args := append([]string{"test", "-vet=off"}, flags...)
	if m.Run != "" {
		args = append(args, "-run", m.Run)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, m.Packages...)...)
	cmd.Dir = t.root
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // which ends the tests as well
	cmd.WaitDelay = 10 * time.Second
	return cmd.CombinedOutput()
}

// writeOverlay writes what makes the go command read text in place of a file.
func writeOverlay(dir, file string, text []byte) (string, error) {
	changed := filepath.Join(dir, filepath.Base(file))
	if err := os.WriteFile(changed, text, 0o600); err != nil {
		return "", err
	}
	data, err := json.Marshal(map[string]any{"Replace": map[string]string{file: changed}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, data, 0o600)
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// judge says what the end of a changed test run means.
func judge(out []byte, err error) (verdict, string) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return survives, ""
	case !errors.As(err, &exit):
		return broken, err.Error()
	case bytes.Contains(out, []byte("[build failed]")) || bytes.Contains(out, []byte("[setup failed]")):
		return broken, "it does not build:\n" + clip(out)
	}
	var names []string
	for _, match := range failed.FindAllSubmatch(out, 2) {
		names = append(names, string(match[1]))
	}
	switch {
	case bytes.Contains(out, []byte("panic: test timed out")):
		return noticed, "by hanging"
	case len(names) > 0:
		return noticed, "by " + names[len(names)-1]
	case bytes.Contains(out, []byte("panic: ")) || bytes.Contains(out, []byte("\nFAIL")):
		return noticed, "by ending the tests"
	}
	return broken, "its tests did not run:\n" + clip(out)
}

// clip is as much of an output as tells what is wrong.
func clip(out []byte) string {
	const most = 2000
	if len(out) <= most {
		return string(out)
	}
	return string(out[:most]) + "…\n"
}
