//go:build e2e

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// startWithFiles starts a development service that may open so many files, and
// returns where it listens and is managed.
func startWithFiles(t *testing.T, files int, config string) (p *process, listen, manage string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ringback.yaml")
	if err := os.WriteFile(file, []byte("policy: {limits: off, dedupe: false, routes: [{channels: [sms]}]}\n"+config), 0o600); err != nil {
		t.Fatal(err)
	}
	listen, manage = freeAddr(t), freeAddr(t)
	p = startLimited(t, files, []string{"CRASH_TOKEN=crash0token0crash0token0crash0tok"}, "serve", "--dev", "--config", file, "--data", t.TempDir(), "--listen", listen, "--manage", manage)
	p.untilServing(t, listen)
	return p, listen, manage
}

// readNew gets a URL over a new connection.
func readNew(url string) (int, string, error) {
	c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// metric reads one from the management listener.
func metric(t *testing.T, manage, name string) int {
	t.Helper()
	status, text, err := readNew("http://" + manage + "/metrics")
	if err != nil || status != http.StatusOK {
		t.Fatalf("metrics: %d, %v", status, err)
	}
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\d+)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("there is no metric %s", name)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestFloodOfProcess: ten thousand connections that are half open, slow or
// unread, from eight addresses, at a process of 1,024 files: an agent at a
// ninth has every poll answered, over old connections and new, and operators
// get in.
func TestFloodOfProcess(t *testing.T) {
	p, listen, manage := startWithFiles(t, 1024, "")
	base := "http://" + listen
	ids := askMany(t, base, 40)
	before := metric(t, manage, "process_open_fds")
	f := startFlood(t, listen, 10_000, 6*time.Second, attacks)
	ctx, done := context.WithTimeout(t.Context(), 9*time.Second)
	defer done()
	operators := make(chan int)
	most := before
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			if status, text, err := readNew("http://" + manage + "/readyz"); err != nil || status != http.StatusOK {
				t.Errorf("readyz in the flood: %d %s %v", status, text, err)
			}
			time.Sleep(100 * time.Millisecond)
			if files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid)); err == nil {
				most = max(most, len(files))
			}
		}
		operators <- n
	}()
	polls, slowest, missed := agentPolls(ctx, base, ids)
	looks := <-operators
	for _, err := range missed {
		t.Error(err)
	}
	refused := metric(t, manage, `ringback_connections_refused_total{cause="displaced",listener="public"}`)
	t.Logf("%d polls, the slowest took %v; %d looks by operators; of %d connections of the flood (%d failed) %d made room; %d files at most, %d before",
		polls, slowest, looks, f.dialed.Load(), f.failed.Load(), refused, most, before)
	if f.dialed.Load() < 9000 || refused < 8000 || most > 1024-ownFiles {
		t.Errorf("%d connections of the flood, %d made room, %d files", f.dialed.Load(), refused, most)
	}
	if polls < 100 || looks < 20 {
		t.Errorf("%d polls and %d looks by operators, want more", polls, looks)
	}
	f.stop()
	if code := p.stop(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.complaints())
	}
	for line := range strings.Lines(p.stderr.String()) {
		if strings.Contains(line, `"level":"ERROR"`) {
			t.Error(line)
		}
	}
}

// TestFewFiles: as many half open connections as the process may have files
// end nothing.
func TestFewFiles(t *testing.T) {
	p, listen, manage := startWithFiles(t, 120, "")
	base := "http://" + listen
	var all []net.Conn
	for range 240 {
		c, err := net.Dial("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	for range 10 {
		for _, id := range askMany(t, base, 2) {
			if code, err := pollFor(http.DefaultClient, base, id, 0); err != nil || code != "authorization_pending" {
				t.Errorf("polling: %s %v", code, err)
			}
		}
		if status, text, err := readNew("http://" + manage + "/readyz"); err != nil || status != http.StatusOK {
			t.Errorf("readyz: %d %s %v", status, text, err)
		}
	}
	for _, c := range all {
		c.Close()
	}
	if code := p.stop(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.stderr)
	}

	p = startLimited(t, 64, nil, "serve", "--dev", "--data", t.TempDir(), "--listen", freeAddr(t), "--manage", freeAddr(t))
	select {
	case <-p.done:
	case <-time.After(soon):
		t.Fatal("it starts with 64 files")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(p.stderr.String(), "may open 64 files, and needs 112") || !strings.Contains(p.stderr.String(), "LimitNOFILE=") {
		t.Errorf("exit code %d with 64 files:\n%s", code, p.stderr)
	}
}

// TestStopWithoutReaders: a service that is asked to stop does so in the time
// that it promised, whoever does not read its answers and whichever provider
// does not give one.
func TestStopWithoutReaders(t *testing.T) {
	provider, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer provider.Close() // nobody accepts
	sid := "AC" + strings.Repeat("0", 32)
	p, listen, manage := startWithFiles(t, 1024, fmt.Sprintf(
		"channels: {sms: {provider: twilio, account_sid: %s, auth_token: {env: CRASH_TOKEN}, from: '+12025550100', base_url: 'http://%s'}}\n", sid, provider.Addr()))
	base := "http://" + listen
	ids := askMany(t, base, 20)
	for i := range 200 {
		c, err := net.Dial("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go attacks[i%len(attacks)](t.Context(), c)
	}
	for range 5 { // and at the management listener
		c, err := net.Dial("tcp", manage)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.(*net.TCPConn).SetReadBuffer(4 << 10)
		go io.WriteString(c, strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 1000))
	}
	held := make(chan string)
	for _, id := range ids[:10] {
		go func() {
			code, err := pollFor(http.DefaultClient, base, id, 25)
			held <- fmt.Sprint(code, err)
		}()
	}
	for range 500 {
		if metric(t, manage, "ringback_polls_held") == 10 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	began := time.Now()
	code := p.stop(t)
	took := time.Since(began)
	t.Logf("it took %v", took)
	if code != 0 || took > grace {
		t.Errorf("exit code %d after %v:\n%s", code, took, p.complaints())
	}
	for range 10 {
		if answer := <-held; !strings.HasPrefix(answer, "authorization_pending") {
			t.Errorf("a held poll was answered %s", answer)
		}
	}
}
