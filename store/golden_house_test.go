package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"

	"ringback/audit"
	"ringback/consent"
	"ringback/keys"
)

func goldenBob() *consent.Person {
	return &consent.Person{ID: "bob", Name: "Bob", Phone: "+12025550102"}
}

// goldenAcme is a client that came by itself.
func goldenAcme() *consent.Client {
	return &consent.Client{ID: "agent", Name: "Agent", Host: "agent.example", Mode: consent.Poll, Registrant: "acme", PeopleList: []string{"alice"}, CreatedAt: goldenNow}
}

// TestHouseStays opens a whole data directory that was written down. A server
// forgets facts 96 hours after they were stored, and single uses after a year,
// by a clock that no test can set; so these are not looked for here but in
// [TestMessagesStay]. The chain and the evidence, which are, begin to age out
// in November 2036.
func TestHouseStays(t *testing.T) {
	t.Parallel()
	if *golden {
		makeGoldenHouse(t)
	}
	dir := t.TempDir()
	unpack(t, goldenFile(t, "house.tar.gz"), dir)
	s := openGolden(t, dir)
	checkDirectory(t, s)

	root, err := keys.ParseRoot([]byte(goldenRoot))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.OpenRing(t.Context(), keys.RingConfig{Root: root, Store: s, Now: s.cfg.Now, Log: s.log})
	if err != nil {
		t.Fatal(err)
	}
	var export bytes.Buffer
	if err := audit.New(audit.Config{Source: s, Ring: ring, Now: time.Now, Log: s.log}).Export(t.Context(), &export); err != nil {
		t.Fatal(err)
	}
	report, err := audit.Verify(&export, goldenFile(t, "../../keys/testdata/evidence.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Failures {
		t.Errorf("the export does not hold: %s: %s", f.Where, f.What)
	}
	if diff := cmp.Diff(goldenFigures, figures(report)); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}

	// And it goes on.
	ask := *goldenBare().Request
	ask.ID = consent.NewID()
	if err := s.Ask(t.Context(), &ask); err != nil {
		t.Errorf("Ask: %v", err)
	}
}

// figures are a report in words.
func figures(r audit.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "facts=%d checkpoints=%d erased=%d older=%d\n", r.Facts, r.Checkpoints, r.Erased, r.Older)
	for _, d := range r.Decisions {
		fmt.Fprintf(&b, "%s %s %s %s renewals=%d revoked=%v\n", d.Request, d.Verb, d.Settled, d.At.Format(time.RFC3339Nano), d.Renewals, d.Revoked)
	}
	return b.String()
}

const goldenFigures = `facts=79 checkpoints=1 erased=1 older=0
caaaaaaaaaaaaaaaaaaaaaaabe approved lapsed 2026-12-01T09:58:20.123456789Z renewals=0 revoked=false
caaaaaaaaaaaaaaaaaaaaaaaam denied  2026-12-01T09:59:20.123456789Z renewals=0 revoked=false
caaaaaaaaaaaaaaaaaaaaaaaaq withdrawn  2026-12-01T09:59:20.123456789Z renewals=0 revoked=false
caaaaaaaaaaaaaaaaaaaaaaaay approved redeemed 2026-12-01T09:59:20.123456789Z renewals=0 revoked=false
caaaaaaaaaaaaaaaaaaaaaaaa4 approved redeemed 2026-12-01T09:59:20.123456789Z renewals=2 revoked=false
caaaaaaaaaaaaaaaaaaaaaaaba approved cancelled 2026-12-01T09:59:20.123456789Z renewals=0 revoked=false
caaaaaaaaaaaaaaaaaaaaaaabi approved redeemed 2026-12-01T09:59:20.123456789Z renewals=0 revoked=true
caaaaaaaaaaaaaaaaaaaaaaaau expired  2026-12-01T09:59:32.123456789Z renewals=0 revoked=false
`

// TestMessagesStay puts every message of the golden house, and those of two
// more requests, into an empty store of the same root key, byte for byte as
// they were sealed then, and reads them.
func TestMessagesStay(t *testing.T) {
	t.Parallel()
	var all []kept
	for line := range bytes.Lines(goldenFile(t, "messages.jsonl")) {
		var m kept
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	dir := newGolden(t)
	s := openGolden(t, dir)
	for _, m := range all {
		for name := range m.Header {
			if strings.HasPrefix(name, "Nats-Expected-") { // said to the server, about sequences of then
				delete(m.Header, name)
			}
		}
		if _, err := s.js.PublishMsg(t.Context(), &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}); err != nil {
			t.Fatalf("publishing %s: %v", m.Subject, err)
		}
	}
	closeGolden(t, s)
	s = openGolden(t, dir)
	checkDirectory(t, s)
	checkFacts(t, s)
	ctx := t.Context()
	if seen, err := s.Seen(ctx, "message twilio SM0001"); err != nil || !seen {
		t.Errorf("Seen = %v, %v, want true", seen, err)
	}
	if first, err := s.First(ctx, "message twilio SM0001"); err != nil || first {
		t.Errorf("First = %v, %v, want false", first, err)
	}

	// Chain and evidence, and who was erased.
	var chain, evidence []string
	for _, m := range all {
		switch m.Stream {
		case "ringback_AUDIT":
			chain = append(chain, string(m.Data))
		case "ringback_EVIDENCE":
			evidence = append(evidence, strings.TrimPrefix(m.Subject, "ringback.evidence."))
		}
	}
	records, err := s.Records(ctx, 0, 1000)
	if err != nil || len(records) != len(chain) {
		t.Fatalf("Records = %d records, %v, want %d", len(records), err, len(chain))
	}
	for i, r := range records {
		if string(r.Data) != chain[i] || r.Seq != uint64(i+1) {
			t.Errorf("record %d is read as %s", i+1, r.Data)
		}
	}
	list, err := s.Evidence(ctx, 0, 1000)
	if err != nil || len(list) != len(evidence) || len(list) != 9 {
		t.Fatalf("Evidence = %d pieces, %v, want %d", len(list), err, len(evidence))
	}
	for i, e := range list {
		erased := e.Pseudonym == erinPseudonym
		if string(e.Pseudonym)+"."+e.ID.String() != evidence[i] || e.Unreadable != erased || e.Erased != erased || erased != (e.Data == nil) {
			t.Errorf("evidence %d is read as %+v", i+1, e)
		}
	}
}

// checkDirectory compares people, clients, devices, codes, freezes and signing
// keys of the golden house with what was put into it.
func checkDirectory(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	people, _, err := s.People(ctx, "", 100)
	if diff := cmp.Diff([]consent.Person{*goldenAlice(), *goldenBob(), {ID: "carol"}}, people); err != nil || diff != "" {
		t.Errorf("People: %v (-want +got):\n%s", err, diff)
	}
	clients, _, err := s.Clients(ctx, "", 100)
	if diff := cmp.Diff([]consent.Client{*goldenAcme(), *goldenAgent()}, clients, plainText); err != nil || diff != "" {
		t.Errorf("Clients: %v (-want +got):\n%s", err, diff)
	}
	for p, id := range map[consent.Pseudonym]string{alicePseudonym: "alice", bobPseudonym: "bob", carolPseudonym: "carol"} {
		if person, err := s.PersonOf(ctx, p); err != nil || person.ID != id || s.Pseudonym(id) != p {
			t.Errorf("PersonOf(%s) = %v, %v, want %s", p, person, err, id)
		}
	}
	for value, id := range map[string]string{"+12025550101": "alice", "+12025550102": "bob"} {
		if person, err := s.Find(ctx, consent.HintPhone, value); err != nil || person.ID != id {
			t.Errorf("Find(%s) = %v, %v, want %s", value, person, err, id)
		}
	}
	devices := map[string][]consent.Device{
		"alice": {{ID: "cpohasdsjl3cqc2f", Channel: "sms", Address: "+12025550101", Stopped: true}, {ID: "console", Channel: "console", Address: "alice"}},
		"bob":   {{ID: "j7lmcfbppzu5cxkh", Channel: "sms", Address: "+12025550102"}, {ID: "console", Channel: "console", Address: "bob"}},
		"carol": {{ID: "console", Channel: "console", Address: "carol"}},
	}
	for person, want := range devices {
		got, err := s.Devices(ctx, person)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("Devices(%s): %v (-want +got):\n%s", person, err, diff)
		}
	}

	if u, err := s.readUserCode(ctx, alicePseudonym); err != nil || !u.At.Equal(goldenNow.Truncate(time.Second)) || !u.Change.Done ||
		!cmp.Equal(u.Guesses, []consent.CodeGuess{{Party: "d4f0bc5a29de06b5", At: goldenNow}}) {
		t.Errorf("the user code of alice is %+v, %v", u, err)
	}
	for code, want := range map[consent.Secret]bool{"tr0ub4dor": true, "tr0ub4dour": false} {
		if got, err := s.TryUserCode(ctx, "another", "alice", code); err != nil || got != want {
			t.Errorf("TryUserCode = %v, %v, want %v", got, err, want)
		}
	}
	if chosen, err := s.HasUserCode(ctx, "bob"); err != nil || chosen {
		t.Errorf("HasUserCode(bob) = %v, %v", chosen, err)
	}
	if diff := cmp.Diff(map[string]time.Time{"registrant acme": goldenFar}, s.History(alicePseudonym).Frozen); diff != "" {
		t.Errorf("freezes (-want +got):\n%s", diff)
	}
	// Whose number it is, so that nobody else gets it.
	if err := s.AddPerson(ctx, &consent.Person{ID: "mallory", Phone: "+12025550101"}); !errors.Is(err, consent.ErrTaken) {
		t.Errorf("AddPerson with the number of alice = %v, want %v", err, consent.ErrTaken)
	}
	if err := s.claimNumber(ctx, erinPseudonym, "+12025550102"); !errors.Is(err, consent.ErrTaken) {
		t.Errorf("claiming the number of bob = %v, want %v", err, consent.ErrTaken)
	}
	if ring, rev, err := s.LoadKeys(ctx); err != nil || rev == 0 || !bytes.Equal(ring, goldenFile(t, "../../keys/testdata/ring.sealed")) {
		t.Errorf("LoadKeys = %d bytes of revision %d, %v", len(ring), rev, err)
	}
	if _, err := s.dataKey(ctx, erinPseudonym, true); !errors.Is(err, ErrErased) {
		t.Errorf("the data key of erin = %v, want %v", err, ErrErased)
	}
}

// checkFacts compares all requests with what was told of them.
func checkFacts(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	stories := append(goldenStories(t), goldenStory{consent.StatusDenied, goldenFull()}, goldenStory{consent.StatusCancelled, goldenBare()})
	ignored := cmp.Options{cmpopts.IgnoreFields(consent.State{}, "Seq"), cmpopts.EquateEmpty()}
	var ids []consent.ID
	for _, story := range stories {
		id := story.state.Request.ID
		ids = append(ids, id)
		got, err := s.Get(ctx, id)
		if err != nil {
			t.Errorf("Get(%s): %v", id, err)
			continue
		}
		if diff := cmp.Diff(story.state, got, ignored); diff != "" {
			t.Errorf("request %s (-want +got):\n%s", id, diff)
		}
		if got.Status() != story.status {
			t.Errorf("request %s is %s, want %s", id, got.Status(), story.status)
		}
	}
	list, _, err := s.Requests(ctx, consent.Filter{}, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	var listed []consent.ID
	for _, st := range list {
		listed = append(listed, st.Request.ID)
	}
	if diff := cmp.Diff(ids, listed); diff != "" {
		t.Errorf("Requests (-want +got):\n%s", diff)
	}
	if _, err := s.Get(ctx, goldenErased(t).Request.ID); !errors.Is(err, ErrErased) {
		t.Errorf("Get of a request of erin = %v, want %v", err, ErrErased)
	}
	for i, want := range [][]goldenFact{goldenFullFacts, goldenBareFacts} {
		checkStored(t, s, ids[len(ids)-2+i], want)
	}

	// What memory knows comes from the headers.
	full := goldenFull().Request
	brief := consent.Brief{
		ID: full.ID, Client: full.Client.ID, Binding: [8]byte{0x03, 0x8f, 0x81, 0xbb, 0xba, 0xab, 0x12, 0x99}, Pseudonym: alicePseudonym,
		AskedAt: goldenNow, ExpiresAt: full.ExpiresAt, Same: [8]byte{0x54, 0xc7, 0xd9, 0xb3, 0x24, 0xc5, 0xc3, 0x8f},
		Tried: 1, TriedAt: goldenNow.Add(1), Decided: consent.Denied, Settled: consent.Redeemed, EndedAt: time.Date(2026, 12, 1, 10, 0, 0, 123456795, time.UTC), Interval: 5,
	}
	if got, ok := s.Peek(full.ID); !ok || got != brief {
		t.Errorf("Peek = %+v, %v\nwant %+v", got, ok, brief)
	}
	if e := s.index.entries.at(s.index.byID[full.ID]); e == nil || !e.owed || !e.revoked {
		t.Errorf("the entry of the full request is %+v", e)
	}
	counted := map[string]int{}
	for _, past := range s.History(alicePseudonym).Recent {
		counted[past.Client]++
	}
	if diff := cmp.Diff(map[string]int{"registrant acme": 4, "host agent.example": 1}, counted); diff != "" {
		t.Errorf("who asked alice (-want +got):\n%s", diff)
	}
}

// checkStored compares the facts of a request as the auditor reads them.
func checkStored(t *testing.T, s *Store, id consent.ID, want []goldenFact) {
	t.Helper()
	facts, err := s.FactsOf(t.Context(), id)
	if err != nil || len(facts) != len(want) {
		t.Fatalf("FactsOf(%s) = %d facts, %v, want %d", id, len(facts), err, len(want))
	}
	for i, f := range facts {
		if subject := s.names.fact(place{f.ID, f.Kind, f.N}); subject != want[i].subject || string(f.Data) != want[i].fact || f.Unreadable {
			t.Errorf("fact %d is read as %s: %s\nwant %s: %s", f.Seq, subject, f.Data, want[i].subject, want[i].fact)
		}
	}
}
