// Package channels reaches one device of a person through one provider.
//
// A [Channel] sends one message and says what became of it; its errors tell
// the caller what may follow ([ErrUndeliverable], [ErrStopped], [Retry],
// [ErrAmbiguous]). A channel whose provider talks back is also a [Receiver].
// [Open] builds every configured channel. A channel never retries, never
// decides anything and keeps no state; and only a channel knows its provider.
//
// A new channel is one file, one line in the table of openers, a fake of its
// provider in channels/fakes and a test that runs channeltest.Exercise.
package channels

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"

	"ringback/channels/content"
)

// DefaultTimeout bounds one Send: connecting, sending and reading the answer.
const DefaultTimeout = 10 * time.Second

// Message is one message for one device.
type Message struct {
	ID  string // request and attempt ("<request id>.<n>"), for correlation; opens nothing
	Ref string // comes back in status callbacks (keys.Handles.CallbackRef); empty: none are wanted
	To  string // the device's address, as its channel writes it
	content.Content
}

// textOf is the content for a channel of texts.
func textOf(m Message) (content.Text, error) {
	text, ok := m.Content.(content.Text)
	if !ok {
		return text, &coded{"kind", fmt.Errorf("a channel of texts was given content of another kind: %T", m.Content)}
	}
	return text, nil
}

// Receipt is what the provider answered to a message it took.
type Receipt struct {
	ProviderID string // the provider's name for the message
}

// Channel reaches devices through one provider.
type Channel interface {
	// Kind is what it sends; Send gets nothing else.
	Kind() content.Kind
	// Method is the amr value (RFC 8176) of giving back what it brought.
	Method() string
	// Send hands m to the provider once. A nil error means that the provider
	// took it. ErrUndeliverable: never again to this device. ErrStopped: the
	// person opted out. ErrAmbiguous: it may have been taken; do not send it
	// again. Any other error: it was not taken; a *Retry says when to try again.
	Send(ctx context.Context, m Message) (Receipt, error)
}

// Receiver is a channel whose provider calls back, at paths of the channel's own
// below [CallbackPath].
type Receiver interface {
	// Provider is the provider's name in paths.
	Provider() string
	// Receive verifies that the provider sent r with this body, against the
	// configured public URL, and reads it. Whatever is not beyond doubt from
	// the provider is ErrForged and changes nothing; ErrNoCallback is a path that
	// means nothing.
	Receive(r *http.Request, body []byte) (Inbound, error)
	// Answer tells the provider that in was taken, and gives it words for the
	// person who wrote; "" are none.
	Answer(w http.ResponseWriter, in Inbound, words string) error
}

// Withdrawer is a channel that can take a message back from a device.
type Withdrawer interface {
	// Withdraw removes the message of that ProviderID where it still can; of one
	// that is gone it says nothing.
	Withdraw(ctx context.Context, providerID string) error
}

// Inbound is a verified webhook: an answer by a person, or the provider's
// later word on a message of ours.
type Inbound struct {
	Status    bool   // a status callback; else a message from a person
	Ref       string // Status: that of the message
	From, To  string // addresses, as the channel writes them
	Body      string // what the person wrote
	MessageID string // the provider's id: of the message received, or of ours
	Delivered bool   // Status: it reached the device
	Failed    bool   // Status: it never will
	Stopped   bool   // Status: because the recipient opted out
	Code      string // Status: the provider's error code
	OptOut    bool   // the provider handled a STOP, START or HELP word and answered it itself
}

// What callers of a channel branch on.
var (
	ErrUndeliverable = errors.New("this device cannot be reached")
	ErrStopped       = fmt.Errorf("the recipient opted out: %w", ErrUndeliverable)
	ErrAmbiguous     = errors.New("the message was sent but no answer was read")
	ErrForged        = errors.New("not from the provider")
	ErrNoCallback    = fmt.Errorf("no callback of the provider has this path: %w", ErrForged)
)

// Retry is the provider's refusal for now: nothing was sent.
type Retry struct {
	After time.Duration // how long the provider asks to wait; 0: it did not say
	Err   error         // why; may be nil
}

// RetryAfter returns a *Retry.
func RetryAfter(d time.Duration) error { return &Retry{After: d} }

// Error names the cause, never an address or a secret.
func (e *Retry) Error() string {
	s := "the provider refused for now"
	if e.After > 0 {
		s += fmt.Sprintf(", try again in %s", e.After)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Retry) Unwrap() error { return e.Err }

// coded carries the provider's error code beside an error.
type coded struct {
	code string
	err  error
}

func (e *coded) Error() string { return e.err.Error() + " (" + e.code + ")" }
func (e *coded) Unwrap() error { return e.err }

// Code returns the provider's error code in err ("21610"), or the class of a
// failure that never got one ("connect", "timeout", "garbage", "http_502"), or
// "" for nil and foreign errors.
func Code(err error) string {
	var c *coded
	if errors.As(err, &c) {
		return c.code
	}
	return ""
}

// CallbackPath is below what a provider's callbacks come in.
func CallbackPath(provider string) string { return "/callbacks/" + provider + "/" }

// Config says which channels there are.
type Config struct {
	SMS       *SMSConfig        // nil: no channel "sms"
	Console   io.Writer         // where channel "console" writes; nil: no such channel
	PublicURL string            // base URL under which providers reach us, no slash at the end
	Transport http.RoundTripper // nil: one with sane limits; tests may count calls
	Timeout   time.Duration     // of one Send; 0: DefaultTimeout
}

// SMSConfig is one account at one SMS provider.
type SMSConfig struct {
	Provider            string   // "twilio"
	AccountSID          string   // "AC" and 32 hexadecimal digits
	AuthToken           string   // letters and digits; signs webhooks and authenticates calls
	AuthTokenPrevious   string   // accepted for webhooks while AuthToken is being rotated; may be empty
	From                string   // number in E.164 form, short code or alphanumeric sender; empty with MessagingServiceSID
	MessagingServiceSID string   // "MG" and 32 hexadecimal digits; may be empty
	BaseURL             string   // instead of the provider's own host; only for tests
	Parameters          []string // further webhook parameter names to accept, should the provider start to send new ones
}

// openers is the table of channels: name and how to build it from a Config,
// nil when it is not configured.
var openers = map[string]func(Config) (Channel, error){
	"sms":     openSMS,
	"console": openConsole,
}

// Open builds every configured channel, by name. Its error lists every
// mistake, each with what to change.
func Open(cfg Config) (map[string]Channel, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	out := map[string]Channel{}
	var errs []error
	for _, name := range Names() {
		ch, err := openers[name](cfg)
		if err != nil {
			errs = append(errs, fmt.Errorf("channels.%s: %w", name, err))
		} else if ch != nil {
			out[name] = ch
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

// Names lists the channels that this program knows, sorted.
func Names() []string {
	var names []string
	for n := range openers {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// checkURL reports why s cannot be the base of webhook or provider URLs.
func checkURL(what, s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.Scheme != "https" && u.Scheme != "http" || strings.HasSuffix(s, "/") {
		return fmt.Errorf("%s %q is not a base URL; write it as https://consent.example.com, without a slash at the end", what, s)
	}
	return nil
}
