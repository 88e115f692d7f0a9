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
)

// hasty is a patience for tests: everything that somebody may be waited for is
// over in a moment.
var hasty = patience{
	header: 300 * time.Millisecond, body: 400 * time.Millisecond, idle: 500 * time.Millisecond,
	work: 5 * time.Second, answer: 400 * time.Millisecond, beat: 300 * time.Millisecond, stream: time.Second,
}

// soon is when all of that is over for sure, on a busy machine too.
const soon = 10 * time.Second

// listenWith serves h at a listener with the patience given until the test
// ends.
func listenWith(t *testing.T, p patience, secure bool, h http.HandlerFunc) *listener {
	t.Helper()
	said := new(spoken)
	s := (&app{stderr: said}).newService(Sources{})
	s.cfg, s.room, s.patience, s.failed = &Config{}, room{8, 200}, p, make(chan error, 1)
	var files *TLS
	if secure {
		dir := t.TempDir()
		files = &TLS{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
		for name, data := range map[string][]byte{files.Cert: pems().cert, files.Key: pems().key} {
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
		w.Write(long)
	}
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" // the beginning of a TLS handshake
	tests := map[string]struct {
		secure bool
		sends  string
	}{
		"nothing":                   {false, ""},
		"half a line":               {false, "GET /"},
		"half a header":             {false, "GET / HTTP/1.1\r\nHost: x\r\n"},
		"half a body":               {false, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"},
		"half a chunk":              {false, "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nabc"},
		"a body after asking":       {false, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"},
		"no second request":         {false, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"},
		"an answer unread":          {false, get("/")},
		"many unread":               {false, strings.Repeat(get("/"), 1000)},
		"an export unread":          {false, get("/admin/v1/export")},
		"events unread":             {false, get("/dev/phone/events")},
		"nothing, TLS":              {true, ""},
		"half a handshake":          {true, hello},
		"no TLS":                    {true, get("/")},
		"a lot of what is no TLS":   {true, strings.Repeat("a", 100_000)},
		"unread, and a bad request": {false, strings.Repeat(get("/"), 10) + "NONSENSE\r\n\r\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listenWith(t, hasty, tt.secure, h)
			var all []*net.TCPConn
			for range 20 {
				c := dial(t, l)
				c.SetReadBuffer(4 << 10)
				go io.WriteString(c, tt.sends)
				all = append(all, c)
			}
			waitFor(t, "the end of every connection", func() bool {
				return !slices.ContainsFunc(all, func(c *net.TCPConn) bool { return !cut(c) }) && l.open() == 0
			})
		})
	}
}

// TestAnswersInTime: what a client takes slowly, but takes, it gets whole.
func TestAnswersInTime(t *testing.T) {
	t.Parallel()
	part := bytes.Repeat([]byte("x"), 16<<10)
	var cut atomic.Bool
	var written atomic.Int64
	l := listenWith(t, hasty, false, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/held": // for longer than an answer may take
			time.Sleep(2 * hasty.answer)
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
				case <-time.After(10 * time.Millisecond):
				}
			}
		case "/endless":
			for !cut.Load() {
				n, err := w.Write(part)
				if written.Add(int64(n)); err != nil {
					cut.Store(true)
				}
			}
		}
	})
	url := "http://" + l.ln.Addr().String()
	get := func(path string, pause time.Duration) (string, error) {
		resp, err := (&http.Client{Timeout: soon}).Get(url + path)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		var all strings.Builder
		buf := make([]byte, 32<<10)
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
	text, err := get("/admin/v1/export", 10*time.Millisecond)
	if took := time.Since(began); err != nil || !strings.HasSuffix(text, "trailer") || took < 2*hasty.answer {
		t.Errorf("a slow export: %d bytes in %v, %v", len(text), took, err)
	}
	for range 2 { // the page asks again
		began = time.Now()
		text, err = get("/dev/phone/events", 0)
		if took := time.Since(began); err != nil || !strings.HasPrefix(text, "data: x\n\n") || took < hasty.stream/2 {
			t.Errorf("events: %d bytes in %v, %v", len(text), took, err)
		}
	}
	if text, err = get("/endless", 50*time.Millisecond); err == nil {
		t.Errorf("an answer without end ended after %d bytes as if it were whole", len(text))
	}
	waitFor(t, "the end of the handler", cut.Load)

	cut.Store(false)
	written.Store(0)
	c := dial(t, l)
	c.SetReadBuffer(4 << 10)
	io.WriteString(c, "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
	waitFor(t, "the end of an answer that nobody reads", cut.Load)
	if n := written.Load(); n > 1<<20 {
		t.Errorf("%d bytes are kept for a client that reads none", n)
	}
}

// TestStreamsEnd: a connection of HTTP/2 may have 32 requests at a time, and
// each ends whatever the client leaves undone.
func TestStreamsEnd(t *testing.T) {
	t.Parallel()
	var running, most atomic.Int64
	l := listenWith(t, hasty, true, func(w http.ResponseWriter, r *http.Request) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Write(bytes.Repeat([]byte("x"), 1<<20))
	})
	addr := l.ln.Addr().String()
	idle := func() bool { return running.Load() == 0 }

	h := dialH2(t, addr)
	settings, err := h.until(frameSettings, 0, soon)
	if err != nil || !bytes.Contains(settings, []byte{0, settingStreams, 0, 0, 0, maxStreams}) {
		t.Errorf("settings %x, %v, want at most %d streams", settings, err, maxStreams)
	}
	for range 100 {
		if _, err := h.request(http.MethodGet, "/", endStream); err != nil {
			t.Fatal(err)
		}
	}
	ended := map[uint32]bool{}
	for end := time.Now().Add(soon); len(ended) < 100 && time.Now().Before(end); {
		kind, stream, _, err := h.read(time.Until(end))
		if err != nil {
			t.Fatal(err)
		}
		if kind == frameReset {
			ended[stream] = true
		}
	}
	if len(ended) != 100 || most.Load() > maxStreams {
		t.Errorf("%d of 100 answers that got no window are over; %d ran at a time", len(ended), most.Load())
	}
	waitFor(t, "the end of every handler", idle)

	stream, err := h.request(http.MethodPost, "/", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.until(frameHeaders, stream, soon); err != nil {
		t.Errorf("a body that does not come: %v", err)
	}

	// One that reads nothing at all, not even what the protocol itself says.
	deaf := dialH2(t, addr)
	deaf.Write(frame(frameSettings, 0, 0, []byte{0, settingWindow, 0x7f, 0xff, 0xff, 0xff}))
	deaf.Write(frame(frameWindow, 0, 0, []byte{0x7f, 0, 0, 0}))
	for range 20 {
		deaf.request(http.MethodGet, "/", endStream)
	}
	waitFor(t, "the requests", func() bool { return running.Load() > 0 })
	waitFor(t, "the end of every handler", idle)
	waitFor(t, "the end of every connection", func() bool { return l.open() == 0 })
}

// TestStopping: what comes while the service stops is sent to another process,
// but for who asks how it is.
func TestStopping(t *testing.T) {
	t.Parallel()
	l := listenWith(t, usualPatience, false, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "answer") })
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
	l := listenWith(t, usualPatience, false, func(w http.ResponseWriter, r *http.Request) {
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
