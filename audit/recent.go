package audit

import (
	"slices"

	"ringback/consent"
)

// recentBytes bounds the facts kept in memory.
const recentBytes = 4 << 20

// recent holds the facts of young requests, so that most evidence needs no
// second reading. It has either every fact of a request up to the last one
// read, or none.
type recent struct {
	requests map[consent.ID][]consent.StoredFact
	order    []consent.ID // as they were asked
	size     int
	upTo     uint64 // sequence of the last fact read
}

func newRecent() *recent {
	return &recent{requests: make(map[consent.ID][]consent.StoredFact)}
}

// resume says that the facts after sealed come next. When some before were
// sealed by another auditor, everything is forgotten.
func (r *recent) resume(sealed uint64) {
	if sealed > r.upTo {
		*r = *newRecent()
	}
}

// add notes the next fact, or one read again. When it finishes its request
// (last) the facts of it are returned and forgotten; nil means that they are
// not all known.
func (r *recent) add(f *consent.StoredFact, last bool) []consent.StoredFact {
	r.upTo = max(r.upTo, f.Seq)
	if f.Unreadable || f.Untold {
		r.drop(f.ID)
		return nil
	}
	facts := r.requests[f.ID]
	if n := len(facts); n == 0 && f.Kind != consent.FactAsked || n > 0 && f.Seq <= facts[n-1].Seq {
		return nil
	}
	facts = append(facts, *f)
	if last {
		r.drop(f.ID)
		return facts
	}
	if f.Kind == consent.FactAsked {
		r.order = append(r.order, f.ID)
	}
	r.requests[f.ID] = facts
	r.size += len(f.Data)
	for r.size > recentBytes && len(r.order) > 0 {
		id := r.order[0]
		r.order = r.order[1:]
		r.drop(id)
	}
	return facts
}

// drop forgets one request. Its place in order stays until it is reached or
// there are too many such places.
func (r *recent) drop(id consent.ID) {
	for i := range r.requests[id] {
		r.size -= len(r.requests[id][i].Data)
	}
	delete(r.requests, id)
	if len(r.order) > 64 && len(r.order) > 2*len(r.requests) {
		r.order = slices.DeleteFunc(r.order, func(id consent.ID) bool {
			_, known := r.requests[id]
			return !known
		})
	}
}
