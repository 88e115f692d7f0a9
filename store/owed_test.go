package store

import (
	"bufio"
	"bytes"
	"testing"
	"time"

	"ringback/consent"
)

// TestOwedNotice: a request that is over stays in memory, over a restart too,
// for as long as its client is still to be told.
func TestOwedNotice(t *testing.T) {
	t.Parallel()
	c := newStill()
	s := bare()
	s.index = newIndex(c.now)
	id, other := consent.NewID(), consent.NewID()
	var seq uint64
	apply := func(id consent.ID, kind consent.FactKind, n int, verb string) {
		seq++
		s.index.apply(place{ID: id, Kind: kind, N: n}, &label{
			V: 1, Pseudonym: "person-000000001", Client: "agent", At: c.at, Expires: c.at.Add(time.Minute), Verb: verb,
		}, seq)
	}
	pass := func() {
		c.at = c.at.Add(10 * time.Minute)
		s.index.sweep(keepEnded)
	}
	known := func(id consent.ID) bool { _, ok := s.Peek(id); return ok }
	for _, id := range []consent.ID{id, other} {
		apply(id, consent.FactAsked, 0, "")
		apply(id, consent.FactDecided, 0, string(consent.Denied))
	}
	apply(id, consent.FactNotice, 1, "")
	pass()
	if !known(id) || known(other) {
		t.Fatalf("known: %v while the notice is under way, and %v without one, want true and false", known(id), known(other))
	}
	apply(id, consent.FactNotified, 1, "")
	pass()

	var copied bytes.Buffer
	aead := testAEAD(t)
	w := &chunkWriter{w: bufio.NewWriter(&copied), aead: aead}
	s.index.write(w, "", seq)
	if w.err != nil || w.w.Flush() != nil {
		t.Fatal(w.err)
	}
	r := &chunkReader{r: bufio.NewReader(&copied), aead: aead}
	if _, err := r.next(); err != nil { // the head
		t.Fatal(err)
	}
	s.index = newIndex(c.now)
	if err := s.index.read(r, [][2]string{{"agent", ""}}); err != nil {
		t.Fatal(err)
	}
	s.index.sweep(sumUp)
	if list := s.index.summary(); len(list) != 1 || list[0].ID != id {
		t.Fatalf("the summary of a start has %+v, want the one whose client waits", list)
	}

	apply(id, consent.FactNotice, 2, "")
	apply(id, consent.FactNotified, 2, verbDone)
	pass()
	if known(id) {
		t.Error("the request is still in memory although its client was told")
	}
}
