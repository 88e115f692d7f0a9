package audit_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/audit"
	"ringback/consent"
)

// last is the newest record of a type, and its place.
func (l *lossHouse) last(kind string) (at int, data []byte) {
	l.t.Helper()
	for at = len(l.records) - 1; at >= 0; at-- {
		if data = l.records[at].Data; bytes.Contains(data[:64], []byte(`"type":"`+kind+`"`)) {
			return at, data
		}
	}
	l.t.Fatalf("the chain has no %s record", kind)
	return 0, nil
}

// write puts a record at the end of the chain, as somebody does who can write the
// stream: everything fits but what is signed.
func (l *lossHouse) write(change func(r map[string]any)) {
	l.t.Helper()
	end := l.records[len(l.records)-1]
	_, genuine := l.last("lost")
	var r map[string]any
	if err := json.Unmarshal(genuine, &r); err != nil {
		l.t.Fatal(err)
	}
	var before struct{ Sealed uint64 }
	if err := json.Unmarshal(end.Data, &before); err != nil {
		l.t.Fatal(err)
	}
	r["seq"], r["prev"], r["sealed"] = end.Seq+1, audit.HashOf(end.Data), before.Sealed
	change(r)
	l.records = append(l.records, consent.StoredRecord{Seq: end.Seq + 1, At: time.Now(), Data: audit.Canonical(l.t, r)})
	l.again()
}

// TestLostForged: whoever can write and remove what is stored, but does not have
// the evidence key, declares nothing lost, and hides nothing behind what is.
func TestLostForged(t *testing.T) {
	t.Parallel()
	stranger := newHouse(t).ring
	middle := func(l *lossHouse) []consent.Loss { return []consent.Loss{l.take(consent.LostChain, 3, 4)} }
	end := func(l *lossHouse) []consent.Loss {
		n := l.records[len(l.records)-1].Seq
		return []consent.Loss{l.take(consent.LostChain, n-3, n)}
	}
	facts := func(l *lossHouse) []consent.Loss {
		return []consent.Loss{l.take(consent.LostFacts, l.seqOf(expired, consent.FactAsked), 0)}
	}
	for _, tt := range []struct {
		name   string
		lose   func(*lossHouse) []consent.Loss // for a genuine record
		attack func(*lossHouse)
		says   string
	}{
		{"a record without a signature", facts, func(l *lossHouse) {
			l.write(func(r map[string]any) { delete(r, "jws") })
		}, "members"},
		{"a record signed by another service", facts, func(l *lossHouse) {
			l.write(func(r map[string]any) { r["jws"] = audit.SignLost(l.t, stranger, r) })
		}, "signature"},
		{"the signature of a checkpoint", facts, func(l *lossHouse) {
			_, c := l.last("checkpoint")
			jws := decode[struct{ JWS string }](l.t, c).JWS
			l.write(func(r map[string]any) { r["jws"] = jws })
		}, "signature"},
		{"a genuine record again", facts, func(l *lossHouse) { l.write(func(map[string]any) {}) }, "another chain"},
		{"a genuine record that declares more", facts, func(l *lossHouse) {
			at, data := l.last("lost")
			l.records[at].Data = bytes.Replace(data, []byte(`"losses":[`), []byte(`"losses":[{"stream":"EVIDENCE","from":1,"why":""},`), 1)
		}, "not what was signed"},
		{"evidence that is taken after a genuine record", facts, func(l *lossHouse) { l.evidence = l.evidence[1:] }, "no evidence"},
		{"evidence that is taken before it, and not named", facts, func(l *lossHouse) {
			at, _ := l.last("lost")
			l.records = l.records[:at]
			l.again()
			l.evidence = l.evidence[1:]
			if _, err := l.auditor.Lost(l.t.Context(), audit.Loss{Epoch: 1, Losses: []consent.Loss{{Stream: "KV_PEOPLE", Why: "x"}}}); err != nil {
				l.t.Fatal(err)
			}
		}, "no evidence"},
		{"records that were sealed again, of a range that was declared", end, func(l *lossHouse) {
			at, _ := l.last("lost")
			l.records = slices.Delete(l.records, at-1, at)
		}, "missing or out of order"},
		{"records behind a lost end, with sequences that were declared", end, func(l *lossHouse) {
			at, _ := l.last("lost")
			l.records = slices.Delete(l.records, at+1, at+2)
		}, "missing or out of order"},
		{"one more record at a declared place", middle, func(l *lossHouse) {
			at := slices.IndexFunc(l.records, func(r consent.StoredRecord) bool { return r.Seq == 5 })
			l.records = slices.Delete(l.records, at, at+1)
		}, "missing or out of order"},
		{"another record after a declared place", middle, func(l *lossHouse) {
			at := slices.IndexFunc(l.records, func(r consent.StoredRecord) bool { return r.Seq == 5 })
			l.records[at].Data = bytes.Replace(l.records[at].Data, []byte(`"fact":"asked"`), []byte(`"fact":"tried.9"`), 1)
		}, "missing or out of order"},
		{"facts that go before they are sealed", facts, func(l *lossHouse) {
			last := l.facts[len(l.facts)-1]
			last.Seq += 3 // two were between
			last.Kind, last.N, last.Data = consent.FactNotice, 7, []byte(`{"v":1,"n":7,"at":"2026-12-01T10:00:00Z"}`)
			l.facts = append(l.facts, last)
		}, "not sealed"},
		{"a renewal of what a repair has ended", func(l *lossHouse) []consent.Loss {
			seq := l.seqOf(renewed, consent.FactSettled)
			return []consent.Loss{l.take(consent.LostFacts, seq, seq), l.take(consent.LostEvidence, 1, 0)}
		}, func(l *lossHouse) {
			f := l.facts[slices.IndexFunc(l.facts, func(f consent.StoredFact) bool { return f.Kind == consent.FactRenewed && f.N == 3 })]
			f.Seq, f.N, f.Data = l.Written()+1, 4, bytes.Replace(f.Data, []byte(`"n":3`), []byte(`"n":4`), 1)
			l.facts = append(l.facts, f)
		}, "more often than was granted"},
		{"an end by repair where nothing was lost", nil, func(l *lossHouse) { l.forfeit() }, "no record before it says"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLossHouse(t)
			if tt.lose != nil {
				l.repair(tt.lose(l)...)
				if report := l.verify(l.export()); !report.OK() {
					t.Fatalf("before the attack: %+v", report.Failures)
				}
			}
			tt.attack(l)
			l.again()
			report := l.verify(l.export())
			if !slices.ContainsFunc(report.Failures, func(f audit.Failure) bool { return strings.Contains(f.What, tt.says) }) {
				t.Errorf("Verify says %+v, want %q", report.Failures, tt.says)
			}
		})
	}
}

// TestSetBack: a chain that was set back, and goes on as if nothing had been,
// holds by itself; an export of before tells.
func TestSetBack(t *testing.T) {
	t.Parallel()
	l := newLossHouse(t)
	n := l.records[len(l.records)-1].Seq
	l.take(consent.LostChain, n-3, n)
	l.take(consent.LostFacts, l.seqOf(expired, consent.FactAsked), 0)
	l.take(consent.LostEvidence, l.evidence[len(l.evidence)-1].Seq, 0)
	l.again()
	if report := l.verify(l.export()); !report.OK() {
		t.Errorf("a store that was set back as a whole: %+v", report.Failures)
	}
	c := l.since(l.export())
	for _, want := range []string{"record ", "fact ", "evidence of request "} {
		if !slices.ContainsFunc(c.Differences, func(d audit.Difference) bool { return strings.HasPrefix(d.What, want) && d.Declared == 0 }) {
			t.Errorf("no %s differs: %+v", want, c.Differences)
		}
	}
	if c.OK() {
		t.Error("nothing is missing since the export before")
	}
	// The other way round the later one lacks nothing.
	report, c, err := audit.VerifySince(bytes.NewReader(l.before), bytes.NewReader(l.before), l.jwks)
	if err != nil || !report.OK() || !c.OK() || len(c.Differences) > 0 {
		t.Errorf("an export differs from itself: %v, %+v", err, c)
	}
	_, c, err = audit.VerifySince(bytes.NewReader(l.before), bytes.NewReader(bytes.Replace(l.before, []byte(`"lines"`), []byte(`"linez"`), 1)), l.jwks)
	if err != nil || c.OK() == false && len(c.Old.Failures) == 0 {
		t.Errorf("an earlier export that does not hold: %v, %+v", err, c)
	}
}

// TestDeclaredOnce: what a lost record declared excuses nothing that an export
// after it shows to be there.
func TestDeclaredOnce(t *testing.T) {
	t.Parallel()
	l := newLossHouse(t)
	n := l.records[len(l.records)-1].Seq
	l.repair(l.take(consent.LostChain, n-3, n), l.take(consent.LostEvidence, 1, 0), l.take(consent.LostFacts, l.seqOf(expired, consent.FactAsked), 0))
	if c := l.since(l.export()); !c.OK() || len(c.Differences) == 0 {
		t.Errorf("since before: %+v", c)
	}
	l.before = l.export()
	if c := l.since(l.export()); !c.OK() || len(c.Differences) > 0 {
		t.Errorf("since after: %+v", c)
	}
	// The same service and its key, taken back again: the record is no excuse.
	l.evidence = l.evidence[:len(l.evidence)-1]
	l.records = l.records[:len(l.records)-2]
	l.again()
	if c := l.since(l.export()); c.OK() {
		t.Errorf("taken back after the repair: %+v", c)
	}
}
