package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/admin"
	"ringback/audit"
	"ringback/consent"
	"ringback/keys"
	"ringback/store"
	"ringback/store/storetest"
)

const token = "k3J9x0aVt7Qw2Lr8Zp5Nc1Yb6Mh4Ds0F"

// house is the operator's door over a real store.
type house struct {
	*storetest.House
	t    *testing.T
	door *admin.Server
	url  string
	ring *keys.Ring
	mu   sync.Mutex
	log  bytes.Buffer

	offer func(context.Context, *consent.Person) (time.Time, error) // sends the message about a user_code
}

func (h *house) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(b)
}

func (h *house) logged() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.String()
}

// open opens a house with the client "file-agent" and the person "alice" in its
// configuration file.
func open(t *testing.T) *house {
	t.Helper()
	h := &house{t: t}
	log := slog.New(slog.NewJSONHandler(h, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h.House = storetest.New(t, func(c *store.Config) { c.Dev, c.Log = true, log })
	where := func(kind, id string) string { return "ringback.yaml:7" }
	if err := h.SetFile(
		[]consent.Client{{ID: "file-agent", Name: "File Agent", Mode: consent.Poll, People: "any", FromFile: true}},
		[]consent.Person{{ID: "alice", Name: "Alice", Phone: "+12025550101", Email: "alice@example.com", FromFile: true}}, where,
	); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.ring, err = keys.OpenRing(t.Context(), keys.RingConfig{Root: h.Root, Store: h.Store, Now: time.Now, Log: log}); err != nil {
		t.Fatal(err)
	}
	auditor := audit.New(audit.Config{Source: h.Store, Ring: h.ring, Now: time.Now, Log: log})
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { auditor.Run(ctx) })
	t.Cleanup(func() { cancel(); done.Wait() })
	h.door, err = admin.New(admin.Config{
		Token: keys.TokenDigest(token), Directory: h.Store, Store: h.Store, Ring: h.ring, Auditor: auditor,
		Policy: func() *consent.Policy {
			return &consent.Policy{Resources: map[string]consent.Resource{"https://api.example": {}}}
		},
		OfferUserCode: func(ctx context.Context, p *consent.Person) (time.Time, error) { return h.offer(ctx, p) },
		Issuer:        "https://consent.example.com", Where: where, Now: time.Now, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	h.door.Register(e)
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	h.url = srv.URL
	return h
}

// answer is a decoded answer.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

// call sends a JSON body ("" is none) with the token.
func (h *house) call(method, path, body string, change ...func(*http.Request)) answer {
	h.t.Helper()
	a, err := h.try(method, path, body, change...)
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

// try is call for those who may not end the test.
func (h *house) try(method, path, body string, change ...func(*http.Request)) (answer, error) {
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url+"/admin/v1"+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, f := range change {
		f(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, header: resp.Header, text: string(data)}
	_ = json.Unmarshal(data, &a.body) // exports are no JSON object
	return a, nil
}

// want calls and insists on a status.
func (h *house) want(status int, method, path, body string) answer {
	h.t.Helper()
	a := h.call(method, path, body)
	if a.status != status {
		h.t.Fatalf("%s %s %s = %d %s, want %d", method, path, body, a.status, a.text, status)
	}
	return a
}

// items returns the ids of a list.
func (a answer) items(key string) []string {
	var out []string
	list, _ := a.body["items"].([]any)
	for _, e := range list {
		m, _ := e.(map[string]any)
		s, _ := m[key].(string)
		out = append(out, s)
	}
	return out
}
