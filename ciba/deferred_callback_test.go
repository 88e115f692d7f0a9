package ciba_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"ringback/ciba"
	"ringback/consent"
)

// TestDeferredCallback: §7.1, the callback carries the code in its body, the
// client's token if there is one, and is not led elsewhere.
func TestDeferredCallback(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	h := openSelf(t, self("called", func(c *consent.Client) { c.DeferredEndpoint = e.URL + "/cb" }))
	for name, tt := range map[string]struct {
		token, authorization string
		answer               http.HandlerFunc
		done                 bool
		code                 string
	}{
		"204":      {pingToken, "Bearer " + pingToken, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, true, "204"},
		"no token": {"", "", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, true, "204"},
		"redirect": {pingToken, "Bearer " + pingToken, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, e.URL+"/elsewhere", http.StatusTemporaryRedirect)
		}, true, "307"},
		"error": {pingToken, "Bearer " + pingToken, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); io.WriteString(w, "x") }, false, "500"},
	} {
		e.answers(tt.answer)
		code := h.deferred("called", "client_notification_token", tt.token).str("deferral_code")
		id := h.pending().Request.ID
		if h.state(id).Request.Mode != consent.Ping {
			t.Fatalf("%s: mode %s", name, h.state(id).Request.Mode)
		}
		h.decide(id, consent.Approved)
		if got := h.door.Notify(t.Context(), h.state(id), 1); got.Done != tt.done || got.Code != tt.code {
			t.Errorf("%s: %+v, want done %v, code %s", name, got, tt.done, tt.code)
		}
		reqs, bodies := e.calls()
		if len(reqs) != 1 {
			t.Fatalf("%s: %d calls, want 1", name, len(reqs))
		}
		r := reqs[0]
		if r.Method != http.MethodPost || r.URL.String() != "/cb" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != tt.authorization {
			t.Errorf("%s: %s %s %v", name, r.Method, r.URL, r.Header)
		}
		if want := `{"deferral_code":"` + code + `"}`; bodies[0] != want {
			t.Errorf("%s: body %s, want %s", name, bodies[0], want)
		}
		if res := h.collect("called", code); res.status != http.StatusOK { // §4.1 item 6
			t.Errorf("%s: polling after it: %d %s", name, res.status, res.raw)
		}
		if strings.Contains(h.logged(), code) {
			t.Errorf("%s: the log has the code", name)
		}
	}
	h.refused("a token that can be guessed", h.own("called", "completion_mode", "deferred", "client_notification_token", "short"),
		http.StatusBadRequest, ciba.InvalidRequest, "client_notification_token: ")
	// Where there is no endpoint the token means nothing.
	h.deferred("self", "client_notification_token", "short")
	st := h.pending()
	if st.Request.Mode != consent.Poll || st.Request.Bearers.NotificationToken != "" {
		t.Errorf("without an endpoint: mode %s", st.Request.Mode)
	}
	if got := h.door.Notify(t.Context(), st, 1); !got.Done || got.Code != "not_pinged" {
		t.Errorf("without an endpoint: %+v", got)
	}
}
