package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// bucketInstance holds the instance record where there is no directory.
const bucketInstance = "INSTANCE"

// keyInstance is its key.
const keyInstance = "instance"

// versionFloor is the oldest nats-server without the authorization bypasses
// published in 2026.
var versionFloor = [3]int{2, 14, 3}

// initExternal makes an instance on the server at cfg.URL.
func initExternal(ctx context.Context, cfg Config, n names) error {
	s, err := startExternal(ctx, cfg, n)
	if err != nil {
		return err
	}
	defer s.disconnect()
	kv, err := s.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: n.stream(bucketInstance), History: 1, Replicas: replicas})
	if err != nil {
		return fmt.Errorf("making the instance record: %w", err)
	}
	in, rev, err := s.fetchInstance(ctx, kv)
	switch {
	case err != nil:
		return err
	case in == nil:
		// Whatever is there under these names is somebody else's.
		missing, err := n.missing(ctx, s.js)
		if err != nil {
			return err
		}
		if len(missing) != len(n.kept()) {
			return fmt.Errorf("initialising %s: %w: streams with prefix %q exist but no instance record; restore it from a backup, or choose another nats.prefix",
				cfg.where(), ErrIncomplete, n.prefix)
		}
		if err := cfg.nothingThere(); !errors.Is(err, ErrUninitialised) {
			return err
		}
		in = newInstance(&cfg, n)
	default:
		if err := in.belongs(&cfg, n, cfg.where()); err != nil {
			return err
		}
		if !in.Unfinished {
			return fmt.Errorf("initialising %s: %w: start it with ringback serve", cfg.where(), ErrInitialised)
		}
	}
	if rev, err = s.keepInstance(ctx, kv, in, rev); err != nil {
		return err
	}
	if err := n.createAll(ctx, s.js, cfg.maxBytes()); err != nil {
		return err
	}
	in.Unfinished = false
	_, err = s.keepInstance(ctx, kv, in, rev)
	return err
}

// openExternal opens the instance on the server at cfg.URL.
func openExternal(ctx context.Context, cfg Config, n names) (*Store, error) {
	s, err := startExternal(ctx, cfg, n)
	if err != nil {
		return nil, err
	}
	kv, in, err := s.checkExternal(ctx)
	var expected expectations
	if err == nil {
		s.is(in)
		expected, _, err = s.expect()
	}
	if err == nil {
		err = s.expectOutside(ctx, kv, expected)
	}
	if err == nil {
		s.expected = expected.highest()
		err = s.compareStreams(ctx, expected)
	}
	if err != nil {
		s.disconnect()
		return nil, err
	}
	return s, nil
}

// checkExternal reads the instance record and returns it and its bucket.
func (s *Store) checkExternal(ctx context.Context) (jetstream.KeyValue, *instance, error) {
	kv, err := s.js.KeyValue(ctx, s.names.stream(bucketInstance))
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, nil, s.cfg.nothingThere()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the instance record: %w", err)
	}
	in, rev, err := s.fetchInstance(ctx, kv)
	if err != nil {
		return nil, nil, err
	}
	if in == nil {
		return nil, nil, s.cfg.nothingThere()
	}
	if err := in.belongs(&s.cfg, s.names, s.cfg.where()); err != nil {
		return nil, nil, err
	}
	if err := in.usable(s.cfg.where()); err != nil {
		return nil, nil, err
	}
	if in.opened(&s.cfg) {
		if _, err := s.keepInstance(ctx, kv, in, rev); err != nil {
			return nil, nil, err
		}
	}
	missing, err := s.names.missing(ctx, s.js)
	if err != nil {
		return nil, nil, err
	}
	if len(missing) > 0 {
		return nil, nil, incomplete(s.cfg.where(), missing)
	}
	return kv, in, nil
}

func (s *Store) fetchInstance(ctx context.Context, kv jetstream.KeyValue) (*instance, uint64, error) {
	e, err := kv.Get(ctx, keyInstance)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading the instance record: %w", err)
	}
	in, err := readInstance(e.Value())
	return in, e.Revision(), err
}

// keepInstance writes the record over revision rev. Of two that initialise at
// once, one fails here.
func (s *Store) keepInstance(ctx context.Context, kv jetstream.KeyValue, in *instance, rev uint64) (uint64, error) {
	data, err := json.Marshal(in)
	if err != nil {
		return 0, fmt.Errorf("encoding the instance record: %w", err)
	}
	if rev, err = kv.Update(ctx, keyInstance, data, rev); err != nil {
		return 0, fmt.Errorf("writing the instance record: %w", err)
	}
	return rev, nil
}

// startExternal connects and refuses a server that is too old, has no
// JetStream or may forget what it acknowledged.
func startExternal(ctx context.Context, cfg Config, n names) (*Store, error) {
	s := newStore(cfg, n, nil)
	s.monitor = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	// A silent server is left after three seconds, not after minutes.
	opts := []nats.Option{nats.PingInterval(time.Second), nats.MaxPingsOutstanding(2)}
	if cfg.Creds != "" {
		opts = append(opts, nats.UserCredentials(cfg.Creds))
	}
	if err := s.connect(cfg.URL, opts...); err != nil {
		return nil, fmt.Errorf("%w: check nats.url and nats.creds, and that the server runs", err)
	}
	if err := s.checkServer(ctx); err != nil {
		s.disconnect()
		return nil, err
	}
	return s, nil
}

// checkServer looks at the server behind the connection. It is called again
// after every reconnection: the server may have come back with another
// configuration.
func (s *Store) checkServer(ctx context.Context) error {
	if v := s.nc.ConnectedServerVersion(); !atLeast(v, versionFloor) {
		return fmt.Errorf("connecting to %s: nats-server %s is too old: upgrade it to %d.%d.%d or later",
			s.cfg.where(), v, versionFloor[0], versionFloor[1], versionFloor[2])
	}
	if n := s.nc.MaxPayload(); n < maxPayload {
		return fmt.Errorf("connecting to %s: it takes %d bytes a message, which is less than records of the audit chain may have: set max_payload to %d and restart it",
			s.cfg.where(), n, maxPayload)
	}
	if _, err := s.js.AccountInfo(ctx); err != nil {
		return fmt.Errorf("looking for JetStream on %s: %w: enable it (jetstream {} in the server's configuration) for this account", s.cfg.where(), err)
	}
	if s.cfg.AssumeSynced {
		return nil
	}
	if s.cfg.Monitor == "" {
		return fmt.Errorf("connecting to %s: %w as far as can be known: set nats.monitor to the server's monitoring address, or nats.assume_synced: true if you know that it runs with sync_interval: always",
			s.cfg.where(), ErrNotSynced)
	}
	return s.checkSynced(ctx)
}

// checkSynced asks the server's monitoring address whether it writes through.
func (s *Store) checkSynced(ctx context.Context) error {
	address := strings.TrimSuffix(s.cfg.Monitor, "/") + "/varz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("reading %s: %w: set nats.monitor to something like http://nats:8222", address, err)
	}
	resp, err := s.monitor.Do(req)
	if err != nil {
		return fmt.Errorf("reading %s: %w: check nats.monitor and the server's http_port", address, err)
	}
	defer resp.Body.Close()
	var varz struct {
		ServerID  string `json:"server_id"`
		JetStream struct {
			Config struct {
				SyncAlways bool `json:"sync_always"`
			} `json:"config"`
		} `json:"jetstream"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&varz); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("reading %s: status %d: %v: nats.monitor is not the monitoring address of a NATS server", address, resp.StatusCode, err)
	}
	if id := s.nc.ConnectedServerId(); varz.ServerID != id {
		return fmt.Errorf("reading %s: it is server %s, but %s is server %s: set nats.monitor to the address of the same server",
			address, varz.ServerID, s.cfg.where(), id)
	}
	if !varz.JetStream.Config.SyncAlways {
		return fmt.Errorf("connecting to %s: %w: set sync_interval: always in its jetstream block and restart it", s.cfg.where(), ErrNotSynced)
	}
	return nil
}

// atLeast compares a version like "2.15.2" or "2.15.2-beta.1".
func atLeast(version string, floor [3]int) bool {
	version, _, _ = strings.Cut(version, "-")
	parts := strings.SplitN(version, ".", 3)
	for i, f := range floor {
		if i >= len(parts) {
			return false
		}
		v, err := strconv.Atoi(parts[i])
		if err != nil {
			return false
		}
		if v != f {
			return v > f
		}
	}
	return true
}
