package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"ringback/consent"
)

// stuckAfter is how long an attempt may be without an outcome.
const stuckAfter = time.Minute

// Requests lists what is in memory, oldest first: requests that are open, that
// ended within a minute, or within an hour if their client could not be told
// yet. It returns at most limit of them, from after the cursor on; the next
// cursor is empty at the end. Any other request can still be read by Get.
func (s *Store) Requests(ctx context.Context, f consent.Filter, after string, limit int) (list []*consent.State, next string, err error) {
	var seq uint64
	if after != "" {
		if seq, err = strconv.ParseUint(after, 36, 64); err != nil {
			return nil, "", fmt.Errorf("reading the cursor: %w", err)
		}
	}
	ids, seqs := s.index.choose(f, seq, limit)
	for _, id := range ids {
		st, err := s.Get(ctx, id)
		if errors.Is(err, consent.ErrNotFound) {
			continue // aged out or erased meanwhile
		}
		if err != nil {
			return nil, "", err
		}
		list = append(list, st)
	}
	if len(ids) == limit && limit > 0 {
		next = strconv.FormatUint(seqs[limit-1], 36)
	}
	return list, next, nil
}

// choose returns at most limit requests that pass f, asked after seq.
func (x *index) choose(f consent.Filter, seq uint64, limit int) (ids []consent.ID, seqs []uint64) {
	stuck := x.now().Add(-stuckAfter).UnixNano()
	x.mu.RLock()
	defer x.mu.RUnlock()
	for e := x.entries.at(x.all.first); e != nil && len(ids) < limit; e = x.entries.at(e.all.next) {
		if e.seq <= seq || f.Client != "" && x.askers.at(e.asker).client != f.Client || f.Status != "" && e.status() != f.Status ||
			f.Stuck && (e.concluded() || e.tried > stuck) && (f.Also == nil || e.decided != 0 || !f.Also(e.id)) {
			continue
		}
		ids, seqs = append(ids, e.id), append(seqs, e.seq)
	}
	return ids, seqs
}

// concluded reports whether every attempt has an outcome. Of more than
// sixteen attempts the first sixteen count.
func (e *entry) concluded() bool {
	claimed := uint16(1)<<min(e.attempts, 16) - 1
	return e.outcomes&claimed == claimed
}

// status is what the facts that the index has seen add up to.
func (e *entry) status() consent.Status {
	st := consent.State{}
	if e.decided != 0 {
		st.Decided = &consent.Decision{Verb: consent.Verb(e.decided.String())}
	}
	if e.settled != 0 {
		st.Settled = &consent.Settlement{Verb: consent.SettleVerb(e.settled.String())}
	}
	if e.revoked {
		st.Revoked = &consent.Revocation{}
	}
	return st.Status()
}

// Stats counts what is in memory, for metrics.
type Stats struct {
	Open    int                    // requests that are not over
	Waiting int                    // requests that somebody waits for
	Status  map[consent.Status]int // requests by status, of those that [Store.Requests] lists
}

// Stats returns counts of what is in memory.
func (s *Store) Stats() Stats {
	x := s.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	return Stats{Open: x.open, Waiting: len(x.waiters), Status: maps.Clone(x.count)}
}
