package ciba_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/ciba"
	"ringback/consent"
)

// sink is a response that nobody reads.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }

// BenchmarkPollPending is a poll that is answered authorization_pending, all
// of it but net/http's part.
func BenchmarkPollPending(b *testing.B) {
	h := open(b)
	const requests, persons = 4000, 200
	many := make([]consent.Person, persons)
	for i := range many {
		many[i].ID = "user-" + strconv.Itoa(i)
	}
	if err := h.SetFile([]consent.Client{client("agent")}, many, nil); err != nil {
		b.Fatal(err)
	}
	bodies := make([]string, requests)
	var wg sync.WaitGroup
	for worker := range 32 {
		wg.Go(func() {
			for i := worker; i < requests; i += 32 {
				ack := h.ask("agent", "requested_expiry", "3600", "login_hint", many[i%persons].ID)
				bodies[i] = params("grant_type", ciba.GrantCIBA, "auth_req_id", ack.str("auth_req_id")).Encode()
			}
		})
	}
	wg.Wait()
	header := http.Header{"Authorization": {basic("agent", secret)}, "Content-Type": {"application/x-www-form-urlencoded"}}
	template, err := http.NewRequestWithContext(b.Context(), http.MethodPost, h.url+"/token", nil)
	if err != nil {
		b.Fatal(err)
	}
	template.Header = header
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if i%requests == 0 { // a round of all requests takes their interval
			h.forward(5 * time.Second)
		}
		r := *template
		body := bodies[i%requests]
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		w := sink{header: make(http.Header, 4)}
		h.echo.ServeHTTP(&w, &r)
		if w.status != http.StatusBadRequest {
			b.Fatal(w.status)
		}
	}
}
