//go:build e2e

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/channels"
	"ringback/channels/fakes"
	"ringback/consent"
	"ringback/keys"
)

var crashes = flag.Int("crashes", 20, "how often the crash test kills the service")

// perLife bounds the requests between two kills, so that every request names a
// person of its own and no prompt waits for another.
const perLife = 150

const crashEscalation = 3 * time.Second

// TestCrash kills the real program with SIGKILL at random moments under load
// and has an independent checker look at everything that was acknowledged.
func TestCrash(t *testing.T) {
	w := newCrashWorld(t, t.TempDir())
	for range *crashes {
		p := w.start(t)
		stop := w.load(t, p)
		time.Sleep(20*time.Millisecond + rand.N(500*time.Millisecond))
		p.kill(t)
		stop()
	}
	w.finish(t)
}

// crashWorld is what lives on while the service dies: the provider, the
// persons' phones, the agents' memory.
type crashWorld struct {
	dir    string // configuration, keys; data in dir/data
	data   string
	config string
	listen string
	manage string
	phones *fakes.Twilio
	people int
	next   int // person of the next request

	handles *keys.Handles
	mu      sync.Mutex
	seen    crashed
}

func newCrashWorld(t *testing.T, data string) *crashWorld {
	t.Helper()
	dir := t.TempDir()
	w := &crashWorld{
		dir: dir, data: filepath.Join(data, "data"), config: filepath.Join(dir, "ringback.yaml"), listen: freeAddr(t), manage: freeAddr(t),
		people: *crashes*perLife + perLife,
		seen: crashed{
			Asked: map[string]time.Time{}, Decided: map[string]string{}, Tokens: map[string][]string{}, Final: map[string]outcome{},
			Escalate: crashEscalation, Slack: 8 * time.Second, Limit: 3,
		},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sid := "AC" + strings.Repeat("0", 32)
	w.phones = fakes.NewTwilio(fakes.TwilioConfig{
		AccountSID: sid, AuthToken: "crash0token0crash0token0crash0tok", From: "+12025550100", Webhook: "http://" + w.listen + channels.InboundPath("twilio"), Now: time.Now,
	})
	ctx, cancel := context.WithCancel(context.Background())
	srv := &http.Server{Handler: http.HandlerFunc(w.carry)}
	var wg sync.WaitGroup
	wg.Go(func() { w.phones.Run(ctx) })
	wg.Go(func() { srv.Serve(ln) })
	t.Cleanup(func() { cancel(); srv.Close(); wg.Wait() })
	var b strings.Builder
	fmt.Fprintf(&b, "channels: {sms: {provider: twilio, account_sid: %s, auth_token: {env: CRASH_TOKEN}, from: '+12025550100', base_url: 'http://%s'}}\n", sid, ln.Addr())
	fmt.Fprintf(&b, "policy: {limits: off, dedupe: false, routes: [{channels: [{sms: {reply: true}}], escalate_after: %s}]}\npeople:\n", crashEscalation)
	for i := range w.people {
		fmt.Fprintf(&b, "- {id: p%d, phone: '+1202%07d'}\n", i, 5560000+i)
	}
	if err := os.WriteFile(w.config, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// carry writes down which attempt the provider is asked to carry, and lets the
// fake carry it.
func (w *crashWorld) carry(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller died while it was asking
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if form, err := url.ParseQuery(string(body)); err == nil && form.Has("StatusCallback") {
		ref := form.Get("StatusCallback")
		if id, n, ok := w.handles.ParseCallbackRef(ref[strings.LastIndexByte(ref, '/')+1:]); ok {
			w.mu.Lock()
			w.seen.Sent = append(w.seen.Sent, carried{w.handles.AuthReqID(id), n})
			w.mu.Unlock()
		}
	}
	w.phones.ServeHTTP(rw, r)
}

// start starts the program and waits until it serves.
func (w *crashWorld) start(t *testing.T) *process {
	t.Helper()
	p := startProcess(t, []string{"CRASH_TOKEN=crash0token0crash0token0crash0tok"}, "serve", "--dev", "--config", w.config, "--data", w.data, "--listen", w.listen, "--manage", w.manage)
	p.untilServing(t, w.listen)
	if w.handles == nil {
		root, err := keys.ReadRoot(filepath.Join(w.data, "root.key"))
		if err != nil {
			t.Fatal(err)
		}
		w.handles = keys.NewHandles(root)
	}
	return p
}

// load has agents ask and people answer until the returned function is called.
func (w *crashWorld) load(t *testing.T, p *process) (stop func()) {
	from := w.next
	w.next += perLife
	ctx, cancel := context.WithCancel(t.Context())
	todo := make(chan int, perLife)
	for i := range perLife {
		todo <- from + i
	}
	close(todo)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for person := range todo {
				if ctx.Err() != nil {
					return
				}
				w.one(ctx, person)
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// one is one request by an agent and, for two of three, its answer.
func (w *crashWorld) one(ctx context.Context, person int) {
	status, body := w.post(ctx, "/bc-authorize", url.Values{"scope": {"openid"}, "login_hint": {fmt.Sprintf("p%d", person)}, "requested_expiry": {"3600"}})
	if status != http.StatusOK {
		return
	}
	id, _ := body["auth_req_id"].(string)
	w.mu.Lock()
	w.seen.Asked[id] = time.Now()
	w.mu.Unlock()
	var verb string
	switch person % 6 {
	case 0, 1:
		verb = w.decide(ctx, id, "allow", "approved")
	case 2:
		verb = w.decide(ctx, id, "deny", "denied")
	case 3:
		verb = w.reply(ctx, fmt.Sprintf("+1202%07d", 5560000+person))
	}
	if verb == "" {
		return
	}
	w.mu.Lock()
	w.seen.Decided[id] = verb
	w.mu.Unlock()
	if verb == "approved" {
		w.redeem(ctx, id)
	}
}

func (w *crashWorld) decide(ctx context.Context, id, action, verb string) string {
	if status, _ := w.post(ctx, "/dev/decide?action="+action+"&auth_req_id="+id, nil); status != http.StatusNoContent {
		return ""
	}
	return verb
}

var offersYes = regexp.MustCompile(`YES \d{6}`)

// reply waits for the message and answers it as the person would. Only the
// confirmation counts as acknowledged.
func (w *crashWorld) reply(ctx context.Context, number string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	msg, err := w.phones.Inbox.Wait(ctx, func(e fakes.Entry) bool { return e.To == number && offersYes.MatchString(e.Text) })
	if err != nil {
		return ""
	}
	said, err := w.phones.Reply(ctx, number, offersYes.FindString(msg.Text))
	if err != nil || len(said) != 1 || !strings.HasPrefix(said[0], "Allowed") {
		return ""
	}
	return "approved"
}

func (w *crashWorld) redeem(ctx context.Context, id string) {
	status, body := w.post(ctx, "/token", url.Values{"grant_type": {"urn:openid:params:grant-type:ciba"}, "auth_req_id": {id}})
	if token, _ := body["access_token"].(string); status == http.StatusOK && token != "" {
		w.mu.Lock()
		w.seen.Tokens[id] = append(w.seen.Tokens[id], token)
		w.mu.Unlock()
	}
}

// tokens is the number of requests that have one.
func (w *crashWorld) tokens() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.seen.Tokens)
}

func (w *crashWorld) post(ctx context.Context, path string, form url.Values) (int, map[string]any) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.listen+path, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("demo-agent", "demo-secret-0000")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	var body map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil && resp.StatusCode == http.StatusOK {
		return 0, nil // cut off: not acknowledged
	}
	return resp.StatusCode, body
}

// finish starts the service a last time, tries to redeem everything once more,
// reads how every request stands and has it checked.
func (w *crashWorld) finish(t *testing.T) {
	t.Helper()
	p := w.start(t)
	defer p.stop(t)
	ctx := t.Context()
	for id, verb := range w.seen.Decided {
		if verb == "approved" {
			w.redeem(ctx, id)
			w.redeem(ctx, id)
		}
	}
	// Whatever was cut off is due by then.
	time.Sleep(w.seen.Escalate + w.seen.Slack)
	admin := adminOf(t, w.manage, w.data)
	w.seen.Looked = time.Now()
	known := map[string]bool{} // also those whose acknowledgement was cut off
	for id := range w.seen.Asked {
		known[id] = true
	}
	for _, s := range w.seen.Sent {
		known[s.AuthReqID] = true
	}
	for id := range known {
		raw, ok := w.handles.ParseAuthReqID(id)
		if !ok {
			t.Fatalf("a handle that was acknowledged does not parse")
		}
		if f, ok := admin.request(t, consent.ID(raw).String()); ok {
			w.seen.Final[id] = f
		}
	}
	t.Logf("%d kills: %d requests, %d decisions, %d tokens, %d messages", *crashes, len(w.seen.Asked), len(w.seen.Decided), len(w.seen.Tokens), len(w.seen.Sent))
	for _, v := range w.seen.check() {
		t.Error(v)
	}
	verifyExport(t, w.manage, w.data)
}
