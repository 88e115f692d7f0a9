// Package store keeps facts in JetStream: the stream is the record, the
// history and the queue at once.
package store

import (
	"crypto/cipher"
	"log/slog"
	"time"

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
	Dir          string              // data directory of the embedded server; empty when URL is set
	URL          string              // external NATS server; empty: embedded
	Creds        string              // credentials file for URL
	Monitor      string              // monitoring address of the external server, where varz is read
	AssumeSynced bool                // the operator vouches that the external server syncs every write
	Prefix       string              // of streams, buckets, durables and subjects; default "ringback"
	Dev          bool                // a store made by --dev is only opened with it, and the other way round
	Vault        Vault               // required
	OnEvent      func(consent.Event) // called in order for every fact; must not block; may be nil
	Now          func() time.Time    // required
	Log          *slog.Logger        // required
}

// Store implements consent.Store and consent.Directory.
type Store struct {
	cfg Config
	nc  *nats.Conn
	js  jetstream.JetStream
	log *slog.Logger
	dek cipher.AEAD // placeholder until dek.go holds the cache
}
