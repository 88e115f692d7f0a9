package audit

import (
	"crypto/sha256"
	"fmt"

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
	switch {
	case v.last != nil:
		if r.Seq != v.last.Seq+1 {
			v.fail("it follows record %d: records are missing or out of order", v.last.Seq)
		}
		if r.Prev != v.hash {
			v.fail("the chain is broken: the record before it is not the one that it continues")
		}
	case r.Seq == 1:
		if r.Prev != (consent.Digest{}) {
			v.fail("it is the first record, but continues another")
		}
	case r.Type != lineCheckpoint:
		v.fail("the chain begins with neither its first record nor a checkpoint")
		v.base = max(r.Sealed, 1)
	default:
		v.base = r.Sealed
	}
	if v.last == nil {
		v.report.First = r.Seq
		if v.header != nil && v.header.First != r.Seq {
			v.fail("the header says that the chain begins with record %d", v.header.First)
		}
	}
	sealed := v.base
	if v.last != nil {
		sealed = v.last.Sealed
	}
	v.members(r, sealed)
	switch r.Type {
	case lineFacts:
		for i := range r.Facts {
			f := &r.Facts[i]
			if f.Seq <= sealed {
				v.fail("fact %d is out of order", f.Seq)
			}
			sealed = f.Seq
			v.sealedFact(f)
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
	}
	if r.Sealed != sealed {
		v.fail("it claims that facts up to %d are sealed, they are up to %d", r.Sealed, sealed)
	}
	v.last, v.hash, v.report.Last = r, sha256.Sum256(data), r.Seq
}

// members checks that a record has what its type needs and nothing else.
func (v *verifier) members(r *record, sealed uint64) {
	if (r.Type == lineFacts) != (len(r.Facts) > 0) || len(r.Facts) > batchBehind ||
		(r.Type == lineErased) != (r.Person != "") || (r.Type == lineCheckpoint) != (r.JWS != "") {
		v.fail("it has members that a record of type %q does not have, or lacks some", r.Type)
	}
	if r.Sealed < sealed {
		v.fail("it seals less than the record before it")
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
			v.fail("fact %d (%s) is the first of request %s, which nobody asked", f.Seq, f.Fact, f.Request)
		}
	}
	if t.person != f.Person {
		v.fail("fact %d is about another person than the facts of request %s before it", f.Seq, f.Request)
	}
	if len(t.facts) == maxFacts {
		v.fail("fact %d: request %s has too many facts", f.Seq, f.Request)
		return
	}
	if t.find(kind, n) != nil {
		v.fail("fact %d: request %s has a second %s", f.Seq, f.Request, f.Fact)
	}
	if kind == consent.FactSettled && t.find(consent.FactDecided, 0) == nil && v.base == 0 {
		v.fail("fact %d: request %s is settled, but was not decided before", f.Seq, f.Request)
	}
	if f.Finishes && t.finished {
		v.fail("fact %d: request %s is finished twice", f.Seq, f.Request)
	}
	if kind == consent.FactRenewed {
		v.renewed(f, t, n)
	}
	t.finished = t.finished || f.Finishes
	t.facts = append(t.facts, traced{f.Seq, kind, n, f.SHA256, f.Unreadable != "", f.Finishes})
}

// renewed checks the place of renewal n among the facts of its request: after
// the settlement, after renewal n-1, and not after the revocation, but for one
// that may have been under way by then and yielded no token. What permits
// renewals is in the evidence. Facts before the first record may be missing.
func (v *verifier) renewed(f *sealedFact, t *trace, n int) {
	if v.base == 0 && t.find(consent.FactSettled, 0) == nil {
		v.fail("fact %d: request %s is renewed, but was not settled before", f.Seq, f.Request)
	}
	if n != t.renewals+1 && (v.base == 0 || t.renewals > 0) {
		v.fail("fact %d: renewal %d of request %s follows renewal %d", f.Seq, n, f.Request, t.renewals)
	}
	t.renewals = n
	if t.find(consent.FactRevoked, 0) != nil {
		t.late++
	}
	if t.late > 1 {
		v.fail("fact %d: request %s is renewed although it was revoked", f.Seq, f.Request)
	}
}

// find returns a sealed fact, or nil.
func (t *trace) find(kind consent.FactKind, n int) *traced {
	for i := range t.facts {
		if f := &t.facts[i]; f.kind == kind && f.n == n {
			return f
		}
	}
	return nil
}
