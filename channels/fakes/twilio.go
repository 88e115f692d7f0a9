package fakes

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// TwilioConfig is what a fake Twilio needs.
type TwilioConfig struct {
	AccountSID string           // "AC" and 32 hexadecimal digits
	AuthToken  string           // what callers authenticate with, and what signs webhooks
	From       string           // the account's number; empty: any sender is taken
	Webhook    string           // absolute URL for what people write, see SetWebhook; empty: nobody is told
	OptOut     bool             // block numbers that wrote STOP, as Twilio does unless told not to
	Client     *http.Client     // for webhooks; nil: one with a timeout of 15 s, as Twilio's
	Now        func() time.Time // required
}

// Twilio is a fake of Twilio's Messages API. Its methods may be called
// concurrently.
type Twilio struct {
	Inbox Inbox // what it carried

	cfg  TwilioConfig
	mux  *http.ServeMux
	jobs chan job

	mu       sync.Mutex
	plan     plan
	webhook  string
	webhooks []Webhook
	blocked  map[string]bool
	calls    int
}

// NewTwilio returns a fake that takes every message. It handles
//
//	POST /2010-04-01/Accounts/{sid}/Messages.json   as Twilio does
//	GET  /2010-04-01/Accounts/{sid}/Messages/{id}.json
//	     /fakes/…                                    see control.go
//
// Status callbacks are posted while [Twilio.Run] runs.
func NewTwilio(cfg TwilioConfig) *Twilio {
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: 15 * time.Second}
	}
	t := &Twilio{cfg: cfg, webhook: cfg.Webhook, jobs: make(chan job, 4*MaxKept), blocked: map[string]bool{}}
	t.mux = http.NewServeMux()
	t.mux.HandleFunc("POST /2010-04-01/Accounts/{account}/Messages.json", t.create)
	t.mux.HandleFunc("GET /2010-04-01/Accounts/{account}/Messages/{file}", t.fetch)
	t.control()
	return t
}

// ServeHTTP implements http.Handler.
func (t *Twilio) ServeHTTP(w http.ResponseWriter, r *http.Request) { t.mux.ServeHTTP(w, r) }

// Serve runs the fake on ln, callbacks and all, until ctx ends.
func (t *Twilio) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler: t, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	var wg sync.WaitGroup
	wg.Go(func() { t.Run(ctx) })
	wg.Go(func() {
		<-ctx.Done()
		srv.Close()
	})
	err := srv.Serve(ln)
	if ctx.Err() == nil {
		return fmt.Errorf("serving the fake provider: %w", err)
	}
	wg.Wait()
	return nil
}

// Calls is how many messages it was asked to send, taken or not.
func (t *Twilio) Calls() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls
}

// SetWebhook says where what people write is posted.
func (t *Twilio) SetWebhook(absoluteURL string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.webhook = absoluteURL
}

var number = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// create takes one message, or fails as planned.
func (t *Twilio) create(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	t.calls++
	step := t.plan.next()
	t.mu.Unlock()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, 20001, "body too large")
		return
	}
	if !t.authorized(r) {
		refuse(w, http.StatusUnauthorized, 20003, "Authenticate")
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		refuse(w, http.StatusBadRequest, 20001, "not a form")
		return
	}
	if code, why := t.wrong(form); code != 0 {
		refuse(w, http.StatusBadRequest, code, why)
		return
	}
	if t.failed(w, r, step) {
		return
	}
	sid := newSID()
	t.Inbox.add(Entry{Channel: "sms", From: form.Get("From"), To: form.Get("To"), Text: form.Get("Body"), At: t.cfg.Now(), ID: sid})
	if cb := form.Get("StatusCallback"); cb != "" {
		t.follow(cb, sid, form, step)
	}
	switch step.Failure {
	case Late:
		if !pause(r.Context(), step.Delay) {
			return
		}
	case Garbage:
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<html>welcome to the captive portal</html>")
		return
	case Truncated:
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, `{"sid":`)
		return
	case Reset:
		panic(http.ErrAbortHandler)
	}
	t.answer(w, http.StatusCreated, sid, form)
}

// authorized checks HTTP basic credentials and the account in the path.
func (t *Twilio) authorized(r *http.Request) bool {
	user, pass, ok := r.BasicAuth()
	same := func(a, b string) int { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) }
	return ok && same(user, t.cfg.AccountSID)&same(pass, t.cfg.AuthToken)&same(r.PathValue("account"), t.cfg.AccountSID) == 1
}

// wrong checks a message as Twilio does and returns its error code, or 0.
func (t *Twilio) wrong(form url.Values) (int, string) {
	to, from, text := form.Get("To"), form.Get("From"), form.Get("Body")
	t.mu.Lock()
	blocked := t.blocked[to]
	t.mu.Unlock()
	switch {
	case to == "":
		return 21604, "A 'To' phone number is required."
	case !number.MatchString(to):
		return 21211, "Invalid 'To' Phone Number: " + to
	case from == "" && form.Get("MessagingServiceSid") == "":
		return 21603, "A 'From' phone number is required."
	case from != "" && t.cfg.From != "" && from != t.cfg.From:
		return 21606, "The From phone number is not a valid sender of this account."
	case to == from:
		return 21266, "'To' and 'From' number cannot be the same"
	case text == "":
		return 21602, "Message body is required."
	case len([]rune(text)) > 1600:
		return 21617, "The concatenated message body exceeds the 1600 character limit"
	case blocked:
		return 21610, "Attempt to send to unsubscribed recipient " + to
	}
	if cb := form.Get("StatusCallback"); cb != "" {
		if u, err := url.Parse(cb); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return 21609, "The StatusCallback URL is not a valid URL."
		}
	}
	return 0, ""
}

// failed answers in the way of a failure before the message is taken.
func (t *Twilio) failed(w http.ResponseWriter, r *http.Request, step Step) bool {
	if step.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(step.RetryAfter))
	}
	switch step.Failure {
	case TooMany:
		refuse(w, http.StatusTooManyRequests, 20429, "Too Many Requests")
	case ServerError:
		refuse(w, http.StatusInternalServerError, 20500, "Internal Server Error")
	case Unavailable:
		refuse(w, http.StatusServiceUnavailable, 20503, "Service Unavailable")
	case BadGateway:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		io.WriteString(w, "<html>502 Bad Gateway</html>")
	case Unauthorized:
		refuse(w, http.StatusUnauthorized, 20003, "Authenticate")
	case Redirect:
		http.Redirect(w, r, "https://elsewhere.example/", http.StatusTemporaryRedirect)
	case Undeliverable:
		refuse(w, http.StatusBadRequest, 21614, "'To' number is not a valid mobile number")
	case OptedOut:
		refuse(w, http.StatusBadRequest, 21610, "Attempt to send to unsubscribed recipient")
	case Hang:
		<-r.Context().Done()
	default:
		return false
	}
	return true
}

// fetch answers for one message that is still kept.
func (t *Twilio) fetch(w http.ResponseWriter, r *http.Request) {
	if !t.authorized(r) {
		refuse(w, http.StatusUnauthorized, 20003, "Authenticate")
		return
	}
	sid := strings.TrimSuffix(r.PathValue("file"), ".json")
	for _, e := range t.Inbox.All() {
		if e.ID == sid && !e.In {
			t.answer(w, http.StatusOK, sid, url.Values{"From": {e.From}, "To": {e.To}, "Body": {e.Text}})
			return
		}
	}
	refuse(w, http.StatusNotFound, 20404, "The requested resource was not found")
}

// answer writes a message resource.
func (t *Twilio) answer(w http.ResponseWriter, code int, sid string, form url.Values) {
	now := t.cfg.Now().UTC().Format(time.RFC1123Z)
	writeJSON(w, code, map[string]any{
		"sid": sid, "account_sid": t.cfg.AccountSID, "messaging_service_sid": orNull(form.Get("MessagingServiceSid")),
		"from": orNull(form.Get("From")), "to": form.Get("To"), "body": form.Get("Body"), "status": "queued",
		"direction": "outbound-api", "num_segments": "1", "num_media": "0", "api_version": "2010-04-01",
		"date_created": now, "date_updated": now, "date_sent": nil, "error_code": nil, "error_message": nil,
		"price": nil, "price_unit": "USD", "uri": "/2010-04-01/Accounts/" + t.cfg.AccountSID + "/Messages/" + sid + ".json",
	})
}

func refuse(w http.ResponseWriter, status, code int, why string) {
	writeJSON(w, status, map[string]any{
		"code": code, "message": why, "status": status, "more_info": "https://www.twilio.com/docs/errors/" + strconv.Itoa(code),
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func newSID() string {
	var b [16]byte
	rand.Read(b[:])
	return "SM" + hex.EncodeToString(b[:])
}

// pause reports whether d passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ErrNoWebhook says that nobody is told of what people write.
var ErrNoWebhook = errors.New("no webhook is configured; set it with SetWebhook or PUT /fakes/webhook")
