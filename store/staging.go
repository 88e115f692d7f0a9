package store

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
)

// The server stages an atomic batch in files of its own, which it syncs a
// dozen times, before it writes the batch to the stream, which it syncs once.
// The first is what makes a batch atomic over a power cut, and we have no use
// for that: each fact of a batch stands by itself, and is acknowledged only
// after the second. So the embedded server's staging directory is a link to
// memory, where there is some to be had.

const (
	// shared is where Linux offers memory as a directory.
	shared = "/dev/shm"
	// tmpfs is the type of such a file system.
	tmpfs = 0x01021994
)

// stagedStreams are those whose batches are staged in memory.
var stagedStreams = []string{streamConsent, streamEvidence}

// stageInMemory links the staging directories of facts and evidence to memory
// and reports whether it could. The server removes the links when it starts.
func (s *Store) stageInMemory() bool {
	err := s.linkStaging()
	if err != nil {
		s.log.LogAttrs(context.Background(), slog.LevelInfo, "batches are staged on disk, which is slower", slog.Any("err", err))
	}
	return err == nil
}

func (s *Store) linkStaging() error {
	var f syscall.Statfs_t
	if err := syscall.Statfs(shared, &f); err != nil {
		return err
	}
	if f.Type != tmpfs {
		return errors.New(shared + " is not in memory")
	}
	dir := s.stagingDir()
	if err := os.RemoveAll(dir); err != nil { // of a run that was killed
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil { // fails where somebody else made it
		return err
	}
	for _, stream := range stagedStreams {
		link, to := s.stagingLink(stream), filepath.Join(dir, stream)
		if err := os.RemoveAll(link); err != nil {
			return err
		}
		if err := os.Mkdir(to, 0o700); err != nil {
			return err
		}
		if err := os.Symlink(to, link); err != nil {
			return err
		}
	}
	return nil
}

// unstage gives the memory back, and leaves no link to nowhere behind.
func (s *Store) unstage() {
	if s.srv == nil || s.instance == "" {
		return
	}
	var err error
	for _, stream := range stagedStreams {
		err = errors.Join(err, os.RemoveAll(s.stagingLink(stream)))
	}
	if err = errors.Join(err, os.RemoveAll(s.stagingDir())); err != nil {
		s.log.LogAttrs(context.Background(), slog.LevelWarn, "memory of staged batches not given back", slog.Any("err", err))
	}
}

// stagingLink is where the server stages batches of a stream.
func (s *Store) stagingLink(stream string) string {
	return filepath.Join(s.cfg.Dir, dataDir, "jetstream", "$G", "streams", s.names.stream(stream), "batches")
}

func (s *Store) stagingDir() string { return filepath.Join(shared, "ringback-"+s.instance) }
