// Package agent is what asks: an OAuth client that asks persons by CIBA, polls or
// waits for pings, and notes what it was answered.
//
// Start with [New].
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ringback/deploy/faults/journal"
)

// Clients that every development run has.
const (
	Demo       = "demo-agent"
	DemoSecret = "demo-secret-0000"
)

// Agent is one client.
type Agent struct {
	Service    string // base URL
	ID, Secret string
	Journal    *journal.Journal
	Pings      bool // it is told by pings
	HTTP       *http.Client
}

// New returns the agent that every development run knows.
func New(service string, j *journal.Journal) *Agent {
	return &Agent{Service: service, ID: Demo, Secret: DemoSecret, Journal: j, HTTP: Client(256)}
}

// Client returns an HTTP client that keeps so many connections.
func Client(connections int) *http.Client {
	return &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
}

// Reply is an answer of the service.
type Reply struct {
	Status int            // 0: no whole answer came
	Body   map[string]any // of an answer that has one
	Err    error          // why no answer came
}

// Text is a member of the body.
func (r Reply) Text(name string) string { s, _ := r.Body[name].(string); return s }

// String says what was answered, without anything secret.
func (r Reply) String() string {
	if r.Err != nil {
		return r.Err.Error()
	}
	return fmt.Sprintf("%d %s", r.Status, r.Text("error"))
}

// Post posts a form as the agent. An answer that was cut off counts as none.
func (a *Agent) Post(ctx context.Context, path string, form url.Values, header ...string) Reply {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.Service+path, strings.NewReader(form.Encode()))
	if err != nil {
		return Reply{Err: err}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(a.ID, a.Secret)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := a.HTTP.Do(r)
	if err != nil {
		return Reply{Err: err}
	}
	defer resp.Body.Close()
	out := Reply{Status: resp.StatusCode}
	if err := json.NewDecoder(resp.Body).Decode(&out.Body); err != nil && !errors.Is(err, io.EOF) {
		return Reply{Err: fmt.Errorf("an answer of %d that is no JSON: %w", resp.StatusCode, err)}
	}
	return out
}

// Ask asks a person, and notes what was acknowledged.
func (a *Agent) Ask(ctx context.Context, person string, expiry time.Duration) (journal.ID, string, Reply) {
	at := time.Now()
	form := url.Values{"scope": {"openid"}, "login_hint": {person}, "requested_expiry": {strconv.Itoa(int(expiry / time.Second))}}
	if a.Pings {
		form.Set("client_notification_token", NotificationToken)
	}
	r := a.Post(ctx, "/bc-authorize", form)
	handle := r.Text("auth_req_id")
	if r.Status != http.StatusOK || handle == "" {
		return "", "", r
	}
	id := a.Journal.Ask(journal.Asked{Handle: handle, Person: person, At: at, Read: time.Now(), Ends: at.Add(expiry), Pinged: a.Pings})
	return id, handle, r
}

// Poll asks once for the answer, which may be held back for some seconds, and
// notes how the request ended.
func (a *Agent) Poll(ctx context.Context, handle string, wait int) Reply {
	var header []string
	if wait > 0 {
		header = []string{"Prefer", "wait=" + strconv.Itoa(wait)}
	}
	r := a.Post(ctx, "/token", url.Values{"grant_type": {"urn:openid:params:grant-type:ciba"}, "auth_req_id": {handle}}, header...)
	id, ok := journal.ParseHandle(handle)
	if !ok {
		return r
	}
	switch token, code := r.Text("access_token"), r.Text("error"); {
	case r.Status == http.StatusOK && token != "":
		a.Journal.Token(id, token)
	case code == "access_denied" || code == "expired_token":
		a.Journal.Ended(id, code)
	}
	return r
}

// Pending reports whether a poll found nothing yet.
func (r Reply) Pending() bool {
	return r.Text("error") == "authorization_pending" || r.Text("error") == "slow_down"
}

// Decide decides a request at once, as only a development run lets anybody do,
// and notes what was acknowledged.
func (a *Agent) Decide(ctx context.Context, id journal.ID, handle, verb string) Reply {
	action := map[string]string{journal.Approved: "allow", journal.Denied: "deny"}[verb]
	r := a.Post(ctx, "/dev/decide?action="+action+"&auth_req_id="+url.QueryEscape(handle), nil)
	if r.Status == http.StatusNoContent {
		a.Journal.Say(id, verb)
	}
	return r
}

// Withdraw takes a request back (RFC 7009), and notes where that was
// acknowledged.
func (a *Agent) Withdraw(ctx context.Context, id journal.ID, handle string) Reply {
	r := a.Post(ctx, "/revoke", url.Values{"token": {handle}})
	if r.Status == http.StatusOK {
		a.Journal.Say(id, journal.Withdrawn)
	}
	return r
}
