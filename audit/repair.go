package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"ringback/consent"
)

// SealAll seals everything that is stored and signs the chain. No other auditor
// may be at work.
func (a *Auditor) SealAll(ctx context.Context) error {
	if err := a.seal(ctx, time.Time{}); err != nil {
		return fmt.Errorf("sealing: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.checkpoint(ctx); err != nil {
		return fmt.Errorf("sealing: %w", err)
	}
	return nil
}

// Erasures are the people whom the chain says were erased, and when the last
// record that says so was stored.
func (a *Auditor) Erasures(ctx context.Context) (map[consent.Pseudonym]time.Time, error) {
	s, err := a.survey(ctx, nil)
	if err != nil {
		return nil, err
	}
	return s.erased, nil
}

// Declared is what a repair wrote into the chain.
type Declared struct {
	Requests []consent.ID        // of which facts are lost, as far as known
	Rebuilt  int                 // requests of which the evidence was made again
	Unproven []consent.ID        // finished ones of which it cannot be made again
	Erased   []consent.Pseudonym // people whose erasure was recorded again: that of before is lost
}

// Lost seals what is there, makes lost evidence again as far as its facts are
// there, and then declares in the chain what is lost. It may be called again
// after any error, and says nothing twice.
func (a *Auditor) Lost(ctx context.Context, l Loss) (out Declared, err error) {
	if err := a.beginAnew(ctx, &l); err != nil {
		return out, err
	}
	if err := a.seal(ctx, time.Time{}); err != nil {
		return out, fmt.Errorf("sealing: %w", err)
	}
	s, err := a.survey(ctx, l.Losses)
	if err != nil {
		return out, err
	}
	if consent.Concerns(l.Losses, consent.LostFacts, consent.LostChain, consent.LostEvidence, consent.LostKeys) {
		if err := a.mendEvidence(ctx, s, &out); err != nil {
			return out, err
		}
		out.Unproven = slices.DeleteFunc(out.Unproven, func(id consent.ID) bool { return s.said(id, l.Epoch) })
	}
	for _, id := range l.Requests {
		if !slices.Contains(s.requests, id) {
			s.requests = append(s.requests, id)
		}
	}
	out.Requests = s.requests
	return out, a.declare(ctx, &l, s, out.Unproven)
}

// beginAnew begins a chain that is gone as a whole, with a record that says what
// it does not seal.
func (a *Auditor) beginAnew(ctx context.Context, l *Loss) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.locate(ctx); err != nil || a.head.seq > 0 || !consent.Concerns(l.Losses, consent.LostChain) {
		return err
	}
	first, err := a.cfg.Source.Facts(ctx, 0, 1)
	if err != nil {
		return fmt.Errorf("reading facts: %w", err)
	}
	r := &record{Type: lineLost, Sealed: l.Filled, Lost: &lostFacts{Epoch: l.Epoch, Losses: l.Losses}}
	if len(first) > 0 {
		r.Sealed = first[0].Seq - 1
	}
	return a.grow(ctx, r)
}

// survey is what the chain tells to its end.
type survey struct {
	thread
	finished map[consent.ID]finish
	erased   map[consent.Pseudonym]time.Time // when that was stored
	requests []consent.ID                    // of which facts are sealed that are lost
	declared []declared
}

// finish is where a request finished.
type finish struct {
	seq    uint64
	person consent.Pseudonym
}

// survey reads the chain.
func (a *Auditor) survey(ctx context.Context, losses []consent.Loss) (*survey, error) {
	s := &survey{finished: map[consent.ID]finish{}, erased: map[consent.Pseudonym]time.Time{}}
	found := declared{lostFacts: &lostFacts{Losses: losses}, sealed: ^uint64(0)}
	seen := map[consent.ID]bool{}
	for after := uint64(0); ; {
		batch, err := a.cfg.Source.Records(ctx, after, readSize)
		if err != nil {
			return nil, fmt.Errorf("reading the chain: %w", err)
		}
		for _, stored := range batch {
			after = stored.Seq
			r, err := readRecord(stored.Data)
			if err != nil {
				return nil, fmt.Errorf("reading record %d: %w", stored.Seq, err)
			}
			s.follow(r, sha256.Sum256(stored.Data), "")
			switch r.Type {
			case lineErased:
				s.erased[r.Person] = stored.At
			case lineLost:
				s.declare(r.Lost)
				s.declared = append(s.declared, declared{r.Lost, r.Seq, r.Sealed})
			}
			for _, f := range r.Facts {
				if f.Finishes {
					s.finished[f.Request] = finish{f.Seq, f.Person}
				}
				if !seen[f.Request] && found.lacks(f.Seq) {
					seen[f.Request] = true
					s.requests = append(s.requests, f.Request)
				}
			}
		}
		if len(batch) < readSize {
			return s, nil
		}
	}
}

// mendEvidence makes again what evidence is missing, and records the erasures of
// people whose evidence was destroyed, where no record says so any more.
func (a *Auditor) mendEvidence(ctx context.Context, s *survey, out *Declared) error {
	last, err := a.provenAfter(ctx, 0, s, out)
	if err != nil {
		return err
	}
	var ids []consent.ID
	for id, f := range s.finished {
		if _, erased := s.erased[f.person]; !erased {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b consent.ID) int { return slices.Compare(a[:], b[:]) })
	for chunk := range slices.Chunk(ids, 64) {
		facts := map[consent.ID][]consent.StoredFact{}
		if err := a.readAll(ctx, chunk, facts); err != nil {
			return err
		}
		var ready []proof
		for _, id := range chunk {
			list, f := facts[id], s.finished[id]
			at := slices.IndexFunc(list, func(x consent.StoredFact) bool { return x.Seq == f.seq })
			if at < 0 {
				continue
			}
			data, err := a.evidenceOf(&list[at], list)
			switch {
			case err == nil:
				ready = append(ready, proof{f.person, id, data})
			case !errors.Is(err, errNoEvidence) && !errors.Is(err, errGone):
				return fmt.Errorf("making evidence: %w", err)
			}
		}
		if err := a.keep(ctx, ready); err != nil {
			return err
		}
	}
	// What was just kept counts when it can be read.
	before := len(s.finished)
	if _, err := a.provenAfter(ctx, last, s, out); err != nil {
		return err
	}
	out.Rebuilt = before - len(s.finished)
	for _, id := range ids {
		if f, missing := s.finished[id]; missing && s.erased[f.person].IsZero() {
			out.Unproven = append(out.Unproven, id)
		}
	}
	return nil
}

// provenAfter takes the requests with evidence above a sequence off those that are
// finished, and returns the last sequence.
func (a *Auditor) provenAfter(ctx context.Context, after uint64, s *survey, out *Declared) (uint64, error) {
	for {
		batch, err := a.cfg.Source.Evidence(ctx, after, readSize)
		if err != nil {
			return after, fmt.Errorf("reading evidence: %w", err)
		}
		for i := range batch {
			e := &batch[i]
			after = e.Seq
			if !e.Unreadable {
				delete(s.finished, e.ID)
			}
			if _, known := s.erased[e.Pseudonym]; e.Unreadable && e.Erased && !known {
				if err := a.Erased(ctx, e.Pseudonym); err != nil {
					return after, err
				}
				s.erased[e.Pseudonym] = e.At
				out.Erased = append(out.Erased, e.Pseudonym)
			}
		}
		if len(batch) < readSize {
			return after, nil
		}
	}
}

// declare writes the lost records that the chain does not have yet.
func (a *Auditor) declare(ctx context.Context, l *Loss, s *survey, unproven []consent.ID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.locate(ctx); err != nil {
		return err
	}
	if l.Filled > s.sealed {
		s.skip(l.Filled, "")
	}
	what := lostFacts{Epoch: l.Epoch, Losses: l.Losses, Requests: s.requests, Evidence: unproven, People: l.People}
	for _, x := range s.tears {
		what.Records = append(what.Records, x.tear)
	}
	for _, g := range s.gaps {
		what.Facts = append(what.Facts, g.span)
	}
	if s.knows(&what) || what.nothing() {
		return nil
	}
	requests, evidence := slices.Collect(slices.Chunk(what.Requests, listed)), slices.Collect(slices.Chunk(what.Evidence, listed))
	for n := range max(1, len(requests), len(evidence)) {
		part := what
		part.Requests, part.Evidence = nil, nil
		if n < len(requests) {
			part.Requests = requests[n]
		}
		if n < len(evidence) {
			part.Evidence = evidence[n]
		}
		if err := a.grow(ctx, &record{Type: lineLost, Sealed: s.sealed, Lost: &part}); err != nil {
			return fmt.Errorf("declaring what is lost: %w", err)
		}
		what.Records, what.Facts = nil, nil
	}
	return nil
}

// nothing reports whether there is nothing to declare.
func (l *lostFacts) nothing() bool {
	return len(l.Losses)+len(l.Records)+len(l.Facts)+len(l.Requests)+len(l.Evidence)+len(l.People) == 0
}

// said reports whether an earlier repair declared that there is no evidence of a
// request.
func (s *survey) said(id consent.ID, epoch int) bool {
	return slices.ContainsFunc(s.declared, func(d declared) bool {
		return d.Epoch < epoch && s.finished[id].seq <= d.sealed && slices.Contains(d.Evidence, id)
	})
}

// knows reports whether lost records of this epoch say the same already.
func (s *survey) knows(what *lostFacts) bool {
	var requests, evidence []consent.ID
	said := false
	for _, d := range s.declared {
		if d.Epoch == what.Epoch {
			said = said || reflect.DeepEqual(d.Losses, what.Losses) && reflect.DeepEqual(d.People, what.People)
			requests = append(requests, d.Requests...)
			for _, id := range d.Evidence { // what finished since is another matter
				if s.finished[id].seq <= d.sealed {
					evidence = append(evidence, id)
				}
			}
		}
	}
	return said && len(what.Records)+len(what.Facts) == 0 && within(what.Requests, requests) && within(what.Evidence, evidence)
}

func within(some, all []consent.ID) bool {
	in := make(map[consent.ID]bool, len(all))
	for _, id := range all {
		in[id] = true
	}
	return !slices.ContainsFunc(some, func(id consent.ID) bool { return !in[id] })
}
