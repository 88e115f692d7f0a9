package audit_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"ringback/audit"
	"ringback/consent"
	"ringback/details"
	"ringback/keys"
	"ringback/store"
	"ringback/store/storetest"
)

// house is a real store with an auditor over it.
type house struct {
	*storetest.House
	t       testing.TB
	ring    *keys.Ring
	auditor *audit.Auditor
	types   *details.Registry
	people  int
}

func newHouse(t testing.TB, change ...func(*store.Config)) *house {
	t.Helper()
	return over(t, storetest.New(t, change...))
}

// over makes an auditor over a store.
func over(t testing.TB, s *storetest.House) *house {
	t.Helper()
	h := &house{House: s, t: t}
	var err error
	if h.types, err = details.New(nil); err != nil {
		t.Fatal(err)
	}
	h.ring, err = keys.OpenRing(t.Context(), keys.RingConfig{Root: s.Root, Store: s.Store, Now: time.Now, Log: storetest.Log()})
	if err != nil {
		t.Fatal(err)
	}
	h.auditor = audit.New(audit.Config{Source: s.Store, Ring: h.ring, Now: time.Now, Log: storetest.Log()})
	return h
}

// must ends the test on an error.
func (h *house) must(errs ...error) {
	h.t.Helper()
	if err := errors.Join(errs...); err != nil {
		h.t.Fatal(err)
	}
}

// add adds a person whose requests can be kept.
func (h *house) add() string {
	h.t.Helper()
	h.people++
	id := fmt.Sprintf("person-%d", h.people)
	h.must(h.AddPerson(h.t.Context(), &consent.Person{ID: id, Name: "Alice"}))
	return id
}

// ending is how a request of the tests ends.
type ending string

const (
	redeemed  ending = "redeemed"
	renewed   ending = "renewed"  // redeemed, and then renewed three times
	narrowed  ending = "narrowed" // redeemed for less than was asked
	byDev     ending = "dev"
	cancelled ending = "cancelled"
	lapsed    ending = "lapsed"
	denied    ending = "denied"
	notMe     ending = "not me"
	withdrawn ending = "withdrawn"
	operator  ending = "operator"
	expired   ending = "expired"
	open      ending = "open"     // nobody answered yet
	approved  ending = "approved" // not redeemed yet
)

var endings = []ending{redeemed, renewed, narrowed, byDev, cancelled, lapsed, denied, notMe, withdrawn, operator, expired, open, approved}

// story takes one request to its end, as doors and engine would.
func (h *house) story(person string, e ending) *consent.Request {
	h.t.Helper()
	ctx := context.Background()
	now := time.Now().UTC()
	req := h.Asked(person, func(r *consent.Request) {
		r.Details = json.RawMessage(`[{"actions":["read","write"],"datatypes":["a<b>&c","ü"],"locations":["https://api.example"],"type":"data_access"}]`)
		if e == renewed {
			renewable(r)
		}
	})
	asked, err := req.AskedDigest()
	h.must(err)
	shown := &consent.Presentation{
		AskedDigest: asked, Channel: "sms", Template: "ask", TemplateDigest: consent.Digest{1}, Locale: "en",
		Rendered: "Agent (agent.example) asks to read & write <a>.\nTo allow: YES ······.",
	}
	if e != byDev {
		h.must(
			h.Try(ctx, req.ID, consent.Attempt{V: 1, N: 1, Channel: "sms", Device: "d1", Reply: true, At: now, TicketUntil: now.Add(time.Minute), CodeUntil: now.Add(time.Minute), Presentation: shown}),
			h.Conclude(ctx, req.ID, consent.Outcome{V: 1, N: 1, Status: consent.Accepted, ProviderID: "SM1", At: now}),
			h.Report(ctx, req.ID, consent.Receipt{V: 1, N: 1, Delivered: true, At: now}),
		)
		_, err := h.Miss(ctx, req.ID, consent.Miss{V: 1, Channel: "sms", At: now, Nonce: rand.Text()})
		h.must(err)
	}
	state, err := h.Get(ctx, req.ID)
	h.must(err)
	ev := consent.Evidence{Verb: consent.Approved, By: person, Means: consent.ByReply, Attempt: 1, ACR: consent.ACRTap, AMR: []string{"sms"}, Presentation: shown, Nonce: rand.Text()}
	switch e {
	case open:
		return req
	case narrowed:
		ev.Granted = json.RawMessage(`[{"actions":["read"],"datatypes":["a<b>&c"],"locations":["https://api.example"],"type":"data_access"}]`)
	case byDev:
		ev = consent.Evidence{Verb: consent.Approved, By: person, Means: consent.ByDev, ACR: consent.ACRTap, AMR: []string{"dev"}, Nonce: rand.Text()}
	case denied:
		ev.Verb = consent.Denied
	case notMe:
		ev.Verb, ev.NotMe, ev.Means = consent.Denied, true, consent.ByPage
	case withdrawn:
		ev = consent.Evidence{Verb: consent.Withdrawn, By: req.Client.ID, Means: consent.ByClient, Nonce: rand.Text()}
	case operator:
		ev = consent.Evidence{Verb: consent.Withdrawn, By: "operator", Means: consent.ByAdmin, Nonce: rand.Text()}
	}
	var d consent.Decision
	if e == expired {
		d, err = consent.Expire(state, rand.Text(), req.ExpiresAt.Add(time.Second))
	} else {
		d, err = consent.Decide(state, ev, h.types, now)
	}
	h.must(err)
	_, err = h.Decide(ctx, req.ID, d)
	h.must(err, h.Claim(ctx, req.ID, consent.Notice{V: 1, N: 1, At: now}), h.Notified(ctx, req.ID, consent.Notified{V: 1, N: 1, Done: true, Code: "204", At: now}))
	if d.Verb != consent.Approved || e == approved {
		return req
	}
	s := consent.Settlement{V: 1, Verb: consent.Redeemed, JTI: req.ID.String(), IssuedAt: now, ExpiresAt: now.Add(5 * time.Minute), GrantedDigest: d.GrantedDigest, At: now, Nonce: rand.Text()}
	switch e {
	case cancelled:
		s = consent.Settlement{V: 1, Verb: consent.Cancelled, GrantedDigest: d.GrantedDigest, At: now, Nonce: rand.Text()}
	case lapsed:
		s = consent.Settlement{V: 1, Verb: consent.Lapsed, GrantedDigest: d.GrantedDigest, At: req.ExpiresAt.Add(time.Minute), Nonce: rand.Text()}
	}
	_, err = h.Settle(ctx, req.ID, s)
	h.must(err)
	if e == renewed {
		for n := 1; n <= 3; n++ {
			h.must(h.Renew(ctx, req.ID, h.renewal(req, n)))
		}
	}
	if e == redeemed {
		h.must(h.Revoke(ctx, req.ID, consent.Revocation{V: 1, By: req.Client.ID, At: now}))
	}
	return req
}

// renewable asks for refresh tokens.
func renewable(r *consent.Request) { r.Scope, r.Renewable = []string{"openid", "offline_access"}, 3600 }

func (h *house) renewal(req *consent.Request, n int) consent.Renewal {
	now := time.Now().UTC()
	return consent.Renewal{V: 1, N: n, JTI: fmt.Sprintf("%s.%d", req.ID, n), IssuedAt: now, ExpiresAt: now.Add(time.Minute), At: now, Nonce: rand.Text()}
}

// run runs the auditor until the test ends or the function is called.
func (h *house) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { h.auditor.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	h.t.Cleanup(stop)
	return stop
}

// export returns an export.
func (h *house) export() []byte {
	h.t.Helper()
	var out bytes.Buffer
	h.must(h.auditor.Export(context.Background(), &out))
	return out.Bytes()
}

// verify checks an export with the ring's own keys.
func (h *house) verify(export []byte) audit.Report {
	h.t.Helper()
	report, err := audit.Verify(bytes.NewReader(export), h.ring.EvidenceJWKS())
	h.must(err)
	return report
}

// holds ends the test unless the export verifies.
func (h *house) holds(export []byte) audit.Report {
	h.t.Helper()
	report := h.verify(export)
	if !report.OK() {
		h.t.Fatalf("the export does not hold: %+v", report.Failures)
	}
	return report
}
