package approve_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/channels"
	"ringback/channels/fakes"
	"ringback/consent"
)

func TestReplyAllows(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice", payment)
	if !strings.Contains(m.text, "YES "+m.code) {
		t.Fatalf("the message offers no answer: %s", m.text)
	}
	if said := h.reply(alice, " yes  "+m.code+" "); !strings.Contains(said, "Allowed") || !strings.Contains(said, "ACME GmbH") {
		t.Errorf("answered %q", said)
	}
	d := h.state(m.req).Decided
	if d == nil {
		t.Fatal("undecided")
	}
	got := []any{d.Verb, d.By, d.Means, d.Attempt, d.ACR, strings.Join(d.AMR, " ")}
	want := []any{consent.Approved, "alice", consent.ByReply, 1, consent.ACRTap, "sms"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if p := d.Presentation; p == nil || p.Channel != "sms" || !strings.Contains(p.Rendered, "ACME GmbH") || strings.Contains(p.Rendered, m.code) {
		t.Errorf("the presentation is %+v", p)
	}
	if said := h.reply(alice, "NO "+m.code); !strings.Contains(said, "No request is waiting") {
		t.Errorf("afterwards answered %q", said)
	}
	h.wantStatus(m.req, consent.StatusApproved, 1)
}

// TestReplies goes through what people write.
func TestReplies(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, tt := range []struct {
		name   string
		setup  []func(*consent.Request)
		reply  bool
		text   string // CODE stands for the code
		want   consent.Status
		misses int
		says   string
	}{
		{"no with the code", nil, true, "NO CODE", consent.StatusDenied, 1, "Not allowed"},
		{"bare no", nil, true, "No.", consent.StatusDenied, 0, "Not allowed"},
		{"German", nil, true, "Ja CODE", consent.StatusApproved, 1, "Allowed"},
		{"bare yes", nil, true, "YES", consent.StatusPending, 0, ""},
		{"code alone", nil, true, "CODE", consent.StatusPending, 0, ""},
		{"yes with a short code", nil, true, "YES 12345", consent.StatusPending, 0, ""},
		{"yes and more", nil, true, "YES CODE but not now", consent.StatusPending, 0, ""},
		{"wrong code", nil, true, "YES 000000", consent.StatusPending, 1, "2 tries left"},
		{"wrong code with no", nil, true, "NO 000000", consent.StatusPending, 1, "2 tries left"},
		{"route without replies", nil, false, "YES CODE", consent.StatusPending, 0, "Open the link"},
		{"route without replies, bare no", nil, false, "NO", consent.StatusPending, 0, "Open the link"},
		{"needs the number", []func(*consent.Request){matchOnly}, true, "YES CODE", consent.StatusPending, 0, "Open the link"},
		{"needs the number, no", []func(*consent.Request){matchOnly}, true, "NO CODE", consent.StatusDenied, 1, "Not allowed"},
		{"stop", nil, true, "STOP", consent.StatusPending, 0, "no more messages"},
		{"start", nil, true, "START", consent.StatusPending, 0, "again"},
		{"help", nil, true, "help", consent.StatusPending, 0, "YES or NO"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m message
			for {
				if m = h.deliver(h.Asked("alice", tt.setup...), 1, tt.reply); m.code != "000000" {
					break
				}
			}
			said := h.reply(alice, strings.ReplaceAll(tt.text, "CODE", m.code))
			if !strings.Contains(said, tt.says) {
				t.Errorf("%q was answered %q, want %q in it", tt.text, said, tt.says)
			}
			h.wantStatus(m.req, tt.want, tt.misses)
			if h.state(m.req).Decided == nil { // leave nothing open for the next row
				h.end(m)
			}
		})
	}
}

// end denies a request on its page.
func (h *house) end(m message) {
	h.t.Helper()
	h.browser().answer(m, code, m.code, answer, deny)
	h.Eventually("the request to be closed", func() bool {
		for _, b := range h.History(m.req.Pseudonym).Open {
			if b.ID == m.req.ID {
				return false
			}
		}
		return true
	})
}

func TestNotUnderstoodOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.sent("alice")
	if said := h.reply(alice, "I am driving and cannot answer"); !strings.Contains(said, "Not understood") {
		t.Errorf("answered %q", said)
	}
	for range 3 {
		if said := h.reply(alice, "I am driving and cannot answer"); said != "" {
			t.Errorf("answered %q again: two machines could talk for ever", said)
		}
	}
	if said := h.reply("+12025550177", "YES 123456"); said != "" {
		t.Errorf("a number of nobody's was answered %q", said)
	}
}

func TestBareNoNeedsOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if said := h.reply(alice, "NO"); !strings.Contains(said, "No request is waiting") {
		t.Errorf("answered %q", said)
	}
	a, b := h.sent("alice"), h.sent("alice")
	// A fact that comes late, as delivery reports do, makes nothing newer.
	if err := h.Report(t.Context(), a.req.ID, consent.Receipt{V: consent.Version, N: 2, Delivered: true, At: h.clock.Now()}); err != nil {
		t.Fatal(err)
	}
	if said := h.reply(alice, "NO"); !strings.Contains(said, "Several") {
		t.Errorf("answered %q", said)
	}
	h.wantStatus(a.req, consent.StatusPending, 0)
	h.wantStatus(b.req, consent.StatusPending, 0)
	// The older one is found by its code, which costs the newer one nothing.
	if said := h.reply(alice, "NO "+a.code); !strings.Contains(said, "Not allowed") {
		t.Errorf("answered %q", said)
	}
	h.wantStatus(a.req, consent.StatusDenied, 1)
	h.wantStatus(b.req, consent.StatusPending, 0)
	h.Eventually("one to be left", func() bool { return len(h.History(a.req.Pseudonym).Open) == 1 })
	h.reply(alice, "NO")
	h.wantStatus(b.req, consent.StatusDenied, 0)
}

// TestOtherPeople: a code is worth nothing from another's number or page.
func TestOtherPeople(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice")
	other := h.sent("bob")
	for _, from := range []string{bob, carla, "+12025550188"} {
		h.reply(from, "YES "+m.code)
		h.reply(from, "NO "+m.code)
	}
	h.reply(carla, "NO")
	h.wantStatus(m.req, consent.StatusPending, 0)
	h.wantStatus(other.req, consent.StatusPending, 2)
	if p := h.browser().answer(other, code, m.code, answer, allow); p.says("Allowed") {
		t.Error("alice's code opened bob's page")
	}
	h.wantStatus(m.req, consent.StatusPending, 0)
	h.wantStatus(other.req, consent.StatusPending, 3)
}

func TestStopAndStart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice")
	stopped := func() bool {
		devices, err := h.Devices(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		return devices[0].Stopped
	}
	for _, word := range []string{"STOP", "stop", " Stop. ", "STOPALL", "UNSUBSCRIBE", "CANCEL", "End", "QUIT", "REVOKE", "OPTOUT", "ARRET", "stop " + m.code} {
		h.reply(alice, word)
		if !stopped() {
			t.Errorf("%q did not stop messages", word)
		}
		h.reply(alice, "START")
		if stopped() {
			t.Errorf("START after %q did not start them again", word)
		}
	}
	h.wantStatus(m.req, consent.StatusPending, 0)
	form := h.tw.Inbound(alice, "STOP")
	form.Set("OptOutType", "STOP") // the provider has answered already
	if _, body, err := h.tw.Post(t.Context(), h.url+channels.TwilioInbound, form); err != nil || strings.Contains(string(body), "Message") || !stopped() {
		t.Errorf("a STOP that the provider handles: %s, %v", body, err)
	}
}

// TestReplayedMessages: each of the provider's requests counts once, for
// decisions, guesses and keywords.
func TestReplayedMessages(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	hook := h.url + channels.TwilioInbound
	post := func(form url.Values) string {
		t.Helper()
		status, body, err := h.tw.Post(t.Context(), hook, form)
		if err != nil || status != http.StatusOK {
			t.Fatalf("%d, %v", status, err)
		}
		return string(body)
	}
	m := h.sent("alice")
	guess := h.tw.Inbound(alice, "YES "+wrong(m.code))
	post(guess)
	for range 5 {
		if body := post(guess); strings.Contains(body, "Message") {
			t.Errorf("a replay was answered %s", body)
		}
	}
	h.wantStatus(m.req, consent.StatusPending, 1)
	no := h.tw.Inbound(alice, "NO")
	post(no)
	h.wantStatus(m.req, consent.StatusDenied, 1)
	h.Eventually("the request to be closed", func() bool { return len(h.History(m.req.Pseudonym).Open) == 0 })
	next := h.sent("alice")
	for _, form := range []url.Values{no, guess, no} {
		post(form)
	}
	h.wantStatus(next.req, consent.StatusPending, 0)
	stop, start := h.tw.Inbound(alice, "STOP"), h.tw.Inbound(alice, "START")
	post(stop)
	post(start)
	post(stop)
	h.restart() // a signature is good for ever
	for _, form := range []url.Values{stop, no, guess} {
		post(form)
	}
	h.wantStatus(next.req, consent.StatusPending, 0)
	if devices, _ := h.Devices(t.Context(), "alice"); devices[0].Stopped {
		t.Error("a replayed STOP stopped messages")
	}
}

// TestAnswersAreEscaped: what is said back is text in TwiML, whatever the
// agent is called.
func TestAnswersAreEscaped(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice", func(r *consent.Request) { r.Client.Name = `A&B</Message><Redirect>x</Redirect>` })
	if said := h.reply(alice, "NO "+m.code); !strings.Contains(said, "A&B</Message>") {
		t.Errorf("answered %q", said)
	}
	hooks := h.tw.Webhooks()
	if len(hooks) == 0 || hooks[len(hooks)-1].Status != http.StatusOK {
		t.Error("no answer")
	}
}

func TestStatusCallbacks(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	receipt := func(m message) (consent.Receipt, bool) { r, ok := h.state(m.req).Receipts[m.n]; return r, ok }
	m := h.sent("alice")
	h.Eventually("the receipt", func() bool { _, ok := receipt(m); return ok })
	if r, _ := receipt(m); !r.Delivered || r.N != 1 {
		t.Errorf("receipt = %+v", r)
	}
	h.tw.Plan(fakes.Step{Callbacks: []fakes.Callback{{Status: "undelivered", Code: 30003}, {Status: "sent"}, {Status: "delivered"}}, Repeat: 2})
	m = h.sent("alice")
	h.Eventually("the receipt", func() bool { _, ok := receipt(m); return ok })
	if r, _ := receipt(m); r.Delivered || r.Code != "30003" {
		t.Errorf("receipt = %+v, want the first word", r)
	}
	h.wantStatus(m.req, consent.StatusPending, 0)
	h.tw.Plan(fakes.Step{Callbacks: []fakes.Callback{{Status: "failed", Code: 21610}}})
	m = h.sent("bob")
	h.Eventually("bob's number to be stopped", func() bool {
		devices, err := h.Devices(t.Context(), "bob")
		return err == nil && devices[0].Stopped
	})
}

// TestStatusCallbacksOfOthers: a callback about another message, attempt or
// path changes nothing.
func TestStatusCallbacksOfOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.tw.Always(fakes.Step{Callbacks: []fakes.Callback{}})
	m := h.sent("alice")
	sid := h.state(m.req).Outcomes[1].ProviderID
	good := h.tw.StatusForm(sid, alice, fakes.Callback{Status: "delivered"})
	other := h.tw.StatusForm(h.tw.Inbound(alice, "").Get("MessageSid"), alice, fakes.Callback{Status: "delivered"})
	ref := h.handles.CallbackRef(m.req.ID, 1)
	for name, tt := range map[string]struct {
		path string
		form url.Values
		want int
	}{
		"another message":  {channels.TwilioStatus(ref), other, http.StatusNoContent},
		"another attempt":  {channels.TwilioStatus(h.handles.CallbackRef(m.req.ID, 2)), good, http.StatusNoContent},
		"unknown request":  {channels.TwilioStatus(h.handles.CallbackRef(consent.NewID(), 1)), good, http.StatusNoContent},
		"a ticket":         {channels.TwilioStatus(h.handles.Ticket(m.req.ID, 1)), good, http.StatusNotFound},
		"nonsense":         {channels.TwilioStatus("x"), good, http.StatusNotFound},
		"another provider": {strings.Replace(channels.TwilioStatus(ref), "twilio", "other", 1), good, http.StatusNotFound},
		"a message":        {channels.TwilioStatus(ref), h.tw.Inbound(alice, "NO"), http.StatusForbidden},
		"not the last":     {channels.TwilioStatus(ref), h.tw.StatusForm(sid, alice, fakes.Callback{Status: "sent"}), http.StatusNoContent},
	} {
		if status, _, err := h.tw.Post(t.Context(), h.url+tt.path, tt.form); err != nil || status != tt.want {
			t.Errorf("%s: %d, %v, want %d", name, status, err, tt.want)
		}
	}
	if n := len(h.state(m.req).Receipts); n != 0 {
		t.Errorf("%d receipts, want none", n)
	}
	if status, _, _ := h.tw.Post(t.Context(), h.url+channels.TwilioStatus(ref), good); status != http.StatusNoContent {
		t.Errorf("the right one: %d", status)
	}
	if r := h.state(m.req).Receipts[1]; !r.Delivered {
		t.Errorf("receipt = %+v", r)
	}
}

// TestOldCodes: a code of an earlier attempt, or past its time, is refused.
func TestOldCodes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice", func(r *consent.Request) { r.ExpiresAt = r.AskedAt.Add(time.Hour) })
	h.clock.Add(time.Minute)
	m2 := h.deliver(m.req, 2, true)
	if said := h.reply(alice, "YES "+m.code); m.code != m2.code && strings.Contains(said, "Allowed") {
		t.Errorf("the code before: %q", said)
	}
	h.clock.Add(10 * time.Minute)
	if said := h.reply(alice, "YES "+m2.code); strings.Contains(said, "Allowed") {
		t.Errorf("a code past its time: %q", said)
	}
	h.wantStatus(m.req, consent.StatusPending, 1)
	h.clock.Add(time.Hour)
	if said := h.reply(alice, "NO"); !strings.Contains(said, "This request ended at ") {
		t.Errorf("after the end: %q", said)
	}
}
