package audit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"ringback/consent"
	"ringback/keys"
)

// slack is how much younger than the legal period something may be that has aged
// out: an export begins with the first signed record that is left.
const slack = 24 * time.Hour

// Comparison is what of an earlier export is in a later one.
type Comparison struct {
	Old         Report // of the earlier export
	Records     int    // that are there as they were
	Facts       int    // of other records that were sealed again as they were
	Evidence    int    // that is there as it was
	Aged        int    // records and evidence that the legal period has taken
	Erased      int    // evidence that went with a person's data key
	Differences []Difference
	More        int // beyond the first thousand
	Undeclared  int // differences that no lost record declares
}

// Difference is something that is not as it was.
type Difference struct {
	What     string
	Declared uint64 // by this record; 0: by none
}

// OK reports whether nothing is missing that nobody declares.
func (c *Comparison) OK() bool { return c.Undeclared == 0 && c.Old.OK() }

// VerifySince is [Verify] for an export, and compares it with an earlier one of
// the same service: every record, the digest of every fact and every piece of
// evidence must be there as they were.
func VerifySince(r, earlier io.Reader, jwks []byte) (Report, Comparison, error) {
	set, err := keys.ParseKeySet(jwks)
	if err != nil {
		return Report{}, Comparison{}, err
	}
	old, now := newVerifier(set), newVerifier(set)
	old.kept, now.kept = newKept(), newKept()
	if err := now.read(r); err != nil {
		return now.report, Comparison{}, err
	}
	if err := old.read(earlier); err != nil {
		return now.report, Comparison{}, fmt.Errorf("the earlier one: %w", err)
	}
	c := comparison{old: old, now: now}
	c.Old = old.report
	for _, d := range now.lost {
		if r := old.kept.records[d.seq]; r == nil || r.hash != now.kept.records[d.seq].hash {
			c.lost = append(c.lost, d)
		}
	}
	c.compare()
	return now.report, c.Comparison, nil
}

// kept is what is compared of an export.
type kept struct {
	records  map[uint64]*keptRecord
	facts    map[keptName][]consent.Digest
	evidence map[consent.ID]keptEvidence
}

type keptRecord struct {
	hash  consent.Digest
	at    time.Time
	facts []sealedFact
}

type keptName struct {
	request consent.ID
	fact    string
}

type keptEvidence struct {
	seq    uint64
	person consent.Pseudonym
	sum    consent.Digest // of its body; zero: it cannot be read
	at     time.Time      // when its last fact was stored
}

func newKept() *kept {
	return &kept{map[uint64]*keptRecord{}, map[keptName][]consent.Digest{}, map[consent.ID]keptEvidence{}}
}

func (k *kept) record(r *record, hash consent.Digest) {
	k.records[r.Seq] = &keptRecord{hash, r.At, r.Facts}
	for _, f := range r.Facts {
		name := keptName{f.Request, f.Fact}
		k.facts[name] = append(k.facts[name], f.SHA256)
	}
}

// line takes evidence; body is nil where it cannot be read. When its facts were
// stored is no part of the sum: it was by another clock when it was made.
func (k *kept) line(l *evidenceLine, body *evidenceBody) {
	e := keptEvidence{seq: l.Seq, person: l.Person}
	if body != nil && len(body.Facts) > 0 {
		timeless := *body
		timeless.Facts = slices.Clone(body.Facts)
		for i := range timeless.Facts {
			timeless.Facts[i].At = time.Time{}
		}
		data, err := encode(timeless)
		if err == nil {
			e.sum, e.at = sha256.Sum256(data), body.Facts[len(body.Facts)-1].At
		}
	}
	k.evidence[l.Request] = e
}

// comparison is one under way.
type comparison struct {
	Comparison
	old, now *verifier
	lost     []declared // of the later export, that the earlier one does not have
}

func (c *comparison) compare() {
	for _, seq := range slices.Sorted(maps.Keys(c.old.kept.records)) {
		c.record(seq, c.old.kept.records[seq])
	}
	ids := slices.Collect(maps.Keys(c.old.kept.evidence))
	slices.SortFunc(ids, func(a, b consent.ID) int {
		return cmp.Or(cmp.Compare(c.old.kept.evidence[a].seq, c.old.kept.evidence[b].seq), bytes.Compare(a[:], b[:]))
	})
	for _, id := range ids {
		c.proof(id, c.old.kept.evidence[id])
	}
}

func (c *comparison) record(seq uint64, was *keptRecord) {
	is := c.now.kept.records[seq]
	if is != nil && is.hash == was.hash {
		c.Records++
		return
	}
	if is == nil && seq < c.now.report.First && c.aged(was.at) {
		c.Aged++
		return
	}
	what := "is missing"
	if is != nil {
		what = "is another one"
	}
	lost := c.declaredBy(consent.LostChain, seq, func(d *declared) bool { return seq < c.now.report.First && d.lostBeginning() })
	c.differs(lost, "record %d %s", seq, what)
	for i := range was.facts {
		f := &was.facts[i]
		again := c.now.kept.facts[keptName{f.Request, f.Fact}]
		if slices.Contains(again, f.SHA256) {
			c.Facts++
			continue
		}
		by := c.declaredBy(consent.LostFacts, f.Seq, func(d *declared) bool {
			return slices.ContainsFunc(d.Facts, func(s span) bool { return s.has(f.Seq) })
		})
		if by == 0 && len(again) == 0 {
			by = lost // with its record
		}
		c.differs(by, "fact %d (%s of request %s) is not sealed as it was", f.Seq, f.Fact, f.Request)
	}
}

// lostBeginning reports whether the record says that the chain has lost its first
// records: an export then begins with the first one that is signed.
func (d *declared) lostBeginning() bool {
	return slices.ContainsFunc(d.Losses, func(l consent.Loss) bool { return l.Stream == consent.LostChain && l.From <= 1 })
}

func (c *comparison) proof(id consent.ID, was keptEvidence) {
	is, there := c.now.kept.evidence[id]
	switch {
	case there && is.sum == was.sum:
		c.Evidence++
		return
	case c.now.erased[was.person] && is.sum == (consent.Digest{}):
		c.Erased++
		return
	case was.sum == (consent.Digest{}) && there:
		// Of somebody who was erased: a store that was set back does not know.
		c.differs(0, "evidence of request %s can be read again: remove person %s again", id, was.person)
		return
	case !there && !was.at.IsZero() && c.aged(was.at):
		c.Aged++
		return
	}
	what := "is missing"
	if there {
		what = "is not as it was"
	}
	by := c.declaredBy(consent.LostEvidence, was.seq, func(d *declared) bool {
		return slices.Contains(d.Evidence, id) || there && slices.Contains(d.Requests, id)
	})
	c.differs(by, "evidence of request %s %s", id, what)
}

// aged reports whether the legal period has taken what was stored at a time.
func (c *comparison) aged(at time.Time) bool {
	return c.now.report.At.Sub(at) > consent.LegalPeriod-slack
}

// declaredBy returns the record that declares a sequence of a stream lost, or for
// which also says so; 0 for none.
func (c *comparison) declaredBy(stream string, seq uint64, also func(*declared) bool) uint64 {
	for i := range c.lost {
		d := &c.lost[i]
		if also != nil && also(d) || slices.ContainsFunc(d.Losses, func(l consent.Loss) bool {
			return l.Stream == consent.LostAll || l.Stream == stream && seq >= l.From && (seq <= l.To || l.To == 0)
		}) {
			return d.seq
		}
	}
	return 0
}

func (c *comparison) differs(by uint64, format string, args ...any) {
	if by == 0 {
		c.Undeclared++
	}
	if len(c.Differences) == maxFailures {
		c.More++
		return
	}
	c.Differences = append(c.Differences, Difference{fmt.Sprintf(format, args...), by})
}
