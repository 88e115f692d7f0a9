package demo_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/channels"
	"ringback/channels/channeltest"
	"ringback/channels/content"
	"ringback/consent"
	"ringback/demo"
	"ringback/details"
	"ringback/keys"
	"ringback/store"
	"ringback/store/storetest"
)

const (
	aliceNumber = "+12025550101"
	bobNumber   = "+12025550102"

	issuer = "https://consent.example.com"
)

var t0 = time.Date(2026, 11, 22, 14, 30, 0, 0, time.UTC)

// house is the room with a real store, a fake Twilio on loopback and, in the
// place of the approvers' door, a server that only records.
type house struct {
	*storetest.House
	t       *testing.T
	url     string // of the room
	server  *demo.Server
	handles *keys.Handles
	ring    *keys.Ring
	sms     channels.Channel
	door    *door
	sends   atomic.Int64 // texts sent; the provider's clock ticks with them
	left    chan string  // paths of answered requests
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, left: make(chan string, 1000)}
	h.House = storetest.New(t, func(c *store.Config) { c.Dev = true })
	if err := h.SetFile(nil, []consent.Person{
		{ID: "alice", Name: "Alice", Phone: aliceNumber, FromFile: true},
		{ID: "bob", Name: "Bob", Phone: bobNumber, FromFile: true},
		{ID: "carla", Name: "Carla", FromFile: true}, // has no telephone
	}, func(kind, id string) string { return "ringback.yaml:1" }); err != nil {
		t.Fatal(err)
	}
	reg, err := details.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	h.handles, h.door = keys.NewHandles(h.Root), openDoor(t)

	if h.ring, err = keys.OpenRing(t.Context(), keys.RingConfig{Root: h.Root, Store: h.Store, Now: time.Now, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}

	acc := channeltest.TwilioConfig()
	acc.Webhook = h.door.url + channels.TwilioInbound
	acc.Now = func() time.Time { return t0.Add(time.Duration(h.sends.Load()) * time.Second) }
	tw, base := channeltest.StartTwilio(t, acc)
	open, err := channels.Open(channels.Config{PublicURL: h.door.url, SMS: &channels.SMSConfig{
		Provider: "twilio", AccountSID: acc.AccountSID, AuthToken: acc.AuthToken, From: acc.From, BaseURL: base,
	}})
	if err != nil {
		t.Fatal(err)
	}
	h.sms = open["sms"]

	h.server = demo.New(demo.Config{
		Phones: tw, Store: h.Store, Directory: h.Store, Handles: h.handles, Ring: h.ring, Issuer: issuer, Details: reg,
		Hosts: []string{"ringback.test:8663"}, Now: time.Now,
	})
	e := echo.New()
	h.server.Register(e)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.ServeHTTP(w, r)
		h.left <- r.URL.Path
	}))
	t.Cleanup(srv.Close)
	h.url = srv.URL
	return h
}

// send lets a text reach a number as the service sends it.
func (h *house) send(to, text string) {
	h.t.Helper()
	h.sends.Add(1)
	if _, err := h.sms.Send(h.t.Context(), channels.Message{ID: consent.NewID().String() + ".1", To: to, Content: content.Text{Body: text}}); err != nil {
		h.t.Fatal(err)
	}
}

// answer is what the room said.
type answer struct {
	status int
	header http.Header
	body   string
}

// call sends a form (nil: none) and returns the answer.
func (h *house) call(method, path string, form url.Values, change ...func(*http.Request)) answer {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		h.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range change {
		c(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// want calls and insists on a status.
func (h *house) want(status int, method, path string, form url.Values, change ...func(*http.Request)) answer {
	h.t.Helper()
	a := h.call(method, path, form, change...)
	if a.status != status {
		h.t.Errorf("%s %s = %d %s, want %d", method, path, a.status, a.body, status)
	}
	return a
}

// facts is everything that the store holds, without the times: of a fact just
// stored it is that of its acknowledgement, and later that of the stream.
func (h *house) facts() []consent.StoredFact {
	h.t.Helper()
	list, err := h.Facts(h.t.Context(), 0, 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := range list {
		list[i].At = time.Time{}
	}
	return list
}

// door stands where the configured public URL leads: it records what comes.
type door struct {
	url    string
	mu     sync.Mutex
	status int // what it answers
	got    []visit
}

type visit struct {
	r    *http.Request
	body []byte
}

func openDoor(t *testing.T) *door {
	d := &door{status: http.StatusOK}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.got = append(d.got, visit{r, body})
		w.WriteHeader(d.status)
	}))
	t.Cleanup(srv.Close)
	d.url = srv.URL
	return d
}

// visits returns what came so far.
func (d *door) visits() []visit {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]visit{}, d.got...)
}

// answer sets what it answers from now on.
func (d *door) answer(status int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status = status
}
