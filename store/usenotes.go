package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// What the embedded store remembers of single uses is also noted in files, so
// that a restart makes nothing good again. Nobody waits for a note: a process
// that is killed may lose those of the last moment, a machine that loses its
// power those of the last half minute.

const (
	// notesDir holds the files, below Config.Dir.
	notesDir = "uses"
	// noteLen is the length of a note: half of the key's SHA-256, and the
	// second until which it counts.
	noteLen = 16 + 8
	// notesEvery is how long notes gather before they are written.
	notesEvery = 100 * time.Millisecond
	// notesFile is how long one file is written to. It is removed when
	// everything in it is over.
	notesFile = time.Minute
)

// useNotes writes down single uses.
type useNotes struct {
	dir string
	now func() time.Time
	log *slog.Logger

	wake    chan struct{} // capacity 1: something waits
	mu      sync.Mutex
	waiting []byte

	// Only run touches these.
	file    *os.File // nil: none is open
	begun   time.Time
	written []byte               // the buffer that was written last
	ends    map[string]time.Time // of files: when all that they say is over
	failing bool
}

// openUses remembers what earlier processes used, and notes what this one does
// until ctx ends.
func (s *Store) openUses(ctx context.Context) error {
	s.uses = newUses(s.cfg.Now, s.cfg.uses())
	notes, err := openNotes(s.cfg.Dir, s.cfg.Now, s.log, s.uses.remember)
	if err != nil {
		return err
	}
	s.uses.notes = notes
	s.running.Go(func() { notes.run(ctx) })
	return nil
}

// openNotes reads what was noted below dir and hands what is not over to
// remember.
func openNotes(dir string, now func() time.Time, log *slog.Logger, remember func(half [16]byte, until time.Time)) (*useNotes, error) {
	n := &useNotes{dir: filepath.Join(dir, notesDir), now: now, log: log, wake: make(chan struct{}, 1), ends: make(map[string]time.Time)}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return nil, fmt.Errorf("remembering single uses: %w", err)
	}
	files, err := os.ReadDir(n.dir)
	if err != nil {
		return nil, fmt.Errorf("remembering single uses: %w", err)
	}
	for _, f := range files {
		path := filepath.Join(n.dir, f.Name())
		if n.ends[path], err = readNotes(path, now(), remember); err != nil {
			return nil, fmt.Errorf("remembering single uses: %w: remove the file when an hour has passed since it was written, nothing in it counts for longer", err)
		}
	}
	n.sweep()
	return n, nil
}

// readNotes reads one file and returns when all that it says is over. The last
// note may be cut: its writer was.
func readNotes(path string, now time.Time, remember func(half [16]byte, until time.Time)) (end time.Time, err error) {
	f, err := os.Open(path)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 64<<10)
	var note [noteLen]byte
	for {
		_, err := io.ReadFull(r, note[:])
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return end, nil
		}
		if err != nil {
			return time.Time{}, err
		}
		if until := time.Unix(int64(binary.BigEndian.Uint64(note[16:])), 0); until.After(now) {
			remember([16]byte(note[:16]), until)
			if until.After(end) {
				end = until
			}
		}
	}
}

// add notes a use until the end of that second.
func (n *useNotes) add(half [16]byte, until time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting = append(n.waiting, half[:]...)
	n.waiting = binary.BigEndian.AppendUint64(n.waiting, uint64(until.Unix()+1))
	if len(n.waiting) == noteLen {
		select {
		case n.wake <- struct{}{}:
		default: // it is awake
		}
	}
}

// run writes notes until ctx ends, and then the rest.
func (n *useNotes) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-n.wake:
			select {
			case <-time.After(notesEvery):
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
		n.write(context.WithoutCancel(ctx))
	}
	n.end()
}

// write writes what has gathered.
func (n *useNotes) write(ctx context.Context) {
	n.mu.Lock()
	n.waiting, n.written = n.written[:0], n.waiting
	n.mu.Unlock()
	if len(n.written) == 0 {
		return
	}
	err := n.begin()
	if err == nil {
		_, err = n.file.Write(n.written)
	}
	if err != nil {
		n.end() // it may hold half a note, and what follows must not
		if !n.failing {
			n.log.WarnContext(ctx, "single uses not noted, a restart will forget them", slog.Any("err", err))
		}
	} else {
		n.note(n.file.Name())
	}
	n.failing = err != nil
}

// note says that the file has what was written last.
func (n *useNotes) note(path string) {
	for i := noteLen; i <= len(n.written); i += noteLen {
		until := time.Unix(int64(binary.BigEndian.Uint64(n.written[i-8:i])), 0)
		if until.After(n.ends[path]) {
			n.ends[path] = until
		}
	}
}

// begin opens a file where none is, or the last is old enough.
func (n *useNotes) begin() (err error) {
	now := n.now()
	if n.file != nil && now.Sub(n.begun).Abs() < notesFile {
		return nil
	}
	n.end()
	n.sweep()
	n.begun = now
	if n.file, err = os.CreateTemp(n.dir, ""); err != nil {
		return err
	}
	n.ends[n.file.Name()] = time.Time{} // to be removed if nothing can be written to it
	return nil
}

// end closes the file.
func (n *useNotes) end() {
	if n.file != nil {
		n.file.Close() // what is lost by that is lost
		n.file = nil
	}
}

// sweep removes the files that say nothing any more. None is open.
func (n *useNotes) sweep() {
	now := n.now()
	for path, end := range n.ends {
		if now.Before(end) {
			continue
		}
		if err := os.Remove(path); err == nil || errors.Is(err, os.ErrNotExist) {
			delete(n.ends, path)
		}
	}
}
