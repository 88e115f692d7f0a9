package approve_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"ringback/consent"
)

// TestLateAnswers: an answer that comes a second after the request's end
// decides nothing, however good its code is and whatever page it was written
// on before.
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
			if said := h.reply(alice, "YES "+m.code); strings.Contains(said, "Allowed") {
				t.Fatalf("a late yes: %s", said)
			}
		case 3:
			if said := h.reply(alice, "NO "+m.code); strings.Contains(said, "Not allowed") {
				t.Fatalf("a late no: %s", said)
			}
		}
		if st := h.state(m.req); st.Decided != nil && st.Decided.Verb != consent.Expired {
			t.Fatalf("a second late: %s by %s", st.Decided.Verb, st.Decided.Means)
		}
	}
}
