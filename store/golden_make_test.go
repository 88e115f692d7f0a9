package store

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"ringback/audit"
	"ringback/consent"
	"ringback/keys"
)

// makeGoldenHouse makes a store in which something of everything is kept:
//
//	house.tar.gz    its data directory, stopped in peace and without the copies
//	                of what memory holds
//	messages.jsonl  every message of it, and those of two more requests, which
//	                have every member of every fact and none that is not needed
func makeGoldenHouse(t *testing.T) {
	t.Helper()
	dir := newGolden(t)
	s := openGolden(t, dir)
	furnish(t, s)
	closeGolden(t, s)
	writeGolden(t, "house.tar.gz", archive(t, dir))

	s = openGolden(t, dir)
	tell(t, s, goldenFull())
	tell(t, s, goldenBare())
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for _, stream := range s.names.kept() {
		for _, m := range keptIn(t, s, stream) {
			if err := enc.Encode(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	writeGolden(t, "messages.jsonl", out.Bytes())
}

// furnish fills the golden house.
func furnish(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ring, err := os.ReadFile("../keys/testdata/ring.sealed")
	must(err)
	must(s.SaveKeys(ctx, ring, 0))
	must(s.AddClient(ctx, goldenAgent()))
	must(s.AddClient(ctx, goldenAcme()))
	for _, p := range []*consent.Person{goldenAlice(), goldenBob(), {ID: "carol"}, {ID: "erin", Name: "Erin", Phone: "+12025550103"}} {
		must(s.AddPerson(ctx, p))
	}
	must(s.StopDevice(ctx, "alice", "cpohasdsjl3cqc2f", true))
	must(s.StopDevice(ctx, "bob", "console", true))
	must(s.StopDevice(ctx, "bob", "console", false))
	must(s.StopDevice(ctx, "erin", "console", true))
	for _, person := range []string{"alice", "erin"} {
		id, err := s.OfferUserCode(ctx, person, goldenFar)
		must(err)
		must(s.ChooseUserCode(ctx, id, "tr0ub4dor"))
	}
	if ok, err := s.TryUserCode(ctx, "agent", "alice", "wrong"); ok || err != nil {
		t.Fatalf("TryUserCode = %v, %v", ok, err)
	}
	must(s.Freeze(ctx, alicePseudonym, "registrant acme", goldenFar))
	_, err = s.First(ctx, "message twilio SM0001")
	must(err)

	root, err := keys.ParseRoot([]byte(goldenRoot))
	must(err)
	r, err := keys.OpenRing(ctx, keys.RingConfig{Root: root, Store: s, Now: s.cfg.Now, Log: s.log})
	must(err)
	a := audit.New(audit.Config{Source: s, Ring: r, Now: time.Now, Log: s.log})
	tell(t, s, goldenErased(t))
	running, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { a.Run(running) })
	eventually(t, "a checkpoint", func() bool {
		last, ok, err := s.LastRecord(ctx)
		must(err)
		return ok && bytes.Contains(last.Data, []byte(`"type":"checkpoint"`))
	})
	must(a.Erased(ctx, erinPseudonym))
	must(s.RemovePerson(ctx, "erin"))
	for _, story := range goldenStories(t) {
		tell(t, s, story.state)
	}
	stop()
	done.Wait()
	must(a.Export(ctx, io.Discard)) // all is sealed
}

// writeGolden makes a file under testdata, unless it is there.
func writeGolden(t testing.TB, name string, data []byte) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join("testdata", name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
}

// archive packs the files that make up a store.
func archive(t testing.TB, dir string) []byte {
	t.Helper()
	for _, cache := range []string{"LOCK", snapshotFile, notesDir} {
		if err := os.RemoveAll(filepath.Join(dir, cache)); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(zip)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o700})
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	for _, close := range []func() error{w.Close, zip.Close} {
		if err == nil {
			err = close()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// unpack is the inverse of archive.
func unpack(t testing.TB, data []byte, dir string) {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else if data, err = io.ReadAll(r); err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
