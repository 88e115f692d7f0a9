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
	b.Run("secret", func(b *testing.B) { pollPending(b, client("agent"), nil) })
	key := newSigner(b, "ES256", "k")
	b.Run("key", func(b *testing.B) { pollPending(b, keyed("agent", key), key) })
}

// pollPending measures polls of a client, which has a key or the usual secret.
func pollPending(b *testing.B, agent consent.Client, key *signer) {
	h := open(b)
	const requests, persons = 4000, 200
	many := make([]consent.Person, persons)
	for i := range many {
		many[i].ID = "user-" + strconv.Itoa(i)
	}
	if err := h.SetFile([]consent.Client{agent}, many, nil); err != nil {
		b.Fatal(err)
	}
	bodies := make([]string, requests)
	var wg sync.WaitGroup
	for worker := range 32 {
		wg.Go(func() {
			for i := worker; i < requests; i += 32 {
				v := []string{"scope", "openid", "requested_expiry", "3600", "login_hint", many[i%persons].ID}
				var ack *response
				if key == nil {
					ack = h.post("/bc-authorize", "agent", params(v...))
				} else {
					ack = h.as(key, "agent", "/bc-authorize", v...)
				}
				bodies[i] = params("grant_type", ciba.GrantCIBA, "auth_req_id", ack.str("auth_req_id")).Encode()
			}
		})
	}
	wg.Wait()
	proofs := make([]string, b.N)
	header := http.Header{"Authorization": {basic("agent", secret)}, "Content-Type": {"application/x-www-form-urlencoded"}}
	template, err := http.NewRequestWithContext(b.Context(), http.MethodPost, h.url+"/token", nil)
	if err != nil {
		b.Fatal(err)
	}
	if key != nil {
		delete(header, "Authorization")
		for i := range proofs {
			proofs[i] = "&" + params(key.assertion(h, "agent")...).Encode()
		}
	}
	template.Header = header
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if i%requests == 0 { // a round of all requests takes their interval
			h.forward(5 * time.Second)
		}
		r := *template
		body := bodies[i%requests] + proofs[i]
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		w := sink{header: make(http.Header, 4)}
		h.echo.ServeHTTP(&w, &r)
		if w.status != http.StatusBadRequest {
			b.Fatal(w.status)
		}
	}
}
