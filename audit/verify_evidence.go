package audit

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"

	"ringback/consent"
)

// evidenceLine checks one line of evidence.
func (v *verifier) evidenceLine(data []byte) {
	v.evidence++
	l, err := decode[evidenceLine](data)
	if err != nil || l.V != formatVersion {
		v.fail("the evidence is %v", errOr(err, "of another format"))
		return
	}
	v.where = fmt.Sprintf("line %d, request %s", v.lines+1, l.Request)
	if l.Seq <= v.lastSeq {
		v.fail("the evidence is out of order")
	}
	v.lastSeq = l.Seq
	if (l.Evidence == nil) != (l.Unreadable != "") || (l.Evidence == nil) != (l.Stored != nil) {
		v.fail("the line has evidence and a note that there is none, or neither")
		return
	}
	t := v.traces[l.Request]
	switch {
	case t != nil && t.proven:
		v.fail("there is evidence already")
	case t != nil && t.person != l.Person:
		v.fail("the evidence is about another person than its facts")
	}
	if l.Evidence == nil {
		if v.kept != nil {
			v.kept.line(l, nil)
		}
		// That an erased person's evidence is there is no news to end: it
		// looks whether the erasure was recorded.
		if l.Unreadable != goneErased {
			if t == nil || !v.unproven(l.Request, t.finished) {
				v.fail("the evidence is damaged")
			}
		} else if !v.erased[l.Person] {
			v.fail("the evidence was destroyed, but no erasure was recorded")
		}
		return
	}
	if t != nil {
		t.proven = true
	}
	failures := v.report.count()
	d := v.body(l, t)
	if d != nil && v.report.count() == failures && (t == nil || !t.bad) {
		if t != nil {
			d.Revoked, d.Renewals = t.find(consent.FactRevoked, 0) != nil, t.renewals
		}
		v.report.Decisions = append(v.report.Decisions, *d)
	}
}

// body checks what evidence says against its signature, the chain and itself.
func (v *verifier) body(l *evidenceLine, t *trace) *Decision {
	c, err := open[evidenceClaims](v, l.Evidence.JWS, typeEvidence)
	switch {
	case err != nil:
		v.fail("the evidence's signature does not hold: %v", err)
	case c.V != formatVersion || c.Request != l.Request || c.SHA256 != sha256.Sum256(l.Evidence.Body):
		v.fail("the evidence is not what was signed")
	}
	b, err := decode[evidenceBody](l.Evidence.Body)
	if err != nil || b.V != formatVersion {
		v.fail("the evidence is %v", errOr(err, "of another format"))
		return nil
	}
	if v.kept != nil {
		v.kept.line(l, b)
	}
	if b.Request != l.Request || b.Person != l.Person {
		v.fail("the evidence is about another request or person than its line")
	}
	if len(b.Facts) == 0 {
		v.fail("the evidence has no facts")
		return nil
	}
	var s story
	s.partial = v.inChain(b, t)
	for i := range b.Facts {
		f := &b.Facts[i]
		kind, n, ok := parseName(f.Fact)
		if !ok {
			v.fail("fact %d is of unknown kind %q", f.Seq, f.Fact)
			continue
		}
		if err := s.add(kind, n, f.Data); err != nil {
			v.fail("fact %d: %v", f.Seq, err)
		}
	}
	if s.asked == nil || s.decided == nil {
		v.fail("asked or decided is missing")
		return nil
	}
	v.rules(b, &s)
	v.renewable(&s, t)
	v.objects(b, &s)
	d := &Decision{
		Request: b.Request, Verb: s.decided.Verb, Means: s.decided.Means, ACR: s.decided.ACR, At: s.decided.At,
		Proof: AttestedByServer,
	}
	if s.settled != nil {
		d.Settled = s.settled.Verb
	}
	return d
}

// inChain checks that the facts in evidence are those of the chain: all of
// them up to the one that finishes the request, none other, none changed. It
// reports whether some may be missing in both: they are declared lost.
func (v *verifier) inChain(b *evidenceBody, t *trace) (partial bool) {
	last := b.Facts[len(b.Facts)-1].Seq
	if last <= v.base {
		v.report.Older++
		return false
	}
	count, before, sealed := 0, uint64(0), 0
	for i := range b.Facts {
		f := &b.Facts[i]
		if f.Seq <= before {
			v.fail("fact %d is out of order", f.Seq)
		}
		before = f.Seq
		if f.Seq <= v.base || v.unsealed(f.Seq) { // its record has aged out or is lost
			continue
		}
		sealed++
		if t == nil {
			continue
		}
		count++
		kind, n, _ := parseName(f.Fact)
		in := t.at(f.Seq)
		switch {
		case in == nil && t.find(kind, n) == nil:
			v.fail("fact %d (%s) is not in the chain", f.Seq, f.Fact)
		case in == nil || in.kind != kind || in.n != n || in.sha256 != sha256.Sum256(f.Data):
			v.fail("fact %d (%s) is not the one that was sealed", f.Seq, f.Fact)
		case in.finishes != (f.Seq == last):
			v.fail("fact %d (%s) is not where the chain says that the request finished", f.Seq, f.Fact)
		}
	}
	if t == nil {
		if sealed > 0 {
			v.fail("the chain has no facts of this request")
		} else {
			v.report.Older++
		}
		return true
	}
	in := func(seq uint64) bool {
		return slices.ContainsFunc(b.Facts, func(f evidenceFact) bool { return f.Seq == seq })
	}
	for i := range t.facts {
		switch seq := t.facts[i].seq; {
		case seq > last:
		case v.lacked(seq) && !in(seq): // it was made when the fact was gone
			partial = true
		default:
			count--
		}
	}
	if count != 0 {
		v.fail("the chain has other facts of this request than the evidence")
	}
	return partial || v.unsealedBetween(b.Facts[0].Seq, last)
}

// objects checks that the canonical objects, and the digests in the facts, are
// those that the facts yield.
func (v *verifier) objects(b *evidenceBody, s *story) {
	d := s.decided
	asked, err := s.asked.AskedObject(nil)
	if err != nil || !bytes.Equal(asked, b.Asked) {
		v.fail("the asked object is not that of the request")
	}
	granted := asked
	if d.Granted != nil {
		if granted, err = s.asked.AskedObject(d.Granted); err != nil || !bytes.Equal(granted, b.Granted) {
			v.fail("the granted object is not that of the decision")
		}
	} else if b.Granted != nil {
		v.fail("there is a granted object, but nothing less was granted")
	}
	if sum := sha256.Sum256(asked); d.AskedDigest != sum {
		v.fail("the decision is about another request: its asked digest differs")
	}
	if sum := sha256.Sum256(granted); d.GrantedDigest != sum {
		v.fail("the decision's granted digest is not that of what was granted")
	}
	if (d.Presentation == nil) != (b.Presentation == nil) {
		v.fail("the presentation is missing, or is not in the decision")
	} else if p := d.Presentation; p != nil {
		if object, err := p.Object(); err != nil || !bytes.Equal(object, b.Presentation) {
			v.fail("the presentation is not that of the decision")
		}
		if p.AskedDigest != d.AskedDigest {
			v.fail("what was shown is not what was asked")
		}
	}
	for n, a := range s.tried {
		if a.Presentation != nil && a.Presentation.AskedDigest != d.AskedDigest {
			v.fail("attempt %d showed something else than was asked", n)
		}
	}
	object, err := d.Object()
	if err != nil || !bytes.Equal(object, b.Decision) {
		v.fail("the decision object is not that of the decision")
	}
	if sum := sha256.Sum256(object); d.DecisionDigest != sum {
		v.fail("the decision digest is not that of the decision")
	}
	if s.settled != nil && s.settled.GrantedDigest != d.GrantedDigest {
		v.fail("what left the house is not what was granted")
	}
}
