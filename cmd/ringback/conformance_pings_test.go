//go:build e2e

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// pingEndpoint is the suite's: it answers by the bearer that it is given.
type pingEndpoint struct {
	server *httptest.Server
	mu     sync.Mutex
	plans  map[string]*pinged
}

// pinged is what happens to the pings of one request.
type pinged struct {
	status   int
	location string
	body     string
	arrived  chan *http.Request
	got      []map[string]any
	count    int
}

func newPingEndpoint(t *testing.T) *pingEndpoint {
	e := &pingEndpoint{plans: map[string]*pinged{}}
	e.server = httptest.NewUnstartedServer(http.HandlerFunc(e.serve))
	t.Cleanup(e.server.Close)
	return e
}

// expect says how pings with a bearer are answered.
func (e *pingEndpoint) expect(bearer string, p *pinged) *pinged {
	p.arrived = make(chan *http.Request, 16)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.plans[bearer] = p
	return p
}

func (e *pingEndpoint) serve(w http.ResponseWriter, r *http.Request) {
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	var body map[string]any
	json.NewDecoder(r.Body).Decode(&body)
	e.mu.Lock()
	p := e.plans[bearer]
	if p != nil {
		p.count++
		p.got = append(p.got, body)
	}
	e.mu.Unlock()
	if p == nil || r.URL.Path != "/test/a/ringback/ciba-notification-endpoint" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if p.location != "" {
		w.Header().Set("Location", p.location)
	}
	w.WriteHeader(p.status)
	io.WriteString(w, p.body)
	p.arrived <- r
}

func (e *pingEndpoint) counted(p *pinged) (int, map[string]any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(p.got) == 0 {
		return p.count, nil
	}
	return p.count, p.got[0]
}
