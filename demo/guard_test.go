package demo_test

import (
	"net/http"
	"strings"
	"testing"
)

func host(h string) func(*http.Request)   { return func(r *http.Request) { r.Host = h } }
func origin(o string) func(*http.Request) { return func(r *http.Request) { r.Header.Set("Origin", o) } }

// routes is every route of the room that answers 200 or 4xx by itself.
var routes = []struct{ method, path string }{
	{"GET", "/dev/phone"}, {"GET", "/dev/phone.css"}, {"GET", "/dev/phone.js"}, {"GET", "/dev/outbox"},
	{"POST", "/dev/phone/reply"}, {"POST", "/dev/decide"},
}

// TestHost: a name that somebody rebinds to this machine is not ours.
func TestHost(t *testing.T) {
	t.Parallel()
	newHouse(t).guards(host, map[string]bool{
		"127.0.0.1:8663": true, "127.9.9.9:1": true, "localhost:8663": true, "[::1]:8663": true, "ringback.test:8663": true,
		"RINGBACK.test:8663": true, "localhost": true, "127.0.0.1": true, "[::1]": true,
		"evil.example": false, "evil.example:8663": false, "ringback.test": false, "ringback.test:80": false,
		"localhost.evil.example:8663": false, "127.0.0.1.evil.example:8663": false, "notlocalhost:8663": false,
		"10.0.0.1:8663": false, "0.0.0.0:8663": false, "[::ffff:10.0.0.1]:8663": false,
	})
}

// TestOrigin: a foreign page may not use the room.
func TestOrigin(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.guards(origin, map[string]bool{
		h.url: true, "http://localhost:8663": true, "http://[::1]:8663": true, "http://ringback.test:8663": true,
		"https://evil.example": false, "null": false, "http://localhost.evil.example:8663": false,
		"http://127.0.0.1:8663@evil.example": false, "http://evil.example#@127.0.0.1:8663": false, "://": false, "127.0.0.1:8663": false,
	})
}

// guards checks for each value of a header whether it is taken for ours; one
// that is not is refused by every route.
func (h *house) guards(set func(string) func(*http.Request), values map[string]bool) {
	h.t.Helper()
	for value, ours := range values {
		if ours {
			h.want(http.StatusOK, "GET", "/dev/outbox", nil, set(value))
			continue
		}
		h.want(http.StatusForbidden, "GET", "/dev/phone/events", nil, set(value))
		for _, r := range routes {
			if a := h.call(r.method, r.path, nil, set(value)); a.status != http.StatusForbidden {
				h.t.Errorf("%s %s from %q = %d %s, want 403", r.method, r.path, value, a.status, a.body)
			}
		}
	}
}

// TestPageHeaders: the page may load and call nothing but its own origin, and
// nobody may frame or cache it.
func TestPageHeaders(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, r := range routes {
		a := h.call(r.method, r.path, nil)
		policy := a.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the Content-Security-Policy lacks %s: %q", r.path, want, policy)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
			t.Errorf("%s: the Content-Security-Policy is open: %q", r.path, policy)
		}
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Access-Control-Allow-Origin": ""} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %s = %q, want %q", r.path, name, got, want)
			}
		}
	}
}
