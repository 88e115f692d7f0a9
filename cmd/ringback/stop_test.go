//go:build e2e

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStopUnderLoad: SIGTERM drops nothing that was acknowledged, and every
// message that was begun has its outcome.
func TestStopUnderLoad(t *testing.T) {
	w := newCrashWorld(t, t.TempDir())
	for range 5 {
		p := w.start(t)
		stop := w.load(t, p)
		time.Sleep(400 * time.Millisecond)
		if code := p.stop(t); code != 0 {
			t.Errorf("exit code %d after SIGTERM:\n%s", code, p.stderr)
		}
		stop()
	}
	w.finish(t)
	for id, f := range w.seen.Final {
		for _, d := range f.Deliveries {
			if d.Outcome == "" {
				t.Errorf("%s: attempt %d was cut off", id, d.N)
			}
		}
	}
}

// TestReload: SIGHUP takes a good file whole, and of a broken one nothing.
func TestReload(t *testing.T) {
	w := newCrashWorld(t, t.TempDir())
	p := w.start(t)
	good, err := os.ReadFile(w.config)
	if err != nil {
		t.Fatal(err)
	}
	reload := func(file string) {
		t.Helper()
		if err := os.WriteFile(w.config, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	asks := func(person string) bool {
		status, _ := w.post(t.Context(), "/bc-authorize", map[string][]string{"scope": {"openid"}, "login_hint": {person}})
		return status == 200
	}
	until := func(what string, holds func() bool) {
		t.Helper()
		for range 500 {
			if holds() {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("waited too long for %s:\n%s", what, p.stderr)
	}
	if asks("newcomer") {
		t.Fatal("a person who is not in the file is known")
	}
	reload(string(good) + "- {id: newcomer}\n")
	until("the new person", func() bool { return asks("newcomer") })

	reload(string(good) + "- {id: second}\n- {id: third, phone: nonsense}\nclints: []\n")
	until("the refusal", func() bool { return strings.Contains(p.stderr.String(), "the old one stands") })
	if asks("second") {
		t.Error("half of a broken file was taken")
	}
	if !asks("newcomer") || !asks("p0") {
		t.Error("the old configuration does not stand")
	}
	for _, want := range []string{"clints", "].phone"} {
		if !strings.Contains(p.stderr.String(), want) {
			t.Errorf("the refusal does not name %q:\n%s", want, p.stderr)
		}
	}
	reload(strings.Replace(string(good), "limits: off", "limits: off, lifetime: {token: 60s}", 1))
	until("the old person to be gone", func() bool { return !asks("newcomer") })
	if code := p.stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
