package store

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"ringback/consent"
)

// TestEntryStaysSmall: there may be millions.
func TestEntryStaysSmall(t *testing.T) {
	t.Parallel()
	if n := unsafe.Sizeof(entry{}); n > 152 {
		t.Errorf("an entry has %d bytes, want at most 152", n)
	}
}

// TestAskersAreForgotten has somebody who asks under a new client_id each
// time.
func TestAskersAreForgotten(t *testing.T) {
	t.Parallel()
	c := newStill()
	x := newIndex(c.now)
	const many = 500
	ask := func(i int) place {
		p := place{ID: consent.NewID(), Kind: consent.FactAsked}
		x.apply(p, &label{
			V: 1, Pseudonym: "abcdefghijklmnop", Expires: c.at.Add(time.Minute), At: c.at,
			Client: fmt.Sprintf("https://a.example/%d", i), Group: "host a.example",
		}, uint64(i+1))
		return p
	}
	for i := range many {
		p := ask(i)
		p.Kind = consent.FactDecided
		if i%2 == 0 { // the others nobody ends
			x.apply(p, &label{At: c.at, Verb: "denied"}, many+uint64(i))
		}
	}
	want := func(when string, x *index, n int) {
		t.Helper()
		users := 0
		for _, a := range x.byName {
			users += x.askers.at(a).users
		}
		if len(x.byName) != n || users != n {
			t.Errorf("%s: %d askers with %d uses, want %d", when, len(x.byName), users, n)
		}
	}
	again := func() *index { // as a restart would read it
		var file bytes.Buffer
		s := bare()
		aead, err := s.snapshotAEAD()
		if err != nil {
			t.Fatal(err)
		}
		w := &chunkWriter{w: bufio.NewWriter(&file), aead: aead}
		x.write(w, s.instance, 2*many)
		w.w.Flush()
		s.index = newIndex(c.now)
		if _, err := s.readSnapshot(&file); err != nil || w.err != nil {
			t.Fatal(err, w.err)
		}
		return s.index
	}
	want("asked", x, many)
	want("asked, from the copy", again(), many)
	c.at = c.at.Add(time.Hour)
	x.sweep(keepEnded)
	want("half are past", x, many)
	x = again()
	want("half are past, from the copy", x, many)
	c.at = c.at.Add(keepPast - time.Hour)
	x.sweep(keepEnded)
	want("a day later", x, many/2)
	c.at = c.at.Add(keepAny - keepPast + 1)
	x.sweep(keepEnded)
	want("later still", x, 0)
	want("later still, from the copy", again(), 0)
	ask(0)
	want("asked again", x, 1)
}

// TestCopyOfAnEarlierRelease is not read; the facts are.
func TestCopyOfAnEarlierRelease(t *testing.T) {
	t.Parallel()
	g := newAlone(t)
	s := g.open(t)
	req := askFor(t, s, "alice")
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	aead, err := s.snapshotAEAD()
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	w := &chunkWriter{w: bufio.NewWriter(&file), aead: aead}
	for _, plain := range []string{fmt.Sprintf(`{"v":1,"instance":%q,"seq":2,"clients":["agent"]}`, s.instance), "", ""} {
		w.chunk([]byte(plain))
	}
	w.w.Flush()
	if _, err := s.readSnapshot(bytes.NewReader(file.Bytes())); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("readSnapshot of version 1 = %v, want a word about the version", err)
	}
	if err := os.WriteFile(filepath.Join(g.dir, snapshotFile), file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	s = g.open(t)
	eventually(t, "the store to be ready", s.Ready)
	if b, ok := s.Peek(req.ID); !ok || b.Client != "agent" || b.Decided != consent.Denied {
		t.Errorf("Peek = %+v, %v, want what the facts say", b, ok)
	}
}
