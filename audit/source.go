package audit

import (
	"context"

	"ringback/consent"
)

// Source is the store as the auditor sees it. Reads are in order of sequence;
// fewer values than max mean that there are no more for now.
type Source interface {
	// Facts returns at most max facts with a sequence above after. It must
	// not skip one that could still appear with a lower sequence.
	Facts(ctx context.Context, after uint64, max int) ([]consent.StoredFact, error)
	// FactsOf returns every fact of these requests. It is at least as new as
	// what Facts returned before.
	FactsOf(ctx context.Context, ids ...consent.ID) ([]consent.StoredFact, error)
	// Written is the sequence of the newest fact that is known to be stored.
	Written() uint64

	// Append adds a record to the chain, durably, if the last one has
	// sequence after (0: there is none), and returns its sequence, after+1.
	// consent.ErrClaimed if there is a later one.
	Append(ctx context.Context, record []byte, after uint64) (seq uint64, err error)
	// LastRecord returns the newest record of the chain, read at the leader;
	// false if there is none.
	LastRecord(ctx context.Context) (consent.StoredRecord, bool, error)
	// Records returns at most max records with a sequence above after.
	Records(ctx context.Context, after uint64, max int) ([]consent.StoredRecord, error)

	// PutEvidence keeps data for one request, durably and at most once: nil
	// when there is some already. consent.ErrNotFound when the person's data
	// key is gone.
	PutEvidence(ctx context.Context, p consent.Pseudonym, id consent.ID, data []byte) error
	// Evidence returns at most max pieces of evidence with a sequence above
	// after.
	Evidence(ctx context.Context, after uint64, max int) ([]consent.StoredEvidence, error)
}
