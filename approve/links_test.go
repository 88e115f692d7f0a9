package approve_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"ringback/consent"
)

// TestNoMatchCodeNoMatch: where a request has no match code, nothing that is
// keyed or left empty is one.
func TestNoMatchCodeNoMatch(t *testing.T) {
	t.Parallel()
	for _, typed := range []string{"", "0000", "4711"} {
		h := newHouse(t)
		m := h.sent("alice", payment, func(r *consent.Request) { r.Bearers.MatchCode = "" })
		if p := h.browser().answer(m, code, m.code, answer, allow, match, typed); !p.says("Allowed") {
			t.Fatalf("typed %q: %d %s", typed, p.status, p.body)
		}
		if d := h.state(m.req).Decided; d.ACR != consent.ACRTap || strings.Join(d.AMR, " ") != "sms" {
			t.Errorf("typed %q: reached %s by %q, want %s by sms", typed, d.ACR, d.AMR, consent.ACRTap)
		}
	}
	// And where it must have one, none is none.
	h := newHouse(t)
	m := h.sent("alice", payment, func(r *consent.Request) { r.Bearers.MatchCode, r.ACR = "", []string{consent.ACRMatch} })
	for _, typed := range []string{"", "0000"} {
		if p := h.browser().answer(m, code, m.code, answer, allow, match, typed); p.says("Allowed") {
			t.Errorf("typed %q: %s", typed, p.body)
		}
	}
	if d := h.state(m.req).Decided; d != nil {
		t.Errorf("decided without a match code: %+v", d)
	}
}

// TestAnsweredLinksEnd: what became of a request is shown for as long as its
// link lives, and to nobody who finds the message later.
func TestAnsweredLinksEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice", func(r *consent.Request) { r.ExpiresAt = r.AskedAt.Add(time.Hour) })
	h.reply(alice, "NO "+m.code)
	h.wantStatus(m.req, consent.StatusDenied, 1)
	h.clock.Add(10*time.Minute - 5*time.Second)
	if p := h.browser().get(m.link); p.status != http.StatusOK || !p.says("Already answered") {
		t.Errorf("within its ten minutes: %d %s", p.status, p.body)
	}
	h.clock.Add(10 * time.Second)
	if p := h.browser().get(m.link); p.status != http.StatusNotFound || p.says("Already answered") || p.says("agent.example") {
		t.Errorf("after its ten minutes: %d %s", p.status, p.body)
	}
}
