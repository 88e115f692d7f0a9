//go:build e2e

package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringback/channels/fakes"
	"ringback/deploy/faults/flood"
	"ringback/deploy/faults/program"
	"ringback/deploy/faults/stage"
)

// TestFewFiles: as many half open connections as the process may have files
// end nothing.
func TestFewFiles(t *testing.T) {
	s := openStage(t, stage.Config{People: 2, Files: 120})
	var all []net.Conn
	for range 240 {
		c, err := net.Dial("tcp", s.Listen)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	for range 10 {
		for person := range 2 {
			id, handle, reply := s.Agent.Ask(t.Context(), stage.Person(person), time.Minute)
			if id == "" {
				t.Fatalf("asking: %v", reply)
			}
			if reply := s.Agent.Poll(t.Context(), handle, 0); !reply.Pending() {
				t.Errorf("polling: %v", reply)
			}
		}
		if err := s.Ready(t.Context()); err != nil {
			t.Errorf("readyz: %v", err)
		}
	}
	for _, c := range all {
		c.Close()
	}
	endStage(t, s)

	few := filepath.Join(t.TempDir(), "log")
	run, err := s.Program.Start(program.Options{Args: []string{"serve", "--dev", "--data", t.TempDir()}, Files: 64, Log: few})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run.Kill)
	select {
	case <-run.Ended():
	case <-time.After(soon):
		t.Fatal("it starts with 64 files")
	}
	said, err := os.ReadFile(few)
	if err != nil {
		t.Fatal(err)
	}
	if code := run.Code(); code != 1 || !strings.Contains(string(said), "may open 64 files, and needs 112") || !strings.Contains(string(said), "LimitNOFILE=") {
		t.Errorf("exit code %d with 64 files:\n%s", code, said)
	}
}

// TestStopWithoutReaders: a service that is asked to stop does so in the time
// that it promised, whoever does not read its answers and whichever provider
// does not give one.
func TestStopWithoutReaders(t *testing.T) {
	const people = 20
	s := openStage(t, stage.Config{People: people, Files: 1024})
	s.Provider.Plan(fakes.Step{Failure: fakes.Hang})
	var handles []string
	for person := range people {
		id, handle, reply := s.Agent.Ask(t.Context(), stage.Person(person), time.Hour)
		if id == "" {
			t.Fatalf("asking: %v", reply)
		}
		handles = append(handles, handle)
	}
	crowd := flood.Begin(s.Listen, 200, time.Second, flood.Attacks)
	defer crowd.Stop()
	for range 5 { // and at the management listener
		c, err := net.Dial("tcp", s.Manage)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.(*net.TCPConn).SetReadBuffer(4 << 10)
		go io.WriteString(c, strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 1000))
	}
	held := make(chan string)
	for _, handle := range handles[:10] {
		go func() { held <- s.Agent.Poll(t.Context(), handle, 25).String() }()
	}
	for range 500 {
		if m, err := s.Metrics(t.Context()); err == nil && m["ringback_polls_held"] == 10 && crowd.Dialed.Load() == 200 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	began := time.Now()
	endStage(t, s)
	t.Logf("it took %v", time.Since(began))
	for range 10 {
		if answer := <-held; answer != "400 authorization_pending" {
			t.Errorf("a held poll was answered %s", answer)
		}
	}
}
