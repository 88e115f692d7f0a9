package store

import (
	"cmp"
	"context"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// Append adds a record to the sealed chain if the last one has sequence after
// (0: there is none), and returns its sequence, which is after+1.
// consent.ErrClaimed when the chain is longer: another auditor was faster, or
// an earlier call of ours succeeded without our seeing it.
func (s *Store) Append(ctx context.Context, record []byte, after uint64) (uint64, error) {
	ack, err := s.publish(ctx, streamAudit, &nats.Msg{Subject: s.names.subject("audit"), Data: record},
		jetstream.WithExpectLastSequence(after))
	if isOvertaken(err) {
		return 0, fmt.Errorf("sealing: %w", consent.ErrClaimed)
	}
	if err != nil {
		return 0, fmt.Errorf("sealing: %w", err)
	}
	return ack.Sequence, nil
}

// LastRecord returns the newest record of the chain, as its leader has it;
// false if there is none.
func (s *Store) LastRecord(ctx context.Context) (consent.StoredRecord, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	m, err := s.leaderMessage(ctx, s.names.stream(streamAudit), s.names.subject("audit"))
	if errors.Is(err, consent.ErrNotFound) {
		return consent.StoredRecord{}, false, nil
	}
	if err != nil {
		return consent.StoredRecord{}, false, fmt.Errorf("reading the last record: %w", err)
	}
	return consent.StoredRecord{Seq: m.seq, At: m.at, Data: m.data}, true, nil
}

// Records returns at most limit records of the chain with a sequence above
// after, fewer only if there are no more. The first has another sequence than
// after+1 when older ones have aged out.
func (s *Store) Records(ctx context.Context, after uint64, limit int) ([]consent.StoredRecord, error) {
	messages, err := s.messagesAfter(ctx, streamAudit, after, limit)
	if err != nil {
		return nil, err
	}
	out := make([]consent.StoredRecord, len(messages))
	for i, m := range messages {
		out[i] = consent.StoredRecord{Seq: m.seq, At: m.at, Data: m.data}
	}
	return out, nil
}

// PutEvidence keeps data for one request, under the person's data key and at
// most once: it is no error when there is some already. ErrErased when the
// person was erased.
func (s *Store) PutEvidence(ctx context.Context, p consent.Pseudonym, id consent.ID, data []byte) error {
	aead, err := s.dataKey(ctx, p, false)
	if err != nil {
		return fmt.Errorf("keeping evidence: %w", err)
	}
	subject := s.names.subject("evidence", string(p), id.String())
	_, err = s.evidence.write(ctx, newWrite(subject, "", sealValue(aead, subject, data)))
	if err != nil && !errors.Is(err, errSecond) {
		return fmt.Errorf("keeping evidence: %w", err)
	}
	return nil
}

// Evidence returns at most limit pieces of evidence with a sequence above
// after, fewer only if there are no more.
func (s *Store) Evidence(ctx context.Context, after uint64, limit int) ([]consent.StoredEvidence, error) {
	messages, err := s.messagesAfter(ctx, streamEvidence, after, limit)
	if err != nil {
		return nil, err
	}
	prefix := s.names.subject("evidence") + "."
	keys := s.newKeyReader()
	out := make([]consent.StoredEvidence, len(messages))
	for i, m := range messages {
		owner, name, _ := strings.Cut(strings.TrimPrefix(m.subject, prefix), ".")
		e := consent.StoredEvidence{Seq: m.seq, At: m.at, Pseudonym: consent.Pseudonym(owner)}
		if e.ID, err = consent.ParseID(name); err == nil {
			e.Data, e.Erased, err = keys.open(ctx, e.Pseudonym, m, func(k cipher.AEAD) ([]byte, error) {
				return openValue(k, m.subject, m.data)
			})
			if err != nil {
				return nil, err
			}
		}
		if e.Data == nil {
			e.Unreadable, e.Stored = true, sha256.Sum256(m.data)
		}
		out[i] = e
	}
	return out, nil
}

// Facts returns at most limit facts with a sequence above after, fewer only if
// there are no more, in the order in which they were stored. A message that
// is no fact of this person or none at all is returned as unreadable, so that
// the chain names it.
func (s *Store) Facts(ctx context.Context, after uint64, limit int) ([]consent.StoredFact, error) {
	var kept []message
	for {
		messages, err := s.factsAfter(ctx, after, limit-len(kept))
		if err != nil {
			return nil, err
		}
		all := len(messages) < limit-len(kept)
		for _, m := range messages {
			if after = m.seq; !s.names.isFiller(m.subject) {
				kept = append(kept, m)
			}
		}
		if all || len(kept) == limit {
			return s.storedFacts(ctx, kept)
		}
	}
}

// factsAfter returns at most limit messages of the stream of facts.
func (s *Store) factsAfter(ctx context.Context, after uint64, limit int) ([]message, error) {
	messages := s.tail.after(after, limit)
	if n := len(messages); n > 0 {
		after = messages[n-1].seq
	}
	if len(messages) < limit { // some may not have come to the follower yet
		rest, err := s.messagesAfter(ctx, streamConsent, after, limit-len(messages))
		if err != nil {
			return nil, err
		}
		messages = append(messages, rest...)
	}
	return messages, nil
}

// FactsOf returns every fact of these requests, in the order in which they were
// stored.
func (s *Store) FactsOf(ctx context.Context, ids ...consent.ID) ([]consent.StoredFact, error) {
	messages, err := s.messagesOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(messages, func(a, b message) int { return cmp.Compare(a.seq, b.seq) })
	return s.storedFacts(ctx, messages)
}

// readTogether is the number of requests that are read in one go: most have few
// facts, and the server answers a read with so many at most.
const readTogether = batchMax / 8

// messagesOf reads the facts of requests, of many together where they fit.
func (s *Store) messagesOf(ctx context.Context, ids []consent.ID) (out []message, err error) {
	for chunk := range slices.Chunk(ids, readTogether) {
		filters := make([]string, len(chunk))
		for i, id := range chunk {
			filters[i] = s.names.facts(id)
		}
		messages, err := s.reader.latest(ctx, filters...)
		if errors.Is(err, errTooMany) && len(chunk) > 1 {
			half := len(chunk) / 2
			var more []message
			if messages, err = s.messagesOf(ctx, chunk[:half]); err == nil {
				more, err = s.messagesOf(ctx, chunk[half:])
			}
			messages = append(messages, more...)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, messages...)
	}
	return out, nil
}

// storedFacts decrypts facts for the auditor.
func (s *Store) storedFacts(ctx context.Context, messages []message) ([]consent.StoredFact, error) {
	keys := s.newKeyReader()
	out := make([]consent.StoredFact, len(messages))
	for i, m := range messages {
		f := consent.StoredFact{Seq: m.seq, At: m.at}
		place, err := s.names.parseFact(m.subject)
		if err == nil {
			f.ID, f.Kind, f.N = place.ID, place.Kind, place.N
			l, err := parseLabel(m.label)
			if err == nil || errors.Is(err, errVersion) { // a later release's can be sealed all the same
				f.Untold = err == nil && s.untold(place, &l, m.seq)
				if isPseudonym(l.Pseudonym) { // the chain has no room for what somebody else wrote
					f.Pseudonym = l.Pseudonym
				}
				f.Data, f.Erased, err = keys.open(ctx, l.Pseudonym, m, func(k cipher.AEAD) ([]byte, error) {
					fact, _, err := openFact(k, m.subject, m.label, m.data)
					return fact, err
				})
				if err != nil {
					return nil, err
				}
			}
		}
		if f.Data == nil {
			f.Unreadable, f.Stored = true, sha256.Sum256(m.data)
		}
		out[i] = f
	}
	return out, nil
}

// untold reports whether a fact is the expiry of a request that memory, which has
// seen every fact before it, knows nobody was told of.
func (s *Store) untold(p place, l *label, seq uint64) bool {
	if p.Kind != consent.FactDecided || l.Verb != string(consent.Expired) || s.followed.Load() < seq {
		return false
	}
	b, known := s.Peek(p.ID)
	return known && b.Tried == 0
}

// keyReader remembers the keys of one batch, also those that are gone: many
// messages of one person cost one look.
type keyReader struct {
	s    *Store
	keys map[consent.Pseudonym]readKey
}

type readKey struct {
	aead   cipher.AEAD // nil if there is none to use
	erased bool
}

func (s *Store) newKeyReader() *keyReader { return &keyReader{s, map[consent.Pseudonym]readKey{}} }

// open decrypts m with the key of p. It returns nil without an error for what
// cannot be read, and whether that is so because the person was erased; an
// error means that the key could not be looked up now.
func (k *keyReader) open(ctx context.Context, p consent.Pseudonym, m message, decrypt func(cipher.AEAD) ([]byte, error)) (plain []byte, erased bool, err error) {
	if !isPseudonym(p) {
		return nil, false, nil
	}
	key, known := k.keys[p]
	if !known {
		key.aead, err = k.s.dataKey(ctx, p, false)
		switch {
		case errors.Is(err, consent.ErrNotFound):
			key.erased = true
		case err != nil && !errors.Is(err, errDamaged):
			return nil, false, err
		}
		k.keys[p] = key
	}
	if key.aead == nil {
		return nil, key.erased, nil
	}
	if plain, err = decrypt(key.aead); err == nil {
		return plain, false, nil
	}
	// A person who was erased and added anew has a younger key.
	made, err := k.s.lastMessage(ctx, streamDEK, k.s.names.subject("dek", string(p)))
	if err != nil && !errors.Is(err, consent.ErrNotFound) {
		return nil, false, err
	}
	return nil, err != nil || m.at.Before(made.at), nil
}

// isPseudonym reports whether p has the form of a pseudonym, so that it is
// one token of a subject.
func isPseudonym(p consent.Pseudonym) bool {
	raw, err := lower32.DecodeString(string(p))
	return err == nil && len(raw) == 10
}
