//go:build e2e

package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// TestNATSAway: while the NATS server is away new requests are turned away
// with 503; the process stays, and goes on when the server is back.
func TestNATSAway(t *testing.T) {
	opts := &server.Options{
		Host: "127.0.0.1", HTTPHost: "127.0.0.1", JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, NoSigs: true, NoLog: true,
		Port: portOf(t, freeAddr(t)), HTTPPort: portOf(t, freeAddr(t)),
	}
	start := func() *server.Server {
		s, err := server.NewServer(opts.Clone())
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("the NATS server does not start")
		}
		return s
	}
	nats := start()
	stop := func() { nats.Shutdown(); nats.WaitForShutdown() }
	t.Cleanup(func() { stop() })

	config, listen := filepath.Join(t.TempDir(), "ringback.yaml"), freeAddr(t)
	file := "nats: {url: '" + nats.ClientURL() + "', monitor: 'http://" + nats.MonitorAddr().String() + "'}\n"
	if err := os.WriteFile(config, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, nil, "serve", "--dev", "--config", config, "--data", t.TempDir(), "--listen", listen, "--manage", freeAddr(t))
	p.untilServing(t, listen)
	post := func(path string, form url.Values) (int, map[string]any) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+listen+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("demo-agent", "demo-secret-0000")
		resp, err := agents.Do(r)
		if err != nil {
			t.Fatalf("%v\n%s", err, p.stderr)
		}
		defer resp.Body.Close()
		var body map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, body
	}
	ask := func() (int, map[string]any) {
		return post("/bc-authorize", url.Values{"scope": {"openid"}, "login_hint": {"bob"}})
	}
	until := func(want int) map[string]any {
		t.Helper()
		for range 600 {
			if status, body := ask(); status == want {
				return body
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Fatalf("no request is answered %d\n%s", want, p.stderr)
		return nil
	}
	before := until(http.StatusOK)
	stop()
	until(http.StatusServiceUnavailable)
	time.Sleep(3 * time.Second) // longer than the process looks away
	nats = start()
	until(http.StatusOK)
	grant := url.Values{"grant_type": {"urn:openid:params:grant-type:ciba"}, "auth_req_id": {before["auth_req_id"].(string)}}
	if status, body := post("/token", grant); status != http.StatusBadRequest || body["error"] != "authorization_pending" {
		t.Errorf("a request from before is answered %d %v", status, body)
	}
	if code := p.stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
