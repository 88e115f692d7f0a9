package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringback/config"
	"ringback/config/configtest"
	"ringback/deploy/faults/flood"
)

// Moments of tests: a while is how long somebody is waited for, and who is
// waited for longer than that is waited for until the test fails.
const aWhile = 400 * time.Millisecond

// patientBut is a patience for tests, but for what a test makes of it.
func patientBut(change func(p *patience)) patience {
	p := patience{time.Minute, time.Minute, time.Minute, time.Minute, time.Minute, time.Minute, time.Minute}
	change(&p)
	return p
}

// soon is when all of that is over for sure, on a busy machine too.
const soon = 10 * time.Second

// listenWith serves h at a listener with the patience and room given until the
// test ends.
func listenWith(t *testing.T, p patience, r room, secure bool, h http.HandlerFunc) *listener {
	t.Helper()
	said := new(spoken)
	s := (&app{stderr: said}).newService(config.Sources{})
	s.cfg, s.room, s.patience, s.failed = &config.Config{}, r, p, make(chan error, 1)
	var files *config.TLS
	if secure {
		dir := t.TempDir()
		files = &config.TLS{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
		for name, data := range map[string][]byte{files.Cert: configtest.PEMs().Cert, files.Key: configtest.PEMs().Key} {
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	l, err := s.listen(listenPublic, "127.0.0.1:0", files, tls.NoClientCert)
	if err != nil {
		t.Fatal(err)
	}
	l.serve(h, s.log, s.failed, "/healthz")
	t.Cleanup(func() {
		ctx, done := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
		defer done()
		l.shutdown(ctx)
		select {
		case err := <-s.failed:
			t.Errorf("serving: %v\n%s", err, said)
		default:
		}
	})
	return l
}

// open returns the number of open connections.
func (l *listener) open() int64 { return l.gate.flow.open.Load() }

// waitFor waits for a condition, with which a test goes on.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func dial(t *testing.T, l *listener) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", l.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// TestConnectionsEnd: whatever a client leaves undone, its connection ends.
func TestConnectionsEnd(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte("x"), 1<<20)
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				w.WriteHeader(http.StatusBadRequest)
			}
			return
		}
		if r.URL.Path == "/small" || r.URL.RawQuery == "small" {
			w.Write(long[:1000])
			return
		}
		w.Write(long)
	}
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" // the beginning of a TLS handshake
	header := patientBut(func(p *patience) { p.header = aWhile })
	body := patientBut(func(p *patience) { p.body = aWhile })
	idle := patientBut(func(p *patience) { p.idle = aWhile })
	answer := patientBut(func(p *patience) { p.answer = aWhile })
	beat := patientBut(func(p *patience) { p.beat = aWhile })
	tests := map[string]struct {
		patience patience
		secure   bool
		sends    string
	}{
		"nothing":                 {header, false, ""},
		"half a line":             {header, false, "GET /"},
		"half a header":           {header, false, "GET / HTTP/1.1\r\nHost: x\r\n"},
		"half a body":             {body, false, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"},
		"half a chunk":            {body, false, "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nabc"},
		"a body after asking":     {body, false, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"},
		"no second request":       {idle, false, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"},
		"an answer unread":        {answer, false, get("/")},
		"many unread":             {answer, false, strings.Repeat(get("/"), 1000)},
		"many small ones unread":  {answer, false, strings.Repeat(get("/small"), 5000)},
		"an export unread":        {answer, false, get("/admin/v1/export")},
		"small exports unread":    {answer, false, strings.Repeat(get("/admin/v1/export?small"), 5000)},
		"events unread":           {beat, false, get("/dev/phone/events")},
		"nothing, TLS":            {header, true, ""},
		"half a handshake":        {header, true, hello},
		"no TLS":                  {header, true, get("/")},
		"a lot of what is no TLS": {header, true, strings.Repeat("a", 100_000)},
		"unread, then a bad line": {answer, false, strings.Repeat(get("/"), 10) + "NONSENSE\r\n\r\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listenWith(t, tt.patience, room{8, 200}, tt.secure, h)
			var all []*net.TCPConn
			for range 20 {
				c := dial(t, l)
				c.SetReadBuffer(4 << 10)
				go io.WriteString(c, tt.sends)
				all = append(all, c)
			}
			waitFor(t, "the end of every connection", func() bool {
				return !slices.ContainsFunc(all, func(c *net.TCPConn) bool { return !flood.Cut(c) }) && l.open() == 0
			})
		})
	}
}

// TestAnswersInTime: what a client takes slowly, but takes, it gets whole; and
// what takes its time to begin.
func TestAnswersInTime(t *testing.T) {
	t.Parallel()
	part := bytes.Repeat([]byte("x"), 16<<10)
	p := patientBut(func(p *patience) { p.answer, p.beat, p.stream = aWhile, aWhile, 4*aWhile })
	for name, secure := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var written atomic.Int64
			over := make(chan struct{}, 10)
			l := listenWith(t, p, room{8, 200}, secure, func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/held":
					time.Sleep(2 * aWhile)
					io.WriteString(w, "answer")
				case "/admin/v1/export":
					for range 120 {
						if _, err := w.Write(part); err != nil {
							return
						}
					}
					io.WriteString(w, "trailer")
				case "/dev/phone/events":
					for r.Context().Err() == nil {
						io.WriteString(w, "data: x\n\n")
						http.NewResponseController(w).Flush()
						select {
						case <-r.Context().Done():
						case <-time.After(aWhile * 5 / 4):
						}
					}
				case "/endless":
					for {
						n, err := w.Write(part)
						if written.Add(int64(n)); err != nil {
							over <- struct{}{}
							return
						}
					}
				}
			})
			transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // whose certificate it is does not matter here
			defer transport.CloseIdleConnections()
			url := map[bool]string{false: "http://", true: "https://"}[secure] + l.ln.Addr().String()
			get := func(path string, pause time.Duration) (string, error) {
				resp, err := (&http.Client{Transport: transport, Timeout: soon}).Get(url + path)
				if err != nil {
					return "", err
				}
				defer resp.Body.Close()
				if resp.Proto != name && resp.Proto != name+".0" {
					t.Errorf("it speaks %s", resp.Proto)
				}
				var all strings.Builder
				buf := make([]byte, 4<<10)
				for {
					n, err := resp.Body.Read(buf)
					all.Write(buf[:n])
					if errors.Is(err, io.EOF) {
						return all.String(), nil
					}
					if err != nil {
						return all.String(), err
					}
					time.Sleep(pause)
				}
			}
			if text, err := get("/held", 0); err != nil || text != "answer" {
				t.Errorf("an answer that took its time: %q, %v", text, err)
			}
			began := time.Now()
			text, err := get("/admin/v1/export", 4*time.Millisecond)
			if took := time.Since(began); err != nil || !strings.HasSuffix(text, "trailer") || took < 2*aWhile {
				t.Errorf("a slow export: %d bytes in %v, %v", len(text), took, err)
			}
			for range 2 { // the page asks again
				began = time.Now()
				text, err = get("/dev/phone/events", 0)
				if took := time.Since(began); err != nil || strings.Count(text, "data: x\n\n") < 3 || took < p.stream*3/4 {
					t.Errorf("events: %q in %v, %v", text, took, err)
				}
			}
			if text, err = get("/endless", time.Millisecond); err == nil {
				t.Errorf("an answer without end ended after %d bytes as if it were whole", len(text))
			}
			waitFor(t, "the end of the handler", func() bool { return len(over) == 1 })
			if secure {
				return
			}
			written.Store(0)
			c := dial(t, l)
			c.SetReadBuffer(4 << 10)
			io.WriteString(c, "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
			waitFor(t, "the end of an answer that nobody reads", func() bool { return len(over) == 2 })
			if n := written.Load(); n > 1<<20 {
				t.Errorf("%d bytes are kept for a client that reads none", n)
			}
		})
	}
}

// TestStopping: what comes while the service stops is sent to another process,
// but for who asks how it is.
func TestStopping(t *testing.T) {
	t.Parallel()
	l := listenWith(t, usualPatience, room{8, 200}, false, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "answer") })
	c := dial(t, l)
	in := bufio.NewReader(c)
	ask := func(path string) (*http.Response, error) {
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		resp, err := http.ReadResponse(in, nil)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		return resp, err
	}
	if resp, err := ask("/"); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	l.stop()
	if resp, err := ask("/healthz"); err != nil || resp.StatusCode != http.StatusOK {
		t.Error(resp, err)
	}
	if resp, err := ask("/"); err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !resp.Close {
		t.Error(resp, err)
	}
	waitFor(t, "the end of the connection", func() bool { return l.open() == 0 })
}

// TestWhoseTurn: a connection waits but for the time in which an answer is
// owed.
func TestWhoseTurn(t *testing.T) {
	t.Parallel()
	got, reached, goOn := make(chan struct{}), make(chan struct{}), make(chan struct{})
	l := listenWith(t, usualPatience, room{8, 200}, false, func(w http.ResponseWriter, r *http.Request) {
		close(got)
		io.Copy(io.Discard, r.Body)
		close(reached)
		<-goOn
		w.Write([]byte("answer"))
		http.NewResponseController(w).Flush()
		<-goOn
	})
	waiting := func() bool {
		l.gate.mu.Lock()
		defer l.gate.mu.Unlock()
		return l.gate.top == 1
	}
	c := dial(t, l)
	waitFor(t, "the connection", waiting)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
	if <-got; !waiting() {
		t.Error("it is our turn before the request is there")
	}
	io.WriteString(c, "b")
	if <-reached; waiting() {
		t.Error("it is the client's turn while we think")
	}
	goOn <- struct{}{}
	waitFor(t, "the answer", waiting)
	close(goOn)
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != http.StatusOK {
		t.Error(resp, err)
	}
	waitFor(t, "the next turn", waiting)
	c.Close()
	waitFor(t, "the end", func() bool { return l.open() == 0 && !waiting() })
}
