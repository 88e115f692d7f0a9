package approve_test

import (
	"flag"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"ringback/consent"
	"ringback/templates"
)

var links = flag.Int("links", manyLinks, "links that the scanner is given")

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	http.MethodTrace, "PROPFIND", "APPROVE",
}

// TestScanner is a mail scanner that has links without their messages' text:
// it fetches, follows, and posts every form with every button in every order,
// also as a query, with and without what it finds in the fields.
func TestScanner(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	rnd := rand.New(rand.NewPCG(5, 6))
	var sent []message
	for i := range *links {
		person := []string{"alice", "bob", "carla"}[i%3]
		var change []func(*consent.Request)
		if i%2 == 1 {
			change = append(change, matchOnly)
		}
		m := h.sent(person, change...)
		sent = append(sent, m)
		b := h.browser()
		for _, method := range methods {
			b.do(method, m.link, nil)
			b.do(method, m.link+"?"+url.Values{answer: {allow}, match: {"4711"}}.Encode(), nil)
		}
		form := b.get(m.link).form(t)
		buttons := []string{allow, deny, block, "", "yes", "ALLOW"}
		rnd.Shuffle(len(buttons), func(i, j int) { buttons[i], buttons[j] = buttons[j], buttons[i] })
		for _, press := range buttons {
			typing := []string{"", "······", "12345", "1234567", "abcdef", "<script>", "٤٨٢٩١٣", "4829 1", m.link}
			for range 4 {
				typed := typing[rnd.IntN(len(typing))]
				form.Set(answer, press)
				form.Set(code, typed)
				form.Set(match, []string{"", "4711", "0000"}[rnd.IntN(3)])
				if p := b.do(http.MethodPost, m.link, form); p.says("Allowed", "You can close") {
					t.Fatalf("the scanner's form did something: %s", p.body)
				}
				if rnd.IntN(10) == 0 {
					b.do(http.MethodPost, m.link+"?"+form.Encode(), url.Values{})
					b.do(http.MethodGet, m.link+"?"+form.Encode(), nil)
				}
			}
		}
	}
	for _, m := range sent {
		h.wantStatus(m.req, consent.StatusPending, 0)
		if p := h.browser().get(m.link); !p.asks() {
			t.Errorf("a scanned link no longer works: %d", p.status)
		}
	}
}

// TestForeignPages: a page of somebody else's cannot make a browser answer,
// even when it knows ticket and code.
func TestForeignPages(t *testing.T) {
	t.Parallel()
	t.Run("http", func(t *testing.T) { foreignPages(t, newHouse(t), false) })
	t.Run("https", func(t *testing.T) { foreignPages(t, newSecureHouse(t), true) })
}

func foreignPages(t *testing.T, h *house, secure bool) {
	t.Parallel()
	m := h.sent("alice")
	b := h.browser()
	first := b.get(m.link)
	ck := first.header.Get("Set-Cookie")
	if !strings.Contains(ck, "SameSite=Strict") || !strings.Contains(ck, "HttpOnly") || !strings.Contains(ck, "Path=/") ||
		strings.HasPrefix(ck, "__Host-") != secure || strings.Contains(ck, "Secure") != secure {
		t.Errorf("cookie %q", ck)
	}
	mine := first.form(t)
	theirs := h.browser().get(m.link).form(t) // the attacker's own form for the same ticket
	other := h.sent("alice")
	elsewhere := b.get(other.link).form(t)
	stamped := []byte(mine.Get(templates.FieldCSRF))
	stamped[0] ^= 'A' ^ 'B' // never what it was
	fill := func(csrf string) url.Values {
		out := url.Values{code: {m.code}, answer: {allow}}
		if csrf != "-" {
			out.Set(templates.FieldCSRF, csrf)
		}
		return out
	}
	for _, tt := range []struct {
		name         string
		csrf         string
		origin, site string
	}{
		{"no token", "-", "", ""},
		{"empty token", "", "", ""},
		{"short token", "x", "", ""},
		{"another browser's token", theirs.Get(templates.FieldCSRF), "", ""},
		{"another ticket's token", elsewhere.Get(templates.FieldCSRF), "", ""},
		{"token with another stamp", string(stamped), "", ""},
		{"foreign origin", mine.Get(templates.FieldCSRF), "https://attacker.example", ""},
		{"foreign origin that fetch calls ours", mine.Get(templates.FieldCSRF), "https://attacker.example", "same-origin"},
		{"our host on another port", mine.Get(templates.FieldCSRF), "http://127.0.0.1:1", "same-site"},
		{"cross-site", mine.Get(templates.FieldCSRF), h.url, "cross-site"},
		{"same-site", mine.Get(templates.FieldCSRF), h.url, "same-site"},
		{"null without proof", mine.Get(templates.FieldCSRF), "null", ""},
		{"null from elsewhere", mine.Get(templates.FieldCSRF), "null", "cross-site"},
	} {
		if tt.name == "null without proof" && !secure {
			continue // over http browsers give no proof
		}
		b.header = http.Header{"Origin": {tt.origin}, "Sec-Fetch-Site": {tt.site}}
		if p := b.do(http.MethodPost, m.link, fill(tt.csrf)); p.status != http.StatusForbidden || !p.asks() {
			t.Errorf("%s: %d", tt.name, p.status)
		}
		h.wantStatus(m.req, consent.StatusPending, 0)
	}
	for _, tt := range []struct{ origin, site string }{{"", ""}, {h.url, ""}, {h.url, "same-origin"}, {"null", "same-origin"}} {
		m := h.sent("bob")
		b.header = http.Header{"Origin": {tt.origin}, "Sec-Fetch-Site": {tt.site}}
		if p := b.answer(m, code, m.code, answer, deny); p.status != http.StatusOK || p.asks() {
			t.Errorf("our own page with %+v: %d", tt, p.status)
		}
	}
}

func TestOddForms(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice")
	b := h.browser()
	form := b.get(m.link).form(t)
	token := form.Get(templates.FieldCSRF)
	good := url.Values{templates.FieldCSRF: {token}, code: {m.code}, answer: {allow}}.Encode()
	for name, tt := range map[string]struct{ contentType, body string }{
		"repeated answer":   {"application/x-www-form-urlencoded", good + "&answer=deny"},
		"repeated code":     {"application/x-www-form-urlencoded", good + "&code=" + m.code},
		"multipart":         {"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"code\"\r\n\r\n" + m.code + "\r\n--x--"},
		"JSON":              {"application/json", `{"code":"` + m.code + `","answer":"allow"}`},
		"text":              {"text/plain", good},
		"no type":           {"", good},
		"too large":         {"application/x-www-form-urlencoded", good + "&x=" + strings.Repeat("x", 20<<10)},
		"too many fields":   {"application/x-www-form-urlencoded", good + strings.Repeat("&x=1", 300)},
		"semicolons":        {"application/x-www-form-urlencoded", strings.ReplaceAll(good, "&", ";")},
		"bad escape":        {"application/x-www-form-urlencoded", good + "&x=%zz"},
		"invalid UTF-8":     {"application/x-www-form-urlencoded", good + "&x=%ff"},
		"nothing":           {"application/x-www-form-urlencoded", ""},
		"answer of nothing": {"application/x-www-form-urlencoded", strings.Replace(good, "answer=allow", "answer=approve", 1)},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, m.link, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", tt.contentType)
		resp, err := b.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode < 400 || resp.StatusCode > 499 {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
		h.wantStatus(m.req, consent.StatusPending, 0)
	}
}

// TestMarkup: nothing that an agent writes becomes markup on a page.
func TestMarkup(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, evil := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</title><svg onload=alert(1)>`, `{{.}}`, `' onfocus='alert(1)`,
		`<!--`, `]]>`, `&lt;script&gt;`, `javascript:alert(1)`, `<form action=//x>`, `<base href=//x>`, `<meta http-equiv=refresh>`,
	} {
		m := h.sent("alice", func(r *consent.Request) {
			r.Client.Name, r.Client.Host, r.BindingMessage = evil, "a"+evil, evil
			r.Details = nil
			r.Resource, r.Scope = evil, []string{evil}
		})
		b := h.browser()
		for _, p := range []page{b.get(m.link), b.answer(m, code, wrong(m.code), answer, allow), b.answer(m, code, m.code, answer, deny)} {
			for _, bad := range []string{"<script>alert", "<img", "<svg onload", "<form action=//", "<base", "<meta http-equiv", "' onfocus='"} {
				if strings.Contains(p.body, bad) {
					t.Errorf("%q came through as markup: %s", evil, p.body)
				}
			}
		}
	}
}

// TestHeaders: what keeps a page from being framed, cached, scripted or told of.
func TestHeaders(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice")
	b := h.browser()
	seen := map[string]bool{}
	for _, p := range []page{
		b.get(m.link), b.do(http.MethodHead, m.link, nil), b.get(h.url + "/a/x"), b.do(http.MethodPost, m.link, url.Values{}),
		b.answer(m, code, m.code, answer, deny), b.get(m.link),
	} {
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := p.header.Get(name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		csp := p.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("the policy %q lacks %s", csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") || seen[csp] {
			t.Errorf("the policy %q is unsafe, or its nonce was used before", csp)
		}
		seen[csp] = true
		for _, tag := range input.FindAllString(p.body, -1) {
			if attrs(tag)["autocomplete"] == "one-time-code" {
				t.Errorf("autofill would defeat the code: %s", tag)
			}
		}
		if strings.Contains(p.body, "style=") || strings.Contains(p.body, "onclick") {
			t.Error("the page needs what its policy forbids")
		}
	}
	for _, ck := range b.client.Jar.Cookies(&url.URL{Scheme: "http", Host: strings.TrimPrefix(h.url, "http://"), Path: "/"}) {
		if strings.HasPrefix(ck.Name, "__Host-") {
			t.Errorf("cookie %s over http", ck.Name)
		}
	}
	css := b.get(h.url + templates.StylesheetPath)
	if css.status != http.StatusOK || css.header.Get("Content-Type") != "text/css; charset=utf-8" || css.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("stylesheet: %d %v", css.status, css.header)
	}
}
