package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Protection says whether the server refuses to delete single messages of a stream,
// and to purge it.
type Protection struct {
	Stream string // its name on the server
	Delete bool   // single messages cannot be deleted
	Purge  bool   // it cannot be purged
	Why    string // why one of both has to stay possible; empty: nothing needs it
}

// Done reports whether nothing is left to be set.
func (p Protection) Done() bool { return p.Why != "" || p.Delete && p.Purge }

// removal says for the streams from which this program removes messages why it has
// to. All others are written once and lose messages by age alone.
var removal = map[string]string{
	streamDEK:             "a person is erased by overwriting their data key",
	streamFreeze:          "a freeze ends with the person, and is replaced",
	"KV_" + bucketPeople:  "a person's entry is purged when they are erased",
	"KV_" + bucketDevices: "devices are purged with the person",
	"KV_" + bucketClients: "entries are replaced, and removed",
	"KV_" + bucketPolicy:  "entries are replaced",
	"KV_" + bucketKeys:    "signing keys are replaced when they rotate",
}

// Protections says of every stream that is kept in files how it is protected.
func (s *Store) Protections(ctx context.Context) ([]Protection, error) {
	var out []Protection
	for _, name := range s.names.kept() {
		stream, err := s.js.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("looking at %s: %w", name, err)
		}
		c := stream.CachedInfo().Config
		out = append(out, Protection{name, c.DenyDelete, c.DenyPurge, removal[s.names.label(name)]})
	}
	return out, nil
}

// Unprotected lists the streams that [Store.Migrate] would protect.
func (s *Store) Unprotected(ctx context.Context) ([]string, error) {
	all, err := s.Protections(ctx)
	var out []string
	for _, p := range all {
		if !p.Done() {
			out = append(out, p.Stream)
		}
	}
	return out, err
}

// Migrate has the server refuse, for good, to delete or purge what is written once.
// It returns the streams that it has changed.
func (s *Store) Migrate(ctx context.Context) ([]string, error) {
	todo, err := s.Unprotected(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range todo {
		stream, err := s.js.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("looking at %s: %w", name, err)
		}
		c := stream.CachedInfo().Config
		c.DenyDelete, c.DenyPurge = true, true
		if _, err := s.js.UpdateStream(ctx, c); err != nil {
			return nil, fmt.Errorf("protecting %s: %w", name, err)
		}
	}
	if s.srv != nil {
		return todo, noteProtected(s.cfg.Dir)
	}
	return todo, nil
}

// protectedFile stands beside an embedded store of which nothing is to be migrated,
// for who does not open it.
const protectedFile = "protected"

// noteProtected writes down that nothing is to be migrated.
func noteProtected(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, protectedFile), nil, 0o600); err != nil {
		return fmt.Errorf("noting that the store is up to date: %w", err)
	}
	return nil
}

// Unmigrated reports whether the embedded store in a directory is of an earlier
// release and was not migrated. It may be in use.
func Unmigrated(dir string) bool {
	in, err := loadInstance(dir)
	if err != nil || in == nil {
		return false
	}
	_, err = os.Stat(filepath.Join(dir, protectedFile))
	return errors.Is(err, fs.ErrNotExist)
}
