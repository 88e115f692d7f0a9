package demo_test

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/channels"
	"ringback/consent"
)

func TestOutbox(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if got := h.want(http.StatusOK, "GET", "/dev/outbox?person=alice", nil).body; got != "[]\n" {
		t.Errorf("empty outbox = %q", got)
	}
	h.send(aliceNumber, `Pay "50.00 EUR": http://127.0.0.1:8663/a/x or reply YES 482913`)
	h.send(bobNumber, "for bob")
	h.send(aliceNumber, "second, grüße")
	const want = `[{"channel":"sms","to":"+12025550101","text":"Pay \"50.00 EUR\": http://127.0.0.1:8663/a/x or reply YES 482913","links":["http://127.0.0.1:8663/a/x"],"at":"2026-11-22T14:30:01Z"},` +
		`{"channel":"sms","to":"+12025550101","text":"second, grüße","links":[],"at":"2026-11-22T14:30:03Z"}]` + "\n"
	a := h.want(http.StatusOK, "GET", "/dev/outbox?person=alice", nil)
	if diff := cmp.Diff(want, a.body); diff != "" {
		t.Errorf("outbox (-want +got):\n%s", diff)
	}
	if ct := a.header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") {
		t.Errorf("Content-Type = %q", ct)
	}
	if got := h.want(http.StatusOK, "GET", "/dev/outbox", nil).body; got != a.body {
		t.Errorf("nobody named is alice, got %s", got)
	}
	// What she writes herself was not sent to her.
	h.want(http.StatusNoContent, "POST", "/dev/phone/reply?person=alice", url.Values{"text": {"hello"}})
	if got := h.want(http.StatusOK, "GET", "/dev/outbox?person=alice", nil).body; got != a.body {
		t.Errorf("the outbox after a reply = %s", got)
	}
}

// TestNobodysPhone: an unknown person has no phone, and a person without a
// number sees nobody else's messages.
func TestNobodysPhone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.send(aliceNumber, "for alice")
	for _, path := range []string{"/dev/phone", "/dev/outbox", "/dev/phone/events"} {
		h.want(http.StatusNotFound, "GET", path+"?person=mallory", nil)
	}
	h.want(http.StatusNotFound, "POST", "/dev/phone/reply?person=mallory", url.Values{"text": {"NO"}})
	if got := h.want(http.StatusOK, "GET", "/dev/outbox?person=carla", nil).body; got != "[]\n" {
		t.Errorf("the outbox of a person without a number = %s", got)
	}
	h.want(http.StatusConflict, "POST", "/dev/phone/reply?person=carla", url.Values{"text": {"NO"}})
	if n := len(h.door.visits()); n != 0 {
		t.Errorf("%d webhooks", n)
	}
}

// TestReplyGoesThroughThePublicDoor: the phone decides nothing. Even with the
// right code, all it does is to have the provider call the public URL.
func TestReplyGoesThroughThePublicDoor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	req := h.Asked("alice")
	text := "YES " + h.handles.Code(req.ID, 1)
	form := url.Values{"text": {"  " + text + "\n"}}
	h.want(http.StatusConflict, "POST", "/dev/phone/reply?person=alice", form)
	if n := len(h.door.visits()); n != 0 {
		t.Fatalf("%d webhooks before any message", n)
	}
	h.send(aliceNumber, "reply "+text)
	before := h.facts()
	h.want(http.StatusNoContent, "POST", "/dev/phone/reply?person=alice", form)

	got := h.door.visits()
	if len(got) != 1 {
		t.Fatalf("%d webhooks, want 1", len(got))
	}
	v := got[0]
	if v.r.Method != http.MethodPost || v.r.URL.RequestURI() != channels.TwilioInbound {
		t.Errorf("the webhook is %s %s", v.r.Method, v.r.URL)
	}
	in, err := h.sms.(channels.Receiver).Receive(v.r, v.body)
	if err != nil {
		t.Fatalf("the webhook is not genuine: %v", err)
	}
	if in.From != aliceNumber || in.Body != text || in.Status {
		t.Errorf("the webhook says %+v", in)
	}
	if _, err := h.sms.(channels.Receiver).Receive(v.r, append(v.body, "&Body=NO"...)); !errors.Is(err, channels.ErrForged) {
		t.Errorf("the check passes a changed webhook: %v", err)
	}
	if diff := cmp.Diff(before, h.facts()); diff != "" {
		t.Errorf("the reply changed the store by itself (-before +after):\n%s", diff)
	}
	if st, err := h.Get(t.Context(), req.ID); err != nil || st.Status() != consent.StatusPending {
		t.Errorf("the request is %+v, %v; want it pending", st, err)
	}

	h.door.answer(http.StatusServiceUnavailable)
	h.want(http.StatusBadGateway, "POST", "/dev/phone/reply?person=alice", form)
}

func TestReplyRefuses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.send(aliceNumber, "x")
	for _, text := range []string{"", " \n", strings.Repeat("x", 1601)} {
		h.want(http.StatusBadRequest, "POST", "/dev/phone/reply?person=alice", url.Values{"text": {text}})
	}
	h.want(http.StatusMethodNotAllowed, "GET", "/dev/phone/reply?person=alice&text=NO", nil)
	if n := len(h.door.visits()); n != 0 {
		t.Errorf("%d webhooks", n)
	}
}

var (
	loaded = regexp.MustCompile(`\b(?:src|href|action)="([^"]*)"`)
	called = regexp.MustCompile(`\b(fetch|EventSource|WebSocket|XMLHttpRequest|sendBeacon|importScripts|import|Worker|open)\s*\(\s*([^,)]*)`)
	quoted = regexp.MustCompile("[\"'`](/[A-Za-z][^\"'`\\s?)]*)")
)

// TestPhoneKnowsNoShortcut reads what the page is made of: it loads its own
// files and calls /dev/phone/… alone.
func TestPhoneKnowsNoShortcut(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	parts := map[string]string{"/dev/phone": h.want(http.StatusOK, "GET", "/dev/phone?person=alice", nil).body}
	for _, m := range loaded.FindAllStringSubmatch(parts["/dev/phone"], -1) {
		if !strings.HasPrefix(m[1], "/dev/phone.") {
			t.Errorf("the page loads %q", m[1])
			continue
		}
		parts[m[1]] = h.want(http.StatusOK, "GET", m[1], nil).body
	}
	if len(parts) != 3 {
		t.Errorf("the page has %d parts, want the page, its script and its style", len(parts))
	}
	calls := map[string]bool{}
	for name, text := range parts {
		for _, banned := range []string{"decide", "outbox", "/a/", "callbacks", "/token", "eval(", "innerHTML", "<form action", "@import", "url("} {
			if strings.Contains(text, banned) {
				t.Errorf("%s contains %q", name, banned)
			}
		}
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			if path := m[1]; !strings.HasPrefix(path, "/dev/phone/") && parts[path] == "" {
				t.Errorf("%s names %s", name, path)
			}
		}
		for _, m := range called.FindAllStringSubmatch(text, -1) {
			path := regexp.MustCompile(`^'(/dev/phone/[a-z]+)\?person='`).FindStringSubmatch(m[2])
			if path == nil {
				t.Errorf("%s calls %s(%s)", name, m[1], m[2])
				continue
			}
			calls[path[1]] = true
		}
	}
	if diff := cmp.Diff(map[string]bool{"/dev/phone/events": true, "/dev/phone/reply": true}, calls); diff != "" {
		t.Errorf("the page's calls (-want +got):\n%s", diff)
	}
}
