package audit_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"ringback/audit"
	"ringback/consent"
	"ringback/keys"
	"ringback/store/storetest"
)

// shelf is a store in memory from which things can be taken, as a disk takes
// them: what is left keeps its sequence.
type shelf struct {
	mu       sync.Mutex
	facts    []consent.StoredFact
	records  []consent.StoredRecord
	evidence []consent.StoredEvidence
	erased   map[consent.Pseudonym]bool
	filled   uint64 // nothing is where facts up to here were
}

func (s *shelf) Facts(_ context.Context, after uint64, limit int) (out []consent.StoredFact, err error) {
	for _, f := range s.facts {
		if f.Seq > after && len(out) < limit {
			out = append(out, f)
		}
	}
	return out, nil
}

func (s *shelf) FactsOf(_ context.Context, ids ...consent.ID) (out []consent.StoredFact, err error) {
	for _, f := range s.facts {
		if slices.Contains(ids, f.ID) {
			out = append(out, f)
		}
	}
	return out, nil
}

func (s *shelf) Written() (seq uint64) {
	for _, f := range s.facts {
		seq = max(seq, f.Seq)
	}
	return max(seq, s.filled)
}

func (s *shelf) Append(_ context.Context, data []byte, after uint64) (uint64, error) {
	var last uint64
	if n := len(s.records); n > 0 {
		last = s.records[n-1].Seq
	}
	if last != after {
		return 0, consent.ErrClaimed
	}
	s.records = append(s.records, consent.StoredRecord{Seq: after + 1, At: time.Now(), Data: data})
	return after + 1, nil
}

func (s *shelf) LastRecord(context.Context) (consent.StoredRecord, bool, error) {
	if len(s.records) == 0 {
		return consent.StoredRecord{}, false, nil
	}
	return s.records[len(s.records)-1], true, nil
}

func (s *shelf) Records(_ context.Context, after uint64, limit int) (out []consent.StoredRecord, err error) {
	for _, r := range s.records {
		if r.Seq > after && len(out) < limit {
			out = append(out, r)
		}
	}
	return out, nil
}

func (s *shelf) PutEvidence(_ context.Context, p consent.Pseudonym, id consent.ID, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var last uint64
	for _, e := range s.evidence {
		if last = max(last, e.Seq); e.ID == id {
			return nil // once
		}
	}
	s.evidence = append(s.evidence, consent.StoredEvidence{Seq: last + 1, ID: id, Pseudonym: p, At: time.Now(), Data: data})
	return nil
}

func (s *shelf) Evidence(_ context.Context, after uint64, limit int) (out []consent.StoredEvidence, err error) {
	for _, e := range s.evidence {
		if s.erased[e.Pseudonym] {
			e.Unreadable, e.Erased, e.Stored, e.Data = true, true, sha256.Sum256(e.ID[:]), nil
		}
		if e.Seq > after && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

// lossHouse is a store that was told stories, on a shelf, with an export of it.
type lossHouse struct {
	*shelf
	t       *testing.T
	ring    *keys.Ring
	auditor *audit.Auditor
	jwks    []byte
	before  []byte
	asked   map[ending]consent.ID
}

func newLossHouse(t *testing.T) *lossHouse {
	t.Helper()
	h := newHouse(t)
	l := &lossHouse{t: t, shelf: &shelf{erased: map[consent.Pseudonym]bool{}}, ring: h.ring, jwks: h.ring.EvidenceJWKS(), asked: map[ending]consent.ID{}}
	ctx := t.Context()
	for i, e := range endings {
		l.asked[e] = h.story(h.add(), e).ID
		if i%2 == 1 { // a record for each two
			h.must(audit.Seal(h.auditor, ctx))
		}
		if i == 3 {
			h.must(audit.Checkpoint(ctx, h.auditor))
		}
	}
	l.before = h.export()
	h.holds(l.before)
	var err error
	l.facts, err = h.Facts(ctx, 0, 10000)
	h.must(err)
	l.records, err = h.Records(ctx, 0, 10000)
	h.must(err)
	l.evidence, err = h.Evidence(ctx, 0, 10000)
	h.must(err)
	l.again()
	return l
}

// again is a process that is started anew.
func (l *lossHouse) again() {
	l.auditor = audit.New(audit.Config{Source: l.shelf, Ring: l.ring, Now: time.Now, Log: storetest.Log()})
}

func (l *lossHouse) export() []byte {
	l.t.Helper()
	var out bytes.Buffer
	if err := l.auditor.Export(context.Background(), &out); err != nil {
		l.t.Fatal(err)
	}
	return out.Bytes()
}

func (l *lossHouse) verify(export []byte) audit.Report {
	l.t.Helper()
	report, err := audit.Verify(bytes.NewReader(export), l.jwks)
	if err != nil {
		l.t.Fatal(err)
	}
	return report
}

// take removes facts, records or evidence of a range, and says what a store would.
func (l *lossHouse) take(stream string, from, to uint64) consent.Loss {
	l.t.Helper()
	in := func(seq uint64) bool { return seq >= from && (seq <= to || to == 0) }
	switch stream {
	case consent.LostFacts:
		for _, f := range l.facts {
			if in(f.Seq) && to == 0 {
				l.filled = max(l.filled, f.Seq)
			}
		}
		l.facts = slices.DeleteFunc(slices.Clone(l.facts), func(f consent.StoredFact) bool { return in(f.Seq) })
	case consent.LostChain:
		l.records = slices.DeleteFunc(slices.Clone(l.records), func(r consent.StoredRecord) bool { return in(r.Seq) })
	case consent.LostEvidence:
		l.evidence = slices.DeleteFunc(slices.Clone(l.evidence), func(e consent.StoredEvidence) bool { return in(e.Seq) })
	}
	if stream == consent.LostFacts && to == 0 {
		to = l.filled
	}
	return consent.Loss{Stream: stream, From: from, To: to, Why: "a test took them"}
}

// seqOf returns the sequence of a fact.
func (l *lossHouse) seqOf(e ending, kind consent.FactKind) uint64 {
	l.t.Helper()
	for _, f := range l.facts {
		if f.ID == l.asked[e] && f.Kind == kind {
			return f.Seq
		}
	}
	l.t.Fatalf("the %s request has no %s", e, kind)
	return 0
}

// repair declares losses as the operator's command does, and ends what is open.
func (l *lossHouse) repair(losses ...consent.Loss) audit.Declared {
	l.t.Helper()
	out, err := l.auditor.Lost(l.t.Context(), audit.Loss{Epoch: 1, Losses: losses, Filled: l.filled})
	if err != nil {
		l.t.Fatal(err)
	}
	if consent.Concerns(losses, consent.LostFacts, consent.LostChain) {
		l.forfeit()
	}
	if err := l.auditor.SealAll(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	again, err := l.auditor.Lost(l.t.Context(), audit.Loss{Epoch: 1, Losses: losses, Filled: l.filled}) // what turned out only now
	if err != nil {
		l.t.Fatal(err)
	}
	out.Unproven = again.Unproven
	return out
}

// forfeit ends what is open.
func (l *lossHouse) forfeit() {
	l.t.Helper()
	next := l.Written()
	for _, id := range l.asked {
		s := l.state(id)
		if s == nil {
			continue
		}
		end, err := consent.Forfeit(s, rand.Text(), time.Now().UTC())
		if err != nil {
			l.t.Fatal(err)
		}
		var kind consent.FactKind
		var v any
		switch {
		case end.Decision != nil:
			kind, v = consent.FactDecided, end.Decision
		case end.Settlement != nil:
			kind, v = consent.FactSettled, end.Settlement
		case end.Revocation != nil:
			kind, v = consent.FactRevoked, end.Revocation
		default:
			continue
		}
		next++
		l.facts = append(l.facts, consent.StoredFact{Seq: next, ID: id, Kind: kind, Pseudonym: s.Request.Pseudonym, At: time.Now(), Data: encode(l.t, v)})
	}
}

// state is what is left of a request, nil without its asked.
func (l *lossHouse) state(id consent.ID) *consent.State {
	l.t.Helper()
	s := &consent.State{}
	for _, f := range l.facts {
		if f.ID != id {
			continue
		}
		switch f.Kind {
		case consent.FactAsked:
			s.Request = decode[consent.Request](l.t, f.Data)
			s.Request.Pseudonym, s.Request.ID = f.Pseudonym, id
		case consent.FactDecided:
			s.Decided = decode[consent.Decision](l.t, f.Data)
		case consent.FactSettled:
			s.Settled = decode[consent.Settlement](l.t, f.Data)
		case consent.FactRevoked:
			s.Revoked = decode[consent.Revocation](l.t, f.Data)
		}
	}
	if s.Request == nil {
		return nil
	}
	return s
}

// since compares an export with the one of before the loss.
func (l *lossHouse) since(export []byte) audit.Comparison {
	l.t.Helper()
	_, c, err := audit.VerifySince(bytes.NewReader(export), bytes.NewReader(l.before), l.jwks)
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

func decode[T any](t *testing.T, data []byte) *T {
	t.Helper()
	v := new(T)
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
	return v
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
