package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// flood is a crowd that takes connections from many addresses and gives
// nothing for them.
type flood struct {
	addr   string
	stop   context.CancelFunc
	all    sync.WaitGroup
	dialed atomic.Int64
	failed atomic.Int64
}

// attacks are ways to hold a connection. Each returns when it has nothing more
// to send.
var attacks = []func(ctx context.Context, c net.Conn){
	// half open: not a byte
	func(context.Context, net.Conn) {},
	// a header that never ends
	func(ctx context.Context, c net.Conn) {
		io.WriteString(c, "POST /token HTTP/1.1\r\nHost: x\r\n")
		drip(ctx, c, "X")
	},
	// a body that never ends
	func(ctx context.Context, c net.Conn) {
		io.WriteString(c, "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\n")
		drip(ctx, c, "a")
	},
	// answers that nobody reads
	func(ctx context.Context, c net.Conn) {
		c.(*net.TCPConn).SetReadBuffer(4 << 10)
		io.WriteString(c, strings.Repeat("GET /.well-known/openid-configuration HTTP/1.1\r\nHost: x\r\n\r\n", 2000))
	},
	// a request now and then
	func(ctx context.Context, c net.Conn) {
		io.WriteString(c, "GET /jwks HTTP/1.1\r\nHost: x\r\n\r\n")
	},
}

// drip sends a little at a time.
func drip(ctx context.Context, c net.Conn, text string) {
	for ctx.Err() == nil {
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// startFlood lets so many connections come from 127.0.0.2 to 127.0.0.9, one
// after the other at each within the time given, and holds them until the test
// ends.
func startFlood(t *testing.T, addr string, connections int, within time.Duration, attacks []func(context.Context, net.Conn)) *flood {
	const hosts = 8
	each := connections / hosts
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	f := &flood{addr: addr, stop: stop}
	for host := 2; host < 2+hosts; host++ {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(host))}, Timeout: 5 * time.Second}
		f.all.Go(func() {
			for i := range each {
				time.Sleep(within / time.Duration(each))
				c, err := d.DialContext(ctx, "tcp", addr)
				if err != nil {
					f.failed.Add(1)
					continue
				}
				f.dialed.Add(1)
				f.hold(ctx, c, attacks[i%len(attacks)])
			}
		})
	}
	t.Cleanup(func() { stop(); f.all.Wait() })
	return f
}

// hold attacks over a connection until it is closed or the flood ends.
func (f *flood) hold(ctx context.Context, c net.Conn, attack func(context.Context, net.Conn)) {
	closed, gone := context.WithCancel(ctx)
	end := context.AfterFunc(closed, func() { c.Close() })
	f.all.Go(func() { // an attacker who reads nothing still learns of the end
		defer end()
		for closed.Err() == nil {
			if cut(c) {
				gone()
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-closed.Done():
			}
		}
		gone()
	})
	f.all.Go(func() { attack(closed, c) })
}

// cut reports whether the other side has closed the connection, and reads
// nothing from it.
func cut(c net.Conn) bool {
	const established = 1 // TCP_ESTABLISHED, the first byte of struct tcp_info
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return true
	}
	state := 0
	err = raw.Control(func(fd uintptr) { state, _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO) })
	return err != nil || state&0xff != established
}

// agentPolls polls requests in turn from 127.0.0.1 until the context ends, half
// of the times over a new connection, and returns how often, how long the
// slowest took and what was not answered.
func agentPolls(ctx context.Context, base string, ids []string) (polls int, slowest time.Duration, missed []error) {
	anybody := &tls.Config{InsecureSkipVerify: true} // whose certificate it is does not matter here
	kept := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: anybody}}
	defer kept.CloseIdleConnections()
	for ; ctx.Err() == nil && len(missed) < 5; polls++ {
		c := kept
		if polls%2 == 1 {
			c = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: anybody, DisableKeepAlives: true}}
		}
		began := time.Now()
		wait := 0
		if polls%10 == 0 {
			wait = 1
		}
		code, err := pollFor(c, base, ids[polls%len(ids)], wait)
		slowest = max(slowest, time.Since(began))
		if err != nil || code != "authorization_pending" && code != "slow_down" {
			missed = append(missed, fmt.Errorf("poll %d, after %v: %q %w", polls, time.Since(began), code, err))
		}
	}
	return polls, slowest, missed
}

// pollFor polls a request, to be held for so many seconds, and returns the code
// of the answer.
func pollFor(c *http.Client, base, id string, wait int) (string, error) {
	r, err := http.NewRequest(http.MethodPost, base+"/token", strings.NewReader(url.Values{"grant_type": {"urn:openid:params:grant-type:ciba"}, "auth_req_id": {id}}.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("demo-agent", "demo-secret-0000")
	if wait > 0 {
		r.Header.Set("Prefer", "wait="+strconv.Itoa(wait))
	}
	resp, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var body struct{ Error string }
	err = json.NewDecoder(resp.Body).Decode(&body)
	return body.Error, err
}

// askMany asks so many things of the demo's people.
func askMany(t *testing.T, base string, n int) (ids []string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer c.CloseIdleConnections()
	for range n {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/bc-authorize", strings.NewReader("scope=openid&login_hint=alice"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("demo-agent", "demo-secret-0000")
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			ID string `json:"auth_req_id"`
		}
		err = json.NewDecoder(resp.Body).Decode(&body)
		resp.Body.Close()
		if err != nil || body.ID == "" {
			t.Fatalf("asking: %d %v", resp.StatusCode, err)
		}
		ids = append(ids, body.ID)
	}
	return ids
}

// TestFlood: whoever takes connections from eight addresses and gives nothing
// for them takes nothing from the agent at a ninth.
func TestFlood(t *testing.T) {
	t.Parallel()
	shake := func(text string) func(context.Context, net.Conn) {
		return func(_ context.Context, c net.Conn) { io.WriteString(c, text) }
	}
	const config = "listen: 127.0.0.1:0\nmanage: 127.0.0.1:0\npolicy: {limits: off, dedupe: false}\n"
	tests := map[string]struct {
		config  string
		attacks []func(context.Context, net.Conn)
	}{
		"plain": {config, attacks},
		"TLS":   {config + "tls: {cert: DIR/tls.crt, key: DIR/tls.key}\n", []func(context.Context, net.Conn){shake(""), shake("\x16\x03\x01\x02"), shake("GET / HTTP")}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, tt.config, true, func(s *service) { s.files = 200 })
			base, addr := s.cfg.Issuer, s.public.ln.Addr().String()
			ids := askMany(t, base, 20)
			f := startFlood(t, addr, 1600, 2*time.Second, tt.attacks)
			ctx, done := context.WithTimeout(t.Context(), 3*time.Second)
			defer done()
			polls, slowest, missed := agentPolls(ctx, base, ids)
			for _, err := range missed {
				t.Error(err)
			}
			flow := s.flows[listenPublic]
			t.Logf("%d polls, the slowest took %v; of %d connections of the flood %d made room", polls, slowest, f.dialed.Load(), flow.refused[refusedDisplaced].Load())
			if open, most := flow.open.Load(), flow.most.Load(); open > most || flow.refused[refusedDisplaced].Load() == 0 {
				t.Errorf("%d connections are open where %d may be, and %d made room", open, most, flow.refused[refusedDisplaced].Load())
			}
		})
	}
}
