package audit

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"

	"ringback/consent"
)

// maxFacts bounds the facts of one request. A request of a day has a few
// hundred at most.
const maxFacts = 4096

// record checks one record and its place in the chain.
func (v *verifier) record(data []byte) {
	v.records++
	r, err := readRecord(data)
	if err != nil {
		v.fail("the record is %v", err)
		v.hash = sha256.Sum256(data)
		return
	}
	v.where = fmt.Sprintf("line %d, record %d", v.lines+1, r.Seq)
	if v.last == nil {
		v.report.First, v.report.From = r.Seq, r.At
		if v.header != nil && v.header.First != r.Seq {
			v.fail("the header says that the chain begins with record %d", v.header.First)
		}
	}
	v.members(r)
	for _, fault := range v.follow(r, sha256.Sum256(data), v.where) {
		v.fail("%s", fault)
	}
	switch r.Type {
	case lineFacts:
		for i := range r.Facts {
			v.sealedFact(&r.Facts[i])
		}
	case lineCheckpoint:
		v.report.Checkpoints++
		c, err := open[checkpoint](v, r.JWS, typeCheckpoint)
		switch {
		case err != nil:
			v.fail("the checkpoint's signature does not hold: %v", err)
		case c.V != formatVersion || c.Size != r.Seq-1 || c.Hash != r.Prev || !c.At.Equal(r.At):
			v.fail("the checkpoint signs another chain than it stands in")
		}
	case lineErased:
		v.erased[r.Person] = true
	case lineLost:
		v.lostRecord(r)
	}
	v.report.Last, v.report.Until = r.Seq, r.At
	if v.kept != nil {
		v.kept.record(r, v.hash)
	}
}

// members checks that a record has what its type needs and nothing else.
func (v *verifier) members(r *record) {
	if (r.Type == lineFacts) != (len(r.Facts) > 0) || len(r.Facts) > batchBehind || (r.Type == lineErased) != (r.Person != "") ||
		(r.Type == lineCheckpoint || r.Type == lineLost) != (r.JWS != "") || (r.Type == lineLost) != (r.Lost != nil) {
		v.fail("it has members that a record of type %q does not have, or lacks some", r.Type)
	}
}

// sealedFact notes one entry of the chain.
func (v *verifier) sealedFact(f *sealedFact) {
	v.report.Facts++
	if f.Unreadable == goneDamaged {
		v.fail("fact %d (%s of request %s) was damaged when it was sealed", f.Seq, f.Fact, f.Request)
		return
	}
	kind, n, ok := parseName(f.Fact)
	if !ok {
		v.fail("fact %d is of unknown kind %q", f.Seq, f.Fact)
		return
	}
	if f.Unreadable != "" && f.Unreadable != goneErased || f.Unreadable != "" && f.Finishes ||
		f.Finishes && kind != consent.FactDecided && kind != consent.FactSettled || !f.Finishes && f.Unreadable == "" && kind == consent.FactSettled {
		v.fail("fact %d is marked in a way that does not fit it", f.Seq)
	}
	t, failures := v.traces[f.Request], v.report.count()
	defer func() { t.bad = t.bad || v.report.count() != failures }()
	if t == nil {
		t = &trace{person: f.Person}
		v.traces[f.Request] = t
		if kind != consent.FactAsked && v.base == 0 {
			v.doubt(t, f.Seq, "fact %d (%s) is the first of request %s, which nobody asked", f.Seq, f.Fact, f.Request)
		}
	}
	if t.person != f.Person {
		v.fail("fact %d is about another person than the facts of request %s before it", f.Seq, f.Request)
	}
	if len(t.facts) == maxFacts {
		v.fail("fact %d: request %s has too many facts", f.Seq, f.Request)
		return
	}
	decided := t.find(consent.FactDecided, 0)
	undecided := decided == nil || v.lacked(decided.seq) // a repair decides what was settled and lost its decision
	if first := t.find(kind, n); first != nil && !v.lacked(first.seq) {
		v.fail("fact %d: request %s has a second %s", f.Seq, f.Request, f.Fact)
	}
	if kind == consent.FactSettled && t.find(consent.FactDecided, 0) == nil && v.base == 0 {
		v.doubt(t, f.Seq, "fact %d: request %s is settled, but was not decided before", f.Seq, f.Request)
	}
	if f.Finishes && t.finished > 0 && !v.lacked(t.finished) && !(kind == consent.FactDecided && undecided) {
		v.fail("fact %d: request %s is finished twice", f.Seq, f.Request)
	}
	if kind == consent.FactRenewed {
		v.renewed(f, t, n)
	}
	if f.Finishes {
		t.finished = f.Seq
	}
	t.facts = append(t.facts, traced{f.Seq, kind, n, f.SHA256, f.Unreadable != "", f.Finishes})
}

// renewed checks the place of renewal n among the facts of its request: after
// the settlement, after renewal n-1, and not after the revocation, but for one
// that may have been under way by then and yielded no token. What permits
// renewals is in the evidence. Facts before the first record may be missing.
func (v *verifier) renewed(f *sealedFact, t *trace, n int) {
	if v.base == 0 && t.find(consent.FactSettled, 0) == nil {
		v.doubt(t, f.Seq, "fact %d: request %s is renewed, but was not settled before", f.Seq, f.Request)
	}
	if n != t.renewals+1 && (v.base == 0 || t.renewals > 0) {
		v.doubt(t, f.Seq, "fact %d: renewal %d of request %s follows renewal %d", f.Seq, n, f.Request, t.renewals)
	}
	t.renewals = n
	if t.find(consent.FactRevoked, 0) != nil {
		t.late++
	}
	if t.late > 1 {
		v.fail("fact %d: request %s is renewed although it was revoked", f.Seq, f.Request)
	}
}

// find returns the latest sealed fact of a name, or nil.
func (t *trace) find(kind consent.FactKind, n int) *traced {
	for i := len(t.facts) - 1; i >= 0; i-- {
		if f := &t.facts[i]; f.kind == kind && f.n == n {
			return f
		}
	}
	return nil
}

// renewedSince reports whether there are renewals behind the latest fact of a kind.
func (t *trace) renewedSince(kind consent.FactKind) bool {
	last := t.find(kind, 0)
	return last != nil && slices.ContainsFunc(t.facts, func(f traced) bool { return f.kind == consent.FactRenewed && f.seq > last.seq })
}

// at returns the sealed fact of a sequence, or nil.
func (t *trace) at(seq uint64) *traced {
	i, found := slices.BinarySearchFunc(t.facts, seq, func(f traced, seq uint64) int { return cmp.Compare(f.seq, seq) })
	if !found {
		return nil
	}
	return &t.facts[i]
}
