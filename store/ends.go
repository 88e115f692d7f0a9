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

// End implements consent.Store. Memory holds the digest of what this process, or
// the one before it, was asked, so that an expiry needs no reading. What cannot be
// ended is left out, so that the others are: a single look at it says why.
func (s *Store) End(ctx context.Context, ids []consent.ID, now time.Time) (ended []consent.ID, err error) {
	var drafts []*draft
	var others []consent.ID
	for _, id := range ids {
		b, digest := s.index.ending(id)
		if end, open := b.Ends(); b.ID == id && !open || open && now.Before(end) {
			continue
		}
		if b.Decided != "" || digest == (consent.Digest{}) {
			others = append(others, id)
			continue
		}
		d, err := consent.Expiry(digest, rand.Text(), now)
		if err != nil {
			continue
		}
		req := &consent.Request{ID: id, Pseudonym: b.Pseudonym, ExpiresAt: b.ExpiresAt}
		if drafts, err = s.draftEnd(ctx, drafts, req, consent.Ending{Decision: &d}); err != nil {
			return nil, err
		}
	}
	for chunk := range slices.Chunk(others, endsRead) {
		states, err := s.askedAndDecided(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for _, st := range states {
			end, err := consent.End(st, rand.Text(), now)
			if err != nil {
				continue
			}
			if drafts, err = s.draftEnd(ctx, drafts, st.Request, end); err != nil {
				return nil, err
			}
		}
	}
	return s.putTogether(ctx, drafts)
}

// ending is what memory knows of a request and its asked digest.
func (x *index) ending(id consent.ID) (consent.Brief, consent.Digest) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	e := x.entries.at(x.byID[id])
	if e == nil {
		return consent.Brief{}, consent.Digest{}
	}
	return x.brief(e), e.digest
}

// draftEnd adds the fact of an end, if there is one; of a person who was erased
// meanwhile, or whose key is damaged, there is none.
func (s *Store) draftEnd(ctx context.Context, drafts []*draft, req *consent.Request, end consent.Ending) ([]*draft, error) {
	var f *draft
	var err error
	switch {
	case end.Decision != nil:
		d := *end.Decision
		f, err = s.draft(ctx, req, place{ID: req.ID, Kind: consent.FactDecided}, label{At: d.At, Verb: string(d.Verb)}, d)
	case end.Settlement != nil:
		v := *end.Settlement
		f, err = s.draft(ctx, req, place{ID: req.ID, Kind: consent.FactSettled}, label{At: v.At, Verb: string(v.Verb)}, v)
	case end.Revocation != nil:
		r := *end.Revocation
		f, err = s.draft(ctx, req, place{ID: req.ID, Kind: consent.FactRevoked}, label{At: r.At}, r)
	default:
		return drafts, nil
	}
	if errors.Is(err, consent.ErrNotFound) || errors.Is(err, errDamaged) {
		return drafts, nil
	}
	return append(drafts, f), err
}

// putTogether writes facts that nobody waits for, and returns whose were the
// first of their kind.
func (s *Store) putTogether(ctx context.Context, drafts []*draft) (put []consent.ID, err error) {
	writes := make([]*write, len(drafts))
	for i, f := range drafts {
		f.late = true
		writes[i] = f.write
		s.recent.writing(f.place.ID)
		defer s.recent.written(f.place.ID)
	}
	if err := s.commit.submit(writes...); err != nil {
		return nil, err
	}
	for _, f := range drafts {
		_, e := s.commit.wait(ctx, f.write)
		e = s.concluded(ctx, f, e)
		var taken *takenError
		switch {
		case e == nil:
			put = append(put, f.place.ID)
		case !errors.As(e, &taken):
			err = errors.Join(err, e)
		}
	}
	return put, err
}

// askedAndDecided reads what was asked and decided of each request. What cannot
// be read is left out.
func (s *Store) askedAndDecided(ctx context.Context, ids []consent.ID) ([]*consent.State, error) {
	var out []*consent.State
	var subjects []string
	read := map[consent.ID]*consent.State{}
	for _, id := range ids {
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
		if st != nil && st.Request != nil {
			out = append(out, st)
		}
	}
	return out, nil
}
