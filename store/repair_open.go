package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
	"ringback/store/blocks"
)

// openEmbedded looks at the files, puts them in order if it may, and then starts
// the server. Where it may not, a server does not start over damaged files: it
// would throw away what does not fit.
func (r *Repair) openEmbedded(ctx context.Context, cfg Config, n names) error {
	in, err := loadInstance(cfg.Dir)
	if err != nil {
		return err
	}
	if in == nil {
		return cfg.nothingThere()
	}
	cfg.Dev = in.Dev // it is not served
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return err
	}
	s := newStore(cfg, n, nil)
	s.lock = lock
	r.Store = s
	if in, err = loadInstance(cfg.Dir); err == nil { // again: now nobody changes it
		err = in.repairable(&cfg, n, cfg.Dir)
	}
	if err != nil {
		return err
	}
	r.begin(s, in)
	expected, _, err := s.expect()
	if err != nil {
		return err
	}
	losses, stubs, err := s.inspectFiles(ctx, expected, 0)
	if err != nil {
		return err
	}
	s.losing.add(losses...)
	whole := len(stubs) == 0
	for _, stream := range n.kept() {
		if _, err := os.Stat(s.files(stream)); err != nil {
			whole = false
		}
	}
	if !r.may.Write && (len(s.losing.losses()) > 0 || !whole) {
		return r.missingFiles()
	}
	if len(s.losing.losses()) > 0 {
		if err := r.note(ctx, func(*repairing) {}); err != nil {
			return err
		}
		if err := r.mend(); err != nil {
			return err
		}
	}
	if err := s.removeStubs(ctx, stubs, len(expected) > 0); err != nil {
		return err
	}
	clear(s.readTo) // all is read again
	if err := s.startEmbedded(ctx); err != nil {
		return err
	}
	return r.look(ctx, expected)
}

// repairable refuses what no repair can help.
func (in *instance) repairable(cfg *Config, n names, where string) error {
	if err := in.belongs(cfg, n, where); err != nil {
		return err
	}
	if in.Unfinished {
		return in.usable(where)
	}
	return nil
}

// missingFiles adds the streams of which no files are there.
func (r *Repair) missingFiles() error {
	for _, stream := range r.names.kept() {
		if _, err := os.Stat(r.files(stream)); errors.Is(err, fs.ErrNotExist) {
			r.losing.add(consent.Loss{Stream: r.names.label(stream), Why: "the stream is missing"})
		} else if err != nil {
			return err
		}
	}
	return nil
}

// mend rewrites damaged files, and keeps the originals.
func (r *Repair) mend() error {
	keep := keptFrom(r.cfg.Dir, r.Epoch())
	for _, stream := range r.names.kept() {
		_, err := blocks.Mend(r.blocksOf(stream), keep)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // of what is missing as a whole
			return fmt.Errorf("repairing %s: %w", r.cfg.where(), err)
		}
	}
	if _, err := os.Stat(keep); err == nil {
		r.Mended = keep
	}
	return nil
}

// openExternal looks at a server that runs.
func (r *Repair) openExternal(ctx context.Context, cfg Config, n names) error {
	s, err := startExternal(ctx, cfg, n)
	if err != nil {
		return err
	}
	r.Store = s
	kv, err := s.js.KeyValue(ctx, n.stream(bucketInstance))
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return cfg.nothingThere()
	}
	if err != nil {
		return fmt.Errorf("reading the instance record: %w", err)
	}
	in, rev, err := s.fetchInstance(ctx, kv)
	if err != nil {
		return err
	}
	if in == nil {
		return cfg.nothingThere()
	}
	if err := in.repairable(&cfg, n, cfg.where()); err != nil {
		return err
	}
	r.begin(s, in)
	r.kv, r.rev = kv, rev
	if err := s.notServed(ctx); err != nil {
		return err
	}
	expected, _, err := s.expect()
	if err == nil {
		err = s.expectOutside(ctx, kv, expected)
	}
	if err != nil {
		return err
	}
	return r.look(ctx, expected)
}

const (
	// usedLooks and usedPause are how a process is noticed that serves the store:
	// it waits for facts nearly always.
	usedLooks = 4
	usedPause = 250 * time.Millisecond
)

// notServed refuses while another process follows what is stored.
func (s *Store) notServed(ctx context.Context) error {
	for look := range usedLooks {
		if look > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(usedPause):
			}
		}
		for _, name := range s.names.kept() {
			stream, err := s.js.Stream(ctx, name)
			if errors.Is(err, jetstream.ErrStreamNotFound) {
				continue
			}
			if err != nil {
				return fmt.Errorf("looking for who uses %s: %w", name, err)
			}
			list := stream.ListConsumers(ctx)
			for c := range list.Info() {
				if c.NumWaiting > 0 || c.PushBound {
					return fmt.Errorf("repairing %s: %w: stop every process that serves it", s.cfg.where(), ErrInUse)
				}
			}
			if err := list.Err(); err != nil {
				return fmt.Errorf("looking for who uses %s: %w", name, err)
			}
		}
	}
	return nil
}

// makeStreams makes streams that are missing. The one of facts begins behind the
// last one that is known of.
func (r *Repair) makeStreams(ctx context.Context, missing []string, expected expectations) error {
	streams, buckets := r.names.configs(r.cfg.maxBytes())
	isMissing := func(stream string) bool {
		for _, name := range missing {
			if name == stream {
				return true
			}
		}
		return false
	}
	for _, c := range streams {
		if !isMissing(c.Name) {
			continue
		}
		if seq := furthest(expected[r.names.label(c.Name)]); r.names.label(c.Name) == streamConsent && seq > 0 && !r.hasBlocks(c.Name) {
			c.FirstSeq = seq + 1
		}
		if _, err := r.js.CreateStream(ctx, c); err != nil {
			return fmt.Errorf("creating stream %s: %w", c.Name, err)
		}
	}
	for _, c := range buckets {
		if !isMissing("KV_" + c.Bucket) {
			continue
		}
		if _, err := r.js.CreateKeyValue(ctx, c); err != nil {
			return fmt.Errorf("creating bucket %s: %w", c.Bucket, err)
		}
	}
	r.Made = missing
	return nil
}

// hasBlocks reports whether an embedded server has files of a stream that it did
// not recognise: it takes them when the stream is made again.
func (r *Repair) hasBlocks(stream string) bool {
	list, _ := filepath.Glob(filepath.Join(r.files(stream), "msgs", "*.blk"))
	return r.srv != nil && len(list) > 0
}
