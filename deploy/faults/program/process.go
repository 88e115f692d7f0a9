package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options say how a program is started.
type Options struct {
	Args  []string
	Env   []string // beside our own
	Files int      // that it may have open; 0: as many as we may
	Core  bool     // on one core alone, with one thread that runs Go
	Log   string   // the file to which its output is appended; required
}

// Process is a program that runs, or has run. It dies with us.
type Process struct {
	cmd   *exec.Cmd
	log   string
	from  int64 // where its output begins in the log
	ended chan struct{}
}

// Start starts the program.
func (p Program) Start(o Options) (*Process, error) {
	command, env := append([]string{p.File}, o.Args...), append(os.Environ(), o.Env...)
	if o.Core {
		command, env = append([]string{"taskset", "-c", "0"}, command...), append(env, "GOMAXPROCS=1")
	}
	if o.Files > 0 {
		command = append([]string{"sh", "-c", `ulimit -n "$0" && exec "$@"`, strconv.Itoa(o.Files)}, command...)
	}
	log, err := os.OpenFile(o.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of a process: %w", err)
	}
	defer log.Close()
	from, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("opening the log of a process: %w", err)
	}
	run := &Process{cmd: exec.Command(command[0], command[1:]...), log: o.Log, from: from, ended: make(chan struct{})}
	run.cmd.Env, run.cmd.Stdout, run.cmd.Stderr = env, log, log
	run.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := run.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.File, err)
	}
	go func() {
		run.cmd.Wait() // how it ended is in ProcessState
		close(run.ended)
	}()
	return run, nil
}

// Run runs a command of the program to its good end and returns what it
// printed.
func (p Program) Run(ctx context.Context, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, p.File, args...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("ringback %s: %w\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	return out, nil
}

// PID is the process's number.
func (r *Process) PID() int { return r.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (r *Process) Ended() <-chan struct{} { return r.ended }

// Running reports whether it has not.
func (r *Process) Running() bool {
	select {
	case <-r.ended:
		return false
	default:
		return true
	}
}

// Code is the exit code of a process that has ended, -1 after a signal.
func (r *Process) Code() int { return r.cmd.ProcessState.ExitCode() }

// Signal sends a signal.
func (r *Process) Signal(s syscall.Signal) error { return r.cmd.Process.Signal(s) }

// Kill ends the process without warning and returns when it has ended.
func (r *Process) Kill() {
	r.cmd.Process.Kill() // an error says that it has ended
	<-r.ended
}

// Stop asks the process to end, and returns its exit code and how long it took.
// One that has not ended within the time is killed.
func (r *Process) Stop(within time.Duration) (code int, took time.Duration, err error) {
	began := time.Now()
	r.Signal(syscall.SIGTERM) // an error says that it has ended
	select {
	case <-r.ended:
		return r.Code(), time.Since(began), nil
	case <-time.After(within):
		r.Kill()
		return -1, time.Since(began), fmt.Errorf("the process did not end within %v of SIGTERM:\n%s", within, strings.Join(r.Complaints(), ""))
	}
}

// ErrEnded says that a program ended by itself.
var ErrEnded = errors.New("the program ended")

// UntilServing waits until the address takes connections. ErrEnded where it
// never will.
func (r *Process) UntilServing(ctx context.Context, addr string) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			return c.Close()
		}
		select {
		case <-r.ended:
			return fmt.Errorf("%w with code %d before it served %s:\n%s", ErrEnded, r.Code(), addr, r.tail())
		case <-ctx.Done():
			return fmt.Errorf("the program does not serve %s: %w:\n%s", addr, ctx.Err(), r.tail())
		case <-tick.C:
		}
	}
}

// Output is what it has printed so far.
func (r *Process) Output() string {
	f, err := os.Open(r.log)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, r.from, 64<<20))
	if err != nil {
		return ""
	}
	return string(text)
}

// tail is the end of it.
func (r *Process) tail() string {
	text := r.Output()
	return text[max(0, len(text)-4<<10):]
}

// complaintsMost bounds what Complaints returns.
const complaintsMost = 50

// Complaints are the first warnings and errors that it logged.
func (r *Process) Complaints() (lines []string) {
	for line := range strings.Lines(r.Output()) {
		if strings.Contains(line, `"level":"WARN"`) || strings.Contains(line, `"level":"ERROR"`) {
			if lines = append(lines, line); len(lines) == complaintsMost {
				break
			}
		}
	}
	return lines
}

// CPU is the time that processors have given to the process.
func (r *Process) CPU() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.PID()))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name of the program stands before it
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / 100 // USER_HZ
}
