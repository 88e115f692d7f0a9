package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOnceOverRestarts presents what was used again after the process ended.
func TestOnceOverRestarts(t *testing.T) {
	t.Parallel()
	g := newAlone(t)
	now := g.clock.now()
	ends := map[string]time.Time{"short": now.Add(time.Minute), "long": now.Add(onceFor)}
	for start := range 3 {
		s := g.open(t)
		for key, until := range ends {
			if first, err := s.Once(t.Context(), "agent", key, until); first != (start == 0) || err != nil {
				t.Errorf("start %d: Once of %s = %v, %v", start, key, first, err)
			}
		}
		if first, err := s.Once(t.Context(), "agent", fmt.Sprint("new", start), ends["long"]); !first || err != nil {
			t.Errorf("start %d: Once of what was not used = %v, %v", start, first, err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNotes reads what was noted until a process was killed, whatever that
// left of the last note.
func TestNotes(t *testing.T) {
	t.Parallel()
	c, dir := newStill(), t.TempDir()
	start := c.at
	open := func() (*uses, *useNotes) {
		t.Helper()
		u := newUses(c.now, usesMost)
		n, err := openNotes(dir, c.now, slog.New(slog.NewTextHandler(testLog{t}, nil)), u.remember)
		if err != nil {
			t.Fatal(err)
		}
		u.notes = n
		return u, n
	}
	files := func() []string {
		t.Helper()
		paths, err := filepath.Glob(filepath.Join(dir, notesDir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		return paths
	}
	use := func(u *uses, key string, until time.Duration, want bool) {
		t.Helper()
		if first, err := u.first("agent", key, start.Add(until)); first != want || err != nil {
			t.Errorf("%v after the start: first of %s = %v, %v, want %v", c.at.Sub(start), key, first, err, want)
		}
	}

	u, n := open()
	n.write(t.Context())
	if got := files(); len(got) != 0 {
		t.Fatalf("nothing was used, and there is %q", got)
	}
	use(u, "a", time.Minute, true)
	n.write(t.Context())
	use(u, "b", time.Hour, true)
	n.write(t.Context())
	use(u, "lost", time.Hour, true) // killed before it was written
	if got := files(); len(got) != 1 {
		t.Fatalf("files %q, want one", got)
	}
	whole, err := os.ReadFile(files()[0])
	if err != nil || len(whole) != 2*noteLen {
		t.Fatalf("%d bytes, %v, want two notes", len(whole), err)
	}
	for cut := range noteLen {
		if err := os.WriteFile(files()[0], append(whole[:2*noteLen:2*noteLen], whole[:cut]...), 0o600); err != nil {
			t.Fatal(err)
		}
		u, _ = open()
		use(u, "a", time.Minute, false)
		use(u, "b", time.Hour, false)
		use(u, "lost", time.Hour, true)
	}

	// Another file every minute, and none for longer than something in it counts.
	u, n = open()
	for range 90 {
		c.at = c.at.Add(notesFile)
		use(u, "c"+c.at.String(), c.at.Sub(start)+10*time.Minute, true)
		n.write(t.Context())
		if got := files(); len(got) > 13 {
			t.Fatalf("%v after the start there are %d files", c.at.Sub(start), len(got))
		}
	}
	c.at = start.Add(24 * time.Hour)
	open()
	if got := files(); len(got) != 0 {
		t.Errorf("a day later there is %q", got)
	}
}

// TestNotesFail: a disk that takes nothing stops nobody, and is reported once.
func TestNotesFail(t *testing.T) {
	t.Parallel()
	c, dir := newStill(), t.TempDir()
	u := newUses(c.now, usesMost)
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	n, err := openNotes(dir, c.now, log, u.remember)
	if err != nil {
		t.Fatal(err)
	}
	u.notes = n
	use := func(key string) {
		t.Helper()
		if first, err := u.first("agent", key, c.at.Add(time.Minute)); !first || err != nil {
			t.Fatal(first, err)
		}
		n.write(t.Context())
	}
	if err := os.RemoveAll(n.dir); err != nil {
		t.Fatal(err)
	}
	use("a")
	use("b")
	if n := strings.Count(said.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings, want one:\n%s", n, said.String())
	}
	if err := os.Mkdir(n.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	use("c")
	again := newUses(c.now, usesMost)
	if _, err := openNotes(dir, c.now, log, again.remember); err != nil {
		t.Fatal(err)
	}
	if first, err := again.first("agent", "c", c.at.Add(time.Minute)); first || err != nil {
		t.Errorf("after the disk was mended: first = %v, %v", first, err)
	}

	for i := range 10 { // a full disk: files can be made, and take nothing
		n.end()
		if err := n.begin(); err != nil {
			t.Fatal(err)
		}
		n.file.Close()
		use(fmt.Sprint("refused", i))
	}
	use("last")
	files, err := os.ReadDir(n.dir)
	if err != nil || len(files) != 2 {
		t.Errorf("%d files, %v, want the two that have notes", len(files), err)
	}

	if err := os.Mkdir(filepath.Join(n.dir, "no file"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := openNotes(dir, c.now, log, again.remember); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("what cannot be read: %v", err)
	}
}
