package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// Forfeited counts requests that a repair has ended, and those that it could not.
type Forfeited struct {
	Withdrawn int // that were undecided
	Lapsed    int // that were approved and not redeemed, as far as is known
	Revoked   int // that could be renewed
	Stuck     int // of which what is there cannot be read: nothing can come of them
}

// Forfeit ends every request of which a fact may be lost that allows something,
// see consent.Forfeit. It may be called again.
func (r *Repair) Forfeit(ctx context.Context, now time.Time) (out Forfeited, err error) {
	if !consent.Concerns(r.Losses(), consent.LostFacts) {
		return out, nil
	}
	remains, err := r.remains(ctx)
	if err != nil {
		return out, err
	}
	for chunk := range slices.Chunk(remains, lateTo) {
		var drafts []*draft
		for i := range chunk {
			if chunk[i].Asked == 0 || !chunk[i].Open() {
				continue
			}
			st, err := r.Get(ctx, chunk[i].ID)
			if errors.Is(err, consent.ErrNotFound) || errors.Is(err, errDamaged) || errors.Is(err, errIncomplete) {
				out.Stuck++
				continue
			}
			if err != nil {
				return out, err
			}
			end, err := consent.Forfeit(st, rand.Text(), now)
			if err != nil {
				return out, err
			}
			if drafts, err = r.draftEnd(ctx, drafts, st.Request, end); err != nil {
				return out, err
			}
		}
		put, err := r.putTogether(ctx, drafts)
		if err != nil && !errors.Is(err, consent.ErrNotFound) { // what stands in the place cannot be read
			return out, err
		}
		for _, d := range drafts {
			switch written := slices.Contains(put, d.place.ID); {
			case !written:
				out.Stuck++
			case d.place.Kind == consent.FactDecided:
				out.Withdrawn++
			case d.place.Kind == consent.FactSettled:
				out.Lapsed++
			default:
				out.Revoked++
			}
		}
	}
	return out, nil
}

// remains gathers what is left of every request, by the headers of its facts.
func (s *Store) remains(ctx context.Context) ([]consent.Remains, error) {
	all := map[consent.ID]*consent.Remains{}
	var order []consent.ID
	err := s.eachFact(ctx, func(p place, l *label, seq uint64) {
		q := all[p.ID]
		if q == nil {
			q = &consent.Remains{ID: p.ID, Person: l.Pseudonym}
			all[p.ID] = q
			order = append(order, p.ID)
		}
		switch p.Kind {
		case consent.FactAsked:
			q.Asked = seq
		case consent.FactDecided:
			q.Decided = consent.Verb(l.Verb)
		case consent.FactSettled:
			q.Settled = consent.SettleVerb(l.Verb)
		case consent.FactRevoked:
			q.Revoked = true
		}
	})
	out := make([]consent.Remains, len(order))
	for i, id := range order {
		out[i] = *all[id]
	}
	return out, err
}

// eachFact goes through the headers of all facts.
func (s *Store) eachFact(ctx context.Context, each func(p place, l *label, seq uint64)) error {
	for after, more := uint64(0), true; more; {
		var batch []message
		var err error
		if batch, more, err = s.batchAfter(ctx, streamConsent, after, batchMax); err != nil {
			return fmt.Errorf("reading the facts: %w", err)
		}
		for _, m := range batch {
			after = m.seq
			p, err := s.names.parseFact(m.subject)
			if err != nil {
				continue
			}
			if l, err := parseLabel(m.label); err == nil {
				each(p, &l, m.seq)
			}
		}
		if len(batch) == 0 {
			return nil
		}
	}
	return nil
}

// Finish begins the new epoch: what is there now is what is expected from now on.
func (r *Repair) Finish(ctx context.Context) error {
	if r.in.Repair == nil {
		return nil
	}
	r.epoch = r.in.Repair.Epoch
	marks, err := r.marks(ctx)
	if err != nil {
		return err
	}
	if err := r.writeHeads(ctx, marks); err != nil {
		return err
	}
	r.in.Epoch = r.epoch
	for _, l := range r.in.Repair.Losses.ranges() {
		r.in.Lost = r.in.Lost.add(l)
	}
	r.in.Repair = nil
	return r.save(ctx)
}

// marks are the ends of all streams as they are.
func (s *Store) marks(ctx context.Context) (map[string]mark, error) {
	out := map[string]mark{}
	for _, name := range s.names.kept() {
		label := s.names.label(name)
		stream, err := s.js.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("looking at %s: %w", name, err)
		}
		there := stream.CachedInfo().State
		m := mark{Seq: there.LastSeq}
		last, err := stream.GetMsg(ctx, there.LastSeq)
		if err == nil {
			m.Sum = sumOf(last.Data)
		} else if there.LastSeq > 0 && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, fmt.Errorf("looking at %s: %w", name, err)
		}
		if onlyMore[label] {
			m.Entries = there.NumSubjects
		}
		if m.Seq > 0 {
			out[label] = m
		}
	}
	return out, nil
}

// writeHeads writes what is expected from now on to everywhere.
func (r *Repair) writeHeads(ctx context.Context, marks map[string]mark) error {
	data, err := json.Marshal(publishedHead{V: 1, Instance: r.instance, Epoch: r.epoch, Release: r.cfg.Release, At: r.cfg.Now().UTC(), Streams: marks})
	if err != nil {
		return fmt.Errorf("encoding the head: %w", err)
	}
	if r.kv != nil {
		if _, err := r.kv.Put(ctx, keyHead, data); err != nil {
			return fmt.Errorf("writing the head: %w", err)
		}
	} else {
		if err := os.Remove(filepath.Join(r.cfg.Dir, snapshotFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the copy of the index: %w", err)
		}
		all := maps.Clone(marks)
		all[headEpoch] = mark{Seq: uint64(r.epoch)}
		h, err := newHead(r.cfg.Dir, all, r.lose, &r.health)
		if err != nil {
			return err
		}
		if err := errors.Join(h.file.Sync(), h.file.Close()); err != nil {
			return fmt.Errorf("writing the head: %w", err)
		}
	}
	if r.cfg.Witness == "" {
		return nil
	}
	if err := writeWhole(r.cfg.Witness, data); err != nil {
		return fmt.Errorf("writing the witness: %w", err)
	}
	return nil
}
