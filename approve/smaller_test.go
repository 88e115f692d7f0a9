package approve_test

import (
	"net/http"
	"strings"
	"testing"

	"ringback/consent"
	"ringback/templates"
)

const (
	lower   = templates.FieldLower + "0"
	without = templates.FieldWithout + "0"
)

func access(r *consent.Request) {
	r.Details = []byte(`[{"actions":["read","write"],"datatypes":["contacts"],"locations":["https://api.example/contacts"],"type":"data_access"}]`)
}

func TestSmallerYes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice", payment)
	b := h.browser()
	if p := b.get(m.link); !strings.Contains(p.body, `name="`+lower+`"`) || !strings.Contains(p.body, "<details") {
		t.Errorf("the page offers nothing smaller: %s", p.body)
	}
	for _, amount := range []string{"50.01", "0", "-1", "1.000", "1e9", "x", "50,00 EUR"} {
		if p := b.answer(m, code, m.code, answer, allow, lower, amount); p.status != http.StatusUnprocessableEntity || !p.says("above zero") {
			t.Errorf("%q: %d", amount, p.status)
		}
		h.wantStatus(m.req, consent.StatusPending, 0)
	}
	p := b.answer(m, code, m.code, answer, allow, lower, "20,5")
	if !p.says("Allowed", "20.50") || p.says("50.00") {
		t.Errorf("after allowing less: %s", p.body)
	}
	if p := b.get(m.link); !p.says("20.50") {
		t.Errorf("the page afterwards: %s", p.body)
	}
	d := h.state(m.req).Decided
	if d == nil || !strings.Contains(string(d.Granted), `"amount":"20.50"`) || d.GrantedDigest == d.AskedDigest {
		t.Errorf("decision = %+v", d)
	}
	m = h.sent("alice", access)
	form := b.get(m.link).form(t)
	form[code], form[answer], form[without] = []string{m.code}, []string{allow}, []string{"0", "1"}
	if p := b.do(http.MethodPost, m.link, form); p.status != http.StatusUnprocessableEntity {
		t.Errorf("everything was left out of a yes: %d", p.status)
	}
	m = h.sent("alice", access)
	b.answer(m, code, m.code, answer, allow, without, "1")
	if d := h.state(m.req).Decided; d == nil || !strings.Contains(string(d.Granted), `"actions":["read"]`) {
		t.Errorf("decision = %+v", d)
	}
	// The same written otherwise is a yes as asked; a no has nothing smaller.
	m = h.sent("alice", payment)
	b.answer(m, code, m.code, answer, allow, lower, " 50 ")
	if d := h.state(m.req).Decided; d == nil || d.Granted != nil || d.GrantedDigest != d.AskedDigest {
		t.Errorf("decision = %+v", d)
	}
	m = h.sent("alice", payment)
	b.answer(m, code, m.code, answer, deny, lower, "1")
	h.wantStatus(m.req, consent.StatusDenied, 1)
}

// TestSmallerYesElsewhere: doors that cannot carry a smaller yes get none, and
// forms of others' making are refused.
func TestSmallerYesElsewhere(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice", payment, func(r *consent.Request) { r.Narrowable = false })
	b := h.browser()
	if p := b.get(m.link); strings.Contains(p.body, "<details") {
		t.Error("the page offers something smaller")
	}
	if p := b.answer(m, code, m.code, answer, allow, lower, "20"); !p.asks() {
		t.Errorf("taken: %s", p.body)
	}
	h.wantStatus(m.req, consent.StatusPending, 0)
	m = h.sent("alice", payment)
	for _, field := range []string{"lower.", "lower.1", "lower.-1", "lower.00", "lower.9999999999999999999", "without.0", "without.", "granted", "lower.0.amount"} {
		if p := b.answer(m, code, m.code, answer, allow, field, "1"); !p.asks() {
			t.Errorf("field %q was taken: %s", field, p.body)
		}
		h.wantStatus(m.req, consent.StatusPending, 0)
	}
}
