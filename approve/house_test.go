package approve_test

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/approve"
	"ringback/channels"
	"ringback/channels/channeltest"
	"ringback/channels/content"
	"ringback/channels/fakes"
	"ringback/consent"
	"ringback/details"
	"ringback/keys"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/templates"
)

const (
	alice = "+12025550101" // speaks English
	bob   = "+12025550102"
	carla = "+12025550103" // speaks German
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// house is the door with everything real around it: store, channel, and a fake
// Twilio that calls back over HTTP.
type house struct {
	*storetest.House
	t       testing.TB
	clock   *clock
	handles *keys.Handles
	set     *templates.Set
	policy  *consent.Policy
	tw      *fakes.Twilio
	sms     channels.Channel
	url     string
	client  *http.Client // trusts url

	mu   sync.RWMutex
	echo *echo.Echo
	door *approve.Server

	faulty func(consent.Store) consent.Store // nil: the store as it is
}

func newHouse(t testing.TB) *house { return buildHouse(t, httptest.NewServer) }

// newSecureHouse is reached over https.
func newSecureHouse(t testing.TB) *house { return buildHouse(t, httptest.NewTLSServer) }

func buildHouse(t testing.TB, serve func(http.Handler) *httptest.Server) *house {
	t.Helper()
	h := &house{t: t, clock: &clock{now: time.Now()}, policy: &consent.Policy{}}
	h.House = storetest.New(t, func(c *store.Config) { c.Now = h.clock.Now })
	h.handles = keys.NewHandles(h.Root)
	for id, p := range map[string]consent.Person{
		"alice": {Phone: alice, Zoneinfo: "Europe/Berlin"}, "bob": {Phone: bob}, "carla": {Phone: carla, Locale: "de-DE"},
	} {
		p.ID = id
		if err := h.AddPerson(t.Context(), &p); err != nil {
			t.Fatal(err)
		}
	}
	reg, err := details.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if h.set, err = templates.New(templates.Config{Details: reg}); err != nil {
		t.Fatal(err)
	}
	srv := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.RLock()
		defer h.mu.RUnlock()
		h.echo.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	h.url, h.client = srv.URL, srv.Client()
	acc := channeltest.TwilioConfig()
	acc.Client = h.client
	acc.Webhook = h.url + channels.TwilioInbound
	var base string
	h.tw, base = channeltest.StartTwilio(t, acc)
	all, err := channels.Open(channels.Config{PublicURL: h.url, SMS: &channels.SMSConfig{
		Provider: "twilio", AccountSID: acc.AccountSID, AuthToken: acc.AuthToken, From: acc.From, BaseURL: base,
	}})
	if err != nil {
		t.Fatal(err)
	}
	h.sms = all["sms"]
	h.build(reg, all)
	return h
}

// inside takes calls to a handler without a connection between.
type inside struct{ http.Handler }

func (in inside) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	in.ServeHTTP(w, r)
	return w.Result(), nil
}

// newInsideHouse is reached without connections, for attacks in great number.
func newInsideHouse(t testing.TB) *house {
	return buildHouse(t, func(door http.Handler) *httptest.Server {
		srv := httptest.NewServer(door)
		srv.Client().Transport = inside{door}
		return srv
	})
}

// build makes the door, as a start of the process does.
func (h *house) build(reg *details.Registry, all map[string]channels.Channel, codes ...approve.UserCodes) {
	h.t.Helper()
	facts := consent.Store(h.Store)
	if h.faulty != nil {
		facts = h.faulty(facts)
	}
	s, err := approve.New(approve.Config{
		Store: facts, Directory: h.Store, Devices: h.Store, UserCodes: append(codes, h.Store)[0], Handles: h.handles, Templates: h.set, Details: reg,
		Channels: all, Policy: func() *consent.Policy { return h.policy }, PublicURL: h.url, Now: h.clock.Now, Log: storetest.Log(),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	e := echo.New()
	s.Register(e)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.echo, h.door = e, s
}

// restart closes the store and opens it again, under a new door.
func (h *house) restart() {
	h.t.Helper()
	h.Reopen()
	h.rebuild()
}

// rebuild makes a new door.
func (h *house) rebuild(codes ...approve.UserCodes) {
	h.t.Helper()
	reg, err := details.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	h.build(reg, map[string]channels.Channel{"sms": h.sms}, codes...)
}

// message is a delivered attempt as the person has it.
type message struct {
	req  *consent.Request
	n    int
	to   string
	text string
	link string
	code string
}

// deliver does what the engine does for attempt n of req: it claims, sends by
// SMS and writes the outcome.
func (h *house) deliver(req *consent.Request, n int, reply bool) message {
	h.t.Helper()
	m := h.claim(req, n, reply)
	receipt, err := h.sms.Send(h.t.Context(), channels.Message{
		ID: fmt.Sprintf("%s.%d", req.ID, n), Ref: h.handles.CallbackRef(req.ID, n), To: m.to, Content: content.Text{Body: m.text, Link: m.link},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	err = h.Conclude(h.t.Context(), req.ID, consent.Outcome{
		V: consent.Version, N: n, Status: consent.Accepted, ProviderID: receipt.ProviderID, At: h.clock.Now(),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.Eventually("the request to be in the person's history", func() bool {
		for _, b := range h.History(req.Pseudonym).Open {
			if b.ID == req.ID {
				return true
			}
		}
		return h.state(req).Decided != nil
	})
	return m
}

// claim is the first half of deliver: the message is written and its attempt
// stored, the provider not called yet.
func (h *house) claim(req *consent.Request, n int, reply bool) message {
	h.t.Helper()
	ctx := h.t.Context()
	person, err := h.Person(ctx, req.Approver)
	if err != nil {
		h.t.Fatal(err)
	}
	devices, err := h.Devices(ctx, req.Approver)
	if err != nil {
		h.t.Fatal(err)
	}
	view, err := h.set.View(req, person, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	m := message{
		req: req, n: n, to: devices[0].Address, code: h.handles.Code(req.ID, n), link: h.url + "/a/" + h.handles.Ticket(req.ID, n),
	}
	text, err := h.set.Message(content.KindText, view, templates.Ask{
		Channel: "sms", Code: m.code, Link: m.link, Reply: reply, Match: consent.Rank(req.Weakest()) >= consent.Rank(consent.ACRMatch),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	m.text = text.Content.(content.Text).Body
	now := h.clock.Now()
	until := now.Add(10 * time.Minute)
	if req.ExpiresAt.Before(until) {
		until = req.ExpiresAt
	}
	err = h.Try(ctx, req.ID, consent.Attempt{
		V: consent.Version, N: n, Channel: "sms", Device: devices[0].ID, Reply: reply, At: now, TicketUntil: until, CodeUntil: until,
		Presentation: &text.Presentation,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

// sent asks a person and delivers attempt 1 with answers by message allowed.
func (h *house) sent(approver string, change ...func(*consent.Request)) message {
	h.t.Helper()
	return h.deliver(h.Asked(approver, change...), 1, true)
}

func (h *house) state(req *consent.Request) *consent.State {
	h.t.Helper()
	st, err := h.Get(h.t.Context(), req.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	return st
}

// wantStatus fails unless the request has this status and so many misses.
func (h *house) wantStatus(req *consent.Request, want consent.Status, misses int) {
	h.t.Helper()
	st := h.state(req)
	if st.Status() != want || len(st.Misses) != misses {
		h.t.Errorf("the request is %s with %d guesses used, want %s with %d", st.Status(), len(st.Misses), want, misses)
	}
}

// reply is a person who writes back; it returns what was answered.
func (h *house) reply(from, text string) string {
	h.t.Helper()
	said, err := h.tw.Reply(h.t.Context(), from, text)
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.Join(said, "\n")
}

// browser is a person's browser: it keeps cookies and sends what browsers do.
type browser struct {
	h      *house
	client *http.Client
	header http.Header
}

func (h *house) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &browser{h: h, client: &http.Client{Jar: jar, Transport: h.client.Transport}, header: http.Header{}}
}

// page is what a browser shows.
type page struct {
	status int
	header http.Header
	body   string
}

func (b *browser) do(method, link string, form url.Values) page {
	b.h.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(b.h.t.Context(), method, link, body)
	if err != nil {
		b.h.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", "null")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for name, values := range b.header {
		if req.Header[name] = values; values[0] == "" {
			req.Header.Del(name)
		}
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.h.t.Fatal(err)
	}
	return page{resp.StatusCode, resp.Header, string(text)}
}

func (b *browser) get(link string) page {
	b.h.t.Helper()
	return b.do(http.MethodGet, link, nil)
}

// answer loads the page and sends its form filled in.
func (b *browser) answer(m message, fields ...string) page {
	b.h.t.Helper()
	form := b.get(m.link).form(b.h.t)
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.do(http.MethodPost, m.link, form)
}

var (
	input = regexp.MustCompile(`<input\b[^>]*>`)
	attr  = regexp.MustCompile(`([a-z-]+)="([^"]*)"`)
)

// form returns the hidden fields of the page's form.
func (p page) form(t testing.TB) url.Values {
	t.Helper()
	out := url.Values{}
	for _, tag := range input.FindAllString(p.body, -1) {
		if a := attrs(tag); a["type"] == "hidden" {
			out.Set(a["name"], a["value"])
		}
	}
	if out.Get(templates.FieldCSRF) == "" {
		t.Fatalf("the page has no form: %d %s", p.status, p.body)
	}
	return out
}

func attrs(tag string) map[string]string {
	out := map[string]string{}
	for _, m := range attr.FindAllStringSubmatch(tag, -1) {
		out[m[1]] = html.UnescapeString(m[2])
	}
	return out
}

func (p page) asks() bool { return strings.Contains(p.body, `name="`+templates.FieldCSRF+`"`) }

// says reports whether the page's text has all of these words.
func (p page) says(words ...string) bool {
	text := html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(p.body, ""))
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

func wrong(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}

const (
	code   = templates.FieldCode
	match  = templates.FieldMatch
	answer = templates.FieldAnswer
	allow  = templates.AnswerAllow
	deny   = templates.AnswerDeny
	block  = templates.AnswerBlock
)

func matchOnly(r *consent.Request) { r.ACR = []string{consent.ACRMatch} }

// payment asks for a payment of 50 EUR.
func payment(r *consent.Request) {
	r.Details = []byte(`[{"creditorAccount":{"iban":"DE89370400440532013000"},"creditorName":"ACME GmbH","instructedAmount":{"amount":"50.00","currency":"EUR"},"type":"payment_initiation"}]`)
}
