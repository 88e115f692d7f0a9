package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"ringback/consent"
)

const (
	// batchSize is the most facts that one record seals, so that sealing comes
	// in small pieces between what people and agents wait for. Further behind
	// than patience, a third of what is worth a warning, it is batchBehind: a
	// record takes the same few steps however long it is, and where hundreds
	// wait each step takes long.
	batchSize   = 256
	batchBehind = 2048
	patience    = 3 * time.Second
	// appendTries bounds the retries of a record that must be written whoever
	// else writes.
	appendTries = 64
)

// errOvertaken is returned when another auditor wrote the next record.
var errOvertaken = errors.New("another auditor is at work")

// locate finds the end of the chain if it is not known. a.mu is held.
func (a *Auditor) locate(ctx context.Context) error {
	if a.head.known {
		return nil
	}
	last, ok, err := a.cfg.Source.LastRecord(ctx)
	if err != nil {
		return fmt.Errorf("reading the end of the chain: %w", err)
	}
	if !ok {
		a.head = head{known: true, checked: a.head.checked}
		return nil
	}
	r, err := readRecord(last.Data)
	if err != nil {
		// Going on after a record that cannot be read would hide it.
		return fmt.Errorf("reading record %d: %w (run \"ringback export\" and \"ringback verify\")", last.Seq, err)
	}
	a.head = head{true, last.Seq, sha256.Sum256(last.Data), r.Sealed, r.Type, a.head.checked}
	return nil
}

// grow appends a record at the end of the chain. errOvertaken means that there
// is a later record by somebody else. a.mu is held and the head is known.
func (a *Auditor) grow(ctx context.Context, r *record) error {
	r.V, r.Seq, r.Prev = formatVersion, a.head.seq+1, a.head.hash
	r.At = a.cfg.Now().UTC().Truncate(time.Millisecond)
	switch r.Type {
	case lineFacts:
	case lineLost:
		r.Sealed = max(r.Sealed, a.head.sealed)
	default:
		r.Sealed = a.head.sealed
	}
	if err := a.sign(r); err != nil {
		return err
	}
	data, err := encode(r)
	if err != nil {
		return err
	}
	seq, err := a.cfg.Source.Append(ctx, data, a.head.seq)
	if err != nil {
		// The answer may have been lost after the record was stored.
		last, ok, readErr := a.cfg.Source.LastRecord(ctx)
		if readErr != nil || !ok || !bytes.Equal(last.Data, data) {
			a.head.known = false
			if errors.Is(err, consent.ErrClaimed) {
				return errOvertaken
			}
			return fmt.Errorf("appending a record: %w", err)
		}
		seq = last.Seq
	}
	if seq != r.Seq {
		a.head.known = false
		return fmt.Errorf("appending a record: it has sequence %d instead of %d: the chain has a gap", seq, r.Seq)
	}
	a.head = head{true, seq, sha256.Sum256(data), r.Sealed, r.Type, a.head.checked}
	return nil
}

// sign signs a record of a type that is signed.
func (a *Auditor) sign(r *record) (err error) {
	switch r.Type {
	case lineCheckpoint:
		r.JWS, err = a.cfg.Ring.SignEvidence(typeCheckpoint, checkpoint{formatVersion, a.head.seq, a.head.hash, r.At})
	case lineLost:
		var c lostClaims
		if c, err = r.claims(); err == nil {
			r.JWS, err = a.cfg.Ring.SignEvidence(typeLost, c)
		}
	}
	if err != nil {
		return fmt.Errorf("signing a %s record: %w", r.Type, err)
	}
	return nil
}

// seal seals all facts, or those stored before until if that is not zero.
func (a *Auditor) seal(ctx context.Context, until time.Time) error {
	for more := true; more; {
		var err error
		if more, err = a.sealNext(ctx, until); err != nil {
			return err
		}
	}
	return nil
}

// sealNext seals what one record may hold and reports whether there may be
// more. Between two records others may append theirs, and export.
func (a *Auditor) sealNext(ctx context.Context, until time.Time) (more bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := a.locate(ctx); err != nil {
		return false, err
	}
	oldest, size := a.unsealed.Load(), batchSize
	behind := a.Lag() > patience
	if behind {
		size = batchBehind
	}
	facts, err := a.cfg.Source.Facts(ctx, a.head.sealed, size)
	if err != nil {
		return false, fmt.Errorf("reading facts: %w", err)
	}
	if len(facts) == 0 {
		a.allSealed(oldest)
		return false, nil
	}
	if !until.IsZero() && facts[0].At.After(until) {
		return false, nil
	}
	oldest = facts[0].At.UnixNano()
	a.unsealed.Store(oldest)
	r := &record{Type: lineFacts, Sealed: facts[len(facts)-1].Seq, Facts: make([]sealedFact, len(facts))}
	for i := range facts {
		r.Facts[i] = seal(&facts[i])
		if r.Facts[i].Unreadable == goneDamaged {
			a.cfg.Log.ErrorContext(ctx, "a stored fact is damaged", slog.String("req", facts[i].ID.String()), slog.String("step", r.Facts[i].Fact))
		}
	}
	if err := a.prove(ctx, facts, r.Facts, behind); err != nil {
		return false, err
	}
	err = a.grow(ctx, r)
	if errors.Is(err, errOvertaken) {
		if err := a.locate(ctx); err != nil {
			return false, err
		}
		if a.head.kind == lineErased {
			return true, nil // an administrator's note, not another auditor
		}
	}
	if err != nil {
		return false, err
	}
	if len(facts) < size {
		a.unsealed.CompareAndSwap(oldest, 0)
		return false, nil
	}
	_, err = a.checkpoint(ctx)
	return true, err
}

// prove keeps evidence of every request that a batch finishes, before the
// batch is sealed: a crash in between writes the same evidence again, which
// changes nothing.
func (a *Auditor) prove(ctx context.Context, facts []consent.StoredFact, sealed []sealedFact, behind bool) error {
	a.recent.resume(a.head.sealed)
	known := make(map[consent.ID][]consent.StoredFact)
	var unknown []consent.ID
	for i := range facts {
		f := &facts[i]
		if whole := a.recent.add(f, sealed[i].Finishes); sealed[i].Finishes {
			if known[f.ID] = whole; whole == nil {
				unknown = append(unknown, f.ID)
			}
		}
	}
	if err := a.readAll(ctx, unknown, known); err != nil {
		return err
	}
	var ready []proof
	for i := range facts {
		f := &facts[i]
		if !sealed[i].Finishes {
			continue
		}
		data, err := a.evidenceOf(f, known[f.ID])
		switch {
		case err == nil:
			ready = append(ready, proof{f.Pseudonym, f.ID, data})
		case errors.Is(err, errNoEvidence):
			// Sealing goes on; Verify will miss the evidence and say so.
			a.cfg.Log.ErrorContext(ctx, "evidence not kept", slog.String("req", f.ID.String()), slog.Any("err", err))
		case !errors.Is(err, errGone):
			return fmt.Errorf("making evidence: %w", err)
		}
		if !behind {
			runtime.Gosched() // a signature and more: let others go first
		}
	}
	return a.keep(ctx, ready)
}

// readAll reads every fact of requests.
func (a *Auditor) readAll(ctx context.Context, ids []consent.ID, into map[consent.ID][]consent.StoredFact) error {
	if len(ids) == 0 {
		return nil
	}
	all, err := a.cfg.Source.FactsOf(ctx, ids...)
	if err != nil {
		return fmt.Errorf("reading the facts of requests: %w", err)
	}
	for _, f := range all {
		into[f.ID] = append(into[f.ID], f)
	}
	return nil
}

// keep stores evidence, all of it at once so that it reaches the disk together.
func (a *Auditor) keep(ctx context.Context, ready []proof) error {
	var writers sync.WaitGroup
	failed := make([]error, len(ready))
	for i, p := range ready {
		writers.Go(func() {
			err := a.cfg.Source.PutEvidence(ctx, p.person, p.request, p.data)
			if !errors.Is(err, consent.ErrNotFound) { // the person was erased
				failed[i] = err
			}
		})
	}
	writers.Wait()
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkpoint signs the chain when it grew and a minute has passed. It returns
// how long there is until the next one is due, 0 if none is. a.mu is held.
func (a *Auditor) checkpoint(ctx context.Context) (time.Duration, error) {
	if !a.head.known || a.head.seq == 0 || a.head.kind == lineCheckpoint || a.head.kind == lineLost { // signed as well
		return 0, nil
	}
	now := a.cfg.Now()
	if left := a.head.checked.Add(checkpointEvery).Sub(now); left > 0 {
		return left, nil
	}
	if err := a.grow(ctx, &record{Type: lineCheckpoint}); err != nil {
		return checkpointEvery, err
	}
	a.head.checked = now
	return 0, nil
}

// Erased records that a person's data key is about to be destroyed: from then
// on evidence of that pseudonym may be unreadable. Call it before destroying
// the key, and again with every further try.
func (a *Auditor) Erased(ctx context.Context, p consent.Pseudonym) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for range appendTries {
		if err := a.locate(ctx); err != nil {
			return fmt.Errorf("recording an erasure: %w", err)
		}
		err := a.grow(ctx, &record{Type: lineErased, Person: p})
		if !errors.Is(err, errOvertaken) {
			return err
		}
	}
	return fmt.Errorf("recording an erasure: %w", errOvertaken)
}
