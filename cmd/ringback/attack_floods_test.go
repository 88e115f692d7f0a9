package main

import (
	"context"
	"testing"
	"time"

	asker "ringback/deploy/faults/agent"
	"ringback/deploy/faults/flood"
)

// agentOf is the agent of a development run, which takes any certificate.
func agentOf(base string) *asker.Agent {
	a := asker.New(base, nil)
	a.HTTP = flood.Client(true)
	return a
}

// askMany asks so many things of the demo's people.
func askMany(t *testing.T, base string, n int) (handles []string) {
	t.Helper()
	a := agentOf(base)
	defer a.HTTP.CloseIdleConnections()
	for range n {
		id, handle, reply := a.Ask(t.Context(), "alice", 5*time.Minute)
		if id == "" {
			t.Fatalf("asking: %v", reply)
		}
		handles = append(handles, handle)
	}
	return handles
}

// TestFlood: whoever takes connections from eight addresses and gives nothing
// for them takes nothing from the agent at a ninth.
func TestFlood(t *testing.T) {
	t.Parallel()
	const config = "listen: 127.0.0.1:0\nmanage: 127.0.0.1:0\npolicy: {limits: off, dedupe: false}\n"
	tests := map[string]struct {
		config  string
		attacks []flood.Attack
	}{
		"plain": {config, flood.Attacks},
		"TLS":   {config + "tls: {cert: DIR/tls.crt, key: DIR/tls.key}\n", []flood.Attack{flood.Say(""), flood.Say("\x16\x03\x01\x02"), flood.Say("GET / HTTP")}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, tt.config, true, func(s *service) { s.files = 200 })
			base, addr := s.cfg.Issuer, s.public.ln.Addr().String()
			ids := askMany(t, base, 20)
			crowd := flood.Begin(addr, 1600, 2*time.Second, tt.attacks)
			defer crowd.Stop()
			ctx, done := context.WithTimeout(t.Context(), 3*time.Second)
			defer done()
			polls := flood.Poll(ctx, base, ids)
			for _, err := range polls.Missed {
				t.Error(err)
			}
			flow := s.flows[listenPublic]
			t.Logf("%d polls, the slowest took %v; of %d connections of the flood %d made room", polls.Done, polls.Slowest, crowd.Dialed.Load(), flow.refused[refusedDisplaced].Load())
			if open, most := flow.open.Load(), flow.most.Load(); open > most || flow.refused[refusedDisplaced].Load() == 0 {
				t.Errorf("%d connections are open where %d may be, and %d made room", open, most, flow.refused[refusedDisplaced].Load())
			}
		})
	}
}
