package store

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// replicas of every stream and bucket. One server; a cluster would keep three.
const replicas = 1

// factAge is how long the hot stream remembers a fact. The longest lifetime
// of a request stays 48 h below it, so that no fact outlives its asked.
const factAge = 96 * time.Hour

// seenAge is how long the store knows what it has seen. The signature on a
// provider's webhook has no time in it and is good for as long as the token
// that made it; tokens are to be changed more often than this. The server
// holds up to 300 bytes of memory for each.
const seenAge = 366 * 24 * time.Hour

// maxFact bounds one stored fact with its headers.
const maxFact = 32 << 10

// overhead is what names of headers, and those of a batch, take of it.
const overhead = 512

// Streams, by their name without prefix.
const (
	streamConsent  = "CONSENT"  // consent.<id>.<fact>: every fact, written once
	streamAudit    = "AUDIT"    // audit: the sealed chain
	streamEvidence = "EVIDENCE" // evidence.<pseudonym>.<id>: kept for the legal period
	streamJTI      = "JTI"      // jti.<sha256>: single use of assertions and proofs, in memory
	streamSeen     = "SEEN"     // seen.<sha256>: what must count once for ever
	streamDEK      = "DEK"      // dek.<pseudonym>: data key of a person, wrapped
	streamSlot     = "SLOT"     // slot.<pseudonym>: one visible prompt, in memory
	streamTurn     = "TURN"     // turn.<pseudonym>: who asks of several processes, in memory
	streamFreeze   = "FREEZE"   // freeze.<pseudonym>.<client>
)

// Buckets, by their name without prefix.
const (
	bucketPeople  = "PEOPLE"
	bucketDevices = "DEVICES"
	bucketClients = "CLIENTS"
	bucketPolicy  = "POLICY"
	bucketKeys    = "KEYS" // signing keys, wrapped
)

// layout lists what an instance consists of. Init creates all of it; Open
// wants all of it, and creates only what lives in memory.
func layout(maxBytes int64) ([]jetstream.StreamConfig, []jetstream.KeyValueConfig) {
	streams := []jetstream.StreamConfig{
		{
			// One message per subject and a refusal of the second make
			// "exactly one decision" a property of the stream.
			Name: streamConsent, Subjects: []string{"consent.*.>"},
			MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
			AllowDirect: true, AllowAtomicPublish: true,
			DenyDelete: true, DenyPurge: true,
			MaxAge: factAge, MaxMsgSize: maxFact, MaxBytes: maxBytes, Duplicates: time.Second,
		},
		{
			Name: streamAudit, Subjects: []string{"audit"},
			DenyDelete: true, DenyPurge: true, AllowDirect: true,
			Compression: jetstream.S2Compression, MaxAge: consent.LegalPeriod, Duplicates: time.Second,
		},
		{
			Name: streamEvidence, Subjects: []string{"evidence.*.*"},
			MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
			DenyDelete: true, DenyPurge: true,
			AllowDirect: true, AllowAtomicPublish: true, MaxAge: consent.LegalPeriod, Duplicates: time.Second, // what is sealed does not compress
		},
		{
			// The embedded store has no use for it: see uses.
			Name: streamJTI, Subjects: []string{"jti.*"}, Storage: jetstream.MemoryStorage,
			MaxMsgsPerSubject: 1, MaxMsgs: usesMost, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
			AllowDirect: true, AllowMsgTTL: true, MaxAge: onceFor, Duplicates: time.Second,
		},
		{
			Name: streamSeen, Subjects: []string{"seen.*"},
			MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
			DenyDelete: true, DenyPurge: true,
			AllowDirect: true, AllowAtomicPublish: true, MaxAge: seenAge, MaxMsgSize: 1 << 10, Duplicates: time.Second,
		},
		{
			// A bucket would deny the secure deletion that erasure rests on.
			// Written once: nobody replaces a person's key.
			Name: streamDEK, Subjects: []string{"dek.*"},
			MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
			AllowDirect: true, Duplicates: time.Second,
		},
		{
			// A bucket would deny giving back one revision and no other.
			Name: streamSlot, Subjects: []string{"slot.*"}, Storage: jetstream.MemoryStorage,
			MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
			AllowDirect: true, AllowMsgTTL: true, Duplicates: time.Second,
		},
		{
			Name: streamTurn, Subjects: []string{"turn.*"}, Storage: jetstream.MemoryStorage,
			MaxMsgsPerSubject: 1, AllowDirect: true, AllowMsgTTL: true, Duplicates: time.Second,
		},
		{
			Name: streamFreeze, Subjects: []string{"freeze.*.*"},
			MaxMsgsPerSubject: 1, AllowDirect: true, AllowMsgTTL: true, Duplicates: time.Second,
		},
	}
	buckets := []jetstream.KeyValueConfig{
		{Bucket: bucketPeople, History: 5},
		{Bucket: bucketDevices, History: 5},
		{Bucket: bucketClients, History: 5},
		{Bucket: bucketPolicy, History: 5},
		{Bucket: bucketKeys, History: 5},
	}
	return streams, buckets
}

// names turns logical names into those of this deployment.
type names struct{ prefix string }

var prefixForm = regexp.MustCompile(`^[A-Za-z0-9-]{1,32}$`)

func newNames(prefix string) (names, error) {
	if prefix == "" {
		prefix = "ringback"
	}
	if !prefixForm.MatchString(prefix) {
		return names{}, fmt.Errorf("prefix %q: use 1 to 32 letters, digits or hyphens", prefix)
	}
	return names{prefix}, nil
}

// stream is the prefixed name of a stream or bucket.
func (n names) stream(name string) string { return n.prefix + "_" + name }

// label is the name of a stream on the server without the prefix, full the
// inverse: a bucket's has another prefix before it.
func (n names) label(stream string) string { return strings.Replace(stream, n.prefix+"_", "", 1) }

func (n names) full(label string) string {
	if bucket, ok := strings.CutPrefix(label, "KV_"); ok {
		return "KV_" + n.stream(bucket)
	}
	return n.stream(label)
}

// subject joins tokens under the prefix.
func (n names) subject(tokens ...string) string {
	return n.prefix + "." + strings.Join(tokens, ".")
}

// bucket opens one of the buckets above.
func (s *Store) bucket(ctx context.Context, name string) (jetstream.KeyValue, error) {
	kv, err := s.js.KeyValue(ctx, s.names.stream(name))
	if err != nil {
		return nil, fmt.Errorf("opening bucket %s: %w", name, err)
	}
	return kv, nil
}

// configs is the layout under this deployment's names.
func (n names) configs(maxBytes int64) ([]jetstream.StreamConfig, []jetstream.KeyValueConfig) {
	streams, buckets := layout(maxBytes)
	for i := range streams {
		c := &streams[i]
		c.Name, c.Replicas = n.stream(c.Name), replicas
		for j, subject := range c.Subjects {
			c.Subjects[j] = n.subject(subject)
		}
	}
	for i := range buckets {
		buckets[i].Bucket, buckets[i].Replicas = n.stream(buckets[i].Bucket), replicas
	}
	return streams, buckets
}

// createAll makes every stream and bucket; it fails where one exists with
// another configuration.
func (n names) createAll(ctx context.Context, js jetstream.JetStream, maxBytes int64) error {
	streams, buckets := n.configs(maxBytes)
	for _, c := range streams {
		if _, err := js.CreateStream(ctx, c); err != nil {
			return fmt.Errorf("creating stream %s: %w", c.Name, err)
		}
	}
	for _, c := range buckets {
		if _, err := js.CreateKeyValue(ctx, c); err != nil {
			return fmt.Errorf("creating bucket %s: %w", c.Bucket, err)
		}
	}
	return nil
}

// createVolatile makes again what a restart of the server forgets by design,
// and brings what an earlier release made there up to date. It never touches
// anything that is kept in files.
func (n names) createVolatile(ctx context.Context, js jetstream.JetStream) error {
	streams, buckets := n.configs(0)
	for _, c := range streams {
		if c.Storage != jetstream.MemoryStorage {
			continue
		}
		_, err := js.CreateStream(ctx, c)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // with another configuration
			_, err = js.UpdateStream(ctx, c)
		}
		if err != nil {
			return fmt.Errorf("creating stream %s: %w", c.Name, err)
		}
	}
	for _, c := range buckets {
		if c.Storage != jetstream.MemoryStorage {
			continue
		}
		if _, err := js.CreateKeyValue(ctx, c); err != nil && !errors.Is(err, jetstream.ErrBucketExists) {
			return fmt.Errorf("creating bucket %s: %w", c.Bucket, err)
		}
	}
	return nil
}

// missing lists the streams behind the layout that are kept in files and are
// not there.
func (n names) missing(ctx context.Context, js jetstream.JetStream) ([]string, error) {
	var out []string
	for _, name := range n.kept() {
		_, err := js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			out = append(out, name)
		} else if err != nil {
			return nil, fmt.Errorf("looking for stream %s: %w", name, err)
		}
	}
	return out, nil
}

// kept lists the names of all streams that are kept in files.
func (n names) kept() []string {
	var out []string
	streams, buckets := n.configs(0)
	for _, c := range streams {
		if c.Storage == jetstream.FileStorage {
			out = append(out, c.Name)
		}
	}
	for _, c := range buckets {
		if c.Storage == jetstream.FileStorage {
			out = append(out, "KV_"+c.Bucket)
		}
	}
	return out
}
