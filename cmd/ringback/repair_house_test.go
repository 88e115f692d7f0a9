package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringback/audit"
	"ringback/consent"
	"ringback/details"
	"ringback/keys"
	"ringback/store"
	"ringback/store/storetest"
)

// ruin is a store to be damaged and repaired, and what it knew before.
type ruin struct {
	t       *testing.T
	h       *storetest.House
	types   *details.Registry
	jwks    []byte
	before  []byte // an export
	asked   map[consent.ID]string
	gone    map[consent.ID]bool // redeemed before
	people  int
	ends    bool // the repair has to end requests
	printed bytes.Buffer
}

func newRuin(t *testing.T, change ...func(*store.Config)) *ruin {
	t.Helper()
	r := &ruin{t: t, h: storetest.New(t, change...), asked: map[consent.ID]string{}, gone: map[consent.ID]bool{}}
	var err error
	if r.types, err = details.New(nil); err != nil {
		t.Fatal(err)
	}
	r.auditor() // which makes the signing keys
	return r
}

func (r *ruin) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// auditor is one over the open store.
func (r *ruin) auditor() (*audit.Auditor, *keys.Ring) {
	r.t.Helper()
	ring, err := keys.OpenRing(context.Background(), keys.RingConfig{Root: r.h.Root, Store: r.h.Store, RSA: true, Now: time.Now, Log: storetest.Log()})
	r.must(err)
	return audit.New(audit.Config{Source: r.h.Store, Ring: ring, Now: time.Now, Log: storetest.Log()}), ring
}

// endings are how requests of a ruin end.
var ruinEndings = []string{"open", "approved", "redeemed", "renewable", "denied"}

// tell lets people answer requests, and seals some of it.
func (r *ruin) tell(people int, seal bool) {
	r.t.Helper()
	ctx := context.Background()
	for range people {
		r.people++
		person := fmt.Sprintf("person-%d", r.people)
		r.must(r.h.AddPerson(ctx, &consent.Person{ID: person, Name: "Alice"}))
		r.must(r.h.AddClient(ctx, &consent.Client{ID: fmt.Sprintf("client-%d", r.people), Mode: consent.Poll}))
		for _, ending := range ruinEndings {
			r.ask(person, ending)
		}
		_, err := r.h.First(ctx, person)
		r.must(err)
	}
	auditor, ring := r.auditor()
	if r.jwks = ring.EvidenceJWKS(); seal {
		r.must(auditor.SealAll(ctx))
	}
}

// ask takes one request to its end.
func (r *ruin) ask(person, ending string) {
	r.t.Helper()
	ctx, now := context.Background(), time.Now().UTC()
	req := r.h.Asked(person, func(q *consent.Request) {
		if q.ExpiresAt = now.Add(20 * time.Minute); ending == "renewable" {
			q.Scope, q.Renewable = []string{"openid", "offline_access"}, 3600
		}
	})
	r.asked[req.ID] = ending
	if ending == "open" {
		return
	}
	asked, err := req.AskedDigest()
	r.must(err)
	shown := &consent.Presentation{AskedDigest: asked, Channel: "sms", Template: "ask", TemplateDigest: consent.Digest{1}, Locale: "en", Rendered: "Agent asks"}
	r.must(r.h.Try(ctx, req.ID, consent.Attempt{V: 1, N: 1, Channel: "sms", Device: "d1", Reply: true, At: now, TicketUntil: now.Add(time.Minute), CodeUntil: now.Add(time.Minute), Presentation: shown}))
	r.must(r.h.Conclude(ctx, req.ID, consent.Outcome{V: 1, N: 1, Status: consent.Accepted, ProviderID: "SM1", At: now}))
	st, err := r.h.Get(ctx, req.ID)
	r.must(err)
	ev := consent.Evidence{Verb: consent.Approved, By: person, Means: consent.ByReply, Attempt: 1, ACR: consent.ACRTap, AMR: []string{"sms"}, Presentation: shown, Nonce: rand.Text()}
	if ending == "denied" {
		ev.Verb = consent.Denied
	}
	d, err := consent.Decide(st, ev, r.types, now)
	r.must(err)
	_, err = r.h.Decide(ctx, req.ID, d)
	r.must(err)
	if ending == "redeemed" || ending == "renewable" {
		r.gone[req.ID] = true
		_, err = r.h.Settle(ctx, req.ID, r.token(d))
		r.must(err)
	}
	if ending == "renewable" {
		r.must(r.h.Renew(ctx, req.ID, r.h.Renewal(req, 1)))
	}
}

func (r *ruin) token(d consent.Decision) consent.Settlement {
	now := time.Now().UTC()
	return consent.Settlement{V: 1, Verb: consent.Redeemed, JTI: rand.Text(), IssuedAt: now, ExpiresAt: now.Add(5 * time.Minute), GrantedDigest: d.GrantedDigest, At: now, Nonce: rand.Text()}
}

// export takes an export of the open store.
func (r *ruin) export() []byte {
	r.t.Helper()
	var out bytes.Buffer
	auditor, ring := r.auditor()
	r.jwks = ring.EvidenceJWKS()
	r.must(auditor.Export(context.Background(), &out))
	return out.Bytes()
}

// repair runs the command's steps over the closed store.
func (r *ruin) repair(may store.RepairConfig, step func(string) error) (bool, error) {
	r.t.Helper()
	r.printed.Reset()
	repairing := &repairer{out: io.Writer(&r.printed), now: time.Now, log: storetest.Log(), root: r.h.Root, step: step}
	return repairing.run(r.t.Context(), r.h.Config, may)
}

// repaired looks whether the opened store is as it should be after a repair.
func (r *ruin) repaired() {
	t, ctx := r.t, r.t.Context()
	t.Helper()
	r.h.Reopen()
	if err := r.h.Healthy(); err != nil {
		t.Errorf("after the repair: %v", err)
	}
	for id, ending := range r.asked {
		if !r.ends {
			break // no fact was lost
		}
		st, err := r.h.Get(ctx, id)
		if err != nil {
			continue // nothing can come of it
		}
		if st.Decided == nil {
			if _, err := r.h.Decide(ctx, id, r.h.Decision(st.Request, consent.Approved)); err == nil {
				t.Errorf("request %s (%s) can still be answered", id, ending)
			}
			continue
		}
		if st.Decided.Verb != consent.Approved {
			continue
		}
		if _, err := r.h.Settle(ctx, id, r.token(*st.Decided)); err == nil {
			t.Errorf("request %s (%s) gives a token", id, ending)
		}
		if ending == "renewable" && st.Settled != nil && st.Revoked == nil && st.Settled.Verb == consent.Redeemed {
			t.Errorf("request %s can still be renewed", id)
		}
	}
	asked := map[consent.ID]string{}
	r.asked, asked = asked, r.asked
	r.tell(1, false)
	after := r.export()
	report, since, err := audit.VerifySince(bytes.NewReader(after), bytes.NewReader(r.before), r.jwks)
	r.must(err)
	for _, f := range report.Failures {
		t.Errorf("after the repair: %s: %s", f.Where, f.What)
	}
	if len(report.Lost) == 0 {
		t.Error("no record says what is lost")
	}
	if !since.OK() {
		t.Errorf("since before: %d undeclared of %+v", since.Undeclared, since.Differences)
	}
	for id, ending := range r.asked { // what was asked since
		if ending == "open" || ending == "approved" {
			continue
		}
		if !strings.Contains(string(after), id.String()) {
			t.Errorf("request %s of after the repair is not in the export", id)
		}
	}
	for id, ending := range asked {
		r.asked[id] = ending
	}
	r.h.Reopen() // and it opens again
	if r.h.Config.URL != "" {
		return
	}
	r.h.Close()
	for _, stream := range []string{"CONSENT", "AUDIT", "EVIDENCE", "SEEN"} { // also without the server's notes
		if err := os.Remove(filepath.Join(streamFiles(r.h.Config.Dir, "ringback_"+stream), "msgs", "index.db")); err != nil {
			t.Error(err)
		}
	}
	r.h.Reopen()
}
