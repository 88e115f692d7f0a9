package fakes

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Webhook is one signed request of the fake to the service, for tests that
// replay or change it.
type Webhook struct {
	URL       string     `json:"url"`
	Form      url.Values `json:"form"`
	Signature string     `json:"-"`
	Status    int        `json:"status"` // of the answer; 0: none
}

// Sign returns X-Twilio-Signature for a form posted to a URL: HMAC-SHA1 under
// the auth token over the URL and the sorted names, each followed by its value.
func (t *Twilio) Sign(absoluteURL string, form url.Values) string {
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	mac := hmac.New(sha1.New, []byte(t.cfg.AuthToken))
	io.WriteString(mac, absoluteURL)
	for _, name := range names {
		io.WriteString(mac, name+form.Get(name))
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Webhooks returns the last webhooks posted, newest last.
func (t *Twilio) Webhooks() []Webhook {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.webhooks)
}

// Post signs and posts a form and returns the answer's status and body.
func (t *Twilio) Post(ctx context.Context, absoluteURL string, form url.Values) (int, []byte, error) {
	hook := Webhook{URL: absoluteURL, Form: form, Signature: t.Sign(absoluteURL, form)}
	status, body, err := t.send(ctx, hook)
	hook.Status = status
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.webhooks) == MaxKept {
		t.webhooks = slices.Delete(t.webhooks, 0, 1)
	}
	t.webhooks = append(t.webhooks, hook)
	return status, body, err
}

func (t *Twilio) send(ctx context.Context, hook Webhook) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.URL, strings.NewReader(hook.Form.Encode()))
	if err != nil {
		return 0, nil, fmt.Errorf("calling the webhook: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
	req.Header.Set("X-Twilio-Signature", hook.Signature)
	req.Header.Set("User-Agent", "TwilioProxy/1.1")
	resp, err := t.cfg.Client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("calling the webhook: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, body, err
}

// Inbound returns the form that a person's message makes, with the parameters
// that Twilio sends for an SMS.
func (t *Twilio) Inbound(from, text string) url.Values {
	sid := newSID()
	return url.Values{
		"MessageSid": {sid}, "SmsSid": {sid}, "SmsMessageSid": {sid}, "AccountSid": {t.cfg.AccountSID},
		"From": {from}, "To": {t.cfg.From}, "Body": {text}, "NumMedia": {"0"}, "NumSegments": {"1"},
		"ReferralNumMedia": {"0"}, "SmsStatus": {"received"}, "ApiVersion": {"2010-04-01"},
		"FromCity": {"NEW YORK"}, "FromState": {"NY"}, "FromZip": {"10001"}, "FromCountry": {"US"},
		"ToCity": {""}, "ToState": {"CA"}, "ToZip": {""}, "ToCountry": {"US"},
	}
}

// Reply is a person who writes text from a number to the service. The
// webhook's answer is executed: every message in its TwiML reaches the person.
// It returns those texts.
func (t *Twilio) Reply(ctx context.Context, from, text string) ([]string, error) {
	t.mu.Lock()
	hook := t.webhook
	t.mu.Unlock()
	if hook == "" {
		return nil, ErrNoWebhook
	}
	form := t.Inbound(from, text)
	t.Inbox.add(Entry{Channel: "sms", From: from, To: t.cfg.From, Text: text, At: t.cfg.Now(), ID: form.Get("MessageSid"), In: true})
	t.keyword(from, text)
	status, body, err := t.Post(ctx, hook, form)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("the webhook answered %d", status)
	}
	var twiml struct {
		XMLName xml.Name `xml:"Response"`
		Message []struct {
			Text string `xml:",chardata"`
			Body string `xml:"Body"`
		} `xml:"Message"`
	}
	if len(body) == 0 {
		return nil, nil
	}
	if err := xml.Unmarshal(body, &twiml); err != nil {
		return nil, fmt.Errorf("reading the webhook's TwiML: %w", err)
	}
	var said []string
	for _, m := range twiml.Message {
		if said = append(said, m.Text+m.Body); t.isBlocked(from) {
			continue
		}
		t.Inbox.add(Entry{Channel: "sms", From: t.cfg.From, To: from, Text: m.Text + m.Body, At: t.cfg.Now(), ID: newSID()})
	}
	return said, nil
}

// keyword does what Twilio does with STOP and START of its own accord.
func (t *Twilio) keyword(from, text string) {
	if !t.cfg.OptOut {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch strings.ToUpper(strings.TrimSpace(text)) {
	case "STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT":
		t.blocked[from] = true
	case "START", "YES", "UNSTOP":
		delete(t.blocked, from)
	}
}

func (t *Twilio) isBlocked(number string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.blocked[number]
}

// job is the status callbacks of one message.
type job struct {
	url   string
	forms []url.Values
}

// follow queues the callbacks of a message that was taken. Beyond 4,000
// waiting messages they are lost, as they may be in life.
func (t *Twilio) follow(callback, sid string, sent url.Values, step Step) {
	list := step.Callbacks
	if list == nil {
		list = []Callback{{Status: "sent"}, {Status: "delivered"}}
	}
	j := job{url: callback}
	for _, cb := range list {
		form := t.StatusForm(sid, sent.Get("To"), cb)
		for range step.Repeat + 1 {
			j.forms = append(j.forms, form)
		}
	}
	select {
	case t.jobs <- j:
	default:
	}
}

// StatusForm returns the form of a status callback for a message to a number.
func (t *Twilio) StatusForm(sid, to string, cb Callback) url.Values {
	form := url.Values{
		"MessageSid": {sid}, "SmsSid": {sid}, "AccountSid": {t.cfg.AccountSID}, "From": {t.cfg.From}, "To": {to},
		"MessageStatus": {cb.Status}, "SmsStatus": {cb.Status}, "ApiVersion": {"2010-04-01"},
	}
	if cb.Code != 0 {
		form.Set("ErrorCode", strconv.Itoa(cb.Code))
	}
	if cb.Status == "delivered" || cb.Status == "undelivered" {
		form.Set("RawDlrDoneDate", t.cfg.Now().UTC().Format("0601021504"))
	}
	return form
}

// Run posts status callbacks until ctx ends. [Twilio.Serve] calls it.
func (t *Twilio) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case j := <-t.jobs:
					for _, form := range j.forms {
						t.Post(ctx, j.url, form) // its answer is in Webhooks; a provider does not mind
					}
				}
			}
		})
	}
	wg.Wait()
}
