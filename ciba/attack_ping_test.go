package ciba_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"ringback/consent"
)

// TestPingOnlyThere: the bearer that a client chose goes to the endpoint that
// was registered for it, whatever a request names and whatever the endpoint
// answers: no other address, no second hop, no second try after an answer that
// is one, and no word of it in the log.
func TestPingOnlyThere(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(thief.Close)
	e := newEndpoint(t)
	s := newSigner(t, "ES256", "k")
	h := open(t, pingedAt("p", e.URL+"/ping"), client("signing", func(c *consent.Client) {
		c.Mode, c.NotificationEndpoint, c.JWKS = consent.Ping, e.URL+"/ping", jwks(s)
	}))
	var aims []string
	for _, name := range []string{
		"backchannel_client_notification_endpoint", "client_notification_endpoint", "deferred_client_notification_endpoint", "notification_endpoint",
		"notification_uri", "callback", "callback_uri", "redirect_uri", "request_uri", "post_logout_redirect_uri", "sector_identifier_uri", "jwks_uri", "logo_uri",
	} {
		aims = append(aims, name, thief.URL+"/"+name)
	}
	n := 0
	ping := func(who string) (*http.Request, consent.Notified) {
		t.Helper()
		n++
		token := fmt.Sprintf("bearer-of-request-%08d", n)
		form := asking(append(aims, "client_notification_token", token)...)
		if who == "signing" {
			inside := h.signedRequest(who).with("client_notification_token", token)
			for i := 0; i < len(aims); i += 2 {
				inside[aims[i]] = aims[i+1]
			}
			form = params("request", s.sign(nil, inside))
		}
		res := h.directAs(who, "/bc-authorize", form)
		if res.status != http.StatusOK {
			t.Fatalf("asking: %d %s", res.status, res.raw)
		}
		id := h.idOf(res.str("auth_req_id"))
		h.decide(id, consent.Approved)
		got := h.door.Notify(t.Context(), h.state(id), 1)
		calls, bodies := e.calls()
		if len(calls) != 1 || calls[0].Header.Get("Authorization") != "Bearer "+token || bodies[0] != `{"auth_req_id":"`+res.str("auth_req_id")+`"}` {
			t.Fatalf("%d calls: %v", len(calls), bodies)
		}
		for name, values := range calls[0].Header {
			if name != "Authorization" && strings.Contains(strings.Join(values, " "), token) {
				t.Errorf("the bearer goes out as %s", name)
			}
		}
		h.forgetLog(token, res.str("auth_req_id"))
		return calls[0], got
	}
	for _, who := range []string{"p", "signing"} {
		e.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
		if r, _ := ping(who); r.URL.String() != "/ping" {
			t.Errorf("%s: %s", who, r.URL)
		}
	}
	for status := 300; status <= 308; status++ {
		e.answers(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", thief.URL+"/hop")
			w.Header().Set("Refresh", "0; url="+thief.URL+"/hop")
			w.WriteHeader(status)
		})
		if _, got := ping("p"); !got.Done {
			t.Errorf("%d: %+v, want it to be done", status, got)
		}
	}
	for status := 400; status < 500; status++ {
		e.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		if _, got := ping("p"); got.Done != (status != http.StatusTooManyRequests) {
			t.Errorf("%d: %+v", status, got)
		}
	}
	if got := hits.Load(); got != 0 {
		t.Errorf("%d calls to an address that nobody registered", got)
	}
}

// TestPingAnswersGoNowhere: of what an endpoint answers nothing but the status
// is kept, or told to anybody.
func TestPingAnswersGoNowhere(t *testing.T) {
	t.Parallel()
	const said = "said-by-the-endpoint"
	e := newEndpoint(t)
	h := open(t, pingedAt("p", e.URL))
	for _, status := range []int{200, 204, 302, 400, 401, 429, 500, 503} {
		e.answers(func(w http.ResponseWriter, _ *http.Request) {
			for _, name := range []string{"X-Said", "Location", "Set-Cookie", "Www-Authenticate", "Retry-After", "Content-Type"} {
				w.Header().Set(name, said)
			}
			w.WriteHeader(status)
			if status != http.StatusNoContent {
				fmt.Fprintf(w, `{"error":%q,"auth_req_id":%q}`, said, said)
			}
		})
		handle := h.directAs("p", "/bc-authorize", asking("client_notification_token", pingToken)).str("auth_req_id")
		id := h.idOf(handle)
		h.decide(id, consent.Approved)
		got := h.door.Notify(t.Context(), h.state(id), 1)
		if got.Code != fmt.Sprint(status) || got.Delay > 2 {
			t.Errorf("%d: %+v", status, got)
		}
		res := h.directAs("p", "/token", collecting(handle))
		if told := res.raw + string(fields(res.header)); res.status != http.StatusOK || strings.Contains(told, said) {
			t.Errorf("%d: %s", status, told)
		}
	}
	h.forgetLog(said)
}
