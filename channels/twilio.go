package channels

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"ringback/channels/content"
)

const (
	maxText   = 1600    // characters that Twilio takes in one message
	maxAnswer = 1 << 16 // bytes read of its answer
	maxWait   = time.Hour
)

var (
	accountSID = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)
	messageSID = regexp.MustCompile(`^(SM|MM)[0-9a-fA-F]{32}$`)
	serviceSID = regexp.MustCompile(`^MG[0-9a-fA-F]{32}$`)
	authToken  = regexp.MustCompile(`^[A-Za-z0-9]{16,64}$`)
	e164       = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	shortCode  = regexp.MustCompile(`^[0-9]{3,8}$`)
	senderName = regexp.MustCompile(`^[A-Za-z0-9 ]{1,11}$`)
)

// undeliverable are the error codes after which a device is never tried again:
// not a number, not a mobile number, unreachable, a short code, our own number,
// unknown handset, landline.
var undeliverable = []int{21211, 21214, 21217, 21265, 21266, 21614, 30005, 30006}

// stopped is the error code of a recipient who opted out.
const stopped = 21610

// Twilio is the channel "sms" through Twilio's Messages API.
type Twilio struct {
	cfg       SMSConfig
	public    string
	timeout   time.Duration
	base      *url.URL // nil: Twilio's own host
	transport http.RoundTripper
	signed    [][]byte // webhook signing keys: the token and the one before
	params    map[string]bool
}

var (
	_ Channel  = (*Twilio)(nil)
	_ Receiver = (*Twilio)(nil)
)

func openSMS(cfg Config) (Channel, error) {
	if cfg.SMS == nil {
		return nil, nil
	}
	c := *cfg.SMS
	if err := c.validate(cfg.PublicURL); err != nil {
		return nil, err
	}
	t := &Twilio{
		cfg: c, public: cfg.PublicURL, timeout: cfg.Timeout, transport: cfg.Transport,
		signed: [][]byte{[]byte(c.AuthToken)}, params: map[string]bool{},
	}
	if c.AuthTokenPrevious != "" {
		t.signed = append(t.signed, []byte(c.AuthTokenPrevious))
	}
	for _, p := range c.Parameters {
		t.params[p] = true
	}
	if c.BaseURL != "" {
		t.base, _ = url.Parse(c.BaseURL) // validated
	}
	if t.transport == nil {
		t.transport = &http.Transport{
			Proxy:               http.ProxyFromEnvironment, // Twilio's host is fixed: no one else chooses where this goes
			DialContext:         (&net.Dialer{Timeout: cfg.Timeout / 2}).DialContext,
			TLSHandshakeTimeout: cfg.Timeout / 2,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 32,
			MaxConnsPerHost:     128,
			IdleConnTimeout:     time.Minute,
		}
	}
	return t, nil
}

// validate reports every mistake at once.
func (c *SMSConfig) validate(public string) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Provider != "twilio" {
		bad("provider %q is not known; write twilio", c.Provider)
	}
	if !accountSID.MatchString(c.AccountSID) {
		bad("account_sid is AC and 32 hexadecimal digits; copy it from the provider's console")
	}
	if !authToken.MatchString(c.AuthToken) {
		bad("auth_token is 16 to 64 letters and digits; copy it from the provider's console")
	}
	if c.AuthTokenPrevious != "" && !authToken.MatchString(c.AuthTokenPrevious) {
		bad("auth_token_previous is 16 to 64 letters and digits, or absent")
	}
	if c.From == "" && c.MessagingServiceSID == "" {
		bad("set from to the number that messages come from, or set messaging_service_sid")
	}
	if c.From != "" && !e164.MatchString(c.From) && !shortCode.MatchString(c.From) && !senderName.MatchString(c.From) {
		bad("from %q is neither a number in E.164 form (+12025550199), a short code, nor a sender name of up to 11 letters and digits", c.From)
	}
	if c.MessagingServiceSID != "" && !serviceSID.MatchString(c.MessagingServiceSID) {
		bad("messaging_service_sid is MG and 32 hexadecimal digits")
	}
	for _, p := range c.Parameters {
		if !parameterName.MatchString(p) || inbound[p] != nil || status[p] != nil {
			bad("parameters: %q is no name of a webhook parameter, or is known already; remove it", p)
		}
	}
	if c.BaseURL != "" {
		if err := checkURL("base_url", c.BaseURL); err != nil {
			errs = append(errs, err)
		}
	}
	if err := checkURL("the public URL", public); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// CanReceive reports whether people can answer messages from this sender: an
// alphanumeric sender cannot receive.
func (c *SMSConfig) CanReceive() bool {
	return c.MessagingServiceSID != "" || e164.MatchString(c.From) || shortCode.MatchString(c.From)
}

// Kind implements [Channel].
func (t *Twilio) Kind() content.Kind { return content.KindText }

// Method implements [Channel].
func (t *Twilio) Method() string { return "sms" }

// Provider implements [Receiver].
func (t *Twilio) Provider() string { return twilio }

const twilio = "twilio"

// TwilioInbound is the path where Twilio posts what people write.
const TwilioInbound = "/callbacks/" + twilio + "/sms"

// TwilioStatus is the path where Twilio posts what became of a message.
func TwilioStatus(ref string) string { return "/callbacks/" + twilio + "/status/" + ref }

// Send hands m to Twilio once; it never retries. What its answers mean:
//
//	2xx with a message id               taken
//	2xx with anything else              ErrAmbiguous
//	4xx, 3xx                            not taken
//	429, 503                            *Retry with the time of Retry-After
//	5xx with Twilio's own error body    *Retry: the API says that it failed
//	5xx from something in front of it   ErrAmbiguous
//	no connection                       *Retry
//	no answer in time                   ErrAmbiguous
func (t *Twilio) Send(ctx context.Context, m Message) (Receipt, error) {
	if !e164.MatchString(m.To) {
		return Receipt{}, &coded{"address", fmt.Errorf("sending by sms: the address is no telephone number: %w", ErrUndeliverable)}
	}
	text, err := textOf(m)
	if err != nil {
		return Receipt{}, err
	}
	if n := len([]rune(text.Body)); n == 0 || n > maxText {
		return Receipt{}, &coded{"length", fmt.Errorf("sending by sms: a text of %d characters, want 1 to %d", n, maxText)}
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	x := &exchange{ctx: ctx, base: t.base, next: t.transport}
	c := &client.Client{
		Credentials: client.NewCredentials(t.cfg.AccountSID, t.cfg.AuthToken),
		HTTPClient: &http.Client{
			Transport:     x,
			Timeout:       t.timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	c.SetAccountSid(t.cfg.AccountSID)
	h := client.NewRequestHandler(c)
	h.Edge, h.Region = "", "" // the SDK reads them from the environment; ours is the configuration file
	p := &api.CreateMessageParams{}
	p.SetTo(m.To)
	p.SetBody(text.Body)
	if t.cfg.From != "" {
		p.SetFrom(t.cfg.From)
	}
	if t.cfg.MessagingServiceSID != "" {
		p.SetMessagingServiceSid(t.cfg.MessagingServiceSID)
	}
	if m.Ref != "" {
		p.SetStatusCallback(t.public + TwilioStatus(m.Ref))
	}
	msg, err := api.NewApiService(h).CreateMessage(p)
	if err != nil || x.status < 200 || x.status > 299 {
		return Receipt{}, x.failure(err)
	}
	return read(msg)
}

// read makes a receipt of Twilio's answer.
func read(msg *api.ApiV2010Message) (Receipt, error) {
	if msg.Sid == nil || !messageSID.MatchString(*msg.Sid) {
		return Receipt{}, &coded{"garbage", fmt.Errorf("sending by sms: the answer names no message: %w", ErrAmbiguous)}
	}
	if msg.Status != nil && (*msg.Status == "failed" || *msg.Status == "undelivered") && msg.ErrorCode != nil {
		return Receipt{}, refusal(*msg.ErrorCode, 200)
	}
	return Receipt{ProviderID: *msg.Sid}, nil
}

// refusal is the error for a code of Twilio's. Twilio's own words are left
// out: they repeat the number.
func refusal(code, status int) error {
	err := fmt.Errorf("the provider refused the message, status %d", status)
	switch {
	case code == stopped:
		err = fmt.Errorf("sending by sms: %w", ErrStopped)
	case slices.Contains(undeliverable, code):
		err = fmt.Errorf("sending by sms: %w", ErrUndeliverable)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		err = fmt.Errorf("%w; check channels.sms.account_sid and auth_token", err)
	}
	return &coded{strconv.Itoa(code), err}
}

// exchange is the transport of one call. It carries the caller's context,
// which the SDK ignores, sends nothing to any host but Twilio's (or the
// configured one in its place) and remembers how far the call got.
type exchange struct {
	ctx  context.Context
	base *url.URL
	next http.RoundTripper

	sent   atomic.Bool // a connection was there to write to
	status int         // of the answer; 0: none
	header http.Header
	cause  error // why there was no answer, or no whole one
}

// RoundTrip implements http.RoundTripper. The whole answer is read here, so
// that the SDK neither leaks a body nor reads without bound.
func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	host := req.URL.Hostname()
	if req.URL.Scheme != "https" || !strings.HasSuffix(host, ".twilio.com") {
		x.cause = errors.New("not a host of the provider")
		return nil, x.cause
	}
	ctx := httptrace.WithClientTrace(x.ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { x.sent.Store(true) },
	})
	req = req.Clone(ctx)
	if x.base != nil {
		req.URL.Scheme, req.URL.Host, req.Host = x.base.Scheme, x.base.Host, ""
		req.URL.Path = strings.TrimSuffix(x.base.Path, "/") + req.URL.Path
	}
	resp, err := x.next.RoundTrip(req)
	if err != nil {
		x.cause = err
		return nil, err
	}
	defer resp.Body.Close()
	x.status, x.header = resp.StatusCode, resp.Header
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		x.cause = err
	}
	if resp.StatusCode > 299 && !json.Valid(body) {
		body = []byte("null") // the SDK needs JSON to tell us anything
	}
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	return resp, nil
}

// failure says what a call without a receipt means.
func (x *exchange) failure(err error) error {
	var rest *client.TwilioRestError
	code := 0
	if errors.As(err, &rest) {
		code = rest.Code
	}
	class := "http_" + strconv.Itoa(x.status)
	switch {
	case x.status == 0 && x.cause == nil: // the SDK refused before it called
		return &coded{"sdk", errors.New("sending by sms: the request could not be made; check channels.sms")}
	case x.status == 0 && !x.sent.Load():
		return &coded{"connect", &Retry{Err: fmt.Errorf("connecting to the provider: %w", x.cause)}}
	case x.status == 0:
		return &coded{"timeout", fmt.Errorf("waiting for the provider's answer: %w", errors.Join(ErrAmbiguous, x.cause))}
	case x.status >= 200 && x.status < 300:
		return &coded{"garbage", fmt.Errorf("reading the provider's answer: %w", ErrAmbiguous)}
	case x.status == http.StatusTooManyRequests, x.status == http.StatusServiceUnavailable, x.status >= 500 && code != 0:
		if code != 0 {
			class = strconv.Itoa(code)
		}
		return &coded{class, &Retry{After: retryAfter(x.header)}}
	case x.status >= 500:
		return &coded{class, fmt.Errorf("sending by sms, status %d: %w", x.status, ErrAmbiguous)}
	case code != 0:
		return refusal(code, x.status)
	default:
		return &coded{class, fmt.Errorf("the provider refused the message, status %d", x.status)}
	}
}

// retryAfter reads Retry-After (RFC 9110 §10.2.3); a date counts from the
// answer's own Date, so that no clock of ours takes part.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil && n >= 0 {
		return min(time.Duration(min(n, 86400))*time.Second, maxWait)
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxWait)
}
