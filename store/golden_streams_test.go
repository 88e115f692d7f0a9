package store

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

// settings are those of a stream in one line. None and no limit are the same
// and left out; what a line has no word for must not be set.
func settings(t testing.TB, c jetstream.StreamConfig) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", c.Name, strings.Join(c.Subjects, ","))
	c.Name, c.Subjects = "", nil
	if c.Storage == jetstream.MemoryStorage {
		b.WriteString(" memory")
	}
	for _, limit := range []struct {
		name string
		n    int64
	}{{"bytes", c.MaxBytes}, {"messages", c.MaxMsgs}, {"per-subject", c.MaxMsgsPerSubject}, {"message-bytes", int64(c.MaxMsgSize)}, {"replicas", int64(c.Replicas)}} {
		if limit.n > 0 {
			fmt.Fprintf(&b, " %s=%d", limit.name, limit.n)
		}
	}
	if c.MaxAge != 0 {
		fmt.Fprintf(&b, " age=%v", c.MaxAge)
	}
	if c.Duplicates != 0 {
		fmt.Fprintf(&b, " duplicates=%v", c.Duplicates)
	}
	for _, flag := range []struct {
		name string
		set  bool
	}{
		{"discard-new", c.Discard == jetstream.DiscardNew}, {"write-once", c.DiscardNewPerSubject}, {"direct", c.AllowDirect}, {"atomic", c.AllowAtomicPublish},
		{"ttl", c.AllowMsgTTL}, {"rollup", c.AllowRollup}, {"deny-delete", c.DenyDelete}, {"deny-purge", c.DenyPurge}, {"s2", c.Compression == jetstream.S2Compression},
	} {
		if flag.set {
			fmt.Fprintf(&b, " %s", flag.name)
		}
	}
	c.Storage, c.MaxBytes, c.MaxMsgs, c.MaxMsgsPerSubject, c.MaxMsgSize, c.Replicas, c.MaxAge, c.Duplicates = 0, 0, 0, 0, 0, 0, 0, 0
	c.Discard, c.DiscardNewPerSubject, c.AllowDirect, c.AllowAtomicPublish, c.AllowMsgTTL, c.AllowRollup = 0, false, false, false, false, false
	c.DenyDelete, c.DenyPurge, c.Compression = false, false, 0
	c.MaxConsumers, c.Metadata = max(c.MaxConsumers, 0), nil // what a server says where nobody asked for anything
	if !reflect.ValueOf(c).IsZero() {
		t.Errorf("%s has settings that this test has no word for: %+v", b.String(), c)
	}
	return b.String()
}

// goldenStreams is what an instance consists of: what is kept, for how long,
// and what the server refuses to forget or to replace. Settings are those of
// the stores that were made with them; a change reaches none of these.
var goldenStreams = []string{
	"ringback_CONSENT ringback.consent.*.> bytes=8589934592 per-subject=1 message-bytes=32768 replicas=1 age=96h0m0s duplicates=1s discard-new write-once direct atomic deny-delete deny-purge",
	"ringback_AUDIT ringback.audit replicas=1 age=87600h0m0s duplicates=1s direct deny-delete deny-purge s2",
	"ringback_EVIDENCE ringback.evidence.*.* per-subject=1 replicas=1 age=87600h0m0s duplicates=1s discard-new write-once direct atomic deny-delete deny-purge",
	"ringback_JTI ringback.jti.* memory messages=4194304 per-subject=1 replicas=1 age=1h1m0s duplicates=1s discard-new write-once direct ttl",
	"ringback_SEEN ringback.seen.* per-subject=1 message-bytes=1024 replicas=1 age=8784h0m0s duplicates=1s discard-new write-once direct atomic deny-delete deny-purge",
	"ringback_DEK ringback.dek.* per-subject=1 replicas=1 duplicates=1s discard-new write-once direct",
	"ringback_SLOT ringback.slot.* memory per-subject=1 replicas=1 duplicates=1s discard-new write-once direct ttl",
	"ringback_TURN ringback.turn.* memory per-subject=1 replicas=1 duplicates=1s direct ttl",
	"ringback_FREEZE ringback.freeze.*.* per-subject=1 replicas=1 duplicates=1s direct ttl",
}

// goldenBuckets are the buckets as streams.
var goldenBuckets = []string{
	"KV_ringback_PEOPLE $KV.ringback_PEOPLE.> per-subject=5 replicas=1 duplicates=2m0s discard-new direct rollup deny-delete",
	"KV_ringback_DEVICES $KV.ringback_DEVICES.> per-subject=5 replicas=1 duplicates=2m0s discard-new direct rollup deny-delete",
	"KV_ringback_CLIENTS $KV.ringback_CLIENTS.> per-subject=5 replicas=1 duplicates=2m0s discard-new direct rollup deny-delete",
	"KV_ringback_POLICY $KV.ringback_POLICY.> per-subject=5 replicas=1 duplicates=2m0s discard-new direct rollup deny-delete",
	"KV_ringback_KEYS $KV.ringback_KEYS.> per-subject=5 replicas=1 duplicates=2m0s discard-new direct rollup deny-delete",
}

// TestSettingsAreDescribed: docs/formats.md has the same lines.
func TestSettingsAreDescribed(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	if lines := "```\n" + strings.Join(slices.Concat(goldenStreams, goldenBuckets), "\n") + "\n```\n"; !strings.Contains(string(doc), lines) {
		t.Errorf("docs/formats.md does not have\n%s", lines)
	}
}

// TestSettingsStay compares the settings that Init makes streams and buckets
// with, and those that a server says it has made, with literal ones.
func TestSettingsStay(t *testing.T) {
	t.Parallel()
	streams, buckets := names{"ringback"}.configs((&Config{}).maxBytes())
	var wanted []string
	for _, c := range streams {
		wanted = append(wanted, settings(t, c))
	}
	if diff := cmp.Diff(goldenStreams, wanted); diff != "" {
		t.Errorf("settings of streams (-want +got):\n%s", diff)
	}
	if len(buckets) != len(goldenBuckets) {
		t.Errorf("there are %d buckets, want %d", len(buckets), len(goldenBuckets))
	}
	for i, c := range buckets {
		want := jetstream.KeyValueConfig{Bucket: c.Bucket, History: 5, Replicas: 1}
		if !reflect.DeepEqual(c, want) {
			t.Errorf("settings of a bucket = %+v, want %+v", c, want)
		}
		if i < len(goldenBuckets) && !strings.HasPrefix(goldenBuckets[i], "KV_"+c.Bucket+" ") {
			t.Errorf("bucket %d is %s, want that of %q", i, c.Bucket, goldenBuckets[i])
		}
	}

	dir := t.TempDir()
	cfg := goldenConfig(t, dir)
	cfg.MaxBytes = 0
	if err := Init(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(slices.Values(slices.Concat(goldenStreams, goldenBuckets)))
	if diff := cmp.Diff(want, made(t, openGolden(t, dir))); diff != "" {
		t.Errorf("settings on a server (-want +got):\n%s", diff)
	}
}

// TestSettingsOnExternalServerStay is the same for an external server, where
// the record of the instance is one more bucket.
func TestSettingsOnExternalServerStay(t *testing.T) {
	t.Parallel()
	want := slices.Concat(goldenStreams, goldenBuckets, []string{
		"KV_ringback_INSTANCE $KV.ringback_INSTANCE.> per-subject=1 replicas=1 duplicates=2m0s discard-new direct rollup deny-delete",
	})
	slices.Sort(want)
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], "bytes=8589934592", "bytes=268435456")
	}
	if diff := cmp.Diff(want, made(t, newGround(t).open(t))); diff != "" {
		t.Errorf("settings on a server (-want +got):\n%s", diff)
	}
}

// made are the settings of every stream on a store's server, sorted.
func made(t *testing.T, s *Store) (out []string) {
	t.Helper()
	list := s.js.ListStreams(t.Context())
	for info := range list.Info() {
		out = append(out, settings(t, info.Config))
	}
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}
