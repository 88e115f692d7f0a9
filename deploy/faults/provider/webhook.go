package provider

import (
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ringback/channels/fakes"
	"ringback/deploy/faults/journal"
)

// Message waits until a message was carried to a number that is none of those
// before, and returns it.
func (p *Provider) Message(ctx context.Context, number string, before journal.Message) (journal.Message, bool) {
	for {
		m, ok, news := p.cfg.Journal.Last(number)
		if ok && (m.ID != before.ID || m.N != before.N) {
			return m, true
		}
		select {
		case <-news:
		case <-ctx.Done():
			return m, false
		}
	}
}

// Answer is a person who answers a message. Its webhook is sent, and sent again
// until it is taken; the first answer to it ends done, well or not.
func (p *Provider) Answer(m journal.Message, verb string) (a *journal.Answer, done <-chan struct{}) {
	word := map[string]string{journal.Approved: "YES ", journal.Denied: "NO "}[verb]
	a = &journal.Answer{ID: m.ID, N: m.N, Verb: verb, From: m.To, Code: m.Code}
	p.cfg.Journal.Answer(a)
	form := p.fake.Inbound(m.To, word+m.Code)
	first := make(chan struct{})
	p.untaken.Add(1)
	p.posting.Go(func() {
		defer p.untaken.Add(-1)
		for n := 0; p.ctx.Err() == nil; n++ {
			p.open.Add(1)
			status, body := p.post(p.service("/callbacks/twilio/sms"), form)
			p.open.Add(-1)
			p.cfg.Journal.Post(a, journal.Post{At: time.Now(), Status: status, Said: spoken(body)})
			if n == 0 {
				close(first)
			}
			if final(status) {
				return
			}
			p.rest()
		}
	})
	return a, first
}

// report tells the service what became of a message, until that is taken.
func (p *Provider) report(sent url.Values, r journal.Receipt, sid string) {
	word := "delivered"
	if !r.Delivered {
		word = "undelivered"
	}
	form := p.fake.StatusForm(sid, sent.Get("To"), fakes.Callback{Status: word})
	p.untaken.Add(1)
	p.posting.Go(func() {
		defer p.untaken.Add(-1)
		for p.ctx.Err() == nil {
			status, _ := p.post(sent.Get("StatusCallback"), form)
			if status/100 == 2 {
				p.cfg.Journal.Receipt(r)
			}
			if final(status) {
				return
			}
			p.rest()
		}
	})
}

// final reports whether an answer ends the repetitions.
func final(status int) bool { return status/100 == 2 || status/100 == 4 }

func (p *Provider) rest() {
	select {
	case <-time.After(repeatAfter):
	case <-p.ctx.Done():
	}
}

// Open is how many answers of persons are on their way, unanswered.
func (p *Provider) Open() int { return int(p.open.Load()) }

// Settle waits until every webhook was taken, and reports whether that was in
// time.
func (p *Provider) Settle(ctx context.Context) bool {
	for p.untaken.Load() > 0 {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// post sends a signed webhook once. Its status is 0 where no whole answer came.
func (p *Provider) post(address string, form url.Values) (status int, body []byte) {
	r, err := http.NewRequestWithContext(p.ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
	r.Header.Set("X-Twilio-Signature", p.fake.Sign(address, form))
	resp, err := p.hook.Do(r)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(resp.Body, 64<<10)); err != nil {
		return 0, nil
	}
	return resp.StatusCode, body
}

// spoken is what an answer to a webhook has the provider say to the person.
func spoken(body []byte) string {
	var twiml struct {
		XMLName xml.Name `xml:"Response"`
		Message []string `xml:"Message"`
	}
	if xml.Unmarshal(body, &twiml) != nil {
		return ""
	}
	return strings.Join(twiml.Message, "\n")
}
