package audit

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/klauspost/compress/s2"

	"ringback/consent"
)

const (
	// maxEvidence is the longest evidence as stored, in bytes.
	maxEvidence = 256 << 10
	// maxUnpacked is the longest evidence in the clear, in bytes.
	maxUnpacked = 2 << 20
	// packed is the first byte of stored evidence: JSON as one S2 block.
	packed = 2
)

// evidence is what is kept about one finished request.
type evidence struct {
	Body json.RawMessage `json:"body"` // evidenceBody
	JWS  string          `json:"jws"`  // by the evidence key, over evidenceClaims
}

// evidenceBody is the whole story of a request until it finished, and the
// canonical objects of which its digests were taken.
type evidenceBody struct {
	V            int                `json:"v"`
	Request      consent.ID         `json:"request"`
	Person       consent.Pseudonym  `json:"person"`
	Verb         consent.Verb       `json:"verb"`
	Settled      consent.SettleVerb `json:"settled,omitempty"`
	Facts        []evidenceFact     `json:"facts"`                  // in the order in which they were stored
	Asked        json.RawMessage    `json:"asked"`                  // C
	Granted      json.RawMessage    `json:"granted,omitempty"`      // C after narrowing, if less was granted
	Presentation json.RawMessage    `json:"presentation,omitempty"` // P
	Decision     json.RawMessage    `json:"decision"`               // D
}

// evidenceFact is one fact as it was written.
type evidenceFact struct {
	Seq  uint64          `json:"seq"`
	Fact string          `json:"fact"`
	At   time.Time       `json:"stored_at"`
	Data json.RawMessage `json:"data"`
}

// evidenceClaims are signed.
type evidenceClaims struct {
	V       int            `json:"v"`
	Request consent.ID     `json:"request"`
	SHA256  consent.Digest `json:"sha256"` // of the body
}

// errNoEvidence is wrapped when evidence cannot be made of facts, now or ever.
var errNoEvidence = errors.New("no evidence can be made")

// errGone is returned when facts are unreadable because the person was erased.
var errGone = errors.New("the person was erased")

// finishes reports whether a fact ends its request in a way that is proven: a
// decision other than a yes, or the settlement of a yes. An expiry of which
// nobody was told is sealed and no more: an agent that asks unreachable people
// must not fill the evidence of years.
func finishes(f *consent.StoredFact) bool {
	switch f.Kind {
	case consent.FactSettled:
		return true
	case consent.FactDecided:
		if f.Untold {
			return false
		}
		var d struct {
			Verb consent.Verb `json:"verb"`
		}
		return json.Unmarshal(f.Data, &d) == nil && d.Verb != consent.Approved
	}
	return false
}

// newBody tells a request's story from its facts, in order, the last of which
// finishes it.
func newBody(facts []consent.StoredFact) (*evidenceBody, error) {
	last := &facts[len(facts)-1]
	b := &evidenceBody{V: formatVersion, Request: last.ID, Person: last.Pseudonym}
	var s story
	for i := range facts {
		f := &facts[i]
		if f.Unreadable && f.Erased {
			return nil, errGone
		}
		if f.Unreadable {
			return nil, fmt.Errorf("%w: fact %d is unreadable", errNoEvidence, f.Seq)
		}
		if f.Kind == consent.FactSettled && s.decided == nil {
			return nil, fmt.Errorf("%w: it was settled, and the decision before that is missing", errNoEvidence)
		}
		switch f.Kind {
		case consent.FactAsked, consent.FactDecided, consent.FactSettled:
			// Facts that do not fit together are evidence too; Verify names them.
			_ = s.add(f.Kind, f.N, f.Data)
		}
		b.Facts = append(b.Facts, evidenceFact{f.Seq, factName(f.Kind, f.N), f.At.UTC(), f.Data})
	}
	if s.asked == nil || s.decided == nil {
		return nil, fmt.Errorf("%w: asked or decided is missing", errNoEvidence)
	}
	b.Verb = s.decided.Verb
	if s.settled != nil {
		b.Settled = s.settled.Verb
	}
	var err error
	if b.Asked, err = s.asked.AskedObject(nil); err != nil {
		return nil, fmt.Errorf("%w: %v", errNoEvidence, err)
	}
	if s.decided.Granted != nil {
		if b.Granted, err = s.asked.AskedObject(s.decided.Granted); err != nil {
			return nil, fmt.Errorf("%w: %v", errNoEvidence, err)
		}
	}
	if p := s.decided.Presentation; p != nil {
		if b.Presentation, err = p.Object(); err != nil {
			return nil, fmt.Errorf("%w: %v", errNoEvidence, err)
		}
	}
	if b.Decision, err = s.decided.Object(); err != nil {
		return nil, fmt.Errorf("%w: %v", errNoEvidence, err)
	}
	return b, nil
}

// attest encodes, signs and packs a body for storage.
func (a *Auditor) attest(b *evidenceBody) ([]byte, error) {
	body, err := encode(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errNoEvidence, err)
	}
	jws, err := a.cfg.Ring.SignEvidence(typeEvidence, evidenceClaims{formatVersion, b.Request, sha256.Sum256(body)})
	if err != nil {
		return nil, fmt.Errorf("signing evidence: %w", err)
	}
	// As encode would write it, without going through the body again.
	plain := make([]byte, 0, len(body)+len(jws)+32)
	plain = append(append(plain, `{"body":`...), body...)
	plain = append(append(plain, `,"jws":"`...), jws...)
	plain = append(plain, `"}`...)
	data := pack(plain)
	if len(data) > maxEvidence {
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d are kept", errNoEvidence, len(data), maxEvidence)
	}
	return data, nil
}

// proof is evidence that is ready to be stored.
type proof struct {
	person  consent.Pseudonym
	request consent.ID
	data    []byte
}

// evidenceOf makes the evidence of the request that last finishes, of its facts.
func (a *Auditor) evidenceOf(last *consent.StoredFact, facts []consent.StoredFact) ([]byte, error) {
	// What came later is not needed, and differs from one reading to the next.
	if end := slices.IndexFunc(facts, func(f consent.StoredFact) bool { return f.Seq > last.Seq }); end >= 0 {
		facts = facts[:end]
	}
	if len(facts) == 0 || facts[len(facts)-1].Seq != last.Seq {
		return nil, fmt.Errorf("reading the facts of a request: sequence %d is not among them", last.Seq)
	}
	body, err := newBody(facts)
	if err != nil {
		return nil, err
	}
	return a.attest(body)
}

// pack returns the stored form of evidence. Facts, objects and rendered pages
// repeat each other, and are kept for years.
func pack(plain []byte) []byte {
	return append([]byte{packed}, s2.Encode(nil, plain)...)
}

// unpack is the inverse of pack.
func unpack(data []byte) ([]byte, error) {
	if len(data) == 0 || data[0] != packed {
		return nil, errors.New("unpacking evidence: unknown form")
	}
	n, err := s2.DecodedLen(data[1:])
	if err != nil {
		return nil, fmt.Errorf("unpacking evidence: %w", err)
	}
	if n > maxUnpacked {
		return nil, fmt.Errorf("unpacking evidence: longer than %d bytes", maxUnpacked)
	}
	plain, err := s2.Decode(nil, data[1:])
	if err != nil {
		return nil, fmt.Errorf("unpacking evidence: %w", err)
	}
	return plain, nil
}
