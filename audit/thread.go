package audit

import (
	"fmt"
	"slices"

	"ringback/consent"
)

// span is a range of sequences of facts.
type span struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// tear is a place where records are missing in the chain. The hashes of its
// neighbours pin it: nothing else that is missing passes for it.
type tear struct {
	From   uint64         `json:"from"` // the first one that is missing
	To     uint64         `json:"to"`
	Before consent.Digest `json:"before"` // of record From-1
	After  consent.Digest `json:"after"`  // of record To+1
}

// thread follows a chain from record to record. It knows where records are
// missing, and which facts no record seals, as long as no lost record behind the
// place has said so.
type thread struct {
	last   *record
	hash   consent.Digest // of the last record
	base   uint64         // facts up to here are sealed by records that have aged out
	sealed uint64
	tears  []torn
	gaps   []missed
	known  []span // gaps that were declared
}

// torn and missed are a tear and a gap with the place where they were found.
type (
	torn struct {
		tear
		where string
	}
	missed struct {
		span
		where string
	}
)

// follow takes the next record and returns what is wrong with its place, but for
// what a later record may declare.
func (t *thread) follow(r *record, hash consent.Digest, where string) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	jumps := r.Type == lineLost // it may seal what is not there
	switch {
	case t.last == nil && r.Seq == 1 && r.Prev != (consent.Digest{}):
		fault("it is the first record, but continues another")
	case t.last == nil && r.Seq == 1 && r.Type != lineLost:
	case t.last == nil && r.Type != lineCheckpoint && r.Type != lineLost:
		fault("the chain begins with neither its first record nor a checkpoint")
		t.base = max(r.Sealed, 1)
	case t.last == nil:
		t.base = r.Sealed
	case r.Seq <= t.last.Seq:
		fault("it follows record %d: records are missing or out of order", t.last.Seq)
	case r.Seq > t.last.Seq+1:
		jumps = true
		t.tears = append(t.tears, torn{tear{t.last.Seq + 1, r.Seq - 1, t.hash, hash}, where})
	case r.Prev != t.hash:
		fault("the chain is broken: the record before it is not the one that it continues")
	}
	if t.last == nil {
		t.sealed = t.base
	}
	if r.Sealed < t.sealed {
		fault("it seals less than the record before it")
	}
	for i := range r.Facts {
		switch seq := r.Facts[i].Seq; {
		case seq <= t.sealed:
			fault("fact %d is out of order", seq)
		case seq > t.sealed+1:
			t.skip(seq-1, where)
		}
		t.sealed = r.Facts[i].Seq
	}
	if jumps && len(r.Facts) == 0 && r.Sealed > t.sealed {
		t.skip(r.Sealed, where)
	}
	if r.Sealed != t.sealed {
		fault("it claims that facts up to %d are sealed, they are up to %d", r.Sealed, t.sealed)
	}
	t.last, t.hash, t.sealed = r, hash, r.Sealed
	return faults
}

// skip notes that no record seals the next facts up to a sequence.
func (t *thread) skip(to uint64, where string) {
	t.gaps = append(t.gaps, missed{span{t.sealed + 1, to}, where})
	t.sealed = to
}

// declare takes what a lost record says about what stands before it. What it
// says beyond that has no effect.
func (t *thread) declare(l *lostFacts) {
	t.tears = slices.DeleteFunc(t.tears, func(x torn) bool { return slices.Contains(l.Records, x.tear) })
	var left []missed
	for _, g := range t.gaps {
		rest := []span{g.span}
		for _, d := range l.Facts {
			var after []span
			for _, s := range rest {
				known, without := s.cut(d)
				t.known = append(t.known, known...)
				after = append(after, without...)
			}
			rest = after
		}
		for _, s := range rest {
			left = append(left, missed{s, g.where})
		}
	}
	t.gaps = left
}

// cut divides s into what d covers and the rest.
func (s span) cut(d span) (inside, outside []span) {
	from, to := max(s.From, d.From), min(s.To, d.To)
	if from > to {
		return nil, []span{s}
	}
	if s.From < from {
		outside = append(outside, span{s.From, from - 1})
	}
	if to < s.To {
		outside = append(outside, span{to + 1, s.To})
	}
	return []span{{from, to}}, outside
}

func (s span) has(seq uint64) bool { return seq >= s.From && seq <= s.To }

// unsealed reports whether a fact is one of those that no record seals, and that
// are declared.
func (t *thread) unsealed(seq uint64) bool {
	return slices.ContainsFunc(t.known, func(s span) bool { return s.has(seq) })
}

// unsealedBefore reports whether there are such facts between two sequences, of
// the first of which none is known.
func (t *thread) unsealedBetween(from, to uint64) bool {
	return slices.ContainsFunc(t.known, func(s span) bool { return s.From < to && s.To > from })
}

// missing says what nobody has declared.
func (t *thread) missing(fail func(where, format string, args ...any)) {
	for _, x := range t.tears {
		fail(x.where, "it follows record %d: records are missing or out of order, and no record declares them lost", x.From-1)
	}
	for _, g := range t.gaps {
		fail(g.where, "facts %d to %d are not sealed, and no record declares them lost", g.From, g.To)
	}
}
