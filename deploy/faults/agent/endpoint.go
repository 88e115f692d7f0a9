package agent

import (
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"ringback/deploy/faults/journal"
)

// NotificationToken is the bearer of every ping to us.
const NotificationToken = "fault-notification-token-0123456789"

// Endpoint takes pings.
type Endpoint struct {
	URL string

	journal *journal.Journal
	srv     *http.Server
	serving sync.WaitGroup

	Hangs atomic.Bool // it takes every ping and answers none

	mu   sync.Mutex
	came map[journal.ID]chan struct{}
}

// Listen starts an endpoint on loopback.
func Listen(j *journal.Journal) (*Endpoint, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e := &Endpoint{URL: "http://" + ln.Addr().String() + "/ping", journal: j, came: map[journal.ID]chan struct{}{}}
	e.srv = &http.Server{Handler: e}
	e.serving.Go(func() { e.srv.Serve(ln) })
	return e, nil
}

// Close ends it.
func (e *Endpoint) Close() {
	e.srv.Close()
	e.serving.Wait()
}

// ServeHTTP takes a ping (CIBA Core §10.2).
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e.Hangs.Load() {
		<-r.Context().Done()
		return
	}
	var ping struct {
		Handle string `json:"auth_req_id"`
	}
	err := json.NewDecoder(r.Body).Decode(&ping)
	id, ok := journal.ParseHandle(ping.Handle)
	if err != nil || !ok || r.Header.Get("Authorization") != "Bearer "+NotificationToken {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	e.journal.Ping(id)
	e.mu.Lock()
	defer e.mu.Unlock()
	if news := e.waiting(id); !closed(news) {
		close(news)
	}
	w.WriteHeader(http.StatusNoContent)
}

// Came is closed when a ping about a request has come.
func (e *Endpoint) Came(id journal.ID) <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.waiting(id)
}

// waiting is a request's channel. e.mu is held.
func (e *Endpoint) waiting(id journal.ID) chan struct{} {
	c := e.came[id]
	if c == nil {
		c = make(chan struct{})
		e.came[id] = c
	}
	return c
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
