package approve_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
	"ringback/templates"
)

func TestApprove(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice", payment)
	b := h.browser()
	if p := b.get(m.link); p.status != http.StatusOK || !p.says("50.00", "EUR", "ACME GmbH", "Agent", "agent.example") {
		t.Errorf("the page does not say what is asked: %d %s", p.status, p.body)
	}
	if p := b.get(m.link); strings.Contains(p.body, m.code) {
		t.Error("the page shows the code")
	}
	p := b.answer(m, code, m.code, answer, allow)
	if p.status != http.StatusOK || p.asks() || !p.says("Allowed") {
		t.Errorf("after allowing: %d %s", p.status, p.body)
	}
	d := h.state(m.req).Decided
	if d == nil {
		t.Fatal("undecided")
	}
	got := []any{d.Verb, d.By, d.Means, d.Attempt, d.ACR, strings.Join(d.AMR, " "), d.NotMe, string(d.Granted)}
	want := []any{consent.Approved, "alice", consent.ByPage, 1, consent.ACRTap, "sms", false, ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	asked, _ := m.req.AskedDigest()
	if d.Presentation == nil || d.Presentation.AskedDigest != asked || !strings.Contains(d.Presentation.Rendered, "ACME GmbH") {
		t.Errorf("the presentation is %+v", d.Presentation)
	}
	if p := b.get(m.link); p.asks() || !p.says("Allowed") {
		t.Errorf("the page afterwards: %s", p.body)
	}
	if p := h.browser().answerBlind(m, code, m.code, answer, deny); p.asks() || p.status != http.StatusOK {
		t.Errorf("answering again: %d", p.status)
	}
	h.wantStatus(m.req, consent.StatusApproved, 1)
}

// answerBlind posts without looking at the page first.
func (b *browser) answerBlind(m message, fields ...string) page {
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.do(http.MethodPost, m.link, form)
}

func TestDenyAndBlock(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice")
	if p := h.browser().answer(m, code, m.code, answer, deny); p.asks() || !p.says("Not allowed") {
		t.Errorf("after refusing: %s", p.body)
	}
	h.wantStatus(m.req, consent.StatusDenied, 1)
	if until, ok := h.History(m.req.Pseudonym).Frozen["agent"]; ok {
		t.Errorf("one denial froze the pair until %s", until)
	}
	m = h.sent("alice")
	if p := h.browser().answer(m, code, m.code[:3]+" "+m.code[3:], answer, block); p.asks() || !p.says("blocked") {
		t.Errorf("after blocking: %s", p.body)
	}
	h.wantStatus(m.req, consent.StatusDenied, 1)
	if d := h.state(m.req).Decided; !d.NotMe {
		t.Error("the decision does not say that it was not expected")
	}
	h.Eventually("the pair to be frozen", func() bool { _, ok := h.History(m.req.Pseudonym).Frozen["agent"]; return ok })
	if until := h.History(m.req.Pseudonym).Frozen["agent"]; until.Sub(h.clock.Now()) < 23*time.Hour {
		t.Errorf("frozen until %s only", until)
	}
}

func TestThirdDenialFreezes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.policy = &consent.Policy{Limits: consent.DefaultLimits()}
	for i := range 3 {
		if _, ok := h.History(h.Pseudonym("alice")).Frozen["agent"]; ok {
			t.Fatalf("frozen after %d denials", i)
		}
		m := h.sent("alice")
		h.browser().answer(m, code, m.code, answer, deny)
		h.wantStatus(m.req, consent.StatusDenied, 1)
		h.Eventually("the denial to be remembered", func() bool {
			n := 0
			for _, r := range h.History(m.req.Pseudonym).Recent {
				if r.Verb == consent.Denied {
					n++
				}
			}
			return n == i+1
		})
	}
	h.Eventually("the pair to be frozen", func() bool { _, ok := h.History(h.Pseudonym("alice")).Frozen["agent"]; return ok })
}

func TestMatch(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice", matchOnly)
	b := h.browser()
	if p := b.get(m.link); !strings.Contains(p.body, `name="`+match+`"`) || strings.Contains(p.body, "4711") {
		t.Errorf("the page does not ask for the number, or shows it: %s", p.body)
	}
	for _, tt := range []struct {
		name   string
		fields []string
		misses int
	}{
		{"no number", []string{code, m.code, answer, allow}, 0},
		{"a short number", []string{code, m.code, answer, allow, match, "471"}, 0},
		{"no code", []string{match, "4711", answer, allow}, 0},
		{"a wrong number", []string{code, m.code, answer, allow, match, "1174"}, 1},
		{"a wrong code", []string{code, wrong(m.code), answer, allow, match, "4711"}, 2},
	} {
		if p := b.answer(m, tt.fields...); !p.asks() || p.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", tt.name, p.status)
		}
		h.wantStatus(m.req, consent.StatusPending, tt.misses)
	}
	if p := b.answer(m, code, m.code, answer, allow, match, "47 11"); !p.says("Allowed") {
		t.Errorf("both right: %s", p.body)
	}
	d := h.state(m.req).Decided
	if d == nil || d.ACR != consent.ACRMatch || strings.Join(d.AMR, " ") != "sms otp mca" {
		t.Errorf("decision = %+v", d)
	}
	// Refusing needs no number.
	m = h.sent("alice", matchOnly)
	h.browser().answer(m, code, m.code, answer, deny)
	h.wantStatus(m.req, consent.StatusDenied, 1)
}

func TestPhrCannotBeAllowedHere(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice", func(r *consent.Request) { r.ACR = []string{consent.ACRPhr} })
	if p := h.browser().answer(m, code, m.code, answer, allow, match, "4711"); !p.asks() {
		t.Errorf("allowed: %s", p.body)
	}
	h.wantStatus(m.req, consent.StatusPending, 0)
	h.browser().answer(m, code, m.code, answer, deny)
	h.wantStatus(m.req, consent.StatusDenied, 1)
}

// TestThreeGuesses: over page and message together, and across a restart.
func TestThreeGuesses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice")
	b := h.browser()
	if p := b.answer(m, code, wrong(m.code), answer, allow); !p.says("2 tries left") {
		t.Errorf("after one wrong code: %s", p.body)
	}
	if said := h.reply(alice, "YES "+wrong(m.code)); !strings.Contains(said, "1 try left") {
		t.Errorf("after a second wrong code: %q", said)
	}
	h.restart()
	if p := b.answer(m, code, wrong(m.code), answer, deny); p.asks() || !p.says("Too many") {
		t.Errorf("after three wrong codes: %s", p.body)
	}
	if p := b.get(m.link); p.asks() {
		t.Error("the page still asks")
	}
	form := url.Values{templates.FieldCSRF: {"x"}, code: {m.code}, answer: {allow}}
	if p := b.do(http.MethodPost, m.link, form); p.asks() {
		t.Error("the page still asks after a post")
	}
	for _, text := range []string{"YES " + m.code, "NO " + m.code} {
		if said := h.reply(alice, text); !strings.Contains(said, "Too many") {
			t.Errorf("%q was answered %q", text, said)
		}
	}
	h.restart()
	h.reply(alice, "YES "+m.code)
	// A new attempt brings a new code, but no new guesses.
	m2 := h.deliver(m.req, 2, true)
	h.reply(alice, "YES "+m2.code)
	if p := h.browser().get(m2.link); p.asks() {
		t.Error("a new attempt brings new guesses")
	}
	h.wantStatus(m.req, consent.StatusPending, 3)
}

// TestConcurrentGuesses: many at once are never more than three.
func TestConcurrentGuesses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice")
	done := make(chan page, 20)
	var posts []func()
	for i := range cap(done) {
		b := h.browser()
		form := b.get(m.link).form(t)
		form.Set(code, fmt.Sprintf("%06d", i))
		if form.Get(code) == m.code {
			form.Set(code, "999999")
		}
		form.Set(answer, allow)
		posts = append(posts, func() { done <- b.do(http.MethodPost, m.link, form) })
	}
	for _, post := range posts {
		go post()
	}
	for range cap(done) {
		<-done
	}
	h.wantStatus(m.req, consent.StatusPending, 3)
}

// TestFormCountsOnce: a double click, a reload and a replay of one form are
// one guess and one answer; the same form with another code is another guess.
func TestFormCountsOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice")
	b := h.browser()
	form := b.get(m.link).form(t)
	form.Set(code, wrong(m.code))
	form.Set(answer, allow)
	b.do(http.MethodPost, m.link, form)
	for range 2 {
		if p := b.do(http.MethodPost, m.link, form); p.status != http.StatusUnprocessableEntity || !p.asks() || !p.says("2 tries left") {
			t.Errorf("the same form again: %d", p.status)
		}
	}
	h.wantStatus(m.req, consent.StatusPending, 1)
	form.Set(code, m.code)
	for range 2 {
		if p := b.do(http.MethodPost, m.link, form); p.status != http.StatusOK || !p.says("Allowed") {
			t.Errorf("the same form with another code: %d", p.status)
		}
	}
	h.wantStatus(m.req, consent.StatusApproved, 2)
}

func TestBadLinks(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice")
	ticket := strings.TrimPrefix(m.link, h.url+"/a/")
	b := h.browser()
	neutral := ""
	for name, link := range map[string]string{
		"nonsense": "x", "short": ticket[1:], "changed": "B" + ticket[1:], "callback": h.handles.CallbackRef(m.req.ID, 1),
		"auth_req_id":     h.handles.AuthReqID(m.req.ID),
		"unknown request": h.handles.Ticket(consent.NewID(), 1), "unknown attempt": h.handles.Ticket(m.req.ID, 2),
		"no attempt": h.handles.Ticket(m.req.ID, 0),
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			var form url.Values
			if method == http.MethodPost {
				form = url.Values{code: {m.code}, answer: {allow}}
			}
			p := b.do(method, h.url+"/a/"+link, form)
			body := blank(p)
			if neutral == "" {
				neutral = body
			}
			if p.status != http.StatusNotFound || p.asks() || body != neutral {
				t.Errorf("%s %s: %d, not the same page as for others", method, name, p.status)
			}
		}
	}
	h.wantStatus(m.req, consent.StatusPending, 0)
}

// blank takes out what is random in a page.
func blank(p page) string {
	_, nonce, _ := strings.Cut(p.header.Get("Content-Security-Policy"), "'nonce-")
	nonce, _, _ = strings.Cut(nonce, "'")
	return strings.ReplaceAll(p.body, nonce, "")
}

func TestTicketsEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	long := func(r *consent.Request) { r.ExpiresAt = r.AskedAt.Add(time.Hour) }
	m := h.sent("alice", long)
	b := h.browser()
	form := b.get(m.link).form(t)
	form.Set(code, m.code)
	form.Set(answer, allow)
	h.clock.Add(10*time.Minute + time.Second)
	if p := b.do(http.MethodPost, m.link, form); p.status != http.StatusNotFound {
		t.Errorf("an old link: %d", p.status)
	}
	if said := h.reply(alice, "YES "+m.code); strings.Contains(said, "Allowed") {
		t.Errorf("an old code: %q", said)
	}
	h.wantStatus(m.req, consent.StatusPending, 0)
	m2 := h.deliver(m.req, 2, true)
	if p := b.answer(m2, code, m.code, answer, allow); !p.asks() {
		t.Error("the code of the attempt before was taken")
	}
	if p := b.answer(m2, code, m2.code, answer, allow); !p.says("Allowed") {
		t.Errorf("the new code: %s", p.body)
	}
	// A request whose time is over is expired by whoever looks.
	m = h.sent("alice")
	h.clock.Add(5 * time.Minute)
	if p := b.get(m.link); p.asks() || !p.says("Too late") {
		t.Errorf("after the end: %s", p.body)
	}
	h.wantStatus(m.req, consent.StatusExpired, 0)
}

func TestStatesOnThePage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first := h.sent("alice")
	second := h.deliver(first.req, 2, true)
	h.reply(alice, "NO "+second.code)
	h.wantStatus(first.req, consent.StatusDenied, 1)
	for _, m := range []message{first, second} {
		if p := h.browser().get(m.link); p.asks() || !p.says("Already answered") {
			t.Errorf("answered elsewhere: %s", p.body)
		}
	}
	m := h.sent("alice")
	d, err := consent.Decide(h.state(m.req), consent.Evidence{Verb: consent.Withdrawn, By: "agent", Means: consent.ByClient, Nonce: "n"}, nil, h.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Decide(t.Context(), m.req.ID, d); err != nil {
		t.Fatal(err)
	}
	if p := h.browser().answerBlind(m, code, m.code, answer, allow); p.asks() || !p.says("Taken back") {
		t.Errorf("withdrawn: %s", p.body)
	}
}

func TestGerman(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("carla", payment)
	b := h.browser()
	if p := b.get(m.link); !p.says("50,00", "ACME GmbH") || !strings.Contains(p.body, `lang="de"`) {
		t.Errorf("the German page: %s", p.body)
	}
	if p := b.answer(m, code, m.code, answer, allow); !p.says("Erlaubt") {
		t.Errorf("after allowing: %s", p.body)
	}
	m = h.sent("carla")
	if said := h.reply(carla, "nein "+m.code); said == "" || strings.Contains(said, "Not allowed") {
		t.Errorf("NEIN was answered %q", said)
	}
	h.wantStatus(m.req, consent.StatusDenied, 1)
	b.header.Set("Accept-Language", "de-AT,de;q=0.9")
	if p := b.get(h.url + "/a/x"); !strings.Contains(p.body, `lang="de"`) {
		t.Errorf("a bad link in German: %s", p.body)
	}
}

// TestStoreDown: what cannot be stored is not said to be.
func TestStoreDown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice")
	b := h.browser()
	form := b.get(m.link).form(t)
	form.Set(code, m.code)
	form.Set(answer, allow)
	h.Close()
	if p := b.do(http.MethodPost, m.link, form); p.status != http.StatusServiceUnavailable || p.asks() || p.header.Get("Retry-After") == "" {
		t.Errorf("without a store: %d", p.status)
	}
	if _, err := h.tw.Reply(t.Context(), alice, "YES "+m.code); err == nil {
		t.Error("a message was taken without a store")
	}
	h.restart()
	h.wantStatus(m.req, consent.StatusPending, 0)
	if p := b.do(http.MethodPost, m.link, form); !p.says("Allowed") {
		t.Errorf("the same form afterwards: %s", p.body)
	}
}
