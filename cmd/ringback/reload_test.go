//go:build e2e

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringback/deploy/faults/stage"
)

// TestReload: SIGHUP takes a good file whole, and of a broken one nothing.
func TestReload(t *testing.T) {
	s := openStage(t, stage.Config{People: 1})
	good, err := os.ReadFile(s.File())
	if err != nil {
		t.Fatal(err)
	}
	reload := func(file string) {
		t.Helper()
		if err := os.WriteFile(s.File(), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	asks := func(person string) bool {
		id, _, _ := s.Agent.Ask(t.Context(), person, time.Minute)
		return id != ""
	}
	until := func(what string, holds func() bool) {
		t.Helper()
		for range 500 {
			if holds() {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("waited too long for %s:\n%s", what, s.Process.Output())
	}
	if asks("newcomer") {
		t.Fatal("a person who is not in the file is known")
	}
	reload(string(good) + "- {id: newcomer}\n")
	until("the new person", func() bool { return asks("newcomer") })

	reload(string(good) + "- {id: second}\n- {id: third, phone: nonsense}\nclints: []\n")
	until("the refusal", func() bool { return strings.Contains(s.Process.Output(), "the old one stands") })
	if asks("second") {
		t.Error("half of a broken file was taken")
	}
	if !asks("newcomer") || !asks("p0") {
		t.Error("the old configuration does not stand")
	}
	for _, want := range []string{"clints", "].phone"} {
		if !strings.Contains(s.Process.Output(), want) {
			t.Errorf("the refusal does not name %q:\n%s", want, s.Process.Output())
		}
	}
	reload(strings.Replace(string(good), "limits: off", "limits: off, lifetime: {token: 60s}", 1))
	until("the old person to be gone", func() bool { return !asks("newcomer") })
	endStage(t, s)
}
