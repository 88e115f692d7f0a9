package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ringback/audit"
	"ringback/consent"
)

var _ audit.Source = (*Store)(nil)

// TestChainDoesNotFork lets two auditors append at once.
func TestChainDoesNotFork(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	stores, ctx := []*Store{g.open(t), g.open(t)}, t.Context()
	if last, ok, err := stores[0].LastRecord(ctx); ok || err != nil {
		t.Fatalf("LastRecord = %v, %v, %v, want none", last, ok, err)
	}
	if list, err := stores[0].Records(ctx, 0, 10); len(list) != 0 || err != nil {
		t.Fatalf("Records = %v, %v, want none", list, err)
	}
	const rounds = 60
	var all sync.WaitGroup
	for i, s := range stores {
		all.Go(func() {
			for wins := 0; wins < rounds; {
				last, _, err := s.LastRecord(ctx)
				if err != nil {
					t.Errorf("LastRecord: %v", err)
					return
				}
				record := fmt.Appendf(nil, "after %d by %d", last.Seq, i)
				seq, err := s.Append(ctx, record, last.Seq)
				switch {
				case errors.Is(err, consent.ErrClaimed):
				case err != nil:
					t.Errorf("Append: %v", err)
					return
				case seq != last.Seq+1:
					t.Errorf("Append after %d = %d", last.Seq, seq)
					return
				default:
					wins++
				}
			}
		})
	}
	all.Wait()
	var records []consent.StoredRecord
	for after := uint64(0); ; {
		list, err := stores[1].Records(ctx, after, 50)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, list...)
		if len(list) < 50 {
			break
		}
		after = list[len(list)-1].Seq
	}
	if len(records) != 2*rounds {
		t.Errorf("%d records, want %d", len(records), 2*rounds)
	}
	for i, r := range records {
		if want := fmt.Sprintf("after %d ", i); r.Seq != uint64(i+1) || !strings.HasPrefix(string(r.Data), want) || r.At.IsZero() {
			t.Errorf("record %d is %d %q, want %q", i, r.Seq, r.Data, want)
		}
	}
	if _, err := stores[0].Append(ctx, []byte("gap"), 2*rounds+5); !errors.Is(err, consent.ErrClaimed) {
		t.Errorf("Append with a gap = %v, want ErrClaimed", err)
	}
}

func TestEvidenceIsWrittenOnce(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	if err := s.AddPerson(ctx, alice()); err != nil {
		t.Fatal(err)
	}
	p, id := s.Pseudonym("alice-7f3a"), consent.NewID()
	for _, text := range []string{"first", "second"} {
		if err := s.PutEvidence(ctx, p, id, []byte(text)); err != nil {
			t.Fatalf("PutEvidence: %v", err)
		}
	}
	// What somebody else writes with the server's credentials alone is told
	// from what we wrote.
	forged := consent.NewID()
	for _, subject := range []string{
		s.names.subject("evidence", string(p), forged.String()),
		s.names.subject("evidence", string(p), "not-an-id"),
		s.names.subject("evidence", "NotAPseudonym", forged.String()),
	} {
		if _, err := s.js.Publish(ctx, subject, []byte("forged")); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.Evidence(ctx, 0, 10)
	if err != nil || len(list) != 4 {
		t.Fatalf("Evidence = %v, %v, want four", list, err)
	}
	if e := list[0]; string(e.Data) != "first" || e.ID != id || e.Pseudonym != p || e.Unreadable || e.At.IsZero() {
		t.Errorf("Evidence = %+v, want the first", e)
	}
	for _, e := range list[1:] {
		if !e.Unreadable || e.Erased || e.Data != nil || e.Stored == (consent.Digest{}) {
			t.Errorf("forged evidence %+v, want it unreadable", e)
		}
	}
	if rest, err := s.Evidence(ctx, list[3].Seq, 10); len(rest) != 0 || err != nil {
		t.Errorf("Evidence after the last = %v, %v", rest, err)
	}
}

func TestFacts(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	if err := s.AddPerson(ctx, alice()); err != nil {
		t.Fatal(err)
	}
	const requests = 700 // more than one batch of facts
	ids := make([]consent.ID, requests)
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := w; i < requests; i += 16 {
				ids[i] = askFor(t, s, "alice-7f3a").ID
			}
		})
	}
	all.Wait()
	for _, batch := range []int{2 * requests, 333} {
		var facts []consent.StoredFact
		for after := uint64(0); ; {
			list, err := s.Facts(ctx, after, batch)
			if err != nil {
				t.Fatalf("Facts: %v", err)
			}
			facts = append(facts, list...)
			if len(list) < batch {
				break
			}
			after = list[len(list)-1].Seq
		}
		if len(facts) != 2*requests || !slices.IsSortedFunc(facts, func(a, b consent.StoredFact) int { return int(a.Seq) - int(b.Seq) }) {
			t.Fatalf("Facts by %d returned %d facts, want %d in order", batch, len(facts), 2*requests)
		}
		asked := map[consent.ID]bool{}
		for _, f := range facts {
			if f.Unreadable || f.Pseudonym != s.Pseudonym("alice-7f3a") || f.At.IsZero() {
				t.Fatalf("fact %+v", f)
			}
			switch f.Kind {
			case consent.FactAsked:
				var req consent.Request
				if err := json.Unmarshal(f.Data, &req); err != nil || req.ID != f.ID {
					t.Fatalf("fact %d: %v: %s", f.Seq, err, f.Data)
				}
				if text := string(f.Data); strings.Contains(text, "match-code") || strings.Contains(text, "notification-token") {
					t.Fatalf("fact %d has a bearer: %s", f.Seq, text)
				}
				asked[f.ID] = true
			case consent.FactDecided:
				if !asked[f.ID] {
					t.Fatalf("fact %d is decided before it is asked", f.Seq)
				}
			}
		}
	}
	of, err := s.FactsOf(ctx, ids[5])
	if err != nil || len(of) != 2 || of[0].Kind != consent.FactAsked || of[1].Kind != consent.FactDecided {
		t.Errorf("FactsOf = %+v, %v", of, err)
	}
	if of, err := s.FactsOf(ctx, consent.NewID()); len(of) != 0 || err != nil {
		t.Errorf("FactsOf(unknown) = %v, %v, want none", of, err)
	}
}

// TestForgedFacts puts messages into the stream of facts as somebody could
// who has the server's credentials and not the root key. The chain names all
// of them, and none stops it.
func TestForgedFacts(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	if err := s.AddPerson(ctx, alice()); err != nil {
		t.Fatal(err)
	}
	req := askFor(t, s, "alice-7f3a")
	real, err := s.lastMessage(ctx, streamConsent, s.names.fact(place{ID: req.ID, Kind: consent.FactDecided}))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(g.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	id := consent.NewID()
	forge := func(tokens string, header nats.Header, data []byte) {
		t.Helper()
		m := &nats.Msg{Subject: s.names.subject("consent", tokens), Header: header, Data: data}
		if _, err := nc.RequestMsg(m, 5*time.Second); err != nil {
			t.Fatalf("forging: %v", err)
		}
	}
	copied := nats.Header{headerName: real.header[headerName]}
	forge(id.String()+".decided", copied, real.data)                                    // moved to another request
	forge(req.ID.String()+".settled", copied, []byte(`{"v":1,"verb":"redeemed"}`))      // in the clear
	forge(id.String()+".asked", nil, nil)                                               // empty
	forge("not-an-id.asked", copied, real.data)                                         // nowhere
	forge(id.String()+".settled", nats.Header{headerName: {"v=1;p=x y\tz"}}, []byte{1}) // nobody's
	forge(id.String()+".revoked", nats.Header{
		headerName: {"v=1;p=" + string(s.Pseudonym("nobody"))}, "Nats-Sequence": {"1"}, "Nats-Subject": {"other"},
		"Nats-Last-Sequence": {"9"}, "Nats-Time-Stamp": {"x"}, "Status": {"204"},
	}, []byte{1})
	facts, err := s.Facts(ctx, 0, 100)
	if err != nil || len(facts) != 8 {
		t.Fatalf("Facts = %d facts, %v, want 8", len(facts), err)
	}
	for i, f := range facts {
		if f.Seq != uint64(i+1) || f.Unreadable != (i >= 2) || (f.Stored != consent.Digest{}) != f.Unreadable {
			t.Errorf("fact %+v", f)
		}
		if f.Pseudonym != "" && !isPseudonym(f.Pseudonym) {
			t.Errorf("fact of %q, which would get into the chain", f.Pseudonym)
		}
	}
	if facts[7].Kind != consent.FactRevoked || facts[7].ID != id || !facts[7].Erased {
		t.Errorf("fact with headers of the server's = %+v", facts[7])
	}
}
