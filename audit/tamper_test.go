package audit_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"ringback/audit"
	"ringback/consent"
	"ringback/store/storetest"
)

// TestWrongFacts: facts that a broken or bought process stored are sealed and
// attested as they are, and Verify says what is wrong with them.
func TestWrongFacts(t *testing.T) {
	t.Parallel()
	other := consent.Digest{7}
	rows := []struct {
		name    string
		ending  ending
		decided func(*consent.Request, *consent.Decision)
		settled func(*consent.Settlement)
		says    string
	}{
		{"by another person", redeemed, func(_ *consent.Request, d *consent.Decision) { d.By = "mallory" }, nil, "somebody other than the approver approved"},
		{"denied by another person", denied, func(_ *consent.Request, d *consent.Decision) { d.By = "mallory" }, nil, "somebody other than the approver denied"},
		{"withdrawn by another client", withdrawn, func(_ *consent.Request, d *consent.Decision) { d.By = "mallory" }, nil, "another client than the asker"},
		{"too late", redeemed, func(r *consent.Request, d *consent.Decision) { d.At = r.ExpiresAt }, nil, "approved after its end"},
		{"expired early", expired, func(r *consent.Request, d *consent.Decision) { d.At = r.ExpiresAt.Add(-1) }, nil, "expired before its end"},
		{"weak", redeemed, func(_ *consent.Request, d *consent.Decision) { d.ACR = "" }, nil, "assurance"},
		{"unknown assurance", redeemed, func(_ *consent.Request, d *consent.Decision) { d.ACR = "urn:x" }, nil, "assurance"},
		{"unknown verb", denied, func(_ *consent.Request, d *consent.Decision) { d.Verb = "maybe" }, nil, "no decision"},
		{"yes by the clock", redeemed, func(_ *consent.Request, d *consent.Decision) { d.Means = consent.ByClock }, nil, "not decided by"},
		{"expiry by reply", expired, func(_ *consent.Request, d *consent.Decision) { d.Means = consent.ByReply }, nil, "not decided by"},
		{"unknown means", redeemed, func(_ *consent.Request, d *consent.Decision) { d.Means = "telepathy" }, nil, "not decided by"},
		{"not me and yes", redeemed, func(_ *consent.Request, d *consent.Decision) { d.NotMe = true }, nil, "not me"},
		{"no with a grant", denied, func(r *consent.Request, d *consent.Decision) { d.Granted = r.Details }, nil, "without a yes"},
		{"an attempt that was not made", redeemed, func(_ *consent.Request, d *consent.Decision) { d.Attempt = 9 }, nil, "attempt 9"},
		{"nothing shown", redeemed, func(_ *consent.Request, d *consent.Decision) { d.Presentation = nil }, nil, "nothing was shown"},
		{"something else shown", redeemed, func(_ *consent.Request, d *consent.Decision) {
			p := *d.Presentation
			p.AskedDigest = other
			d.Presentation = &p
		}, nil, "what was shown is not what was asked"},
		{"something else asked", redeemed, func(_ *consent.Request, d *consent.Decision) { d.AskedDigest = other }, nil, "asked digest"},
		{"more granted than the digest says", redeemed, func(_ *consent.Request, d *consent.Decision) {
			d.Granted = json.RawMessage(`[{"type":"payment_initiation"}]`)
		}, nil, "granted digest"},
		{"another granted digest", redeemed, func(_ *consent.Request, d *consent.Decision) { d.GrantedDigest = other }, nil, "granted digest"},
		{"a token for something else", redeemed, nil, func(s *consent.Settlement) { s.GrantedDigest = other }, "what left the house"},
		{"unknown settlement", redeemed, nil, func(s *consent.Settlement) { s.Verb = "lost" }, "no settlement"},
		{"redeemed without a token", redeemed, nil, func(s *consent.Settlement) { s.JTI = "" }, "not named"},
		{"redeemed late", redeemed, nil, func(s *consent.Settlement) { s.At = s.At.Add(time.Hour) }, "too late"},
		{"cancelled with a token", cancelled, nil, func(s *consent.Settlement) {
			s.JTI, s.IssuedAt, s.ExpiresAt = "x", time.Unix(1, 0).UTC(), time.Unix(2, 0).UTC()
		}, "the other way round"},
		{"lapsed early", lapsed, nil, func(s *consent.Settlement) { s.At = s.At.Add(-time.Hour) }, "lapsed before"},
	}
	h := newHouse(t)
	good := h.story(h.add(), redeemed)
	want := make(map[consent.ID]int)
	for n, row := range rows {
		want[h.twisted(row.ending, row.decided, row.settled).ID] = n
	}
	// A settlement where there was no yes.
	no := h.story(h.add(), denied)
	d := h.Settlement(no, consent.Redeemed)
	_, err := h.Settle(t.Context(), no.ID, d)
	h.must(err)

	report := h.verify(h.export())
	said := make(map[consent.ID]string)
	for _, f := range report.Failures {
		_, id, ok := strings.Cut(f.Where, "request ")
		if !ok {
			id = f.What[strings.Index(f.What, "request ")+8:][:26]
		}
		parsed, err := consent.ParseID(id)
		h.must(err)
		said[parsed] += f.What + "; "
	}
	for id, n := range want {
		if !strings.Contains(said[id], rows[n].says) {
			t.Errorf("%s: Verify says %q, want %q", rows[n].name, said[id], rows[n].says)
		}
	}
	if said[no.ID] == "" {
		t.Error("a settlement after a no holds")
	}
	if said[good.ID] != "" || len(report.Decisions) != 1 || report.Decisions[0].Request != good.ID {
		t.Errorf("the good request: %q, %d decisions", said[good.ID], len(report.Decisions))
	}
}

// twisted stores a request's facts with a decision or settlement changed after
// the rules had their say. The decision's own digest is made to fit.
func (h *house) twisted(e ending, decided func(*consent.Request, *consent.Decision), settled func(*consent.Settlement)) *consent.Request {
	h.t.Helper()
	ctx, now := context.Background(), time.Now().UTC()
	person := h.add()
	req := h.Asked(person)
	asked, err := req.AskedDigest()
	h.must(err)
	shown := &consent.Presentation{AskedDigest: asked, Channel: "sms", Template: "ask", Locale: "en", Rendered: "…"}
	h.must(h.Try(ctx, req.ID, consent.Attempt{V: 1, N: 1, Channel: "sms", At: now, Presentation: shown}))
	d := consent.Decision{V: 1, Verb: consent.Approved, By: person, Means: consent.ByReply, Attempt: 1, ACR: consent.ACRTap, At: now, Presentation: shown, AskedDigest: asked, GrantedDigest: asked, Nonce: rand.Text()}
	switch e {
	case denied:
		d.Verb, d.ACR = consent.Denied, ""
	case withdrawn:
		d = consent.Decision{V: 1, Verb: consent.Withdrawn, By: req.Client.ID, Means: consent.ByClient, At: now, AskedDigest: asked, GrantedDigest: asked, Nonce: rand.Text()}
	case expired:
		d = consent.Decision{V: 1, Verb: consent.Expired, By: "clock", Means: consent.ByClock, At: req.ExpiresAt, AskedDigest: asked, GrantedDigest: asked, Nonce: rand.Text()}
	}
	if decided != nil {
		decided(req, &d)
	}
	d.DecisionDigest, err = d.Digest()
	h.must(err)
	_, err = h.Decide(ctx, req.ID, d)
	h.must(err)
	if d.Verb != consent.Approved {
		return req
	}
	s := consent.Settlement{V: 1, Verb: consent.Redeemed, JTI: req.ID.String(), IssuedAt: now, ExpiresAt: now.Add(time.Minute), GrantedDigest: d.GrantedDigest, At: now, Nonce: rand.Text()}
	switch e {
	case cancelled:
		s = consent.Settlement{V: 1, Verb: consent.Cancelled, GrantedDigest: d.GrantedDigest, At: now, Nonce: rand.Text()}
	case lapsed:
		s = consent.Settlement{V: 1, Verb: consent.Lapsed, GrantedDigest: d.GrantedDigest, At: req.ExpiresAt.Add(time.Minute), Nonce: rand.Text()}
	}
	if settled != nil {
		settled(&s)
	}
	_, err = h.Settle(ctx, req.ID, s)
	h.must(err)
	return req
}

// tampered is a store whose disk somebody has written to. The service itself
// is honest and signs what it finds.
type tampered struct {
	audit.Source
	records  func([]consent.StoredRecord) []consent.StoredRecord
	evidence func([]consent.StoredEvidence) []consent.StoredEvidence
}

func (s tampered) Records(ctx context.Context, after uint64, max int) ([]consent.StoredRecord, error) {
	list, err := s.Source.Records(ctx, after, max)
	if s.records != nil {
		list = s.records(list)
	}
	return list, err
}

func (s tampered) Evidence(ctx context.Context, after uint64, max int) ([]consent.StoredEvidence, error) {
	list, err := s.Source.Evidence(ctx, after, max)
	if s.evidence != nil {
		list = s.evidence(list)
	}
	return list, err
}

// headless drops the first records up to one that is no checkpoint. From a
// checkpoint on, a chain whose older records have aged out stands by itself.
func headless(l []consent.StoredRecord) []consent.StoredRecord {
	for l = l[1:]; bytes.Contains(l[0].Data, []byte(`"type":"checkpoint"`)); l = l[1:] {
	}
	return l
}

// attestedAnew is evidence in which something was changed, signed again by the
// key that signed it: whoever has that key still cannot change what is sealed.
func (h *house) attestedAnew(data []byte, old, with string) []byte {
	h.t.Helper()
	plain, err := audit.Unpack(data)
	h.must(err)
	var e struct {
		Body json.RawMessage `json:"body"`
		JWS  string          `json:"jws"`
	}
	h.must(json.Unmarshal(plain, &e))
	var of struct {
		Request consent.ID `json:"request"`
	}
	h.must(json.Unmarshal(e.Body, &of))
	body := bytes.Replace(e.Body, []byte(old), []byte(with), 1)
	if bytes.Equal(body, e.Body) {
		h.t.Fatalf("%s is not in %s", old, body)
	}
	jws, err := h.ring.SignEvidence("evidence+jws", struct {
		V       int            `json:"v"`
		Request consent.ID     `json:"request"`
		SHA256  consent.Digest `json:"sha256"`
	}{1, of.Request, sha256.Sum256(body)})
	h.must(err)
	return audit.Pack(bytes.Join([][]byte{[]byte(`{"body":`), body, []byte(`,"jws":"` + jws + `"}`)}, nil))
}

// TestTamperedStore: the signature of an export launders nothing.
func TestTamperedStore(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	stop := h.run()
	for _, e := range []ending{redeemed, denied, narrowed, cancelled} {
		h.story(h.add(), e)
		h.export() // a record of its own
	}
	stop()
	h.holds(h.export())
	type records = []consent.StoredRecord
	type evidence = []consent.StoredEvidence
	edit := func(old, with string) func(records) records {
		return func(list records) records {
			for i := range list {
				if changed := bytes.Replace(list[i].Data, []byte(old), []byte(with), 1); !bytes.Equal(changed, list[i].Data) {
					list[i].Data = changed
					break
				}
			}
			return list
		}
	}
	rows := []struct {
		name     string
		records  func(records) records
		evidence func(evidence) evidence
		says     string
	}{
		{"nothing", nil, nil, ""},
		{"first records gone", headless, nil, ""},
		{"a record gone", func(l records) records { return append(l[:2:2], l[3:]...) }, nil, "missing or out of order"},
		{"two records swapped", func(l records) records { l[1], l[2] = l[2], l[1]; return l }, nil, "missing or out of order"},
		{"a record twice", func(l records) records { return append(l[:2:2], l[1:]...) }, nil, "missing or out of order"},
		{"another kind of fact", edit(`"fact":"tried.1"`, `"fact":"tried.2"`), nil, "chain is broken"},
		{"another digest", edit(`"sha256":"`, `"sha256":"AAAA`), nil, "canonical"},
		{"another person", edit(`"person":"`, `"person":"x`), nil, "another person"},
		{"another time", edit(`"at":"2`, `"at":"3`), nil, "chain is broken"},
		{"a space", edit(`,"at"`, `, "at"`), nil, "canonical"},
		{"an unknown member", edit(`{"v":1,`, `{"v":1,"w":1,`), nil, ""},
		{"a line end", edit(`,"at"`, "\n"), nil, ""},
		{"no JSON", func(l records) records { l[2].Data = []byte("x"); return l }, nil, ""},
		{"evidence gone", nil, func(l evidence) evidence { return append(l[:1:1], l[2:]...) }, "no evidence"},
		{"all evidence gone", nil, func(evidence) evidence { return nil }, "no evidence"},
		{"evidence swapped", nil, func(l evidence) evidence { l[0].Data, l[1].Data = l[1].Data, l[0].Data; return l }, "another request"},
		{"evidence twice", nil, func(l evidence) evidence { return append(l[:1:1], l...) }, "already"},
		{"evidence of another request", nil, func(l evidence) evidence { l[0].ID = consent.NewID(); return l }, "another request"},
		{"evidence cut", nil, func(l evidence) evidence { l[0].Data = l[0].Data[:40]; return l }, "damaged"},
		{"evidence of an unknown form", nil, func(l evidence) evidence { l[0].Data = []byte{9, 9}; return l }, "damaged"},
		{"evidence attested anew", nil, func(l evidence) evidence {
			l[0].Data = h.attestedAnew(l[0].Data, `"provider_id":"SM1"`, `"provider_id":"SM2"`)
			return l
		}, "not the one that was sealed"},
		{"evidence with a fact less", nil, func(l evidence) evidence {
			plain, err := audit.Unpack(l[0].Data)
			h.must(err)
			fact := regexp.MustCompile(`\{"seq":[0-9]+,"fact":"outcome\.1".*?\}\},\{"seq":[0-9]+,"fact":"receipt\.1".*?\}\},`).Find(plain)
			l[0].Data = h.attestedAnew(l[0].Data, string(fact), "")
			return l
		}, "other facts of this request"},
		{"evidence unreadable", nil, func(l evidence) evidence { l[0].Data, l[0].Unreadable = nil, true; return l }, "damaged"},
		{"evidence said to be erased", nil, func(l evidence) evidence { l[0].Data, l[0].Unreadable, l[0].Erased = nil, true, true; return l }, "no erasure was recorded"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			h := *h
			h.t = t
			h.auditor = audit.New(audit.Config{Source: tampered{h.Store, row.records, row.evidence}, Ring: h.ring, Now: time.Now, Log: storetest.Log()})
			report := h.verify(h.export())
			if row.name == "nothing" {
				if !report.OK() {
					t.Errorf("Verify = %v", report.Failures)
				}
				return
			}
			if report.OK() {
				t.Fatal("the export holds")
			}
			for _, f := range report.Failures {
				if strings.Contains(f.What, row.says) {
					return
				}
			}
			t.Errorf("Verify says %+v, want %q", report.Failures, row.says)
		})
	}
}

// TestAgedOut: where the oldest records are gone, an export begins with a
// checkpoint and holds; evidence from before speaks for itself.
func TestAgedOut(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.story(h.add(), redeemed) // before the auditor runs: the first record holds all of it
	stop := h.run()
	h.Eventually("a checkpoint", func() bool { h.auditor.Wake(); return h.holds(h.export()).Checkpoints > 0 })
	stop()
	h.story(h.add(), denied)
	h.holds(h.export())
	h.auditor = audit.New(audit.Config{Source: tampered{Source: h.Store, records: func(l []consent.StoredRecord) []consent.StoredRecord {
		for len(l) > 0 && l[0].Seq <= 1 {
			l = l[1:]
		}
		return l
	}}, Ring: h.ring, Now: time.Now, Log: storetest.Log()})
	report := h.holds(h.export())
	if report.First < 2 || report.Older != 1 || len(report.Decisions) != 2 {
		t.Errorf("report = %+v, want it to begin later, with one older request", report)
	}
}

// TestDamagedFact: a fact that cannot be decrypted is sealed as damaged, stops
// nothing, and does not hold.
func TestDamagedFact(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.story(h.add(), redeemed)
	last := h.story(h.add(), denied)
	h.auditor = audit.New(audit.Config{Source: damaged{h.Store, last.ID}, Ring: h.ring, Now: time.Now, Log: storetest.Log()})
	report := h.verify(h.export())
	if report.OK() || len(report.Decisions) != 1 {
		t.Fatalf("report = %+v, want failures and one decision", report)
	}
	h.story(h.add(), redeemed)
	if report := h.verify(h.export()); len(report.Decisions) != 2 {
		t.Errorf("%d decisions, want sealing to have gone on", len(report.Decisions))
	}
}

// damaged is a store in which one request's facts are unreadable.
type damaged struct {
	audit.Source
	id consent.ID
}

func (s damaged) Facts(ctx context.Context, after uint64, max int) ([]consent.StoredFact, error) {
	list, err := s.Source.Facts(ctx, after, max)
	for i := range list {
		if f := &list[i]; f.ID == s.id {
			f.Data, f.Unreadable, f.Stored = nil, true, consent.Digest{1}
		}
	}
	return list, err
}
