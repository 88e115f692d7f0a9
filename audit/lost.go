package audit

import (
	"crypto/sha256"
	"slices"
	"time"

	"ringback/consent"
)

// lineLost is the type of a record that declares what is lost. It stands behind
// what it declares, and is signed like a checkpoint.
const lineLost = "lost"

// typeLost is what the evidence key signs of it.
const typeLost = "lost+jws"

// listed is how many ids one record lists at most; more take further records.
const listed = 8192

// lostFacts is what a lost record says.
type lostFacts struct {
	Epoch    int                 `json:"epoch"`  // that the repair begins
	Losses   []consent.Loss      `json:"losses"` // what the store does not have any more
	Records  []tear              `json:"records,omitempty"`
	Facts    []span              `json:"facts,omitempty"`    // that no record seals
	Requests []consent.ID        `json:"requests,omitempty"` // of which facts are lost, as far as known
	Evidence []consent.ID        `json:"evidence,omitempty"` // finished requests of which there is none any more
	People   []consent.Pseudonym `json:"people,omitempty"`   // whose data key is lost
}

// lostClaims are signed.
type lostClaims struct {
	V      int            `json:"v"`
	Size   uint64         `json:"size"` // sequence of the last record before this one
	Hash   consent.Digest `json:"hash"` // of it
	At     time.Time      `json:"at"`
	Sealed uint64         `json:"sealed"`
	SHA256 consent.Digest `json:"sha256"` // of lostFacts
}

// claims are what is signed of a lost record.
func (r *record) claims() (lostClaims, error) {
	body, err := encode(r.Lost)
	return lostClaims{formatVersion, r.Seq - 1, r.Prev, r.At, r.Sealed, sha256.Sum256(body)}, err
}

// declared is a lost record that holds.
type declared struct {
	*lostFacts
	seq    uint64
	sealed uint64
}

// lacks reports whether the record says that the store lacks a fact which was
// there before.
func (d *declared) lacks(seq uint64) bool {
	return seq <= d.sealed && slices.ContainsFunc(d.Losses, func(l consent.Loss) bool {
		return l.Stream == consent.LostFacts && l.From > 0 && seq >= l.From && (seq <= l.To || l.To == 0)
	})
}

// Loss is what an operator's repair found lost, beside what the chain itself
// tells.
type Loss struct {
	Epoch    int                 // that the repair begins
	Losses   []consent.Loss      // of the store
	Filled   uint64              // facts up to here are lost if they are not sealed; 0: none
	Requests []consent.ID        // of which more is lost than the chain knows
	People   []consent.Pseudonym // whose data key is lost
}
