package audit

import (
	"fmt"
	"slices"

	"ringback/consent"
)

// doubt is something that does not hold unless facts are missing which a later
// record declares lost.
type doubt struct {
	t     *trace
	seq   uint64 // of the fact that it is about
	where string
	what  string
}

func (v *verifier) doubt(t *trace, seq uint64, format string, args ...any) {
	v.doubts = append(v.doubts, doubt{t, seq, v.where, fmt.Sprintf(format, args...)})
}

// lostRecord checks a record that declares what is lost, and takes what it says.
func (v *verifier) lostRecord(r *record) {
	if r.Lost == nil {
		return // said already
	}
	want, err := r.claims()
	if err != nil {
		v.fail("what is lost is not readable: %v", err)
		return
	}
	c, err := open[lostClaims](v, r.JWS, typeLost)
	switch {
	case err != nil:
		v.fail("the signature over what is lost does not hold: %v", err)
		return
	case c.V != want.V || c.Size != want.Size || c.Hash != want.Hash || !c.At.Equal(want.At) || c.Sealed != want.Sealed:
		v.fail("what is lost was signed for another chain than it stands in")
		return
	case c.SHA256 != want.SHA256:
		v.fail("what is lost is not what was signed")
		return
	}
	v.declare(r.Lost)
	v.lost = append(v.lost, declared{r.Lost, r.Seq, r.Sealed})
	l := Lost{Record: r.Seq, At: r.At, Epoch: r.Lost.Epoch, Losses: r.Lost.Losses, Requests: r.Lost.Requests, Evidence: r.Lost.Evidence, People: r.Lost.People}
	for _, x := range r.Lost.Records {
		l.Unsealed = append(l.Unsealed, fmt.Sprintf("records %d to %d", x.From, x.To))
	}
	for _, s := range r.Lost.Facts {
		l.Unsealed = append(l.Unsealed, fmt.Sprintf("facts %d to %d", s.From, s.To))
	}
	v.report.Lost = append(v.report.Lost, l)
}

// endChain says what is missing in the chain, once all of it was read.
func (v *verifier) endChain() {
	if v.closed {
		return
	}
	v.closed = true
	v.missing(v.report.fail)
	for _, d := range v.doubts {
		if !v.unsealedBetween(0, d.seq) {
			v.report.fail(d.where, "%s", d.what)
			d.t.bad = true
		}
	}
	if v.last != nil && v.sealed > v.base {
		v.report.FirstFact, v.report.LastFact = v.base+1, v.sealed
	}
}

// lacked reports whether a lost record says of a sealed fact that the store lacks
// it.
func (v *verifier) lacked(seq uint64) bool {
	return slices.ContainsFunc(v.lost, func(d declared) bool { return d.lacks(seq) })
}

// unproven reports whether a lost record says that there is no evidence of a
// request that finished with a fact before it.
func (v *verifier) unproven(id consent.ID, finished uint64) bool {
	return slices.ContainsFunc(v.lost, func(d declared) bool { return finished <= d.sealed && slices.Contains(d.Evidence, id) })
}

// repaired reports whether a fact may be of a repair: it comes after a lost record,
// or after records that have aged out.
func (v *verifier) repaired(seq uint64) bool {
	return seq <= v.base || slices.ContainsFunc(v.lost, func(d declared) bool { return d.sealed < seq })
}
