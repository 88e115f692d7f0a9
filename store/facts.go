package store

import (
	"bytes"
	"context"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"ringback/consent"
)

// sealFact encrypts a fact and, beside it, the bearers of a request.
func sealFact(aead cipher.AEAD, subject, header string, fact, bearers []byte) []byte {
	plain := make([]byte, 4, 4+len(fact)+len(bearers))
	binary.BigEndian.PutUint32(plain, uint32(len(fact)))
	plain = append(plain, fact...)
	plain = append(plain, bearers...)
	return sealValue(aead, subject+"\n"+header, plain)
}

// openFact is the inverse of sealFact.
func openFact(aead cipher.AEAD, subject, header string, sealed []byte) (fact, bearers []byte, err error) {
	plain, err := openValue(aead, subject+"\n"+header, sealed)
	if err != nil {
		return nil, nil, err
	}
	if len(plain) < 4 || uint64(binary.BigEndian.Uint32(plain)) > uint64(len(plain)-4) {
		return nil, nil, errDamaged
	}
	end := 4 + binary.BigEndian.Uint32(plain)
	return plain[4:end:end], plain[end:], nil
}

// encodeFact returns a fact's JSON. What clients wrote keeps its bytes: "<" is
// not escaped.
func encodeFact(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// errNonce is returned for a fact that could not tell its own repetition from
// another writer.
var errNonce = errors.New("a fact without a nonce")

// put writes a fact about req. It returns a *takenError with the stored fact
// when another one is there already; the repetition of a write whose
// acknowledgement was lost is no other one.
func (s *Store) put(ctx context.Context, req *consent.Request, p place, l label, v any) error {
	f, err := s.draft(ctx, req, p, l, v)
	if err != nil {
		return err
	}
	s.recent.writing(p.ID)
	defer s.recent.written(p.ID)
	_, err = s.commit.write(ctx, f.write)
	return s.concluded(ctx, f, err)
}

// draft is a fact on its way to the stream, and what memory is told of it.
type draft struct {
	*write
	req   *consent.Request
	place place
	label label
	value any
}

// draft encodes and encrypts a fact.
func (s *Store) draft(ctx context.Context, req *consent.Request, p place, l label, v any) (*draft, error) {
	if numbered[p.Kind] != (p.N > 0) {
		return nil, fmt.Errorf("writing %s: number %d", p.Kind, p.N)
	}
	if s.closing.Load() {
		return nil, fmt.Errorf("writing %s: the store is stopping: %w", p.Kind, consent.ErrUnavailable)
	}
	if err := s.health.frozen(); err != nil {
		return nil, fmt.Errorf("writing %s: %w", p.Kind, err)
	}
	fact, err := encodeFact(v)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", p.Kind, err)
	}
	var bearers []byte
	if p.Kind == consent.FactAsked {
		if bearers, err = json.Marshal(req.Bearers); err != nil {
			return nil, fmt.Errorf("encoding %s: %w", p.Kind, err)
		}
	}
	aead, err := s.dataKey(ctx, req.Pseudonym, p.Kind == consent.FactAsked)
	if err != nil {
		return nil, err
	}
	l.V, l.Pseudonym, l.Expires, l.Writer = consent.Version, req.Pseudonym, req.ExpiresAt, s.writer
	subject, header := s.names.fact(p), l.String()
	payload := sealFact(aead, subject, header, fact, bearers)
	if n := len(header) + len(payload); n > maxFact-overhead {
		return nil, fmt.Errorf("writing %s: %d bytes, and a fact has at most %d", p.Kind, n, maxFact-overhead)
	}
	if len(header) > maxHeader {
		return nil, fmt.Errorf("writing %s: a header of %d bytes, and it has at most %d: use a shorter client_id", p.Kind, len(header), maxHeader)
	}
	f := &draft{newWrite(subject, header, payload), req, p, l, v}
	f.fact = f
	return f, nil
}

// remember takes a fact into memory that is durable now: before anybody is
// woken by the index, what it wakes them for.
func (s *Store) remember(f *draft, seq uint64) {
	s.health.grew(len(f.subject) + len(f.header) + len(f.payload))
	s.recent.add(f.place, f.req, f.value, seq)
	s.index.apply(f.place, &f.label, seq)
	if s.exclusive {
		s.feed.add(message{subject: f.subject, label: f.header, data: f.payload, seq: seq, at: s.cfg.Now().UTC()})
	}
}

// concluded says what became of a write.
func (s *Store) concluded(ctx context.Context, f *draft, err error) error {
	id := f.place.ID
	if errors.Is(err, errSecond) {
		found, e := s.stored(ctx, f.subject)
		switch {
		case e != nil:
			err = e
		case bytes.Equal(found.data, f.payload):
			s.remember(f, found.seq)
			err = nil
		default:
			s.recent.drop(id)
			return &takenError{found}
		}
	}
	if err != nil {
		s.recent.lost(id)
		if s.exclusive {
			s.feed.miss()
		}
	}
	return err
}

// takenError is returned by put for a fact that somebody else wrote first.
type takenError struct{ found message }

func (*takenError) Error() string { return "somebody else wrote this fact" }

// stored reads the message of a subject that is known to have one.
func (s *Store) stored(ctx context.Context, subject string) (message, error) {
	m, err := s.lastMessage(ctx, streamConsent, subject)
	if err != nil {
		return m, fmt.Errorf("reading the fact that is there: %w", err)
	}
	return m, nil
}

// decode reads a stored fact into v and returns its bearers.
func (s *Store) decode(ctx context.Context, m message, v any) (bearers []byte, err error) {
	l, err := parseLabel(m.label)
	if err != nil {
		return nil, err
	}
	aead, err := s.dataKey(ctx, l.Pseudonym, false)
	if err != nil {
		return nil, err
	}
	fact, bearers, err := openFact(aead, m.subject, m.label, m.data)
	if err != nil {
		return nil, fmt.Errorf("reading fact %d: %w", m.seq, err)
	}
	var version struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(fact, &version); err != nil {
		return nil, fmt.Errorf("reading fact %d: %w", m.seq, err)
	}
	if version.V != consent.Version {
		return nil, fmt.Errorf("reading fact %d: version %d: %w", m.seq, version.V, errVersion)
	}
	if err := json.Unmarshal(fact, v); err != nil {
		return nil, fmt.Errorf("reading fact %d: %w", m.seq, err)
	}
	return bearers, nil
}

// Same implements consent.Store: a MAC, so that the index tells nobody what
// is asked.
func (s *Store) Same(req *consent.Request) (tag [8]byte) {
	// JSON keeps the parts apart; it cannot fail for strings.
	text, _ := json.Marshal([]any{req.Client.ID, req.Pseudonym, req.Scope, req.Resource, string(req.Details)})
	copy(tag[:], s.cfg.Vault.MAC("same", string(text)))
	return tag
}

// Ask implements consent.Store.
func (s *Store) Ask(ctx context.Context, req *consent.Request) error {
	if req.V != consent.Version || req.Pseudonym != s.Pseudonym(req.Approver) {
		return errors.New("asking: the request names another version or another pseudonym than its approver's")
	}
	if err := s.room(ctx); err != nil {
		return err
	}
	if s.cfg.Sealing != nil {
		if err := s.cfg.Sealing(); err != nil {
			return fmt.Errorf("asking: %w: %w", err, consent.ErrUnavailable)
		}
	}
	digest, err := req.AskedDigest()
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	err = s.put(ctx, req, place{ID: req.ID, Kind: consent.FactAsked}, label{
		At: req.AskedAt, Client: req.Client.ID, Group: req.Client.Group,
		Interval: req.Interval, Same: s.Same(req), Binding: req.Binding.Tag(), Mode: req.Mode, Digest: digest,
	}, req)
	var taken *takenError
	if errors.As(err, &taken) {
		// Only the same door asking again with the same id gets here.
		var there consent.Request
		if _, err := s.decode(ctx, taken.found, &there); err != nil {
			return err
		}
		if there.Client.ID != req.Client.ID || there.Approver != req.Approver {
			return fmt.Errorf("asking: %w", consent.ErrClaimed)
		}
		return nil
	}
	return err
}

// Try implements consent.Store.
func (s *Store) Try(ctx context.Context, id consent.ID, a consent.Attempt) error {
	st, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	if st.Decided == nil && !s.exclusive {
		err = s.undecided(ctx, id)
	} else if st.Decided != nil {
		err = consent.ErrDecided
	}
	if err != nil {
		return err
	}
	return claimed(s.put(ctx, st.Request, place{id, consent.FactTried, a.N}, label{At: a.At}, a))
}

// Conclude implements consent.Store.
func (s *Store) Conclude(ctx context.Context, id consent.ID, o consent.Outcome) error {
	return s.follows(ctx, place{id, consent.FactOutcome, o.N}, label{At: o.At}, o)
}

// Report implements consent.Store.
func (s *Store) Report(ctx context.Context, id consent.ID, r consent.Receipt) error {
	return s.follows(ctx, place{id, consent.FactReceipt, r.N}, label{At: r.At}, r)
}

// Renew implements consent.Store.
func (s *Store) Renew(ctx context.Context, id consent.ID, r consent.Renewal) error {
	if r.Nonce == "" {
		return errNonce
	}
	st, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	var won consent.Renewal
	if i := slices.IndexFunc(st.Renewals, func(there consent.Renewal) bool { return there.N == r.N }); i >= 0 {
		won = st.Renewals[i] // whoever has an old token must not cost others a batch
	} else {
		err := s.put(ctx, st.Request, place{id, consent.FactRenewed, r.N}, label{At: r.At}, r)
		var taken *takenError
		if !errors.As(err, &taken) {
			return err
		}
		if _, err := s.decode(ctx, taken.found, &won); err != nil {
			return err
		}
	}
	if won.Nonce == r.Nonce {
		return nil
	}
	return consent.ErrClaimed
}

// Revoke implements consent.Store.
func (s *Store) Revoke(ctx context.Context, id consent.ID, r consent.Revocation) error {
	return s.follows(ctx, place{ID: id, Kind: consent.FactRevoked}, label{At: r.At}, r)
}

// Claim implements consent.Store.
func (s *Store) Claim(ctx context.Context, id consent.ID, n consent.Notice) error {
	st, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	return claimed(s.put(ctx, st.Request, place{id, consent.FactNotice, n.N}, label{At: n.At}, n))
}

// Notified implements consent.Store.
func (s *Store) Notified(ctx context.Context, id consent.ID, n consent.Notified) error {
	l := label{At: n.At}
	if !n.Done {
		l.Verb = verbAgain
	}
	return s.follows(ctx, place{id, consent.FactNotified, n.N}, l, n)
}

// follows writes a fact of which only the first counts.
func (s *Store) follows(ctx context.Context, p place, l label, v any) error {
	st, err := s.Get(ctx, p.ID)
	if err != nil {
		return err
	}
	err = s.put(ctx, st.Request, p, l, v)
	if taken := (*takenError)(nil); errors.As(err, &taken) {
		return nil
	}
	return err
}

// claimed turns a lost race into the word that callers branch on.
func claimed(err error) error {
	if taken := (*takenError)(nil); errors.As(err, &taken) {
		return consent.ErrClaimed
	}
	return err
}
