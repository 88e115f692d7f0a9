//go:build e2e

package main

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/deploy/faults/program"
	"ringback/deploy/faults/stage"
)

// built builds the real program once.
var built = sync.OnceValues(func() (program.Program, error) {
	dir, err := os.MkdirTemp("", "ringback-e2e-")
	if err != nil {
		return program.Program{}, err
	}
	return program.Build(context.Background(), dir, program.Ringback)
})

// process is a running program, which ends with the test.
type process struct{ *program.Process }

// startProcess starts the program.
func startProcess(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p, err := built()
	if err != nil {
		t.Fatal(err)
	}
	run, err := p.Start(program.Options{Args: args, Env: env, Log: t.TempDir() + "/log"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run.Kill)
	return &process{run}
}

// untilServing waits until the address takes connections.
func (p *process) untilServing(t *testing.T, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := p.UntilServing(ctx, addr); err != nil {
		t.Fatal(err)
	}
}

// complaints returns what the program logged as a warning or an error.
func (p *process) complaints() string { return strings.Join(p.Complaints(), "") }

// openStage opens a stage for the program, in a directory of the test.
func openStage(t *testing.T, cfg stage.Config) *stage.Stage {
	t.Helper()
	var err error
	if cfg.Program, err = built(); err != nil {
		t.Fatal(err)
	}
	cfg.Dir = t.TempDir()
	s, err := stage.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// endStage has the program end, as it promises to.
func endStage(t *testing.T, s *stage.Stage) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Errorf("%v:\n%s", err, strings.Join(s.Process.Complaints(), ""))
	}
}
