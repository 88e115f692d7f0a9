package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

const (
	// needed is how long facts are needed: no request lives longer. Those that
	// are gone sooner are lost.
	needed = 48 * time.Hour
	// sealedAgain is how many of the newest sealed facts are held against the
	// chain.
	sealedAgain = 256
	// namedMost is how many requests an error names.
	namedMost = 20
)

// writtenOnce are the streams of which nothing is ever removed but by age.
var writtenOnce = map[string]time.Duration{streamConsent: factAge, streamAudit: consent.LegalPeriod, streamEvidence: consent.LegalPeriod, streamSeen: seenAge}

// onlyMore are the buckets whose keys stay for ever: a removal is an entry.
var onlyMore = map[string]bool{"KV_" + bucketPeople: true, "KV_" + bucketClients: true, "KV_" + bucketKeys: true}

// compareStreams holds what is stored against what was acknowledged. The error is
// a *consent.LostError where something is gone.
func (s *Store) compareStreams(ctx context.Context, expected expectations) error {
	var losses []consent.Loss
	for _, stream := range s.names.kept() {
		label := s.names.label(stream)
		found, err := s.compareStream(ctx, stream, label, expected[label])
		if err != nil {
			return fmt.Errorf("looking for what is lost: %w", err)
		}
		for _, l := range found {
			if !slices.Contains(losses, l) {
				losses = append(losses, l)
			}
		}
	}
	if len(losses) > 0 {
		return s.isLost(s.lostError(ctx, losses))
	}
	return nil
}

// compareChain holds the facts against what is sealed of them.
func (s *Store) compareChain(ctx context.Context) error {
	losses, err := s.unlikeChain(ctx)
	if err != nil {
		return fmt.Errorf("looking for what is lost: %w", err)
	}
	if len(losses) > 0 {
		return s.isLost(s.lostError(ctx, losses))
	}
	return nil
}

// lose says that something is lost, from now until the program ends: nothing is
// written any more. It returns what was lost first.
func (s *Store) lose(losses ...consent.Loss) error {
	return s.isLost(&consent.LostError{Where: s.cfg.where(), Losses: losses})
}

func (s *Store) isLost(err error) error {
	if s.losing != nil && s.losing.take(err) {
		return nil
	}
	if s.health.lost.CompareAndSwap(nil, &err) {
		if s.head != nil {
			s.head.again() // so that others know what was there
		}
		s.log.LogAttrs(context.Background(), slog.LevelError, "facts are lost, nothing is served any more", slog.Any("err", err))
	}
	return s.health.gone()
}

// compareStream holds one stream against its marks.
func (s *Store) compareStream(ctx context.Context, stream, label string, marks []mark) (losses []consent.Loss, err error) {
	handle, err := s.js.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	there := handle.CachedInfo().State
	age, once := writtenOnce[label]
	known := s.gone()
	if l, holes := holesIn(label, there, known); holes && s.losing == nil { // a repair looks which ones
		losses = append(losses, l)
	}
	if once && there.FirstSeq > 1 && s.cfg.Now().Sub(s.created) < age && !known.covers(label, 1, there.FirstSeq-1) {
		losses = append(losses, consent.Loss{Stream: label, From: 1, To: there.FirstSeq - 1, Why: "they are gone before their time"})
	}
	for _, m := range marks {
		if m.Entries > there.NumSubjects {
			losses = append(losses, consent.Loss{Stream: label, Why: fmt.Sprintf("of %d entries %d are there", m.Entries, there.NumSubjects)})
		}
		switch {
		case m.Seq > there.LastSeq:
			losses = append(losses, consent.Loss{Stream: label, From: there.LastSeq + 1, To: m.Seq, Why: "they were acknowledged and are not there"})
		case m.Seq < there.FirstSeq || m.Sum == "" || known.covers(label, m.Seq, m.Seq):
		default:
			same, err := s.holds(ctx, handle, m, once || onlyMore[label] && m.Seq == there.LastSeq)
			if err != nil {
				return nil, err
			}
			if !same {
				losses = append(losses, consent.Loss{Stream: label, From: m.Seq, To: there.LastSeq, Why: "another message stands where one was acknowledged"})
			}
		}
	}
	return losses, nil
}

// holesIn returns what the server itself says is missing in between of a stream
// that is written once.
func holesIn(label string, there jetstream.StreamState, known declared) (l consent.Loss, holes bool) {
	_, once := writtenOnce[label]
	if !once || there.LastSeq == 0 || uint64(there.NumDeleted) <= known.count(label, there.FirstSeq, there.LastSeq) { // one that was never written to reports one
		return l, false
	}
	return consent.Loss{Stream: label, From: there.FirstSeq, To: there.LastSeq, Why: fmt.Sprintf("%d in between are gone", there.NumDeleted)}, true
}

// holds reports whether the message of a mark is as it was. Unless it stays there
// it may have been removed since.
func (s *Store) holds(ctx context.Context, stream jetstream.Stream, m mark, stays bool) (bool, error) {
	msg, err := stream.GetMsg(ctx, m.Seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return !stays, nil
	}
	if err != nil {
		return false, err
	}
	return sumOf(msg.Data) == m.Sum, nil
}

// sealedRecord is what of a record of the chain matters here. The chain's form is
// audit's; these members have stood in it since the first release.
type sealedRecord struct {
	Sealed uint64    `json:"sealed"`
	At     time.Time `json:"at"`
	Facts  []struct {
		Seq        uint64         `json:"seq"`
		Request    consent.ID     `json:"request"`
		SHA256     consent.Digest `json:"sha256"`
		Unreadable string         `json:"unreadable"`
	} `json:"facts"`
}

// unlikeChain lists what is not as it was sealed.
func (s *Store) unlikeChain(ctx context.Context) ([]consent.Loss, error) {
	last, ok, err := s.LastRecord(ctx)
	if err != nil || !ok {
		return nil, err
	}
	facts, err := s.js.Stream(ctx, s.names.stream(streamConsent))
	if err != nil {
		return nil, err
	}
	there := facts.CachedInfo().State
	var r sealedRecord
	if err := json.Unmarshal(last.Data, &r); err != nil {
		return []consent.Loss{{Stream: streamAudit, From: last.Seq, To: last.Seq, Why: "the last record cannot be read"}}, nil
	}
	if r.Sealed > there.LastSeq {
		return []consent.Loss{{Stream: streamConsent, From: there.LastSeq + 1, To: r.Sealed, Why: "they were sealed and are not there"}}, nil
	}
	if there.FirstSeq > 1 && !s.gone().covers(streamConsent, there.FirstSeq-1, there.FirstSeq-1) {
		before, err := s.recordBefore(ctx, there.FirstSeq-1, last.Seq)
		if err != nil {
			return nil, err
		}
		gone, found, err := s.record(ctx, before+1)
		if err != nil {
			return nil, err
		}
		if found && s.cfg.Now().Sub(gone.At) < needed {
			return []consent.Loss{{Stream: streamConsent, To: there.FirstSeq - 1, From: 1, Why: "they are gone before their time"}}, nil
		}
	}
	return s.compareSealed(ctx, last.Seq, there.FirstSeq)
}

// readable refuses a store whose newest facts are of a later release: what they
// settle would be settled again.
func (s *Store) readable(ctx context.Context) error {
	stream, err := s.js.Stream(ctx, s.names.stream(streamConsent))
	if err != nil {
		return fmt.Errorf("looking at the newest facts: %w", err)
	}
	last := stream.CachedInfo().State.LastSeq
	facts, err := s.Facts(ctx, last-min(last, sealedAgain), sealedAgain)
	if err != nil {
		return fmt.Errorf("looking at the newest facts: %w", err)
	}
	for _, f := range facts {
		var version struct{ V int }
		if json.Unmarshal(f.Data, &version) == nil && version.V > consent.Version {
			by := "a later release"
			if s.release != "" {
				by = "release " + s.release + " or a later one"
			}
			return fmt.Errorf("opening %s: %w: its facts are of format %d, this program knows up to %d: use %s", s.cfg.where(), ErrNewer, version.V, consent.Version, by)
		}
	}
	return nil
}

// compareSealed holds the newest sealed facts against their digests.
func (s *Store) compareSealed(ctx context.Context, last, first uint64) (losses []consent.Loss, err error) {
	want, known := map[uint64]consent.Digest{}, s.gone()
	least := uint64(0)
	for seq := last; seq > 0 && (len(want) < sealedAgain || s.losing != nil); seq-- {
		r, found, err := s.record(ctx, seq)
		if err != nil {
			return nil, err
		}
		if !found && !known.covers(streamAudit, seq, seq) {
			break
		}
		for _, f := range r.Facts {
			if f.Seq >= first && f.Unreadable == "" && !known.covers(streamConsent, f.Seq, f.Seq) {
				want[f.Seq] = f.SHA256
			}
			if least == 0 || f.Seq < least {
				least = f.Seq
			}
		}
	}
	if len(want) == 0 {
		return nil, nil
	}
	for after := max(least, first) - 1; len(want) > 0; {
		facts, err := s.Facts(ctx, after, batchMax)
		if err != nil {
			return nil, err
		}
		if len(facts) == 0 {
			break
		}
		for _, f := range facts {
			sum, sealed := want[f.Seq]
			if sealed && !f.Erased && (f.Unreadable || sum != consent.Digest(sha256.Sum256(f.Data))) {
				losses = append(losses, consent.Loss{Stream: streamConsent, From: f.Seq, To: f.Seq, Why: "it is not the fact that was sealed"})
			}
			delete(want, f.Seq)
			after = f.Seq
		}
	}
	for seq := range want {
		losses = append(losses, consent.Loss{Stream: streamConsent, From: seq, To: seq, Why: "it was sealed and cannot be read"})
	}
	return losses, nil
}

// record reads one record of the chain.
func (s *Store) record(ctx context.Context, seq uint64) (r sealedRecord, found bool, err error) {
	list, err := s.Records(ctx, seq-1, 1)
	if err != nil || len(list) == 0 || list[0].Seq != seq {
		return r, false, err
	}
	return r, json.Unmarshal(list[0].Data, &r) == nil, nil
}

// recordBefore returns the sequence of the last record before the one that seals
// a fact.
func (s *Store) recordBefore(ctx context.Context, fact, last uint64) (uint64, error) {
	low, high := uint64(1), last
	for low < high {
		mid := (low + high) / 2
		at, err := s.Records(ctx, mid-1, 1) // the next one where it is lost
		if err != nil {
			return 0, err
		}
		var r sealedRecord
		if len(at) == 0 || json.Unmarshal(at[0].Data, &r) != nil || r.Sealed < fact {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low - 1, nil
}

// lostRequests gathers the requests of which the chain has sealed facts that are
// lost now.
type lostRequests struct {
	losses []consent.Loss // of facts
	ids    []consent.ID
	seen   map[consent.ID]bool
}

func newLostRequests(losses []consent.Loss) *lostRequests {
	l := &lostRequests{seen: map[consent.ID]bool{}}
	for _, loss := range losses {
		if loss.Stream == streamConsent && loss.From > 0 {
			l.losses = append(l.losses, loss)
		}
	}
	return l
}

// add takes a record of the chain.
func (l *lostRequests) add(data []byte) {
	var r sealedRecord
	if len(l.losses) == 0 || json.Unmarshal(data, &r) != nil {
		return
	}
	for _, f := range r.Facts {
		for _, loss := range l.losses {
			if f.Seq >= loss.From && f.Seq <= loss.To && !l.seen[f.Request] {
				l.seen[f.Request] = true
				l.ids = append(l.ids, f.Request)
			}
		}
	}
}

func (l *lostRequests) error(where string, losses []consent.Loss) error {
	e := &consent.LostError{Where: where, Losses: losses, More: max(0, len(l.ids)-namedMost)}
	for _, id := range l.ids[:min(len(l.ids), namedMost)] {
		e.Requests = append(e.Requests, id.String())
	}
	return e
}

// lostError names what is lost, and of which requests the chain says that it is.
func (s *Store) lostError(ctx context.Context, losses []consent.Loss) error {
	named := newLostRequests(losses)
	least := uint64(0)
	for _, loss := range named.losses {
		if least == 0 || loss.From < least {
			least = loss.From
		}
	}
	err := s.eachRecordFrom(ctx, least, named.add)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "the chain does not tell which requests are concerned", slog.Any("err", err))
	}
	return named.error(s.cfg.where(), losses)
}

// eachRecordFrom goes through the records of the chain that seal a fact or later
// ones.
func (s *Store) eachRecordFrom(ctx context.Context, fact uint64, each func(data []byte)) error {
	last, ok, err := s.LastRecord(ctx)
	if err != nil || !ok || fact == 0 {
		return err
	}
	after, err := s.recordBefore(ctx, fact, last.Seq)
	for err == nil && after < last.Seq {
		var list []consent.StoredRecord
		if list, err = s.Records(ctx, after, batchMax); len(list) == 0 {
			break
		}
		for _, r := range list {
			each(r.Data)
			after = r.Seq
		}
	}
	return err
}
