package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"ringback/consent"
)

// endsRead is the number of requests whose facts are read together.
const endsRead = batchMax / 2

// End implements consent.Store. What it costs beyond the write is the reading:
// memory does not hold what a decision's digests are of.
func (s *Store) End(ctx context.Context, ids []consent.ID, now time.Time) (ended []*consent.State, err error) {
	var drafts []*draft
	var states []*consent.State
	for chunk := range slices.Chunk(ids, endsRead) {
		due, err := s.undecidedOrUnsettled(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for _, st := range due {
			end, err := consent.End(st, rand.Text(), now)
			if err != nil {
				return nil, fmt.Errorf("ending a request: %w", err)
			}
			f, err := s.draftEnd(ctx, st, end)
			if errors.Is(err, consent.ErrNotFound) {
				continue // erased meanwhile
			}
			if err != nil {
				return nil, err
			}
			if f != nil {
				f.late = true
				drafts, states = append(drafts, f), append(states, st)
			}
		}
	}
	writes := make([]*write, len(drafts))
	for i, f := range drafts {
		writes[i] = f.write
		s.recent.writing(f.place.ID)
		defer s.recent.written(f.place.ID)
	}
	if err := s.commit.submit(writes...); err != nil {
		return nil, err
	}
	for i, f := range drafts {
		_, e := s.commit.wait(ctx, f.write)
		e = s.concluded(ctx, f, e)
		var taken *takenError
		switch {
		case e == nil:
			ended = append(ended, states[i])
		case !errors.As(e, &taken):
			err = errors.Join(err, e)
		}
	}
	return ended, err
}

// draftEnd makes the fact of an end, and puts it into st; nil for none.
func (s *Store) draftEnd(ctx context.Context, st *consent.State, end consent.Ending) (*draft, error) {
	id := st.Request.ID
	switch {
	case end.Decision != nil:
		st.Decided = end.Decision
		return s.draft(ctx, st.Request, place{ID: id, Kind: consent.FactDecided}, label{At: st.Decided.At, Verb: string(st.Decided.Verb)}, *st.Decided)
	case end.Settlement != nil:
		st.Settled = end.Settlement
		return s.draft(ctx, st.Request, place{ID: id, Kind: consent.FactSettled}, label{At: st.Settled.At, Verb: string(st.Settled.Verb)}, *st.Settled)
	}
	return nil, nil
}

// undecidedOrUnsettled reads, of each request that memory does not know to have
// ended, what was asked and decided.
func (s *Store) undecidedOrUnsettled(ctx context.Context, ids []consent.ID) ([]*consent.State, error) {
	var out []*consent.State
	var subjects []string
	read := map[consent.ID]*consent.State{}
	for _, id := range ids {
		if b, known := s.Peek(id); known {
			if _, open := b.Ends(); !open {
				continue
			}
		}
		if st, whole := s.recent.get(id); st != nil && whole && s.exclusive {
			out = append(out, &consent.State{Request: st.Request, Decided: st.Decided, Settled: st.Settled})
			continue
		}
		read[id] = &consent.State{}
		for _, kind := range []consent.FactKind{consent.FactAsked, consent.FactDecided} {
			subjects = append(subjects, s.names.fact(place{ID: id, Kind: kind}))
		}
	}
	if len(subjects) == 0 {
		return out, nil
	}
	messages, err := s.reader.latest(ctx, subjects...)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(messages, func(a, b message) int { return cmp.Compare(a.seq, b.seq) })
	for _, m := range messages {
		p, err := s.names.parseFact(m.subject)
		if err != nil {
			return nil, fmt.Errorf("reading a request: fact %d: %w", m.seq, err)
		}
		if st := read[p.ID]; st != nil && s.decodeInto(ctx, st, p, m) != nil {
			read[p.ID] = nil
		}
	}
	for _, st := range read {
		if st != nil && st.Request != nil { // what cannot be read is for a single look, which says why
			out = append(out, st)
		}
	}
	return out, nil
}
