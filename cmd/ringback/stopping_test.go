package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringback/config"
	"ringback/config/configtest"
	"ringback/deploy/faults/flood"
)

// TestStopBeginsNothing: while a service stops, no listener takes anything
// new; held polls get their answers, and operators learn what is going on.
func TestStopBeginsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, data := range map[string][]byte{"tls.crt": configtest.PEMs().Cert, "tls.key": configtest.PEMs().Key} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "ringback.yaml")
	text := fmt.Sprintf("listen: 127.0.0.1:0\nmanage: 127.0.0.1:0\nmtls: {listen: '127.0.0.1:0', tls: {cert: %[1]s/tls.crt, key: %[1]s/tls.key}}\n", dir)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	said := new(spoken)
	s := (&app{stderr: said, getenv: configtest.Environ()}).newService(config.Sources{File: file, Dev: true, Getenv: configtest.Environ()})
	s.patience.body = 4 * time.Second // so long the slow one below keeps it from ending
	up, ended := make(chan struct{}), make(chan error, 1)
	s.up = func() { close(up) }
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	defer cancel()
	go func() { ended <- s.run(ctx) }()
	select {
	case <-up:
	case err := <-ended:
		t.Fatalf("serve: %v\n%s", err, said)
	}
	base, manage := s.cfg.Issuer, "http://"+s.manage.ln.Addr().String()
	get := func(url string) (int, string, error) {
		resp, err := http.Get(url)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body), err
	}
	if status, body, err := get(manage + "/readyz"); err != nil || status != http.StatusOK {
		t.Fatalf("readyz: %d %s %v", status, body, err)
	}
	held := make(chan error, 1)
	id := askMany(t, base, 1)[0]
	go func() {
		reply := agentOf(base).Poll(context.WithoutCancel(t.Context()), id, 20)
		if reply.Text("error") == "authorization_pending" {
			held <- nil
		} else {
			held <- fmt.Errorf("answered %v", reply)
		}
	}()
	slow, err := net.Dial("tcp", s.public.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	io.WriteString(slow, "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\na")
	waitFor(t, "the held poll", func() bool { return s.house.ciba.Held() == 1 })

	cancel()
	waitFor(t, "readyz to turn red", func() bool {
		status, body, err := get(manage + "/readyz")
		return err == nil && status == http.StatusServiceUnavailable && strings.Contains(body, "stopping")
	})
	if err := <-held; err != nil {
		t.Errorf("the held poll: %v", err)
	}
	for name, l := range map[string]*listener{"public": s.public, "mTLS": s.mtls} { // at the same time, whoever is slow at one
		waitFor(t, "the end of the "+name+" listener", func() bool {
			c, err := net.Dial("tcp", l.ln.Addr().String())
			if err == nil {
				c.Close()
			}
			return err != nil
		})
	}
	if flood.Cut(slow) {
		t.Error("one listener ended after the other")
	}
	if status, body, err := get(manage + "/healthz"); err != nil || status != http.StatusOK {
		t.Errorf("healthz: %d %s %v", status, body, err)
	}
	if status, body, err := get(manage + "/admin/v1/clients"); err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("an operator's request while it stops: %d %s %v, want 503", status, body, err)
	}
	select {
	case err := <-ended:
		t.Fatalf("it has ended before the slow request: %v", err)
	default:
	}
	if err := <-ended; err != nil {
		t.Errorf("stopping: %v\n%s", err, said)
	}
}
