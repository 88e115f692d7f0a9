// Package provider is the provider of text messages as the service sees it, and
// the persons who write back: it stays while the service dies, notes what it was
// asked to carry, can fail in every way that providers do, and repeats its
// webhooks until they are taken, unchanged.
//
// Start with [Start].
package provider

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ringback/channels/fakes"
	"ringback/deploy/faults/journal"
)

// The account that the service has.
const (
	SID   = "AC00000000000000000000000000000000"
	Token = "fault0token0fault0token0fault0tok"
	From  = "+12025550100"
)

// Config is what a Provider needs.
type Config struct {
	Journal  *journal.Journal // nil: what is carried is counted and not noted, which takes next to no time
	Service  string           // base URL of the service, where webhooks are posted; required
	Receipts bool             // report what was delivered
}

// Provider is the provider.
type Provider struct {
	cfg  Config
	fake *fakes.Twilio
	addr string
	hook *http.Client

	ctx     context.Context // until Close
	stop    context.CancelFunc
	posting sync.WaitGroup
	open    atomic.Int64 // webhooks of answers without their answer
	untaken atomic.Int64 // webhooks of any kind that are still to be taken
	counted atomic.Int64 // messages, where there is no journal

	mu  sync.Mutex
	srv *http.Server // nil while it is down
}

// repeatAfter is how long the provider waits before it sends a webhook again.
const repeatAfter = 50 * time.Millisecond

// Start lets a provider listen on loopback.
func Start(cfg Config) (*Provider, error) {
	p := &Provider{
		cfg:  cfg,
		fake: fakes.NewTwilio(fakes.TwilioConfig{AccountSID: SID, AuthToken: Token, From: From, Now: time.Now}),
		addr: "127.0.0.1:0",
		hook: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256}},
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.Plan(fakes.Step{})
	return p, p.Up()
}

// URL is where the service finds it.
func (p *Provider) URL() string { return "http://" + p.addr }

// Plan says what to do with messages from now on; the zero Step takes them.
func (p *Provider) Plan(s fakes.Step) {
	s.Callbacks = []fakes.Callback{} // those are ours: the fake posts each once
	p.fake.Always(s)
}

// Up lets it listen.
func (p *Provider) Up() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.srv != nil {
		return nil
	}
	ln, err := net.Listen("tcp", p.addr)
	if err != nil {
		return fmt.Errorf("starting the provider: %w", err)
	}
	p.addr = ln.Addr().String()
	srv := &http.Server{Handler: http.HandlerFunc(p.carry)}
	p.srv = srv
	p.posting.Go(func() { srv.Serve(ln) })
	return nil
}

// Down lets it take no connections, and end those that there are.
func (p *Provider) Down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.srv != nil {
		p.srv.Close()
		p.srv = nil
	}
}

// Close ends it, and every webhook that is still to be taken.
func (p *Provider) Close() {
	p.stop()
	p.Down()
	p.posting.Wait()
}

var offered = regexp.MustCompile(`(?:YES|[Cc]ode) (\d{6})\b`)

// carry notes which attempt it is asked to carry, and carries it or fails as
// planned.
func (p *Provider) carry(w http.ResponseWriter, r *http.Request) {
	if p.cfg.Journal == nil {
		p.count(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller died while it was asking
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, err := url.ParseQuery(string(body))
	id, n, named := journal.ParseReference(form.Get("StatusCallback"))
	if err != nil || !named { // not about a request
		p.fake.ServeHTTP(w, r)
		return
	}
	m := journal.Message{ID: id, N: n, To: form.Get("To"), At: time.Now()}
	if code := offered.FindStringSubmatch(form.Get("Body")); code != nil {
		m.Code = code[1]
	}
	carried := p.cfg.Journal.Carry(m)
	answer := &recorder{ResponseWriter: w}
	p.fake.ServeHTTP(answer, r)
	if answer.status != http.StatusCreated {
		return
	}
	carried()
	if p.cfg.Receipts {
		p.report(form, journal.Receipt{ID: id, N: n, Delivered: true}, answer.sid())
	}
}

// count takes a message, whatever it is, and says as little as it can.
func (p *Provider) count(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // a caller who has died learns nothing
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"sid":"SM%032x","status":"queued"}`, p.counted.Add(1))
}

// Counted is the number of messages that were carried without being noted.
func (p *Provider) Counted() int { return int(p.counted.Load()) }

// recorder keeps an answer.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.body.Write(b)
	return r.ResponseWriter.Write(b)
}

var message = regexp.MustCompile(`"sid":"(SM[0-9a-f]{32})"`)

// sid is the name of the message in the answer.
func (r *recorder) sid() string {
	if m := message.FindSubmatch(r.body.Bytes()); m != nil {
		return string(m[1])
	}
	return ""
}

// number is a person's, by its digits after the country and the area.
func number(n int) string { return fmt.Sprintf("+1202%07d", 5_560_000+n) }

// Number is the telephone number of the n-th person.
func Number(n int) string { return number(n) }

// service is the address of a route of the service.
func (p *Provider) service(path string) string { return strings.TrimSuffix(p.cfg.Service, "/") + path }
