package audit_test

import (
	"testing"

	"ringback/consent"
)

// TestLost: whatever is lost, the chain goes on after it says so, an export holds
// and tells of it, and an earlier export differs by nothing that is not declared.
func TestLost(t *testing.T) {
	t.Parallel()
	type row struct {
		name    string
		take    func(l *lossHouse) []consent.Loss
		differs bool // from the export before
	}
	last := func(l *lossHouse, stream string) uint64 {
		switch stream {
		case consent.LostFacts:
			return l.facts[len(l.facts)-1].Seq
		case consent.LostChain:
			return l.records[len(l.records)-1].Seq
		}
		return l.evidence[len(l.evidence)-1].Seq
	}
	for _, tt := range []row{
		{"nothing", func(*lossHouse) []consent.Loss { return nil }, false},
		{"the end of the facts, sealed", func(l *lossHouse) []consent.Loss {
			return []consent.Loss{l.take(consent.LostFacts, l.seqOf(denied, consent.FactAsked), 0)}
		}, false},
		{"facts in between", func(l *lossHouse) []consent.Loss {
			var out []consent.Loss
			for _, seq := range []uint64{l.seqOf(approved, consent.FactTried), l.seqOf(redeemed, consent.FactSettled), l.seqOf(denied, consent.FactDecided), l.seqOf(renewed, consent.FactOutcome), l.seqOf(open, consent.FactAsked)} {
				out = append(out, l.take(consent.LostFacts, seq, seq))
			}
			return out
		}, false},
		{"decisions of what was settled", func(l *lossHouse) []consent.Loss {
			var out []consent.Loss
			for _, e := range []ending{redeemed, renewed, cancelled} {
				seq := l.seqOf(e, consent.FactDecided)
				out = append(out, l.take(consent.LostFacts, seq, seq))
			}
			return out
		}, false},
		{"the settlement of what was renewed, and its evidence", func(l *lossHouse) []consent.Loss {
			seq := l.seqOf(renewed, consent.FactSettled)
			return []consent.Loss{l.take(consent.LostFacts, seq, seq), l.take(consent.LostEvidence, 1, 0)}
		}, true},
		{"the settlement of what was renewed, its record and its evidence", func(l *lossHouse) []consent.Loss {
			seq := l.seqOf(renewed, consent.FactSettled)
			return []consent.Loss{l.take(consent.LostFacts, seq, seq), l.take(consent.LostEvidence, 1, 0), l.take(consent.LostChain, 1, 0)}
		}, true},
		{"decision and settlement of what was renewed, and its evidence", func(l *lossHouse) []consent.Loss {
			out := []consent.Loss{l.take(consent.LostEvidence, 1, 0)}
			for _, kind := range []consent.FactKind{consent.FactDecided, consent.FactSettled} {
				seq := l.seqOf(renewed, kind)
				out = append(out, l.take(consent.LostFacts, seq, seq))
			}
			return out
		}, true},
		{"decisions of what was settled, and their records", func(l *lossHouse) []consent.Loss {
			out := []consent.Loss{l.take(consent.LostChain, 1, 0), l.take(consent.LostEvidence, 1, 0)}
			for _, e := range []ending{redeemed, renewed, cancelled} {
				seq := l.seqOf(e, consent.FactDecided)
				out = append(out, l.take(consent.LostFacts, seq, seq))
			}
			return out
		}, true},
		{"facts that were not sealed", func(l *lossHouse) []consent.Loss {
			from := last(l, consent.LostChain)
			chain := l.take(consent.LostChain, from-3, from)
			return []consent.Loss{chain, l.take(consent.LostFacts, l.seqOf(expired, consent.FactAsked), 0)}
		}, true},
		{"some facts that were not sealed", func(l *lossHouse) []consent.Loss {
			from := last(l, consent.LostChain)
			out := []consent.Loss{l.take(consent.LostChain, from-3, from)}
			for _, seq := range []uint64{l.seqOf(operator, consent.FactAsked), l.seqOf(expired, consent.FactDecided), l.seqOf(approved, consent.FactTried)} {
				out = append(out, l.take(consent.LostFacts, seq, seq))
			}
			return out
		}, true},
		{"the end of the chain", func(l *lossHouse) []consent.Loss {
			from := last(l, consent.LostChain)
			return []consent.Loss{l.take(consent.LostChain, from-2, from)}
		}, true},
		{"records in between", func(l *lossHouse) []consent.Loss { return []consent.Loss{l.take(consent.LostChain, 3, 4)} }, true},
		{"two places of the chain", func(l *lossHouse) []consent.Loss {
			return []consent.Loss{l.take(consent.LostChain, 2, 2), l.take(consent.LostChain, 4, 5)}
		}, true},
		{"the beginning of the chain", func(l *lossHouse) []consent.Loss { return []consent.Loss{l.take(consent.LostChain, 1, 1)} }, true},
		{"the whole chain", func(l *lossHouse) []consent.Loss { return []consent.Loss{l.take(consent.LostChain, 1, 0)} }, true},
		{"the whole chain and the first facts", func(l *lossHouse) []consent.Loss {
			return []consent.Loss{l.take(consent.LostChain, 1, 0), l.take(consent.LostFacts, 1, l.seqOf(narrowed, consent.FactTried))}
		}, true},
		{"all facts", func(l *lossHouse) []consent.Loss { return []consent.Loss{l.take(consent.LostFacts, 1, 0)} }, false},
		{"all facts and the chain", func(l *lossHouse) []consent.Loss {
			return []consent.Loss{l.take(consent.LostFacts, 1, 0), l.take(consent.LostChain, 1, 0)}
		}, true},
		{"some evidence", func(l *lossHouse) []consent.Loss { return []consent.Loss{l.take(consent.LostEvidence, 2, 5)} }, false},
		{"all evidence", func(l *lossHouse) []consent.Loss { return []consent.Loss{l.take(consent.LostEvidence, 1, 0)} }, false},
		{"evidence, and some of its facts", func(l *lossHouse) []consent.Loss {
			seq := l.seqOf(denied, consent.FactTried)
			return []consent.Loss{l.take(consent.LostEvidence, 1, 0), l.take(consent.LostFacts, seq, seq)}
		}, true},
		{"evidence and the facts", func(l *lossHouse) []consent.Loss {
			return []consent.Loss{l.take(consent.LostEvidence, 1, 0), l.take(consent.LostFacts, 1, 0)}
		}, true},
		{"everything", func(l *lossHouse) []consent.Loss {
			return []consent.Loss{l.take(consent.LostEvidence, 1, 0), l.take(consent.LostFacts, 1, 0), l.take(consent.LostChain, 1, 0)}
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLossHouse(t)
			losses := tt.take(l)
			l.again()
			l.repair(losses...)
			report := l.verify(l.export())
			if !report.OK() {
				t.Fatalf("the export does not hold: %+v", report.Failures)
			}
			if (len(report.Lost) > 0) != (len(losses) > 0) && tt.name != "nothing" {
				t.Errorf("the report tells of %d lost records", len(report.Lost))
			}
			c := l.since(l.export())
			if !c.OK() {
				t.Errorf("%d differences from before are not declared: %+v", c.Undeclared, c.Differences)
			}
			if (len(c.Differences) > 0) != tt.differs {
				t.Errorf("differences from before: %+v, want some: %v", c.Differences, tt.differs)
			}
			// Again says nothing new.
			n := len(l.records)
			l.again()
			l.repair(losses...)
			if len(l.records) > n {
				t.Errorf("a second repair of the same wrote %d records", len(l.records)-n)
			}
			if len(losses) == 0 {
				return
			}
			for _, id := range l.asked {
				if s := l.state(id); s != nil && (s.Decided == nil || s.Decided.Verb == consent.Approved && s.Settled == nil) && consent.Concerns(losses, consent.LostFacts) {
					t.Errorf("request %s is still open", id)
				}
			}
		})
	}
}
