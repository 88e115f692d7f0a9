package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"ringback/consent"
)

// formatVersion is the version of records, evidence and exports.
const formatVersion = 1

// Kinds of lines in an export. Records are stored in the same form.
const (
	lineExport     = "export"     // first line
	lineFacts      = "facts"      // record: digests of facts
	lineCheckpoint = "checkpoint" // record: signature over the chain so far
	lineErased     = "erased"     // record: a person's data key is gone
	lineEvidence   = "evidence"   // one finished request
	lineTrailer    = "trailer"    // last line: signature over all of it
)

// Types of what the evidence key signs, so that none passes for another.
const (
	typeCheckpoint = "checkpoint+jws"
	typeEvidence   = "evidence+jws"
	typeExport     = "export+jws"
)

// Why something could not be read.
const (
	goneErased  = "erased"  // the person's data key was destroyed
	goneDamaged = "damaged" // anything else
)

// record is one link of the chain. Its stored form is the one encoding of it,
// and the SHA-256 of that is the next record's Prev.
type record struct {
	V      int               `json:"v"`
	Type   string            `json:"type"`
	Seq    uint64            `json:"seq"` // from 1 up, without gaps
	Prev   consent.Digest    `json:"prev"`
	At     time.Time         `json:"at"`
	Sealed uint64            `json:"sealed"` // every fact up to this sequence is sealed here or before
	Facts  []sealedFact      `json:"facts,omitempty"`
	Person consent.Pseudonym `json:"person,omitempty"` // of erased
	JWS    string            `json:"jws,omitempty"`    // of checkpoint and lost
	Lost   *lostFacts        `json:"lost,omitempty"`   // of lost
}

// sealedFact is a fact's entry in the chain.
type sealedFact struct {
	Seq        uint64            `json:"seq"`
	Request    consent.ID        `json:"request"`
	Fact       string            `json:"fact"` // kind, or kind.N
	Person     consent.Pseudonym `json:"person"`
	SHA256     consent.Digest    `json:"sha256"`               // of the fact, or of its stored bytes when unreadable
	Unreadable string            `json:"unreadable,omitempty"` // goneErased or goneDamaged
	Finishes   bool              `json:"finishes,omitempty"`   // its request, of which there is evidence
}

// checkpoint is what the evidence key signs about the chain.
type checkpoint struct {
	V    int            `json:"v"`
	Size uint64         `json:"size"` // records before this one
	Hash consent.Digest `json:"hash"` // of the last of them
	At   time.Time      `json:"at"`
}

// seal returns the entry for a fact.
func seal(f *consent.StoredFact) sealedFact {
	s := sealedFact{Seq: f.Seq, Request: f.ID, Fact: factName(f.Kind, f.N), Person: f.Pseudonym}
	switch {
	case !f.Unreadable:
		s.SHA256, s.Finishes = sha256.Sum256(f.Data), finishes(f)
	case f.Erased:
		s.SHA256, s.Unreadable = f.Stored, goneErased
	default:
		s.SHA256, s.Unreadable = f.Stored, goneDamaged
	}
	return s
}

// numbered tells the kinds of facts that carry a number from those that occur
// once.
var numbered = map[consent.FactKind]bool{
	consent.FactAsked: false, consent.FactDecided: false, consent.FactSettled: false, consent.FactRevoked: false,
	consent.FactTried: true, consent.FactOutcome: true, consent.FactReceipt: true,
	consent.FactMissed: true, consent.FactRenewed: true, consent.FactNotice: true, consent.FactNotified: true,
}

// factName is how a fact is named within its request.
func factName(kind consent.FactKind, n int) string {
	if n == 0 {
		return string(kind)
	}
	return string(kind) + "." + strconv.Itoa(n)
}

// parseName is the inverse of factName for the kinds that there are.
func parseName(name string) (kind consent.FactKind, n int, ok bool) {
	head, tail, dotted := strings.Cut(name, ".")
	kind = consent.FactKind(head)
	wants, known := numbered[kind]
	if !known || wants != dotted {
		return "", 0, false
	}
	if dotted {
		var err error
		if n, err = strconv.Atoi(tail); err != nil || n < 1 {
			return "", 0, false
		}
	}
	return kind, n, factName(kind, n) == name
}

// encode returns the one encoding of v: members in their order, no white
// space, nothing escaped that need not be.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding an audit value: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

var errForm = errors.New("not in canonical form")

// decode reads what encode wrote, and nothing else: every other spelling, a
// repeated or unknown member, white space and text behind it are refused.
func decode[T any](data []byte) (*T, error) {
	v := new(T)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return nil, fmt.Errorf("%w: %v", errForm, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errForm
	}
	again, err := encode(v)
	if err != nil || !bytes.Equal(again, data) {
		return nil, errForm
	}
	return v, nil
}

// readRecord reads a stored record.
func readRecord(data []byte) (*record, error) {
	r, err := decode[record](data)
	if err != nil {
		return nil, err
	}
	if r.V != formatVersion {
		return nil, fmt.Errorf("record of format %d, this program reads %d", r.V, formatVersion)
	}
	return r, nil
}
