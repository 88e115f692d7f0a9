package audit

import (
	"fmt"
	"time"

	"ringback/consent"
)

// maxFailures bounds the failures that a report lists.
const maxFailures = 1000

// Report is what Verify found. An export holds if and only if OK.
type Report struct {
	At          time.Time // when the export was made
	First, Last uint64    // sequences of the records in it; 0 when there are none
	Facts       int       // sealed by them
	Checkpoints int
	Decisions   []Decision // proven ones, by time of finishing
	Erased      int        // finished requests whose evidence was destroyed with the person's data key
	Older       int        // finished requests whose records have aged out, so that only the evidence's own signature speaks for it
	Unproven    int        // finished requests whose evidence a repair has declared lost
	From, Until time.Time  // of the first and the last record
	FirstFact   uint64     // sequences of the facts that are sealed; 0 when there are none
	LastFact    uint64
	Lost        []Lost    // what repairs have declared lost
	Failures    []Failure // what does not hold, the first thousand
	More        int       // failures beyond those listed
}

// OK reports whether everything holds.
func (r *Report) OK() bool { return len(r.Failures) == 0 }

// Lost is what one record declares lost, by a signature of the service.
type Lost struct {
	Record   uint64 // its sequence
	At       time.Time
	Epoch    int // which repair
	Losses   []consent.Loss
	Unsealed []string     // ranges of facts and records that are missing in the chain
	Requests []consent.ID // of which facts are lost, as far as known
	Evidence []consent.ID // finished requests whose evidence is lost
	People   []consent.Pseudonym
}

// Failure is one thing that does not hold.
type Failure struct {
	Where string // line, and record or request where there is one
	What  string
}

// Proof says who vouches for a decision.
type Proof string

const (
	// SignedByPerson: a key that the person holds signed the decision.
	SignedByPerson Proof = "signed-by-person"
	// AttestedByServer: the service's evidence key vouches for what it saw.
	AttestedByServer Proof = "attested-by-server"
)

// Decision is one decision that the export proves.
type Decision struct {
	Request  consent.ID
	Verb     consent.Verb
	Settled  consent.SettleVerb // empty unless approved
	Means    consent.Means
	ACR      string // empty unless approved
	At       time.Time
	Renewals int  // tokens that were issued later, without asking again; the chain counts them
	Revoked  bool // later; the chain says so, without saying by whom
	Proof    Proof
}

// fail notes a failure.
func (r *Report) fail(where, format string, args ...any) {
	if len(r.Failures) == maxFailures {
		r.More++
		return
	}
	r.Failures = append(r.Failures, Failure{where, fmt.Sprintf(format, args...)})
}

// count returns the number of failures so far.
func (r *Report) count() int { return len(r.Failures) + r.More }
