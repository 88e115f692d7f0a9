package ciba_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/ciba"
	"ringback/consent"
)

// endpoint is a client's notification endpoint. It answers as it is told and
// remembers what it got.
type endpoint struct {
	*httptest.Server
	mu     sync.Mutex
	answer http.HandlerFunc
	got    []*http.Request
	bodies []string
}

func newEndpoint(t *testing.T) *endpoint {
	t.Helper()
	e := &endpoint{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		e.mu.Lock()
		e.got, e.bodies = append(e.got, r), append(e.bodies, string(body))
		answer := e.answer
		e.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) answers(f http.HandlerFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer, e.got, e.bodies = f, nil, nil
}

func (e *endpoint) calls() ([]*http.Request, []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.got, e.bodies
}

func pingedAt(id, url string) consent.Client {
	return client(id, func(c *consent.Client) { c.Mode, c.NotificationEndpoint = consent.Ping, url })
}

// TestNotify: CIBA Core §10.2, and what may be tried again (never after an
// answer that is one).
func TestNotify(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	h := open(t, pingedAt("p", e.URL+"/ping"))
	handle := h.ask("p", "client_notification_token", pingToken).str("auth_req_id")
	id := h.pending().Request.ID
	h.decide(id, consent.Approved)
	status := func(code int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			if code != 204 && code != 304 {
				io.WriteString(w, `{"ignored":true}`)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		n      int
		done   bool
		code   string
		delay  int
	}{
		{"204", status(204), 1, true, "204", 0},
		{"200 with a body", status(200), 1, true, "200", 0},
		{"redirect", status(301, "Location", e.URL+"/elsewhere"), 1, true, "301", 0},
		{"redirect that keeps the method", status(307, "Location", e.URL+"/elsewhere"), 1, true, "307", 0},
		{"400", status(400), 1, true, "400", 0},
		{"401", status(401), 1, true, "401", 0},
		{"403", status(403), 1, true, "403", 0},
		{"404", status(404), 1, true, "404", 0},
		{"429", status(429), 1, false, "429", 2},
		{"429 with a delay", status(429, "Retry-After", "17"), 2, false, "429", 17},
		{"429 with a long delay", status(429, "Retry-After", "86400"), 2, false, "429", 300},
		{"429 with a date", status(429, "Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT"), 2, false, "429", 4},
		{"500", status(500), 1, false, "500", 2},
		{"503", status(503), 3, false, "503", 8},
		{"503 for the tenth time", status(503), 10, false, "503", 60},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 1, false, "no_answer", 2},
		{"an endless body", func(w http.ResponseWriter, r *http.Request) {
			for _, err := w.Write(make([]byte, 1<<16)); err == nil; _, err = w.Write(make([]byte, 1<<16)) {
			}
		}, 1, true, "200", 0},
	} {
		e.answers(tt.answer)
		got := h.door.Notify(t.Context(), h.state(id), tt.n)
		if got.V != consent.Version || got.N != tt.n || got.Done != tt.done || got.Code != tt.code || got.Delay != tt.delay || got.At.IsZero() {
			t.Errorf("%s: Notify(…, %d) = %+v, want done %v, code %s, delay %d", tt.name, tt.n, got, tt.done, tt.code, tt.delay)
		}
		reqs, bodies := e.calls()
		if len(reqs) != 1 {
			t.Fatalf("%s: the endpoint was called %d times, want once", tt.name, len(reqs))
		}
		r := reqs[0]
		if r.Method != http.MethodPost || r.URL.Path != "/ping" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != "Bearer "+pingToken {
			t.Errorf("%s: %s %s %v", tt.name, r.Method, r.URL, r.Header)
		}
		if want := `{"auth_req_id":"` + handle + `"}`; bodies[0] != want {
			t.Errorf("%s: body %s, want %s", tt.name, bodies[0], want)
		}
	}
	if strings.Contains(h.logged(), pingToken) || strings.Contains(h.logged(), handle) {
		t.Error("the log has a bearer")
	}
	// Whatever the endpoint said, the flow completes.
	if res := h.poll("p", handle); res.status != http.StatusOK {
		t.Errorf("polling after the pings: %d %s", res.status, res.raw)
	}
}

// TestNotifyNobody: nobody listens, or an inside address is aimed at.
func TestNotifyNobody(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	l.Close()
	h := open(t, pingedAt("closed", closed), pingedAt("inside", "https://169.254.169.254/latest"), pingedAt("plain", "http://10.0.0.1/"))
	for _, tt := range []struct {
		client string
		done   bool
		code   string
		host   string
	}{
		{"closed", false, "connect", l.Addr().String()}, {"inside", true, "refused_literal", "169.254.169.254"}, {"plain", true, "refused_scheme", "10.0.0.1"},
	} {
		h.ask(tt.client, "client_notification_token", pingToken)
		st := h.pending()
		if got := h.door.Host(t.Context(), st); got != tt.host {
			t.Errorf("%s: host %q, want %q", tt.client, got, tt.host)
		}
		h.decide(st.Request.ID, consent.Denied)
		if got := h.door.Notify(t.Context(), h.state(st.Request.ID), 1); got.Done != tt.done || got.Code != tt.code {
			t.Errorf("%s: %+v, want done %v, code %s", tt.client, got, tt.done, tt.code)
		}
	}
	h.ask("closed", "client_notification_token", pingToken)
	st := h.pending()
	if err := h.SetFile(nil, people, nil); err != nil {
		t.Fatal(err)
	}
	if got := h.door.Notify(t.Context(), st, 1); !got.Done || got.Code != "client_removed" {
		t.Errorf("client removed: %+v", got)
	}
	h.SetFile([]consent.Client{client("agent")}, people, nil)
	h.decide(st.Request.ID, consent.Denied)
	h.ask("agent")
	if got := h.door.Notify(t.Context(), h.pending(), 1); !got.Done || got.Code != "not_pinged" {
		t.Errorf("a client that polls: %+v", got)
	}
}

// TestPingAndPoll: a ping client may poll before and after (CIBA Core §5), and
// the poll that follows a ping is never too early.
func TestPingAndPoll(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.answers(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	h := open(t, pingedAt("p", e.URL))
	handle := h.ask("p", "client_notification_token", pingToken).str("auth_req_id")
	h.refused("before", h.poll("p", handle), http.StatusBadRequest, ciba.AuthorizationPending, "")
	h.forward(5 * time.Second)
	h.refused("before, again", h.poll("p", handle), http.StatusBadRequest, ciba.AuthorizationPending, "")
	id := h.pending().Request.ID
	h.decide(id, consent.Approved)
	if got := h.door.Notify(t.Context(), h.state(id), 1); !got.Done {
		t.Fatalf("Notify = %+v", got)
	}
	if res := h.poll("p", handle); res.status != http.StatusOK {
		t.Errorf("right after the ping: %d %s", res.status, res.raw)
	}
}
