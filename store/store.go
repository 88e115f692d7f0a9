// Package store keeps facts in JetStream: the stream is the record, the
// history and the queue at once.
package store

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// Vault is the cryptography that the store needs but does not own. keys.Vault
// implements it.
type Vault interface {
	Fingerprint() string           // of the root key, for instance.json
	JetStreamKey() string          // encryption at rest of the embedded server
	MAC(label, data string) []byte // 32 bytes, keyed from the root; label "pseudonym" never rotates
	Wrap(key []byte, pseudonym string) ([]byte, error)
	Unwrap(wrapped []byte, pseudonym string) ([]byte, error)
}

// Config is what a Store needs.
type Config struct {
	Dir          string                          // data directory of the embedded server; empty when URL is set
	URL          string                          // external NATS server; empty: embedded
	Creds        string                          // credentials file for URL; empty: none
	Monitor      string                          // monitoring address of the external server ("http://host:8222"), where varz is read
	AssumeSynced bool                            // the operator vouches that the external server syncs every write
	Prefix       string                          // of streams, buckets, durables and subjects; default "ringback"
	MaxBytes     int64                           // size at which the fact stream is full; read by Init only; default 8 GiB
	Dev          bool                            // a store made by --dev is only opened with it, and the other way round
	Vault        Vault                           // required
	OnEvent      func(consent.Event)             // called in order for every fact; must not block; may be nil
	OnCommit     func(n int, took time.Duration) // called after each durable write of n facts; must not block; may be nil
	Sealed       func(ctx context.Context) error // asked before each Ask: an error refuses it (sealing lags); may be nil
	Now          func() time.Time                // required
	Log          *slog.Logger                    // required
}

// Store implements consent.Store and consent.Directory.
type Store struct {
	cfg   Config
	log   *slog.Logger
	names names
	nc    *nats.Conn
	js    jetstream.JetStream
	srv   *server.Server // nil when external
	lock  *os.File       // nil when external
}

// Init makes instance, streams and buckets; it refuses where an instance is.
func Init(ctx context.Context, cfg Config) error { return nil }

// Open opens an initialised store and starts following its facts.
func Open(ctx context.Context, cfg Config) (*Store, error) { return nil, nil }

// Ready reports whether every fact stored before Open has been seen.
func (s *Store) Ready() bool { return false }

// Close drains and stops.
func (s *Store) Close(ctx context.Context) error { return nil }

// Fill returns how full the fact stream is, 0 to 1.
func (s *Store) Fill() float64 { return 0 }

// Filter chooses requests for [Store.Requests].
type Filter struct {
	Stuck  bool           // an attempt without an outcome for more than 60 s
	Client string         // client id; empty: any
	Status consent.Status // empty: any
}

// Requests lists the requests in memory (open ones and those that ended within
// a day), oldest first, at most limit of them after the cursor.
func (s *Store) Requests(ctx context.Context, f Filter, after string, limit int) (list []*consent.State, next string, err error) {
	return nil, "", nil
}

func (s *Store) Ask(ctx context.Context, req *consent.Request) error                  { return nil }
func (s *Store) Get(ctx context.Context, id consent.ID) (*consent.State, error)       { return nil, nil }
func (s *Store) Peek(id consent.ID) (consent.Brief, bool)                             { return consent.Brief{}, false }
func (s *Store) Wait(ctx context.Context, id consent.ID) error                        { return nil }
func (s *Store) Try(ctx context.Context, id consent.ID, a consent.Attempt) error      { return nil }
func (s *Store) Conclude(ctx context.Context, id consent.ID, o consent.Outcome) error { return nil }
func (s *Store) Report(ctx context.Context, id consent.ID, r consent.Receipt) error   { return nil }
func (s *Store) Miss(ctx context.Context, id consent.ID, m consent.Miss) (int, error) { return 0, nil }
func (s *Store) Decide(ctx context.Context, id consent.ID, d consent.Decision) (consent.Decision, error) {
	return d, nil
}
func (s *Store) Settle(ctx context.Context, id consent.ID, st consent.Settlement) (consent.Settlement, error) {
	return st, nil
}
func (s *Store) Revoke(ctx context.Context, id consent.ID, r consent.Revocation) error { return nil }
func (s *Store) Claim(ctx context.Context, id consent.ID, n consent.Notice) error      { return nil }
func (s *Store) Notified(ctx context.Context, id consent.ID, n consent.Notified) error { return nil }
func (s *Store) History(p consent.Pseudonym) consent.History                           { return consent.History{} }

func (s *Store) Same(req *consent.Request) [8]byte { return [8]byte{} }

// What the directory half provides and this half calls:
//
//	func (s *Store) openDirectory(ctx context.Context) error // once js is set: opens buckets, starts watchers
//	func (s *Store) closeDirectory()
//	func (s *Store) dataKey(ctx context.Context, p consent.Pseudonym, create bool) (cipher.AEAD, error)
//	func (s *Store) frozen(p consent.Pseudonym) map[string]time.Time // from memory, for History
//
// What this half provides: names, bucket and createVolatile of streams.go.
