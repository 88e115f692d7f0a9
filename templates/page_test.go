package templates

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var pagesDir = flag.String("pages", "", "write every sample page into this directory, to be looked at in a browser")

// version is the query that changes with the stylesheet.
var version = regexp.MustCompile(`\?v=[0-9a-f]{8}`)

// samplePage is a page to look at.
type samplePage struct {
	name    string
	request string
	data    PageData
	waiting int
	choose  *UserCodePage // instead of all that
}

var samplePages = []samplePage{
	{"asking", "payment", PageData{State: Asking, CSRF: "token", NeedCode: true}, 2, nil},
	{"asking-match", "payment", PageData{State: Asking, CSRF: "token", NeedCode: true, NeedMatch: true}, 2, nil},
	{"asking-long", "payment-long", PageData{State: Asking, CSRF: "token", NeedCode: true, NeedMatch: true}, 0, nil},
	{"asking-access", "access", PageData{State: Asking, CSRF: "token", NeedCode: true, NeedMatch: true}, 0, nil},
	{"asking-call", "call", PageData{State: Asking, CSRF: "token", NeedCode: true}, 0, nil},
	{"asking-scope", "scope", PageData{State: Asking, CSRF: "token", NeedCode: true}, 1, nil},
	{"asking-scopes", "scopes", PageData{State: Asking, CSRF: "token", NeedCode: true}, 0, nil},
	{"asking-own", "own", PageData{State: Asking, CSRF: "token", NeedCode: true, NeedMatch: true}, 0, nil},
	{"asking-own-scope", "own-scope", PageData{State: Asking, CSRF: "token", NeedCode: true}, 0, nil},
	{"asking-identity", "identity", PageData{State: Asking, CSRF: "token", NeedCode: true}, 0, nil},
	{"asking-several", "several", PageData{State: Asking, CSRF: "token", NeedCode: true}, 0, nil},
	{"asking-renewable", "renewable", PageData{State: Asking, CSRF: "token", NeedCode: true, NeedMatch: true}, 2, nil},
	{"asking-renewable-scope", "renewable-scope", PageData{State: Asking, CSRF: "token", NeedCode: true}, 0, nil},
	{"asking-unknown", "unknown", PageData{State: Asking, CSRF: "token", NeedCode: true, NeedMatch: true}, 0, nil},
	{"asking-phr", "payment", PageData{State: Asking, CSRF: "token", NeedCode: true, NeedPhr: true}, 0, nil},
	{"wrong-code", "payment", PageData{State: Asking, CSRF: "token", NeedCode: true, NeedMatch: true, Problem: WrongCode, TriesLeft: 2}, 0, nil},
	{"wrong-code-last", "payment", PageData{State: Asking, CSRF: "token", NeedCode: true, Problem: WrongCode, TriesLeft: 1}, 0, nil},
	{"missing-code", "payment", PageData{State: Asking, CSRF: "token", NeedCode: true, Problem: MissingCode}, 0, nil},
	{"missing-match", "payment", PageData{State: Asking, CSRF: "token", NeedCode: true, NeedMatch: true, Problem: MissingMatch}, 0, nil},
	{"no-answer", "payment", PageData{State: Asking, CSRF: "token", NeedCode: true, Problem: NoAnswer}, 0, nil},
	{"stale", "payment", PageData{State: Asking, CSRF: "token", NeedCode: true, Problem: Stale}, 0, nil},
	{"allowed", "payment", PageData{State: Allowed}, 0, nil},
	{"allowed-several", "several", PageData{State: Allowed}, 0, nil},
	{"allowed-renewable", "renewable", PageData{State: Allowed}, 0, nil},
	{"refused", "payment", PageData{State: Refused}, 0, nil},
	{"blocked", "payment", PageData{State: Blocked, BlockedFor: 24 * time.Hour}, 0, nil},
	{"blocked-for-now", "payment", PageData{State: Blocked}, 0, nil},
	{"ended", "payment", PageData{State: Ended}, 0, nil},
	{"withdrawn", "payment", PageData{State: Withdrawn}, 0, nil},
	{"elsewhere", "payment", PageData{State: Elsewhere}, 0, nil},
	{"too-many", "payment", PageData{State: TooMany}, 0, nil},
	{"not-found", "", PageData{State: NotFound}, 0, nil},
	{"unavailable", "", PageData{State: Unavailable}, 0, nil},
}

// chooserPages are those on which a person chooses a user_code.
var chooserPages = []samplePage{
	{name: "choosing", choose: &UserCodePage{State: Choosing, CSRF: "token"}},
	{name: "choosing-wrong-code", choose: &UserCodePage{State: Choosing, CSRF: "token", Problem: WrongCode, TriesLeft: 2}},
	{name: "choosing-missing-code", choose: &UserCodePage{State: Choosing, CSRF: "token", Problem: MissingCode}},
	{name: "choosing-bad", choose: &UserCodePage{State: Choosing, CSRF: "token", Problem: BadUserCode}},
	{name: "choosing-unequal", choose: &UserCodePage{State: Choosing, CSRF: "token", Problem: Unequal}},
	{name: "choosing-stale", choose: &UserCodePage{State: Choosing, CSRF: "token", Problem: Stale}},
	{name: "chosen", choose: &UserCodePage{State: Allowed}},
	{name: "choosing-too-many", choose: &UserCodePage{State: TooMany}},
}

func renderSample(t testing.TB, s *Set, p samplePage, lang string) string {
	t.Helper()
	var b bytes.Buffer
	if p.choose != nil {
		d := *p.choose
		d.Lang = people[lang].Locale
		if err := s.UserCodePage(&b, d); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	d := p.data
	d.Lang = lang
	if p.request != "" {
		v := mustView(t, s, requests[p.request], people[lang], p.waiting)
		d.View = &v
	}
	if err := s.Page(&b, d); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// With -pages DIR it leaves pages to look at:
//
//	go test ./templates -run TestPages -pages /tmp/pages
func TestPages(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	for _, lang := range languages {
		for _, p := range slices.Concat(samplePages, chooserPages) {
			got := renderSample(t, s, p, lang)
			golden(t, filepath.Join("pages", lang, p.name+".html"), version.ReplaceAllString(got, "?v=…"))
			checkPage(t, lang+"/"+p.name, got)
			if *pagesDir != "" {
				got = strings.ReplaceAll(got, `"/assets/`, `"../assets/`)
				write(t, filepath.Join(*pagesDir, lang, p.name+".html"), []byte(got))
			}
		}
	}
	if *pagesDir != "" {
		write(t, filepath.Join(*pagesDir, StylesheetPath), Stylesheet())
		write(t, filepath.Join(*pagesDir, MarkPath), Mark())
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// checkPage looks for what a strict Content-Security-Policy would block and
// for what is missing.
func checkPage(t *testing.T, name, page string) {
	t.Helper()
	for _, bad := range []string{"<script", " style=", "<style", " on", "javascript:", "http://", "https://fonts", "{{", "}}", "ZgotmplZ", "<no value>", "%!"} {
		if bad == " on" {
			for _, handler := range []string{" onclick", " onload", " onerror", " onsubmit"} {
				if strings.Contains(page, handler) {
					t.Errorf("%s: has %q", name, handler)
				}
			}
			continue
		}
		if strings.Contains(page, bad) {
			t.Errorf("%s: has %q", name, bad)
		}
	}
	for _, good := range []string{"<!doctype html>", `<html lang="`, "<main ", "<h1>", "<title>"} {
		if !strings.Contains(page, good) {
			t.Errorf("%s: lacks %q", name, good)
		}
	}
	if strings.Contains(page, "{agent}") || strings.Contains(page, "{time}") {
		t.Errorf("%s: a place for a value is left", name)
	}
}

// A script needs a nonce, and is the only difference that it makes.
func TestPageNonce(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	p := samplePages[0]
	without := renderSample(t, s, p, "en")
	p.data.Nonce = "abc"
	with := renderSample(t, s, p, "en")
	before, rest, ok := strings.Cut(with, `<script nonce="abc">`)
	_, after, closed := strings.Cut(rest, "</script>\n")
	if !ok || !closed || before+after != without {
		t.Errorf("with a nonce the page is not the same plus a script:\n%s", with)
	}
}
