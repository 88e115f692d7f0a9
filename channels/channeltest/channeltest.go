// Package channeltest is the conformance test that every channel passes, and
// starts fake providers for tests.
//
//	func TestConformance(t *testing.T) {
//		tw, url := channeltest.StartTwilio(t, channeltest.TwilioConfig())
//		ch := open(t, url)
//		channeltest.Exercise(t, channeltest.Config{
//			Channel: ch, To: "+12025550101", Sent: …, Fail: …,
//		})
//	}
package channeltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/channels"
	"ringback/channels/content"
	"ringback/channels/fakes"
)

// Case is one way in which a provider does not take a message.
type Case string

const (
	Undeliverable Case = "undeliverable" // the provider says that this device does not exist
	Stopped       Case = "stopped"       // the recipient opted out
	Later         Case = "later"         // refused for now, to be tried again after RetryAfter
	Refused       Case = "refused"       // refused, without saying when
	Unreachable   Case = "unreachable"   // no connection to the provider
	Hang          Case = "hang"          // the provider never answers
	Garbage       Case = "garbage"       // the answer cannot be read
	Cut           Case = "cut"           // the connection ends before the answer does
)

// Cases lists every case; Config.Fail or Config.Cannot names each.
var Cases = []Case{Undeliverable, Stopped, Later, Refused, Unreachable, Hang, Garbage, Cut}

// RetryAfter is what a provider in the case Later asks for.
const RetryAfter = 7 * time.Second

// Config is what a channel's test knows.
type Config struct {
	Channel channels.Channel // required
	To      string           // an address that the provider takes; required
	// Content returns what the channel sends, with these words in it; nil for a
	// channel of texts.
	Content func(words string) content.Content
	// Sent returns the texts that the provider took, oldest first. Required.
	Sent func() []string
	// Calls counts how often the provider was called, taken or not; nil where
	// that cannot be told.
	Calls func() int
	// Fail makes the provider behave so for the next message.
	Fail map[Case]func(t *testing.T)
	// Cannot lists the cases that this channel's provider has no way of.
	Cannot []Case
	// Secrets must not appear in any error, beside addresses and texts.
	Secrets []string
	// Webhook returns a genuine webhook and its body; needed for a Receiver.
	Webhook func(t *testing.T) (*http.Request, []byte)
}

// Exercise runs every test that a channel has to pass.
func Exercise(t *testing.T, cfg Config) {
	t.Helper()
	e := &exercise{Config: cfg}
	if e.message().Kind() != cfg.Channel.Kind() {
		t.Fatalf("Config.Content makes another kind than %q", cfg.Channel.Kind())
	}
	if cfg.Channel.Method() == "" {
		t.Error("Method() is empty")
	}
	t.Run("takes a message", e.takes)
	t.Run("another kind", e.otherKind)
	t.Run("takes many at once", e.takesMany)
	t.Run("cancelled before", e.cancelled)
	for _, c := range Cases {
		if slices.Contains(cfg.Cannot, c) {
			continue
		}
		fail := cfg.Fail[c]
		if fail == nil {
			t.Errorf("case %q is neither in Fail nor in Cannot", c)
			continue
		}
		t.Run(string(c), func(t *testing.T) { e.fails(t, c, fail) })
	}
	t.Run("takes a message afterwards", e.takes)
	if r, ok := cfg.Channel.(channels.Receiver); ok {
		t.Run("webhooks", func(t *testing.T) { e.webhooks(t, r) })
	}
}

type exercise struct {
	Config
	n int
}

// message is one with words that occur once.
type message struct {
	channels.Message
	words string
}

func (e *exercise) message() message {
	e.n++
	words := fmt.Sprintf("Message %d of %p: grüße 482913", e.n, e)
	m := channels.Message{ID: fmt.Sprintf("aaaaaaaaaaaaaaaaaaaaaaaaaa.%d", e.n), To: e.To, Ref: "none", Content: content.Text{Body: words}}
	if e.Content != nil {
		m.Content = e.Content(words)
	}
	return message{m, words}
}

func (e *exercise) count(text string) int {
	n := 0
	for _, s := range e.Sent() {
		if strings.Contains(s, text) {
			n++
		}
	}
	return n
}

func (e *exercise) takes(t *testing.T) {
	m := e.message()
	receipt, err := e.Channel.Send(t.Context(), m.Message)
	if err != nil {
		t.Fatalf("Send(…) = %v, want a receipt", err)
	}
	if receipt.ProviderID == "" {
		t.Error("Send(…) returned no ProviderID")
	}
	if n := e.count(m.words); n != 1 {
		t.Errorf("the provider holds the text %d times, want once", n)
	}
}

// foreign is content that no channel sends.
type foreign struct{}

func (foreign) Kind() content.Kind { return "foreign" }

func (e *exercise) otherKind(t *testing.T) {
	m := e.message()
	m.Content = foreign{}
	before := len(e.Sent())
	if receipt, err := e.Channel.Send(t.Context(), m.Message); err == nil || channels.Code(err) != "kind" {
		t.Errorf("Send(content of another kind) = %v, %v, want an error of code kind", receipt, err)
	}
	if len(e.Sent()) != before {
		t.Error("something went out")
	}
}

func (e *exercise) takesMany(t *testing.T) {
	const n = 20
	var wg sync.WaitGroup
	ids := make([]string, n)
	msgs := make([]message, n)
	for i := range n {
		msgs[i] = e.message()
		wg.Go(func() {
			r, err := e.Channel.Send(t.Context(), msgs[i].Message)
			if err != nil {
				t.Errorf("Send(…) = %v", err)
			}
			ids[i] = r.ProviderID
		})
	}
	wg.Wait()
	slices.Sort(ids)
	if got := len(slices.Compact(ids)); got != n {
		t.Errorf("%d different ProviderIDs for %d messages", got, n)
	}
	for _, m := range msgs {
		if got := e.count(m.words); got != 1 {
			t.Errorf("the provider holds a text %d times, want once", got)
		}
	}
}

func (e *exercise) cancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := e.message()
	_, err := e.Channel.Send(ctx, m.Message)
	if !errors.Is(err, context.Canceled) || errors.Is(err, channels.ErrAmbiguous) {
		t.Errorf("Send(cancelled) = %v, want context.Canceled and nothing sent", err)
	}
	if e.count(m.words) != 0 {
		t.Error("a message went out under a cancelled context")
	}
	e.quiet(t, m, err)
}

func (e *exercise) fails(t *testing.T, c Case, fail func(*testing.T)) {
	fail(t)
	before := 0
	if e.Calls != nil {
		before = e.Calls()
	}
	ctx := t.Context()
	if c == Hang {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
	}
	m := e.message()
	receipt, err := e.Channel.Send(ctx, m.Message)
	if err == nil {
		t.Fatalf("Send(…) = %v, want an error", receipt)
	}
	var retry *channels.Retry
	is := func(target error) bool { return errors.Is(err, target) }
	ok := false
	switch c {
	case Undeliverable:
		ok = is(channels.ErrUndeliverable) && !is(channels.ErrStopped)
	case Stopped:
		ok = is(channels.ErrStopped) && is(channels.ErrUndeliverable)
	case Later:
		ok = errors.As(err, &retry) && retry.After == RetryAfter
	case Refused:
		ok = !is(channels.ErrUndeliverable) && !is(channels.ErrAmbiguous)
	case Unreachable:
		ok = errors.As(err, &retry) && !is(channels.ErrAmbiguous)
	case Hang, Garbage, Cut:
		ok = is(channels.ErrAmbiguous) && !errors.As(err, &retry)
	}
	if !ok {
		t.Errorf("Send(…) in case %q = %v, which does not say so", c, err)
	}
	if !is(channels.ErrAmbiguous) && e.count(m.words) != 0 {
		t.Errorf("the provider took a message of which the channel says that it did not: %v", err)
	}
	if channels.Code(err) == "" {
		t.Errorf("Code(%v) is empty", err)
	}
	if e.Calls != nil && e.Calls()-before > 1 {
		t.Errorf("the provider was called %d times, a channel never tries again by itself", e.Calls()-before)
	}
	e.quiet(t, m, err)
}

// quiet fails if an error tells an address, a text or a secret.
func (e *exercise) quiet(t *testing.T, m message, err error) {
	t.Helper()
	said := fmt.Sprintf("%v %+v %q", err, err, err)
	for _, s := range append([]string{m.To, strings.TrimPrefix(m.To, "+"), m.words, "482913"}, e.Secrets...) {
		if s != "" && strings.Contains(said, s) {
			t.Errorf("the error tells what it must not: %s", said)
		}
	}
}

// webhooks checks that only what the provider sent is read, and that reading
// it twice gives the same.
func (e *exercise) webhooks(t *testing.T, r channels.Receiver) {
	if e.Webhook == nil {
		t.Fatal("a Receiver needs Config.Webhook")
	}
	req, body := e.Webhook(t)
	first, err := r.Receive(req, body)
	if err != nil {
		t.Fatalf("Receive(genuine) = %v", err)
	}
	answer := httptest.NewRecorder()
	if err := r.Answer(answer, first, "<grüße>"); err != nil || answer.Code < 200 || answer.Code > 299 {
		t.Errorf("Answer(…) = %v, status %d", err, answer.Code)
	}
	if strings.Contains(answer.Body.String(), "<grüße>") {
		t.Error("words stand in the answer as markup")
	}
	if again, err := r.Receive(req, body); err != nil || again != first {
		t.Errorf("Receive(the same again) = %+v, %v, want %+v", again, err, first)
	}
	refused := func(what string, req *http.Request, body []byte) {
		t.Helper()
		in, err := r.Receive(req, body)
		if !errors.Is(err, channels.ErrForged) || in != (channels.Inbound{}) {
			t.Errorf("Receive(%s) = %+v, %v, want ErrForged and nothing", what, in, err)
		}
		if err != nil {
			e.quiet(t, message{Message: channels.Message{To: first.From}}, err)
		}
	}
	for i := range body {
		for _, b := range []byte{body[i] ^ 1, body[i] ^ 0x20, '&', 0} {
			if b != body[i] && !same(body, i, b) {
				refused(fmt.Sprintf("byte %d changed to %q", i, b), req, slices.Replace(slices.Clone(body), i, i+1, b))
			}
		}
	}
	refused("nothing", req, nil)
	refused("a prefix", req, body[:len(body)/2])
	refused("a repeated body", req, bytes.Join([][]byte{body, body}, []byte("&")))
	refused("64 KiB", req, append(slices.Clone(body), bytes.Repeat([]byte("&A=1"), 20000)...))
	for name := range req.Header {
		if name == "User-Agent" || name == "Content-Length" {
			continue
		}
		bare := req.Clone(t.Context())
		bare.Header.Del(name)
		refused("without "+name, bare, body)
	}
	other := req.Clone(t.Context())
	other.URL.Path += "x"
	refused("another path", other, body)
	other = req.Clone(t.Context())
	other.URL.RawQuery = "a=1"
	refused("a query", other, body)
	other = req.Clone(t.Context())
	other.Method = http.MethodGet
	refused("a GET", other, body)
	other = req.Clone(t.Context())
	other.Host = "attacker.example"
	other.Header.Set("X-Forwarded-Host", "attacker.example")
	if got, err := r.Receive(other, body); err != nil || got != first {
		t.Errorf("Receive(another Host) = %+v, %v: the Host header must not take part", got, err)
	}
}

// same reports whether the change only spells an escape differently.
func same(body []byte, i int, b byte) bool {
	return i > 0 && body[i]^0x20 == b && (body[i-1] == '%' || i > 1 && body[i-2] == '%')
}

// TwilioConfig is an account for tests.
func TwilioConfig() fakes.TwilioConfig {
	return fakes.TwilioConfig{
		AccountSID: "AC00000000000000000000000000000001", AuthToken: "0123456789abcdef0123456789abcdef",
		From: "+12025550199", Now: time.Now,
	}
}

// StartTwilio serves a fake Twilio on loopback until the test ends and
// returns it with its base URL.
func StartTwilio(t testing.TB, cfg fakes.TwilioConfig) (*fakes.Twilio, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tw := fakes.NewTwilio(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tw.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("the fake provider: %v", err)
		}
	})
	return tw, "http://" + ln.Addr().String()
}
