package consent

import "time"

// LegalPeriod is how long the sealed chain and the evidence are kept.
const LegalPeriod = 10 * 365 * 24 * time.Hour

// StoredFact is one fact as the auditor reads it: where it stands in the
// stream of facts and what it says.
type StoredFact struct {
	Seq       uint64 // in the stream of facts; ascending, and without gaps unless facts are lost
	ID        ID
	Kind      FactKind
	N         int // of a numbered kind, else 0
	Pseudonym Pseudonym
	At        time.Time // when it was stored, or its storing acknowledged
	Data      []byte    // the fact's JSON as it was written, without bearers; nil when Unreadable
	Untold    bool      // of an expiry: nobody was told of the request, so that nothing was shown, answered or granted

	Unreadable bool   // Data could not be decrypted; Stored stands for it
	Erased     bool   // why: the person's data key is gone. Unreadable but not Erased is damage
	Stored     Digest // of the bytes as stored; only set when Unreadable
}

// StoredRecord is one record of the sealed chain. Seq counts in the chain's
// own stream, from 1 up and without gaps.
type StoredRecord struct {
	Seq  uint64
	At   time.Time // when it was stored
	Data []byte
}

// StoredEvidence is what is kept about one finished request for the legal
// period, under the approver's data key.
type StoredEvidence struct {
	Seq       uint64 // in the stream of evidence; ascending, with gaps
	ID        ID
	Pseudonym Pseudonym
	At        time.Time // when it was stored
	Data      []byte    // plaintext; nil when Unreadable

	Unreadable bool   // as in StoredFact
	Erased     bool   // as in StoredFact
	Stored     Digest // of the bytes as stored; only set when Unreadable
}
