package ciba_test

import (
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/ciba"
	"ringback/consent"
	"ringback/outbound"
	"ringback/outbound/outboundtest"
)

// canary stands in everything that must not be repeated.
const canary = "canary-of-the-other-server"

// elsewhere is somebody's server, by names below example.com, which all lead to
// it. Of them agent.example.com may be called at its port.
type elsewhere struct {
	t     testing.TB
	port  string
	names *outboundtest.Names
	cfg   outbound.Config
	mu    sync.Mutex
	pages map[string]http.HandlerFunc // by path
	asked map[string]int
}

func newElsewhere(t testing.TB) *elsewhere {
	e := &elsewhere{t: t, pages: map[string]http.HandlerFunc{}, asked: map[string]int{}}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(e.serve))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	_, e.port, _ = net.SplitHostPort(srv.Listener.Addr().String())
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	e.names = &outboundtest.Names{Answer: outboundtest.Always("127.0.0.1")}
	e.cfg = outbound.Config{Allow: []string{"agent.example.com:" + e.port, "other.example.com:" + e.port}, RootCAs: roots, Resolver: e.names.Resolver(t)}
	return e
}

func (e *elsewhere) serve(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	page := e.pages[r.URL.Path]
	e.asked[r.URL.Path]++
	e.mu.Unlock()
	w.Header().Set("X-Canary", canary)
	w.Header().Set("Content-Type", "application/json")
	if page == nil {
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, canary)
		return
	}
	page(w, r)
}

// url is the address of a page.
func (e *elsewhere) url(path string) string { return "https://agent.example.com:" + e.port + path }

// set puts a page at a path and returns its address.
func (e *elsewhere) set(path string, page http.HandlerFunc) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pages[path] = page
	return e.url(path)
}

// say puts JSON at a path, with header fields "name", "value", ….
func (e *elsewhere) say(path string, v any, header ...string) string {
	e.t.Helper()
	body, ok := v.([]byte)
	if !ok {
		var err error
		if body, err = json.Marshal(v); err != nil {
			e.t.Fatal(err)
		}
	}
	return e.set(path, func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Write(body)
	})
}

// fail lets a path answer with a status.
func (e *elsewhere) fail(path string, status int) {
	e.set(path, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, canary)
	})
}

// times is how often a path was asked for.
func (e *elsewhere) times(path string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked[path]
}

// slug makes of a row's name what a path or a client_id may have.
func slug(name string) string { return strings.NewReplacer(" ", "-", ":", "").Replace(name) }

// drip is a page that comes drop by drop and never ends.
func drip(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		io.WriteString(w, " ")
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// bad puts a page there for each rule that an answer can break, but for those of
// its content and the time it takes, and returns their addresses by name: "rule:
// what". good is what would be right there but for that.
func (e *elsewhere) bad(dir string, good []byte) map[string]string {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(append(bytes.Repeat([]byte(" "), 10<<20), good...))
	z.Close()
	typed := func(typ string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", typ)
			w.Write(good)
		}
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", e.url(dir+"/good"))
			w.WriteHeader(code)
			w.Write(good)
		}
	}
	e.say(dir+"/good", good)
	out := map[string]string{
		"address: a name that leads inside": "https://inside.example.com" + dir,
		"port: another port":                "https://third.example.com:" + e.port + dir,
		"literal: an address":               "https://127.0.0.1" + dir,
		"scheme: without TLS":               "http://agent.example.com:" + e.port + dir,
		"unreachable: no such name":         "https://nobody.example.com" + dir,
	}
	e.names.Answer = func(name string) []netip.Addr {
		if name == "nobody.example.com" {
			return nil
		}
		return outboundtest.Always("127.0.0.1")(name)
	}
	for name, page := range map[string]http.HandlerFunc{
		"too_large: without end": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat(" ", 1<<10)); err != nil {
					return
				}
			}
		},
		"too_large: one byte more": func(w http.ResponseWriter, _ *http.Request) {
			w.Write(append(bytes.Repeat([]byte(" "), 64<<10+1-len(good)), good...))
		},
		"too_large: a bomb": func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat(bomb.Bytes(), 7)) },
		"encoding: a bomb that says so": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(bomb.Bytes())
		},
		"redirect: to where it stands":         status(http.StatusFound),
		"redirect: for ever":                   status(http.StatusPermanentRedirect),
		"status: not found":                    status(http.StatusNotFound),
		"status: created":                      status(http.StatusCreated),
		"status: a fault":                      status(http.StatusBadGateway),
		"media_type: a page":                   typed("text/html"),
		"media_type: text":                     typed("text/plain; charset=utf-8"),
		"media_type: JSON as text":             typed("text/json"),
		"syntax: no JSON":                      func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>"+canary) },
		"syntax: cut off":                      func(w http.ResponseWriter, _ *http.Request) { w.Write(good[:len(good)-2]) },
		"syntax: something after it":           func(w http.ResponseWriter, _ *http.Request) { w.Write(append(good[:len(good):len(good)], "{}"...)) },
		"no_answer: the connection is cut off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		out[name] = e.set(dir+"/"+slug(name), page)
	}
	return out
}

// unfetched checks an answer that names a rule, and its line in the log.
func (h *house) unfetched(name string, res *response, client, says string) {
	h.t.Helper()
	h.refused(name, res, http.StatusUnauthorized, ciba.InvalidClient, says)
	_, says, _ = strings.Cut(says, "refused")
	lines := 0
	for line := range strings.Lines(h.logged()) {
		var l struct{ Level, Client, Err string }
		if json.Unmarshal([]byte(line), &l) == nil && l.Level == "WARN" && l.Client == client && strings.HasPrefix(l.Err, "refused"+says) {
			lines++
		}
	}
	if lines != 1 {
		h.t.Errorf("%s: %d lines of the log name the rule, want 1", name, lines)
	}
	if strings.Contains(res.raw+h.logged(), canary) {
		h.t.Errorf("%s: what the other server sent is repeated: %s", name, res.raw)
	}
}

// byURI is a client of private_key_jwt whose keys stand at an address.
func byURI(id, uri string, change ...func(*consent.Client)) consent.Client {
	return client(id, append([]func(*consent.Client){func(c *consent.Client) {
		c.AuthMethod, c.SecretHashes, c.JWKSURI = "private_key_jwt", nil, uri
	}}, change...)...)
}
