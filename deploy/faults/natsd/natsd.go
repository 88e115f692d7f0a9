// Package natsd runs a NATS server as a process of its own, as operators do
// beside ringback: it syncs every write, and can be killed, frozen, cut off from
// the network and started again at the same address.
//
// Start with [New].
package natsd

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"ringback/deploy/faults/program"
)

// Server is one server.
type Server struct {
	Dir     string // configuration and log; the data is in Dir/data
	Process *program.Process

	program program.Program
	addr    string
	monitor string
}

// New makes a server's configuration in a directory. It does not run yet.
func New(p program.Program, dir string) (*Server, error) {
	s := &Server{Dir: dir, program: p}
	var err error
	if s.addr, err = program.FreeAddr(); err != nil {
		return nil, err
	}
	if s.monitor, err = program.FreeAddr(); err != nil {
		return nil, err
	}
	text := fmt.Sprintf("server_name: faults\nlisten: %q\nhttp: %q\njetstream {\n  store_dir: %q\n  sync_interval: always\n}\n", s.addr, s.monitor, s.Data())
	return s, os.WriteFile(s.file(), []byte(text), 0o600)
}

func (s *Server) file() string { return filepath.Join(s.Dir, "nats.conf") }

// Data is the directory of its data.
func (s *Server) Data() string { return filepath.Join(s.Dir, "data") }

// Addr is where it listens.
func (s *Server) Addr() string { return s.addr }

// Section is the section of ringback's configuration that names it, reached at
// an address in its place.
func (s *Server) Section(addr string) string {
	return fmt.Sprintf("nats: {url: 'nats://%s', monitor: 'http://%s'}\n", addr, s.monitor)
}

// Launch starts it, and waits until it takes connections, healthy or not.
func (s *Server) Launch(ctx context.Context) (err error) {
	if s.Process, err = s.program.Start(program.Options{Args: []string{"-c", s.file()}, Log: filepath.Join(s.Dir, "nats.log")}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return s.Process.UntilServing(ctx, s.addr)
}

// Start starts it, and waits until it is healthy.
func (s *Server) Start(ctx context.Context) error {
	if err := s.Launch(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for s.Process.Running() && ctx.Err() == nil {
		resp, err := http.Get("http://" + s.monitor + "/healthz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("the NATS server does not get healthy; its log is %s/nats.log", s.Dir)
}

// Stop ends it as an operator does.
func (s *Server) Stop() error {
	_, _, err := s.Process.Stop(time.Minute)
	return err
}

// Freeze stops it where it is; Thaw lets it go on.
func (s *Server) Freeze() error { return s.Process.Signal(syscall.SIGSTOP) }

// Thaw is the inverse of Freeze.
func (s *Server) Thaw() error { return s.Process.Signal(syscall.SIGCONT) }

// Close ends it without warning, if it runs.
func (s *Server) Close() {
	if s.Process != nil && s.Process.Running() {
		s.Process.Kill()
	}
}
