package outbound

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringback/outbound/outboundtest"
)

// serveAt runs a server on a loopback address and port (0: any).
func serveAt(t testing.TB, address string, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// inside returns a client that may reach loopback by plain http.
func inside(t testing.TB, cfg Config) *Client {
	t.Helper()
	cfg.Allow, cfg.AllowHTTP = append(cfg.Allow, "127.0.0.0/8"), true
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func post(t testing.TB, url, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestDo(t *testing.T) {
	t.Parallel()
	s := serveAt(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization")+" "+r.Header.Get("Accept-Encoding")+" "+string(body))
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "thanks")
	})
	req := post(t, s.URL+"/ping", "body")
	req.Header.Set("Authorization", "Bearer x")
	res, err := inside(t, Config{}).Do(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if res.Status != 202 || string(res.Body) != "thanks" || res.Header.Get("X-Seen") != "POST /ping Bearer x  body" {
		t.Errorf("Do = %d %q %q", res.Status, res.Body, res.Header.Get("X-Seen"))
	}
	req.Host = "other.example"
	var refused *RefusedError
	if _, err := inside(t, Config{}).Do(t.Context(), req); !errors.As(err, &refused) {
		t.Errorf("Do with another Host header = %v, want it refused", err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	var sni atomic.Value
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sni.Store(r.TLS.ServerName + " " + r.Host)
	}))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = nil
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	n := &outboundtest.Names{Answer: outboundtest.Always("127.0.0.1")}
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())

	c := inside(t, Config{RootCAs: roots, Resolver: n.Resolver(t)})
	if _, err := c.Do(t.Context(), post(t, "https://example.com:"+port+"/", "")); err != nil {
		t.Fatal(err)
	}
	if want := "example.com example.com:" + port; sni.Load() != want {
		t.Errorf("the server saw %q, want %q", sni.Load(), want)
	}
	for _, q := range n.Questions() {
		if q != "example.com" {
			t.Errorf("a name server was asked for %q", q)
		}
	}
	_, err := c.Do(t.Context(), post(t, "https://other.example.net:"+port+"/", ""))
	if err == nil || !IsConnect(err) {
		t.Errorf("Do with a certificate for another name = %v, want a connect error", err)
	}
	_, err = inside(t, Config{Resolver: n.Resolver(t)}).Do(t.Context(), post(t, "https://example.com:"+port+"/", ""))
	if err == nil || !IsConnect(err) {
		t.Errorf("Do with an unknown authority = %v, want a connect error", err)
	}
}

// TestRebinding: a name server that answers by turns with an address that may
// be reached and one inside gets nobody inside.
func TestRebinding(t *testing.T) {
	t.Parallel()
	var inner, outer atomic.Int64
	outside := serveAt(t, "127.0.0.2:0", func(w http.ResponseWriter, r *http.Request) {
		outer.Add(1)
		w.Header().Set("Connection", "close")
	})
	_, port, _ := net.SplitHostPort(outside.Listener.Addr().String())
	serveAt(t, "127.0.0.1:"+port, func(http.ResponseWriter, *http.Request) { inner.Add(1) })

	var turn atomic.Int64
	n := &outboundtest.Names{Answer: func(string) []netip.Addr {
		switch turn.Add(1) % 4 {
		case 0, 1:
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		case 2:
			return []netip.Addr{netip.MustParseAddr("127.0.0.2")}
		default:
			return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")}
		}
	}}
	c, err := New(Config{Allow: []string{"127.0.0.2/32"}, AllowHTTP: true, Resolver: n.Resolver(t)})
	if err != nil {
		t.Fatal(err)
	}
	refusals := 0
	for range 1000 {
		var refused *RefusedError
		if _, err := c.Do(t.Context(), post(t, "http://rebind.example:"+port+"/", "x")); errors.As(err, &refused) {
			refusals++
		}
	}
	if inner.Load() != 0 {
		t.Errorf("the server inside was reached %d times", inner.Load())
	}
	if outer.Load() == 0 || refusals == 0 {
		t.Errorf("%d reached, %d refused; the test shows nothing", outer.Load(), refusals)
	}
}

func TestRedirectsAreAnswers(t *testing.T) {
	t.Parallel()
	var hops atomic.Int64
	goal := serveAt(t, "127.0.0.1:0", func(http.ResponseWriter, *http.Request) { hops.Add(1) })
	s := serveAt(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		var status int
		fmt.Sscan(r.URL.Query().Get("status"), &status)
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.Header().Set("Refresh", "0; url="+r.URL.Query().Get("to"))
		w.WriteHeader(status)
	})
	c := inside(t, Config{})
	for _, status := range []int{300, 301, 302, 303, 304, 305, 307, 308} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead} {
			for _, to := range []string{goal.URL, "/again", "//" + strings.TrimPrefix(goal.URL, "http://"), "https://169.254.169.254/", "file:///etc/passwd", ""} {
				req, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/?status="+fmt.Sprint(status)+"&to="+to, nil)
				if err != nil {
					t.Fatal(err)
				}
				res, err := c.Do(t.Context(), req)
				if err != nil || res.Status != status {
					t.Errorf("%s answered with %d to %q: Do = %+v, %v", method, status, to, res, err)
				}
			}
		}
	}
	if hops.Load() != 0 {
		t.Errorf("%d redirects were followed", hops.Load())
	}
}

func TestNoProxy(t *testing.T) {
	var asked atomic.Int64
	proxy := serveAt(t, "127.0.0.1:0", func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	s := serveAt(t, "127.0.0.3:0", func(http.ResponseWriter, *http.Request) {})
	if _, err := inside(t, Config{}).Do(t.Context(), post(t, s.URL, "")); err != nil {
		t.Fatal(err)
	}
	if asked.Load() != 0 {
		t.Error("a proxy of the environment was used")
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(make([]byte, 10<<20))
	z.Close()
	gone := make(chan struct{})
	t.Cleanup(func() { close(gone) })
	s := serveAt(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fits":
			w.Write(bytes.Repeat([]byte("a"), 1000))
		case "/declared":
			w.Header().Set("Content-Length", "99999999")
			w.Write([]byte("a"))
		case "/over":
			w.Write(bytes.Repeat([]byte("a"), 1001))
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		case "/slow":
			w.WriteHeader(http.StatusTeapot)
			for r.Context().Err() == nil {
				w.Write([]byte("a"))
				w.(http.Flusher).Flush()
				select {
				case <-gone:
					return
				case <-time.After(time.Millisecond * 20):
				}
			}
		case "/silent":
			select {
			case <-gone:
			case <-r.Context().Done():
			}
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(bomb.Bytes()[:900])
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(bomb.Bytes())
		case "/headers":
			for n := range 100 {
				w.Header().Set(fmt.Sprint("X-", n), strings.Repeat("a", 1000))
			}
		case "/cut":
			conn, _, _ := w.(http.Hijacker).Hijack()
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
			conn.Close()
		case "/garbage":
			conn, _, _ := w.(http.Hijacker).Hijack()
			io.WriteString(conn, "SSH-2.0-OpenSSH\r\n")
			conn.Close()
		case "/close":
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Close()
		}
	})
	rows := []struct {
		path    string
		status  int // 0: no response
		body    int
		tooLong bool
		fails   bool
	}{
		{"/fits", 200, 1000, false, false},
		{"/declared", 200, 0, true, true},
		{"/over", 200, 0, true, true},
		{"/endless", 200, 0, true, true},
		{"/slow", 418, 0, false, true},
		{"/silent", 0, 0, false, true},
		{"/gzip", 200, 900, false, false},
		{"/bomb", 200, 0, true, true},
		{"/headers", 0, 0, false, true},
		{"/cut", 200, 0, false, true},
		{"/garbage", 0, 0, false, true},
		{"/close", 0, 0, false, true},
	}
	for _, row := range rows {
		t.Run(row.path[1:], func(t *testing.T) {
			t.Parallel()
			c := inside(t, Config{MaxBody: 1000, Timeout: 300 * time.Millisecond})
			res, err := c.Do(t.Context(), post(t, s.URL+row.path, ""))
			if (err != nil) != row.fails || errors.Is(err, ErrTooLong) != row.tooLong {
				t.Errorf("Do = %v, want an error: %v, ErrTooLong: %v", err, row.fails, row.tooLong)
			}
			if IsConnect(err) {
				t.Errorf("IsConnect(%v) = true, but the request was sent", err)
			}
			if (res != nil) != (row.status != 0) || res != nil && (res.Status != row.status || len(res.Body) != row.body) {
				t.Errorf("Do = %+v, want status %d and %d bytes", res, row.status, row.body)
			}
		})
	}
}

func TestIsConnect(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	l.Close()
	n := &outboundtest.Names{Answer: func(string) []netip.Addr { return nil }}
	c := inside(t, Config{Resolver: n.Resolver(t)})
	for name, url := range map[string]string{"refused": closed, "no such name": "https://nobody.example/"} {
		if _, err := c.Do(t.Context(), post(t, url, "x")); !IsConnect(err) {
			t.Errorf("%s: IsConnect(%v) = false", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Do(ctx, post(t, closed, "x")); !IsConnect(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("Do when cancelled = %v", err)
	}
	if IsConnect(nil) || IsConnect(errors.New("x")) {
		t.Error("IsConnect of another error = true")
	}
}
