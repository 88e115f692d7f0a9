//go:build e2e

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ringback/consent"
)

// program builds the real program once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ringback-e2e-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "ringback")
	out, err := exec.Command("go", "build", "-o", file, ".").CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return file, nil
})

// process is a running program.
type process struct {
	cmd    *exec.Cmd
	stderr *output
	done   chan struct{}
}

// output is what a program has printed so far.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// startProcess starts the program; it dies with the test.
func startProcess(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	file, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return startCommand(t, env, exec.Command(file, args...))
}

// startLimited is startProcess for one that may open so many files.
func startLimited(t *testing.T, files int, env []string, args ...string) *process {
	t.Helper()
	file, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return startCommand(t, env, exec.Command("sh", append([]string{"-c", `ulimit -n "$0" && exec "$@"`, strconv.Itoa(files), file}, args...)...))
}

func startCommand(t *testing.T, env []string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, stderr: &output{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.stderr, p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// untilServing waits until the address takes connections.
func (p *process) untilServing(t *testing.T, addr string) {
	t.Helper()
	for range 1000 {
		select {
		case <-p.done:
			t.Fatalf("the program ended: %s", p.stderr)
		default:
		}
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("the program does not serve %s: %s", addr, p.stderr)
}

// kill ends the program without warning.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.done
}

// stop asks the program to end and returns its exit code.
func (p *process) stop(t *testing.T) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		t.Fatalf("the program does not stop: %s", p.stderr)
	}
	return p.cmd.ProcessState.ExitCode()
}

// freeAddr returns a loopback address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// adminAPI is the management API of a development run.
type adminAPI struct{ base, token string }

func adminOf(t *testing.T, manage, data string) adminAPI {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(data, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	return adminAPI{"http://" + manage, strings.TrimSpace(string(token))}
}

// request reads how a request stands.
func (a adminAPI) request(t *testing.T, id string) (outcome, bool) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.base+"/admin/v1/requests/"+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return outcome{}, false
	}
	var body struct {
		Status     string    `json:"status"`
		AskedAt    time.Time `json:"asked_at"`
		ExpiresAt  time.Time `json:"expires_at"`
		Deliveries []struct {
			N       int              `json:"n"`
			At      time.Time        `json:"at"`
			Outcome *consent.Outcome `json:"outcome"`
		} `json:"deliveries"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("reading request %s: %d, %v", id, resp.StatusCode, err)
	}
	f := outcome{Status: body.Status, AskedAt: body.AskedAt, ExpiresAt: body.ExpiresAt}
	for _, d := range body.Deliveries {
		a := attempted{N: d.N, At: d.At}
		if d.Outcome != nil {
			a.Outcome = string(d.Outcome.Status)
		}
		f.Deliveries = append(f.Deliveries, a)
	}
	return f, true
}

// withdraw takes a request back and reports whether that was acknowledged.
func (a adminAPI) withdraw(t *testing.T, id string) bool {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.base+"/admin/v1/requests/"+id+"/withdraw", nil)
	if err != nil {
		t.Error(err)
		return false
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	resp, err := agents.Do(r)
	if err != nil {
		t.Error(err)
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode < 300
}

// verifyExport exports evidence and audit chain and has the program verify
// them with the evidence keys read from the management API.
func verifyExport(t *testing.T, manage, data string) (export, keys string) {
	t.Helper()
	dir := t.TempDir()
	export, keys = filepath.Join(dir, "export.jsonl"), filepath.Join(dir, "keys.json")
	admin := adminOf(t, manage, data)
	env := []string{"RINGBACK_ADMIN_URL=" + admin.base, "RINGBACK_ADMIN_TOKEN=" + admin.token}
	runProgram(t, env, "export", "--out", export)
	if err := os.WriteFile(keys, runProgram(t, env, "key", "evidence"), 0o600); err != nil {
		t.Fatal(err)
	}
	runProgram(t, env, "verify", export, "--keys", keys)
	return export, keys
}

// complaints returns what the program logged as a warning or an error.
func (p *process) complaints() string {
	var out []string
	for line := range strings.Lines(p.stderr.String()) {
		if strings.Contains(line, `"level":"WARN"`) || strings.Contains(line, `"level":"ERROR"`) {
			out = append(out, line)
		}
	}
	return strings.Join(out[:min(len(out), 50)], "")
}

// runProgram runs a command of the program to its good end and returns its output.
func runProgram(t *testing.T, env []string, args ...string) []byte {
	t.Helper()
	file, err := program()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ringback %s: %v\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	return out
}
