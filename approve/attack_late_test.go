package approve_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"ringback/channels"
	"ringback/consent"
)

// TestLateAnswers: an answer that comes a second after the request's end
// decides nothing, however good its code is and whatever page it was written
// on before. It finds the end written, or writes it, and is told of it.
func TestLateAnswers(t *testing.T) {
	t.Parallel()
	h := newInsideHouse(t)
	for i := range manyLate {
		m := h.claim(h.Asked("alice"), 1, true)
		b := h.browser()
		form := b.get(m.link).form(t)
		form.Set(code, m.code)
		h.clock.Add(m.req.ExpiresAt.Sub(m.req.AskedAt) + time.Second)
		switch i % 4 {
		case 0, 1:
			form.Set(answer, []string{allow, deny}[i%4])
			if p := b.do(http.MethodPost, m.link, form); p.asks() || !p.says("Too late") {
				t.Fatalf("a late form: %d %s", p.status, p.body)
			}
		case 2:
			if said := h.reply(alice, "YES "+m.code); !strings.Contains(said, "This request ended at ") {
				t.Fatalf("a late yes: %s", said)
			}
		case 3:
			if said := h.reply(alice, "NO "+m.code); !strings.Contains(said, "This request ended at ") {
				t.Fatalf("a late no: %s", said)
			}
		}
		if st := h.state(m.req); st.Decided == nil || st.Decided.Verb != consent.Expired {
			t.Fatalf("a second late it is %s", st.Status())
		}
	}
}

// TestLateAnswerThenClockBack: once an answer came too late, setting the clock
// back makes neither it nor another one good.
func TestLateAnswerThenClockBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice")
	late := m.req.ExpiresAt.Sub(m.req.AskedAt) + time.Second
	h.clock.Add(late)
	form := h.tw.Inbound(alice, "YES "+m.code)
	post := func() string {
		_, body, err := h.tw.Post(t.Context(), h.url+channels.TwilioInbound, form)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	if said := post(); !strings.Contains(said, "This request ended at ") {
		t.Errorf("a late yes: %s", said)
	}
	h.clock.Add(-late)
	if said := post(); !strings.Contains(said, "This request ended at ") {
		t.Errorf("the same once more: %s", said) // the first answer may not have come through
	}
	if said := h.reply(alice, "YES "+m.code); strings.Contains(said, "Allowed") {
		t.Errorf("another one: %s", said)
	}
	h.wantStatus(m.req, consent.StatusExpired, 0)
}

// TestLateAnswerRepeated: what came too late is told so as often as the provider
// brings it, also after the process has ended in between, and changes nothing; what
// decided is answered once.
func TestLateAnswerRepeated(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"YES CODE", "NO CODE", "NO"} {
		h := newHouse(t)
		m := h.sent("alice")
		form := h.tw.Inbound(alice, strings.Replace(text, "CODE", m.code, 1))
		post := func() string {
			_, body, err := h.tw.Post(t.Context(), h.url+channels.TwilioInbound, form)
			if err != nil {
				t.Fatal(err)
			}
			return string(body)
		}
		h.clock.Add(m.req.ExpiresAt.Sub(m.req.AskedAt) + time.Second)
		for range 3 {
			if said := post(); !strings.Contains(said, "This request ended at ") {
				t.Errorf("%s: %s", text, said)
			}
		}
		h.wantStatus(m.req, consent.StatusExpired, 0)
		next := h.sent("alice")
		if said := post(); text == "NO" && strings.Contains(said, "<Message>") {
			t.Errorf("%s, once another request is open: %s", text, said)
		}
		h.wantStatus(next.req, consent.StatusPending, 0)
	}
}
