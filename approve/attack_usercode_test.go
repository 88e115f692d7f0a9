package approve_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/consent"
	"ringback/keys"
	"ringback/templates"
)

// TestUserCodeLinkAlone: whoever has the link and not the message's code
// changes nothing, by whatever method.
func TestUserCodeLinkAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.offered("alice")
	b := h.browser()
	all := url.Values{code: {m.code}, chosen: {treeCode}, again: {treeCode}}
	for _, method := range methods {
		b.do(method, m.link, nil)
		b.do(method, m.link+"?"+all.Encode(), nil)
	}
	form := b.get(m.link).form(t)
	for _, typed := range []string{"", "······", "12345", "1234567", "abcdef", "٤٨٢٩١٣", m.link} {
		form.Set(code, typed)
		form.Set(chosen, treeCode)
		form.Set(again, treeCode)
		if p := b.do(http.MethodPost, m.link, form); !p.asks() {
			t.Errorf("the code %q: %s", typed, p.body)
		}
		b.do(http.MethodPost, m.link+"?"+all.Encode(), url.Values{})
	}
	if h.takes("alice", "agent", treeCode) {
		t.Error("a code was set")
	}
	if p := b.answer(m, code, m.code, chosen, treeCode, again, treeCode); !p.says("Your code is set") { // no guess was used up
		t.Errorf("after all that: %s", p.body)
	}
}

// TestUserCodeForeignPages: only a form of this page, in this browser, counts.
func TestUserCodeForeignPages(t *testing.T) {
	t.Parallel()
	h := newSecureHouse(t)
	m := h.offered("alice")
	b := h.browser()
	mine := b.get(m.link).form(t).Get(templates.FieldCSRF)
	theirs := h.browser().get(m.link).form(t).Get(templates.FieldCSRF)
	approval := b.get(h.sent("alice").link).form(t).Get(templates.FieldCSRF)
	for _, tt := range []struct{ name, csrf, origin, site string }{
		{"no token", "", "", ""},
		{"another browser's token", theirs, "", ""},
		{"the approval page's token", approval, "", ""},
		{"foreign origin", mine, "https://attacker.example", ""},
		{"cross-site", mine, h.url, "cross-site"},
		{"same-site", mine, h.url, "same-site"},
		{"null without proof", mine, "null", ""},
	} {
		b.header = http.Header{"Origin": {tt.origin}, "Sec-Fetch-Site": {tt.site}}
		p := b.do(http.MethodPost, m.link, url.Values{templates.FieldCSRF: {tt.csrf}, code: {m.code}, chosen: {treeCode}, again: {treeCode}})
		if p.status != http.StatusForbidden || !p.asks() || h.takes("alice", tt.name, treeCode) {
			t.Errorf("%s: %d %s", tt.name, p.status, p.body)
		}
	}
}

// TestUserCodeHeaders: no other page frames this one, caches keep it or learn
// its address.
func TestUserCodeHeaders(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.offered("alice")
	for _, link := range []string{m.link, h.url + "/u/x"} {
		p := h.browser().get(link)
		for name, want := range map[string]string{
			"Content-Security-Policy": "frame-ancestors 'none'", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Frame-Options": "DENY",
		} {
			if got := p.header.Get(name); !strings.Contains(got, want) {
				t.Errorf("%s: %q, want %q in it", name, got, want)
			}
		}
	}
}

// TestUserCodeGuesses: three guesses at the message's code, a double click is
// one, and then the right one does nothing.
func TestUserCodeGuesses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.offered("alice")
	b := h.browser()
	twice := b.get(m.link).filled(t, wrong(m.code), treeCode)
	if p := b.do(http.MethodPost, m.link, twice); !p.says("2 tries left") {
		t.Errorf("the first wrong code: %s", p.body)
	}
	if p := b.do(http.MethodPost, m.link, twice); !p.says("2 tries left") {
		t.Errorf("the same form again: %d %s", p.status, p.body)
	}
	twice.Set(chosen, numbered(1))
	twice.Set(again, numbered(1))
	if p := b.do(http.MethodPost, m.link, twice); !p.says("1 try left") {
		t.Errorf("the same form with something else in it: %d %s", p.status, p.body)
	}
	if p := b.answer(m, code, wrong(m.code), chosen, treeCode, again, treeCode); p.asks() || !p.says("Too many wrong codes") {
		t.Errorf("the third wrong code: %s", p.body)
	}
	h.restart()
	if p := h.browser().answerBlind(m, code, m.code, chosen, treeCode, again, treeCode); p.asks() || !p.says("Too many wrong codes") {
		t.Errorf("the right code afterwards: %s", p.body)
	}
	if h.takes("alice", "agent", treeCode) {
		t.Error("a code was set")
	}
	m2 := h.offered("alice")
	if p := b.answer(m2, code, m.code, chosen, treeCode, again, treeCode); m.code != m2.code && !p.says("2 tries left") {
		t.Errorf("the code of the message before: %s", p.body)
	}
	if p := b.answer(m2, code, m2.code, chosen, treeCode, again, treeCode); !p.says("Your code is set") {
		t.Errorf("the code of the newest message: %s", p.body)
	}
}

// TestUserCodeGuessesAtOnce: many guesses at once are three.
func TestUserCodeGuessesAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.offered("alice")
	browsers, forms := make([]*browser, 24), make([]url.Values, 24)
	for i := range browsers {
		browsers[i] = h.browser()
		forms[i] = browsers[i].get(m.link).filled(t, wrong(m.code), treeCode)
	}
	var more atomic.Int64 // answers that offer another try
	var all sync.WaitGroup
	for i, b := range browsers {
		all.Go(func() {
			if p := b.do(http.MethodPost, m.link, forms[i]); p.asks() {
				more.Add(1)
			} else if !p.says("Too many wrong codes") {
				t.Errorf("one of many guesses: %d %s", p.status, p.body)
			}
		})
	}
	all.Wait()
	if got := more.Load(); got != consent.MaxMisses-1 {
		t.Errorf("%d of %d answers offer another try, want %d", got, len(browsers), consent.MaxMisses-1)
	}
	forms[0].Set(code, m.code)
	if p := browsers[0].do(http.MethodPost, m.link, forms[0]); !p.says("Too many wrong codes") {
		t.Errorf("the right code afterwards: %s", p.body)
	}
}

// TestUserCodeRightAtOnce: two browsers choose at once, and one of them does.
func TestUserCodeRightAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.offered("alice")
	var all sync.WaitGroup
	for i := range 2 {
		b := h.browser()
		form := b.get(m.link).filled(t, m.code, numbered(i))
		all.Go(func() {
			if p := b.do(http.MethodPost, m.link, form); !p.says("Your code is set") {
				t.Errorf("one of two at once: %d %s", p.status, p.body)
			}
		})
	}
	all.Wait()
	if a, b := h.takes("alice", "agent", consent.Secret(numbered(0))), h.takes("alice", "agent", consent.Secret(numbered(1))); a == b {
		t.Errorf("both or neither of two codes count: %v, %v", a, b)
	}
	told := 0
	for _, e := range h.tw.Inbox.Sent(alice) {
		if strings.Contains(e.Text, "was changed") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("alice was told %d times, want once", told)
	}
}

// TestUserCodeBadLinks: links of any other kind, of other people, older ones
// and ones whose time is over are all the same page.
func TestUserCodeBadLinks(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	old := h.offered("alice")
	bobs := h.offered("bob")
	approval := h.sent("alice")
	m := h.offered("alice")
	ticket := strings.TrimPrefix(m.link, h.url+"/u/")
	over := h.offered("carla")
	b := h.browser()
	neutral := blank(b.get(h.url + "/u/x"))
	links := map[string]string{
		"an older message's": old.link, "changed": h.url + "/u/B" + ticket[1:], "short": h.url + "/u/" + ticket[1:],
		"an approval page's":      strings.Replace(approval.link, "/a/", "/u/", 1),
		"at the approval page":    strings.Replace(m.link, "/u/", "/a/", 1),
		"an auth_req_id":          h.url + "/u/" + h.handles.AuthReqID(approval.req.ID),
		"of nobody":               h.url + "/u/" + h.handles.UserCodeTicket([16]byte{1}),
		"of another installation": h.url + "/u/" + keys.NewHandles(keys.NewRoot()).UserCodeTicket([16]byte{1}),
	}
	for name, link := range links {
		for _, form := range []url.Values{nil, {code: {m.code}, chosen: {treeCode}, again: {treeCode}}} {
			method := http.MethodGet
			if form != nil {
				method = http.MethodPost
			}
			if p := b.do(method, link, form); p.status != http.StatusNotFound || blank(p) != neutral {
				t.Errorf("%s %s: %d, not the same page as for others", method, name, p.status)
			}
		}
	}
	if p := b.answer(m, code, bobs.code, chosen, treeCode, again, treeCode); bobs.code != m.code && !p.says("2 tries left") {
		t.Errorf("the code of another person's message: %s", p.body)
	}
	form := b.get(over.link).filled(t, over.code, treeCode)
	h.clock.Add(10 * time.Minute)
	if p := b.do(http.MethodPost, over.link, form); p.status != http.StatusNotFound || h.takes("carla", "agent", treeCode) {
		t.Errorf("after ten minutes: %d %s", p.status, p.body)
	}
}

// TestUserCodeTellsAlways: who takes a person's message and goes away at once
// cannot keep the person from being told.
func TestUserCodeTellsAlways(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.offered("alice")
	b := h.browser()
	form := b.get(m.link).filled(t, m.code, treeCode)
	ctx, gone := context.WithCancel(t.Context())
	h.rebuild(leaves{h, gone})
	r := httptest.NewRequest(http.MethodPost, m.link, strings.NewReader(form.Encode())).WithContext(ctx)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	u, err := url.Parse(h.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, ck := range b.client.Jar.Cookies(u) {
		r.AddCookie(ck)
	}
	h.echo.ServeHTTP(httptest.NewRecorder(), r)
	if ctx.Err() == nil {
		t.Fatal("the sender did not go away")
	}
	if !h.takes("alice", "agent", treeCode) || !strings.Contains(h.last(alice).Text, "was changed") {
		t.Errorf("alice was told %q", h.last(alice).Text)
	}
}

// TestUserCodeInterrupted: whoever ends us in the middle keeps nobody from being
// told, and the same form sets the code afterwards, though no guess is left.
func TestUserCodeInterrupted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.offered("alice")
	b := h.browser()
	for range consent.MaxMisses - 1 {
		b.answer(m, code, wrong(m.code), chosen, treeCode, again, treeCode)
	}
	form := b.get(m.link).filled(t, m.code, treeCode)
	h.rebuild(ends{h})
	if p := b.do(http.MethodPost, m.link, form); p.status != http.StatusServiceUnavailable || h.takes("alice", "agent", treeCode) {
		t.Errorf("while the code cannot be set: %d %s", p.status, p.body)
	}
	if text := h.last(alice).Text; !strings.Contains(text, "was changed") {
		t.Errorf("alice was told %q", text)
	}
	h.restart()
	if p := h.browser().answerBlind(m, code, m.code, chosen, treeCode, again, treeCode); !p.says("Too many wrong codes") {
		t.Errorf("another form without a guess left: %s", p.body)
	}
	if p := b.do(http.MethodPost, m.link, form); !p.says("Your code is set") || !h.takes("alice", "agent", treeCode) {
		t.Errorf("the same form afterwards: %s", p.body)
	}
}

// TestUserCodeErased: an erased person's link is over.
func TestUserCodeErased(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.offered("bob")
	form := h.browser().get(m.link).filled(t, m.code, treeCode)
	if err := h.RemovePerson(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	if p := h.browser().do(http.MethodPost, m.link, form); p.status != http.StatusNotFound {
		t.Errorf("an erased person's link: %d %s", p.status, p.body)
	}
}
