package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"ringback/config/configtest"
)

// TestComposeRuns does what docker-compose.yml does, without containers: a NATS
// server with deploy/nats.conf, the fake provider, init, serve; an agent asks
// and Alice answers.
func TestComposeRuns(t *testing.T) {
	t.Parallel()
	c, _ := readCompose(t)
	ns := startNATS(t, true)
	public, manage, fake := freeAddress(t), freeAddress(t), freeAddress(t)
	data, err := os.ReadFile(top + "deploy/ringback.compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := strings.NewReplacer(
		"nats://nats:4222", ns.ClientURL(), "http://nats:8222", "http://"+ns.MonitorAddr().String(),
		"http://fakes:8665", "http://"+fake, "http://localhost:8663", "http://"+public,
		"0.0.0.0:8663", public, "0.0.0.0:8664", manage, "/etc/ringback", dir,
	).Replace(string(data))
	if err := os.WriteFile(filepath.Join(dir, "ringback.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := os.Environ()
	for k, v := range c.Services["ringback"].Environment {
		env = append(env, k+"="+v)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run := func(words []string, replace ...string) *exec.Cmd {
		var args []string
		for _, w := range words {
			args = append(args, strings.NewReplacer(append(replace, "/etc/ringback", dir)...).Replace(w))
		}
		cmd := exec.CommandContext(ctx, "ringback", args...)
		cmd.Env, cmd.Stderr = env, t.Output()
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		return cmd
	}
	for range 2 { // as when compose is started a second time
		if err := run(c.Services["init"].Command).Run(); err != nil {
			t.Fatalf("init: %v", err)
		}
	}
	for _, cmd := range []*exec.Cmd{
		run(c.Services["fakes"].Command, "0.0.0.0:8665", fake, "http://localhost:8663", "http://"+public, "ringback:8663", public),
		run(c.Services["ringback"].Command),
	} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
	}
	defer cancel()
	until(t, ctx, "ready", func() bool {
		resp, err := http.Get("http://" + manage + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	answered := make(chan error, 1)
	go func() { answered <- replyAt(ctx, "http://"+fake, "+12025550101") }()
	ask := run([]string{"ask", "--issuer", "http://" + public, "--client-id", "agent", "--login-hint", "alice", "--print", "claims"})
	ask.Env = append(ask.Env, "RINGBACK_CLIENT_SECRET="+c.Services["ringback"].Environment["AGENT_SECRET"])
	out, err := ask.Output()
	if err != nil {
		t.Fatalf("ask: %v; answering: %v", err, <-answered)
	}
	if !strings.Contains(string(out), `"sub":"alice"`) {
		t.Errorf("claims = %s", out)
	}
}

// startNATS starts a NATS server as deploy/nats.conf says, on any ports; without
// synced it is the server's default that holds.
func startNATS(t *testing.T, synced bool) *server.Server {
	t.Helper()
	opts, err := server.ProcessConfigFile(top + "deploy/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	opts.Host, opts.HTTPHost, opts.Port, opts.HTTPPort = "127.0.0.1", "127.0.0.1", -1, -1
	opts.StoreDir, opts.NoSigs, opts.NoLog, opts.SyncAlways = t.TempDir(), true, true, synced
	ns, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	go ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	return ns
}

// TestUnsyncedNATS refuses a server that acknowledges what is not on the disk.
func TestUnsyncedNATS(t *testing.T) {
	t.Parallel()
	ns := startNATS(t, false)
	dir := t.TempDir()
	text := fmt.Sprintf("nats: {url: %q, monitor: \"http://%s\"}\nroot_key: {file: %q}\n", ns.ClientURL(), ns.MonitorAddr(), filepath.Join(dir, "root.key"))
	file := filepath.Join(dir, "ringback.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	a := &app{stdout: &said, stderr: &said, now: time.Now, getenv: configtest.Environ()}
	if code := a.run(t.Context(), []string{"init", "--config", file}); code != 1 || !strings.Contains(said.String(), "sync_interval: always") {
		t.Errorf("init = %d:\n%s\nwant 1 and what to set", code, said.String())
	}
	if js, err := ns.Jsz(&server.JSzOptions{}); err != nil || js.Streams > 0 {
		t.Errorf("it made %d streams on the server (%v)", js.Streams, err)
	}
}

// replyAt answers the first message to a number at `ringback fakes` with yes.
func replyAt(ctx context.Context, fakes, number string) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		resp, err := http.Get(fakes + "/fakes/messages?to=" + url.QueryEscape(number))
		if err != nil {
			continue
		}
		var box []struct{ Text string }
		err = json.NewDecoder(resp.Body).Decode(&box)
		resp.Body.Close()
		if err != nil || len(box) == 0 {
			continue
		}
		if m := replyCode.FindStringSubmatch(box[len(box)-1].Text); m != nil {
			resp, err := http.Post(fakes+"/fakes/reply", "application/json", strings.NewReader(`{"from": "`+number+`", "text": "YES `+m[1]+`"}`))
			if err != nil {
				return err
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("replying: %s", resp.Status)
			}
			return nil
		}
	}
}

// until waits for something that another process brings about.
func until(t *testing.T, ctx context.Context, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("never %s", what)
		case <-tick.C:
		}
	}
}
