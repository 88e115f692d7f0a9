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
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringback/outbound/outboundtest"
)

func isJSON(typ string) bool { return typ == "application/json" }

// ruleBy is the rule that a fetch was refused by.
func ruleBy(t testing.TB, err error) string {
	t.Helper()
	var refused *FetchError
	if err == nil {
		return ""
	}
	if !errors.As(err, &refused) {
		t.Fatalf("Fetch = %v, want a FetchError", err)
	}
	return refused.Rule
}

// TestFetch: every rule is named, and nothing that the other server sent stands
// in what is said about it.
func TestFetch(t *testing.T) {
	t.Parallel()
	const canary = "canary-of-the-body"
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(make([]byte, 10<<20))
	z.Close()
	var hops atomic.Int64
	gone := make(chan struct{})
	t.Cleanup(func() { close(gone) })
	s := serveAt(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		set := w.Header().Set
		set("Content-Type", "application/json")
		set("Location", "/hop")
		switch r.URL.Path {
		case "/hop":
			hops.Add(1)
		case "/good":
			if r.Method != http.MethodGet || r.Header.Get("Accept-Encoding") != "" {
				t.Errorf("asked by %s, %v", r.Method, r.Header)
			}
			io.WriteString(w, `{}`)
		case "/charset":
			set("Content-Type", "Application/JSON; charset=utf-8")
			io.WriteString(w, `{}`)
		case "/identity":
			set("Content-Encoding", "identity")
			io.WriteString(w, `{}`)
		case "/full":
			w.Write(bytes.Repeat([]byte("a"), 1000))
		case "/over":
			w.Write(bytes.Repeat([]byte("a"), 1001))
		case "/declared":
			set("Content-Length", "99999999")
			io.WriteString(w, canary)
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, canary); err != nil {
					return
				}
			}
		case "/drip":
			for {
				io.WriteString(w, " ")
				w.(http.Flusher).Flush()
				select {
				case <-gone:
					return
				case <-r.Context().Done():
					return
				case <-time.After(10 * time.Millisecond):
				}
			}
		case "/silent":
			select {
			case <-gone:
			case <-r.Context().Done():
			}
		case "/text", "/html", "/none", "/broken", "/more":
			set("Content-Type", map[string]string{"/text": "text/plain", "/html": "text/html; charset=utf-8", "/broken": "application", "/more": "application/json, text/html"}[r.URL.Path])
			if r.URL.Path == "/none" {
				w.Header()["Content-Type"] = nil
			}
			io.WriteString(w, canary)
		case "/twice":
			w.Header().Add("Content-Type", "text/html")
			io.WriteString(w, canary)
		case "/gzip":
			set("Content-Encoding", "gzip")
			w.Write(bomb.Bytes()[:100])
		case "/bomb":
			set("Content-Encoding", "gzip")
			w.Write(bomb.Bytes())
		case "/quiet-bomb":
			w.Write(bomb.Bytes())
		case "/garbage", "/close", "/cut":
			conn, _, _ := w.(http.Hijacker).Hijack()
			io.WriteString(conn, map[string]string{"/garbage": canary + "\r\n", "/cut": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n" + canary}[r.URL.Path])
			conn.Close()
		default:
			var status int
			fmt.Sscanf(r.URL.Path, "/%d", &status)
			w.WriteHeader(status)
			io.WriteString(w, canary)
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	l.Close()
	rows := []struct {
		url, rule string
		temporary bool
	}{
		{"/good", "", false}, {"/charset", "", false}, {"/identity", "", false}, {"/full", "", false},
		{"/over", RuleTooLarge, false}, {"/declared", RuleTooLarge, false}, {"/endless", RuleTooLarge, false}, {"/quiet-bomb", RuleTooLarge, false},
		{"/drip", RuleTooSlow, true}, {"/silent", RuleTooSlow, true},
		{"/text", RuleMediaType, false}, {"/html", RuleMediaType, false}, {"/none", RuleMediaType, false}, {"/broken", RuleMediaType, false}, {"/more", RuleMediaType, false}, {"/twice", RuleMediaType, false},
		{"/gzip", RuleEncoding, false}, {"/bomb", RuleEncoding, false},
		{"/garbage", RuleNoAnswer, true}, {"/close", RuleNoAnswer, true}, {"/cut", RuleNoAnswer, true},
		{"/300", RuleRedirect, false}, {"/301", RuleRedirect, false}, {"/302", RuleRedirect, false}, {"/303", RuleRedirect, false}, {"/304", RuleRedirect, false}, {"/307", RuleRedirect, false}, {"/308", RuleRedirect, false},
		{"/201", RuleStatus, false}, {"/204", RuleStatus, false}, {"/206", RuleStatus, false}, {"/401", RuleStatus, false}, {"/404", RuleStatus, false}, {"/410", RuleStatus, false},
		{"/429", RuleStatus, true}, {"/500", RuleStatus, true}, {"/503", RuleStatus, true},
		{closed, RuleUnreachable, true},
		{"http://10.0.0.1/", RuleScheme, false}, {"https://10.0.0.1/", RuleLiteral, false}, {"https://10.0.0.1.example:22/x", RuleUnreachable, true}, {"https://u@x.example/", RuleUserinfo, false}, {"https://x.example/#f", RuleURL, false}, {"", RuleURL, false}, {":", RuleURL, false}, {"https://x_y.example/", RuleHost, false},
	}
	nobody := &outboundtest.Names{Answer: func(string) []netip.Addr { return nil }}
	c := inside(t, Config{MaxBody: 10, Timeout: 300 * time.Millisecond, Resolver: nobody.Resolver(t)}) // Fetch has its own bound
	for _, row := range rows {
		t.Run(row.url, func(t *testing.T) {
			t.Parallel()
			url := row.url
			if strings.HasPrefix(url, "/") {
				url = s.URL + url
			}
			res, err := c.Fetch(t.Context(), url, 1000, isJSON)
			if got := ruleBy(t, err); got != row.rule || (res == nil) != (row.rule != "") {
				t.Fatalf("Fetch = %v, %v, want rule %q", res, err, row.rule)
			}
			var refused *FetchError
			if !errors.As(err, &refused) {
				return
			}
			if refused.Temporary() != row.temporary {
				t.Errorf("Temporary of %v = %v", err, refused.Temporary())
			}
			if text := err.Error(); !strings.HasPrefix(text, "refused by rule "+row.rule+" (") || strings.Contains(text, "()") || strings.Contains(text, "canary") {
				t.Errorf("Fetch says %q", text)
			}
		})
	}
	t.Cleanup(func() {
		if hops.Load() != 0 {
			t.Errorf("%d redirects were followed", hops.Load())
		}
	})
}

// TestFetchAddresses: a name that leads inside by each of the special addresses
// is refused by rule address.
func TestFetchAddresses(t *testing.T) {
	t.Parallel()
	for _, s := range refusedAddresses {
		n := &outboundtest.Names{Answer: outboundtest.Always(s)}
		c, err := New(Config{Resolver: n.Resolver(t)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Fetch(t.Context(), "https://target.example/keys", 1000, isJSON); ruleBy(t, err) != RuleAddress {
			t.Errorf("Fetch from a name at %s = %v", s, err)
		}
	}
}

// TestFetchTLS: a certificate of another name or authority is a rule of its
// own.
func TestFetchTLS(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, "{}")
	}))
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	n := &outboundtest.Names{Answer: outboundtest.Always("127.0.0.1")}
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	for _, row := range []struct {
		host, rule string
		roots      *x509.CertPool
	}{{"example.com", "", roots}, {"other.example.net", RuleCertificate, roots}, {"example.com", RuleCertificate, nil}} {
		c := inside(t, Config{RootCAs: row.roots, Resolver: n.Resolver(t)})
		if _, err := c.Fetch(t.Context(), "https://"+row.host+":"+port+"/keys", 1000, isJSON); ruleBy(t, err) != row.rule {
			t.Errorf("Fetch from %s = %v, want rule %q", row.host, err, row.rule)
		}
	}
}

// TestFetchCancelled: what the caller gave up is no failure of the other
// server.
func TestFetchCancelled(t *testing.T) {
	t.Parallel()
	s := serveAt(t, "127.0.0.1:0", func(http.ResponseWriter, *http.Request) {})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := inside(t, Config{}).Fetch(ctx, s.URL, 1000, isJSON); err != context.Canceled {
		t.Errorf("Fetch when cancelled = %v", err)
	}
}

// TestFetchMemory: bodies without end and bombs cost no memory.
func TestFetchMemory(t *testing.T) {
	var bomb bytes.Buffer
	z, _ := gzip.NewWriterLevel(&bomb, gzip.BestSpeed)
	z.Write(make([]byte, 64<<20))
	z.Close()
	s := serveAt(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/gzip" {
			w.Header().Set("Content-Encoding", "gzip")
		}
		for r.Context().Err() == nil {
			if _, err := w.Write(bomb.Bytes()); err != nil {
				return
			}
		}
	})
	c := inside(t, Config{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, path := range []string{"/", "/gzip"} {
		for range 20 {
			if _, err := c.Fetch(t.Context(), s.URL+path, 5<<10, isJSON); err == nil {
				t.Fatalf("Fetch of %s succeeded", path)
			}
		}
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 40*(128<<10) {
		t.Errorf("40 bombs allocated %d bytes", got)
	}
}
