package approve_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"ringback/channels/fakes"
	"ringback/consent"
	"ringback/templates"
)

const (
	chosen = templates.FieldUserCode
	again  = templates.FieldUserCodeAgain

	treeCode = "tree-4711"
)

var sixDigits = regexp.MustCompile(`\b[0-9]{6}\b`)

// offered sends a person the message to choose a user_code with, as the
// operator does.
func (h *house) offered(person string) message {
	h.t.Helper()
	p, err := h.Person(h.t.Context(), person)
	if err != nil {
		h.t.Fatal(err)
	}
	until, err := h.door.OfferUserCode(h.t.Context(), p)
	if err != nil || until.Sub(h.clock.Now()) != 10*time.Minute {
		h.t.Fatalf("OfferUserCode = %v, %v", until, err)
	}
	e := h.last(string(p.Phone))
	if len(e.Links) != 1 || !strings.HasPrefix(e.Links[0], h.url+"/u/") || len(sixDigits.FindAllString(e.Text, -1)) != 1 {
		h.t.Fatalf("the message is %q", e.Text)
	}
	return message{to: e.To, text: e.Text, link: e.Links[0], code: sixDigits.FindString(e.Text)}
}

// last is the newest message to a number.
func (h *house) last(number string) fakes.Entry {
	h.t.Helper()
	sent := h.tw.Inbox.Sent(number)
	if len(sent) == 0 {
		h.t.Fatal("there is no message")
	}
	return sent[len(sent)-1]
}

// takes says what the agents' door would say of a code.
func (h *house) takes(person, party string, code consent.Secret) bool {
	h.t.Helper()
	right, err := h.TryUserCode(h.t.Context(), party, person, code)
	if err != nil {
		h.t.Fatal(err)
	}
	return right
}

func TestChooseUserCode(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.offered("alice")
	b := h.browser()
	first := b.get(m.link)
	if first.status != http.StatusOK || !first.says("Choose your code") || !first.asks() || strings.Contains(first.body, m.code) {
		t.Errorf("the page: %d %s", first.status, first.body)
	}
	for _, tt := range []struct {
		name   string
		fields []string
		status int
		says   string
	}{
		{"nothing", nil, http.StatusUnprocessableEntity, "6 digits from the message"},
		{"no code of the message", []string{chosen, treeCode, again, treeCode}, http.StatusUnprocessableEntity, "6 digits from the message"},
		{"half a code", []string{code, m.code[:5], chosen, treeCode, again, treeCode}, http.StatusUnprocessableEntity, "6 digits from the message"},
		{"too easy", []string{code, m.code, chosen, "123456", again, "123456"}, http.StatusUnprocessableEntity, "will not do"},
		{"with an accent", []string{code, m.code, chosen, "bäume-4711", again, "bäume-4711"}, http.StatusUnprocessableEntity, "will not do"},
		{"too long", []string{code, m.code, chosen, strings.Repeat("ab1-", 9), again, strings.Repeat("ab1-", 9)}, http.StatusUnprocessableEntity, "will not do"},
		{"once only", []string{code, m.code, chosen, treeCode}, http.StatusUnprocessableEntity, "differ"},
		{"two different ones", []string{code, m.code, chosen, treeCode, again, treeCode + "x"}, http.StatusUnprocessableEntity, "differ"},
		{"another's field", []string{code, m.code, chosen, treeCode, again, treeCode, answer, allow}, http.StatusBadRequest, ""},
		{"a wrong code of the message", []string{code, wrong(m.code), chosen, treeCode, again, treeCode}, http.StatusUnprocessableEntity, "2 tries left"},
	} {
		p := b.answer(m, tt.fields...)
		if p.status != tt.status || !p.asks() || !p.says(tt.says) || strings.Contains(p.body, treeCode) || strings.Contains(p.body, m.code) {
			t.Errorf("%s: %d %s", tt.name, p.status, p.body)
		}
	}
	if h.takes("alice", "agent", treeCode) {
		t.Error("a code was set by a form that was refused")
	}
	before := len(h.tw.Inbox.Sent(alice))
	p := b.answer(m, code, m.code[:3]+" "+m.code[3:], chosen, treeCode, again, treeCode)
	if p.status != http.StatusOK || p.asks() || !p.says("Your code is set") {
		t.Errorf("after choosing: %d %s", p.status, p.body)
	}
	if !h.takes("alice", "agent", treeCode) || h.takes("alice", "agent", "other") {
		t.Error("what was chosen is not what is taken")
	}
	if told := h.last(alice); len(h.tw.Inbox.Sent(alice)) != before+1 || !strings.Contains(told.Text, "was changed") || len(told.Links) > 0 || strings.Contains(told.Text, treeCode) {
		t.Errorf("alice was told %q", told.Text)
	}
	if p := b.get(m.link); p.asks() || !p.says("Your code is set") {
		t.Errorf("the link afterwards: %s", p.body)
	}
	if p := h.browser().answerBlind(m, code, m.code, chosen, "other-0815", again, "other-0815"); p.asks() || !h.takes("alice", "agent", treeCode) {
		t.Errorf("the same message again: %s", p.body)
	}

	m = h.offered("alice") // the old code is replaced at once
	b.answer(m, code, m.code, chosen, "other-0815", again, "other-0815")
	if h.takes("alice", "agent", treeCode) || !h.takes("alice", "agent", "other-0815") {
		t.Error("the old code still counts")
	}
}

func TestChooseUserCodeGerman(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.offered("carla")
	b := h.browser()
	if p := b.get(m.link); !strings.Contains(m.text, "Minuten") || !p.says("Wählen Sie Ihren Code") || !strings.Contains(p.body, `lang="de"`) {
		t.Errorf("%q, %s", m.text, p.body)
	}
	if p := b.answer(m, code, m.code, chosen, treeCode, again, treeCode); !p.says("Ihr Code ist gesetzt") || !strings.Contains(h.last(carla).Text, "geändert") {
		t.Errorf("%q, %s", h.last(carla).Text, p.body)
	}
}

// TestOfferUserCodeFails: the operator learns why nobody was reached.
func TestOfferUserCodeFails(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx := t.Context()
	if err := h.AddPerson(ctx, &consent.Person{ID: "dave"}); err != nil {
		t.Fatal(err)
	}
	h.reply(bob, "STOP")
	for person, says := range map[string]string{"dave": "no phone number", "bob": "STOP"} {
		p, err := h.Person(ctx, person)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.door.OfferUserCode(ctx, p); !errors.Is(err, consent.ErrUnreachable) || !strings.Contains(err.Error(), says) {
			t.Errorf("OfferUserCode(%s) = %v, want ErrUnreachable with %q", person, err, says)
		}
	}
	p, err := h.Person(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	for _, failure := range []fakes.Failure{fakes.ServerError, fakes.Garbage, fakes.OptedOut} {
		h.tw.Plan(fakes.Step{Failure: failure})
		if _, err := h.door.OfferUserCode(ctx, p); !errors.Is(err, consent.ErrUnreachable) || strings.Contains(err.Error(), "2025550") {
			t.Errorf("with the provider's answer %s: %v, want ErrUnreachable", failure, err)
		}
	}
	devices, err := h.Devices(ctx, "alice")
	if err != nil || !devices[0].Stopped {
		t.Errorf("after the provider said that alice opted out: %v, %v", devices, err)
	}
	if _, err := h.door.OfferUserCode(ctx, &consent.Person{ID: "nobody"}); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("OfferUserCode(nobody) = %v, want ErrNotFound", err)
	}
}

// TestUserCodeStoreDown: what cannot be stored is not said to be.
func TestUserCodeStoreDown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.offered("alice")
	b := h.browser()
	form := b.get(m.link).form(t)
	for field, value := range map[string]string{code: m.code, chosen: treeCode, again: treeCode} {
		form.Set(field, value)
	}
	before := len(h.tw.Inbox.Sent(alice))
	h.Close()
	if p := b.do(http.MethodPost, m.link, form); p.status != http.StatusServiceUnavailable || p.asks() || p.header.Get("Retry-After") == "" {
		t.Errorf("without a store: %d %s", p.status, p.body)
	}
	if got := len(h.tw.Inbox.Sent(alice)); got != before {
		t.Error("alice was told of a code that was not set")
	}
	h.restart()
	if p := b.do(http.MethodPost, m.link, form); !p.says("Your code is set") || !h.takes("alice", "agent", treeCode) {
		t.Errorf("the same form afterwards: %s", p.body)
	}
}

// leaves is a request whose sender goes away once the store is asked to set the
// code.
type leaves struct {
	*house
	gone context.CancelFunc
}

func (l leaves) ChooseUserCode(ctx context.Context, id [16]byte, code consent.Secret) error {
	l.gone()
	return l.Store.ChooseUserCode(ctx, id, code)
}

// ends is a store that is gone before the code is set.
type ends struct{ *house }

func (ends) ChooseUserCode(context.Context, [16]byte, consent.Secret) error {
	return consent.ErrUnavailable
}

// filled is the form of a page with a user_code in it.
func (p page) filled(t testing.TB, messageCode, userCode string) url.Values {
	t.Helper()
	form := p.form(t)
	form.Set(code, messageCode)
	form.Set(chosen, userCode)
	form.Set(again, userCode)
	return form
}

// numbered makes user codes that differ.
func numbered(i int) string { return fmt.Sprintf("tree-%04d", i) }
