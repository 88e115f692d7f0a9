package flood

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"ringback/deploy/faults/agent"
)

// Client returns an HTTP client over which an agent polls. It takes any
// certificate: whose it is does not matter here.
func Client(kept bool) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: !kept,
	}}
}

// Polls is what became of an agent's polls.
type Polls struct {
	Done    int
	Slowest time.Duration
	Missed  []error // what was not answered
}

// missedMost ends polling: it has been seen by then.
const missedMost = 5

// Poll polls requests in turn from 127.0.0.1 until the context ends, half of the
// times over a new connection, and every tenth time to be held.
func Poll(ctx context.Context, service string, handles []string) (p Polls) {
	a := agent.New(service, nil)
	kept := Client(true)
	defer kept.CloseIdleConnections()
	for ; ctx.Err() == nil && len(p.Missed) < missedMost; p.Done++ {
		a.HTTP = kept
		if p.Done%2 == 1 {
			a.HTTP = Client(false)
		}
		wait := 0
		if p.Done%10 == 0 {
			wait = 1
		}
		began := time.Now()
		r := a.Poll(context.WithoutCancel(ctx), handles[p.Done%len(handles)], wait)
		p.Slowest = max(p.Slowest, time.Since(began))
		if !r.Pending() {
			p.Missed = append(p.Missed, fmt.Errorf("poll %d, after %v: %v", p.Done, time.Since(began), r))
		}
	}
	return p
}
