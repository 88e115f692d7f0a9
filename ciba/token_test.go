package ciba_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"ringback/ciba"
	"ringback/consent"
)

// TestPoll: CIBA Core §11, from pending to redeemed.
func TestPoll(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.ask("agent").str("auth_req_id")
	h.refused("pending", h.poll("agent", id), http.StatusBadRequest, ciba.AuthorizationPending, "")
	h.forward(5 * time.Second)
	h.refused("still pending", h.send(http.MethodPost, "/oauth/token", params("grant_type", ciba.GrantCIBA, "auth_req_id", id, "client_id", "agent", "client_secret", secret).Encode()),
		http.StatusBadRequest, ciba.AuthorizationPending, "")
	h.decide(h.pending().Request.ID, consent.Approved)
	res := h.poll("agent", id) // at once: what is resolved is not throttled
	if res.status != http.StatusOK {
		t.Fatalf("redeeming: %d %s", res.status, res.raw)
	}
	h.sealed("token response", res)
	if res.header.Get("Pragma") != "no-cache" {
		t.Error("token response without Pragma: no-cache")
	}
	for range 3 {
		h.refused("redeemed", h.poll("agent", id), http.StatusBadRequest, ciba.InvalidGrant, "auth_req_id")
	}
}

// TestTokenRequest: RFC 6749 §5.2, CIBA Core §10.1 and §11.
func TestTokenRequest(t *testing.T) {
	t.Parallel()
	h := open(t,
		client("push", func(c *consent.Client) {
			c.Mode, c.NotificationEndpoint = consent.Push, "https://push.example/cb"
		}),
		client("reader", func(c *consent.Client) { c.GrantTypes = []string{"client_credentials"} }),
	)
	id := h.ask("agent").str("auth_req_id")
	before := h.facts()
	last := byte('A')
	if id[len(id)-1] == last {
		last = 'B'
	}
	forged := id[:len(id)-1] + string(last)
	for _, tt := range []struct {
		name, client, grant, id string
		code                    ciba.Code
		says                    string
	}{
		{"no grant", "agent", "", id, ciba.InvalidRequest, "grant_type: "},
		{"another grant", "agent", "password", id, ciba.UnsupportedGrantType, "grant_type: "},
		{"push client", "push", ciba.GrantCIBA, id, ciba.UnauthorizedClient, "push"},
		{"client of another grant", "reader", ciba.GrantCIBA, id, ciba.UnauthorizedClient, "grant"},
		{"no auth_req_id", "agent", ciba.GrantCIBA, "", ciba.InvalidRequest, "auth_req_id: "},
		{"made up", "agent", ciba.GrantCIBA, "1c266114-a1be-4252-8ad1-04986c5b9ac1", ciba.InvalidGrant, "auth_req_id"},
		{"forged", "agent", ciba.GrantCIBA, forged, ciba.InvalidGrant, "auth_req_id"},
		{"longer", "agent", ciba.GrantCIBA, id + "A", ciba.InvalidGrant, "auth_req_id"},
		{"of another client", "other", ciba.GrantCIBA, id, ciba.InvalidGrant, "auth_req_id"},
	} {
		res := h.post("/token", tt.client, params("grant_type", tt.grant, "auth_req_id", tt.id))
		h.refused(tt.name, res, http.StatusBadRequest, tt.code, tt.says)
	}
	if after := h.facts(); after != before {
		t.Errorf("%d facts were stored", after-before)
	}
	h.refused("the owner was not slowed", h.poll("agent", id), http.StatusBadRequest, ciba.AuthorizationPending, "")
}

// TestEnded: what a poll is told about every other end of a request.
func TestEnded(t *testing.T) {
	t.Parallel()
	h := open(t)
	settle := func(verb consent.SettleVerb) func(id consent.ID) {
		return func(id consent.ID) {
			h.decide(id, consent.Approved)
			if _, err := h.Settle(t.Context(), id, consent.Settlement{V: consent.Version, Verb: verb, At: h.now(), Nonce: "n"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name string
		end  func(id consent.ID)
		code ciba.Code
	}{
		{"denied", func(id consent.ID) { h.decide(id, consent.Denied) }, ciba.AccessDenied},
		{"not me", func(id consent.ID) { h.decide(id, consent.Denied, func(e *consent.Evidence) { e.NotMe = true }) }, ciba.AccessDenied},
		{"withdrawn by the operator", func(id consent.ID) {
			h.decide(id, consent.Withdrawn, func(e *consent.Evidence) { e.By, e.Means = "operator", consent.ByAdmin })
		}, ciba.AccessDenied},
		{"cancelled", settle(consent.Cancelled), ciba.AccessDenied},
		{"lapsed", settle(consent.Lapsed), ciba.ExpiredToken},
		{"redeemed elsewhere", settle(consent.Redeemed), ciba.InvalidGrant},
		{"over", func(consent.ID) { h.forward(301 * time.Second) }, ciba.ExpiredToken},
		{"over for long", func(consent.ID) { h.forward(3 * time.Hour) }, ciba.ExpiredToken},
	} {
		id := h.ask("agent").str("auth_req_id")
		h.poll("agent", id)
		st := h.pending()
		tt.end(st.Request.ID)
		for range 2 {
			h.refused(tt.name, h.poll("agent", id), http.StatusBadRequest, tt.code, "")
			h.refused(tt.name+", another client", h.poll("other", id), http.StatusBadRequest, ciba.InvalidGrant, "")
		}
		if h.state(st.Request.ID).Decided == nil {
			t.Errorf("%s: a terminal answer without a fact", tt.name)
		}
	}
}

// TestTooLate: an approval is redeemable until the later of the request's end
// and a minute after the decision, then never.
func TestTooLate(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, tt := range []struct {
		name         string
		decide, poll time.Duration // after asking
		ok           bool
	}{
		{"before the end", 10 * time.Second, 299 * time.Second, true},
		{"after the end, within the minute", 298 * time.Second, 340 * time.Second, true},
		{"after both", 298 * time.Second, 359 * time.Second, false},
		{"long after", 10 * time.Second, 301 * time.Second, false},
	} {
		id := h.ask("agent").str("auth_req_id")
		request := h.pending().Request.ID
		h.forward(tt.decide)
		h.decide(request, consent.Approved)
		h.forward(tt.poll - tt.decide)
		res := h.poll("agent", id)
		if tt.ok {
			if res.status != http.StatusOK {
				t.Errorf("%s: %d %s", tt.name, res.status, res.raw)
			}
			continue
		}
		h.refused(tt.name, res, http.StatusBadRequest, ciba.ExpiredToken, "auth_req_id: ")
		if s := h.state(request).Settled; s == nil || s.Verb != consent.Lapsed {
			t.Errorf("%s: settled %+v, want lapsed", tt.name, s)
		}
		h.refused(tt.name+", again", h.poll("agent", id), http.StatusBadRequest, ciba.ExpiredToken, "")
	}
}

// TestOwnership: 10 clients × 10 requests. Another client's poll is refused
// whatever the state, and changes nothing: every owner succeeds afterwards.
func TestOwnership(t *testing.T) {
	t.Parallel()
	const n = 10
	var extra []consent.Client
	for i := range n {
		extra = append(extra, client(fmt.Sprintf("c%d", i)))
	}
	h := open(t, extra...)
	ids, requests := make([]string, n), make([]consent.ID, n)
	for i := range n {
		ids[i] = h.ask(extra[i].ID).str("auth_req_id")
		open := h.History(h.Pseudonym("alice")).Open
		requests[i] = open[len(open)-1].ID
	}
	foreign := func(when string) {
		before := h.facts()
		for i := range n {
			for j := range n {
				if i != j {
					h.refused(when, h.poll(extra[i].ID, ids[j]), http.StatusBadRequest, ciba.InvalidGrant, "")
					h.refused(when, h.post("/revoke", extra[i].ID, params("token", ids[j])), http.StatusBadRequest, ciba.InvalidGrant, "")
				}
			}
		}
		if after := h.facts(); after != before {
			t.Errorf("%s: %d facts were stored", when, after-before)
		}
	}
	foreign("pending")
	for i := range n {
		h.refused("own", h.poll(extra[i].ID, ids[i]), http.StatusBadRequest, ciba.AuthorizationPending, "")
		h.decide(requests[i], consent.Approved)
	}
	foreign("approved")
	for i := range n {
		if res := h.poll(extra[i].ID, ids[i]); res.status != http.StatusOK {
			t.Errorf("own request %d: %d %s", i, res.status, res.raw)
		}
	}
	foreign("redeemed")
}

// races is how often TestOneToken races; the end-to-end tests do it more.
const races = 20

// TestOneToken: 64 concurrent polls of an approved request yield one token.
func TestOneToken(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.agent.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	for range races {
		id := h.ask("agent").str("auth_req_id")
		h.decide(h.pending().Request.ID, consent.Approved)
		form := params("grant_type", ciba.GrantCIBA, "auth_req_id", id).Encode()
		var wg sync.WaitGroup
		answers := make(chan *response, 64)
		for range cap(answers) {
			wg.Go(func() {
				res, err := h.try(t.Context(), http.MethodPost, "/token", form, "Authorization", basic("agent", secret))
				if err != nil {
					t.Error(err)
					return
				}
				answers <- res
			})
		}
		wg.Wait()
		close(answers)
		tokens := 0
		for res := range answers {
			if res.status == http.StatusOK {
				tokens++
			} else {
				h.refused("loser", res, http.StatusBadRequest, ciba.InvalidGrant, "")
			}
		}
		if tokens != 1 {
			t.Fatalf("%d tokens for one request, want 1", tokens)
		}
	}
}

// TestSlowDown: every poll that comes too early costs five more seconds, for
// this request alone and for as long as it lives.
func TestSlowDown(t *testing.T) {
	t.Parallel()
	h := open(t)
	id, calm := h.ask("agent").str("auth_req_id"), h.ask("agent").str("auth_req_id")
	h.refused("first", h.poll("agent", id), http.StatusBadRequest, ciba.AuthorizationPending, "")
	for i := 1; i <= 3; i++ {
		res := h.poll("agent", id)
		h.refused("early", res, http.StatusBadRequest, ciba.SlowDown, "seconds")
		if got, want := res.header.Get("Retry-After"), strconv.Itoa(5+5*i); got != want {
			t.Errorf("Retry-After %s after %d offences, want %s", got, i, want)
		}
	}
	h.forward(10 * time.Second)
	h.refused("10 s are not enough any more", h.poll("agent", id), http.StatusBadRequest, ciba.SlowDown, "25 seconds")
	h.forward(25 * time.Second)
	h.refused("slow enough", h.poll("agent", id), http.StatusBadRequest, ciba.AuthorizationPending, "")
	h.refused("another request", h.poll("agent", calm), http.StatusBadRequest, ciba.AuthorizationPending, "")
	for _, b := range h.History(h.Pseudonym("alice")).Open {
		h.decide(b.ID, consent.Denied)
	}
	h.refused("resolved", h.poll("agent", id), http.StatusBadRequest, ciba.AccessDenied, "")
}

// held waits until as many polls are being held as wanted.
func (h *house) held(want int) {
	h.t.Helper()
	for end := time.Now().Add(20 * time.Second); h.door.Held() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("%d polls are held, want %d", h.door.Held(), want)
		}
	}
}

// TestLongPoll: a held poll returns when the decision is durable.
func TestLongPoll(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, tt := range []struct {
		verb   consent.Verb
		status int
		code   string
	}{{consent.Approved, 200, ""}, {consent.Denied, 400, "access_denied"}} {
		id := h.ask("agent").str("auth_req_id")
		done := make(chan *response)
		go func() {
			res, err := h.try(t.Context(), http.MethodPost, "/token", params("grant_type", ciba.GrantCIBA, "auth_req_id", id).Encode(),
				"Authorization", basic("agent", secret), "Prefer", "wait=60")
			if err != nil {
				t.Error(err)
			}
			done <- res
		}()
		h.held(1)
		h.refused("a second poll meanwhile", h.poll("agent", id), http.StatusBadRequest, ciba.SlowDown, "twice at a time")
		h.decide(h.pending().Request.ID, tt.verb)
		res := <-done
		if res.status != tt.status || res.str("error") != tt.code {
			t.Errorf("%s: %d %s", tt.verb, res.status, res.raw)
		}
		if got := res.header.Get("Preference-Applied"); got != "wait=25" {
			t.Errorf("%s: Preference-Applied %q", tt.verb, got)
		}
		h.held(0)
	}
}

// TestLongPollChanged: what was registered while a poll was held counts when it
// is answered.
func TestLongPollChanged(t *testing.T) {
	t.Parallel()
	both := func(c *consent.Client) {
		c.GrantTypes, c.Approver = []string{ciba.GrantCIBA, ciba.GrantClientCredentials}, "alice"
	}
	for name, tt := range map[string]struct {
		change  func(*consent.Client)
		removed bool
		status  int
		code    ciba.Code // of CIBA
		own     ciba.Code // of client credentials
	}{
		"removed":         {nil, true, http.StatusUnauthorized, ciba.InvalidClient, ciba.InvalidClient},
		"must be bound":   {func(c *consent.Client) { c.DPoPBound = true }, false, http.StatusBadRequest, ciba.InvalidRequest, ciba.InvalidRequest},
		"without a grant": {func(c *consent.Client) { c.GrantTypes = []string{"refresh_token"} }, false, http.StatusBadRequest, ciba.UnauthorizedClient, ciba.AccessDenied},
	} {
		h := open(t, client("changed", both))
		for _, deferred := range []bool{false, true} {
			if err := h.SetFile([]consent.Client{client("changed", both)}, people, nil); err != nil {
				t.Fatal(err)
			}
			form, code := url.Values{}, tt.code
			if deferred {
				form, code = params("grant_type", ciba.GrantDeferred, "deferral_code", h.deferred("changed").str("deferral_code")), tt.own
			} else {
				form = params("grant_type", ciba.GrantCIBA, "auth_req_id", h.ask("changed").str("auth_req_id"))
			}
			done := make(chan *response)
			go func() { done <- h.post("/token", "changed", form, "Prefer", "wait=25") }()
			h.held(1)
			var now []consent.Client
			if !tt.removed {
				now = append(now, client("changed", both, tt.change))
			}
			if err := h.SetFile(now, people, nil); err != nil {
				t.Fatal(err)
			}
			id := h.pending().Request.ID
			h.decide(id, consent.Approved)
			h.refused(name+", "+form.Get("grant_type"), <-done, tt.status, code, "")
			if st := h.state(id); st.Settled != nil && st.Settled.Verb == consent.Redeemed {
				t.Errorf("%s: redeemed", name)
			}
		}
	}
}

// TestLongPollEnds: a held poll that nothing happens to is answered, the next
// one is not too early when the first was longer than the interval, and a
// stopping program holds none.
func TestLongPollEnds(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.ask("agent").str("auth_req_id")
	res := h.poll("agent", id, "Prefer", "wait=1")
	h.refused("wait over", res, http.StatusBadRequest, ciba.AuthorizationPending, "")
	if got := res.header.Get("Preference-Applied"); got != "wait=1" {
		t.Errorf("Preference-Applied %q", got)
	}
	h.forward(5 * time.Second)
	done := make(chan *response)
	go func() { done <- h.poll("agent", id, "Prefer", "wait=25") }()
	h.held(1)
	h.door.Drain()
	h.refused("drained", <-done, http.StatusBadRequest, ciba.AuthorizationPending, "")
	h.forward(5 * time.Second)
	h.refused("not held any more", h.poll("agent", id, "Prefer", "wait=25"), http.StatusBadRequest, ciba.AuthorizationPending, "")
}

// TestLongPollExpires: the end of the request ends the held poll, with a fact.
func TestLongPollExpires(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.ask("agent").str("auth_req_id")
	request := h.pending().Request.ID
	h.forward(299 * time.Second)
	h.refused("expired", h.poll("agent", id, "Prefer", "wait=25"), http.StatusBadRequest, ciba.ExpiredToken, "")
	if d := h.state(request).Decided; d == nil || d.Verb != consent.Expired {
		t.Errorf("decided %+v, want expired", d)
	}
}

// TestGoneIsNotSettledFor: a caller that hung up loses nothing; its next poll
// gets the token.
func TestGoneIsNotSettledFor(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.ask("agent").str("auth_req_id")
	ctx, hangUp := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := h.try(ctx, http.MethodPost, "/token", params("grant_type", ciba.GrantCIBA, "auth_req_id", id).Encode(),
			"Authorization", basic("agent", secret), "Prefer", "wait=25")
		done <- err
	}()
	h.held(1)
	hangUp()
	if err := <-done; err == nil {
		t.Fatal("the caller got an answer after it hung up")
	}
	h.held(0)
	request := h.pending().Request.ID
	h.decide(request, consent.Approved)
	if s := h.state(request).Settled; s != nil {
		t.Fatalf("settled %+v for nobody", s)
	}
	if res := h.poll("agent", id); res.status != http.StatusOK {
		t.Errorf("next poll: %d %s", res.status, res.raw)
	}
}
