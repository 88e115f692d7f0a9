package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

const treeCode = "tree-4711"

// choose gives a person a user_code by the way that there is.
func choose(t *testing.T, s *Store, person string, code consent.Secret) {
	t.Helper()
	id, err := s.OfferUserCode(t.Context(), person, s.cfg.Now().Add(10*time.Minute))
	if err == nil {
		_, err = s.MissCodeChange(t.Context(), id, "form 1")
	}
	if err == nil {
		err = s.ChooseUserCode(t.Context(), id, code)
	}
	if err != nil {
		t.Fatalf("choosing a code for %s: %v", person, err)
	}
}

// try is TryUserCode as one word.
func try(t *testing.T, s *Store, party, person string, code consent.Secret) string {
	t.Helper()
	right, err := s.TryUserCode(t.Context(), party, person, code)
	var refusal *consent.Refusal
	switch {
	case errors.As(err, &refusal):
		return "refused"
	case err != nil:
		return err.Error()
	case right:
		return "right"
	}
	return "wrong"
}

func TestUserCode(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	a, b, ctx := g.open(t), g.open(t), t.Context()
	if err := a.AddPerson(ctx, alice()); err != nil {
		t.Fatal(err)
	}
	in := []consent.Person{{ID: "frida"}}
	if err := errors.Join(a.SetFile(nil, in, nil), b.SetFile(nil, in, nil)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "alice in both processes", func() bool { _, err := b.Person(ctx, alice().ID); return err == nil })
	for _, person := range []string{alice().ID, "frida"} { // one of the bucket, one of the file
		if has, err := a.HasUserCode(ctx, person); has || err != nil {
			t.Errorf("HasUserCode = %v, %v before there is one", has, err)
		}
		if got := try(t, a, "agent", person, treeCode); got != "wrong" {
			t.Errorf("a code for somebody who has none is %s", got)
		}
		choose(t, a, person, treeCode)
		if has, err := b.HasUserCode(ctx, person); !has || err != nil {
			t.Errorf("HasUserCode = %v, %v, want true", has, err)
		}
		for code, want := range map[consent.Secret]string{treeCode: "right", "Tree-4711": "wrong", treeCode + "x": "wrong", "": "wrong"} {
			if got := try(t, b, "agent", person, code); got != want {
				t.Errorf("%s: %q is %s, want %s", person, string(code), got, want)
			}
		}
		choose(t, b, person, "other-0815") // at once, everywhere
		if got := try(t, a, "agent", person, treeCode); got != "wrong" {
			t.Errorf("the old code is %s", got)
		}
		if got := try(t, a, "agent", person, "other-0815"); got != "right" {
			t.Errorf("the new code is %s", got)
		}
	}
	if _, err := a.TryUserCode(ctx, "agent", "nobody", treeCode); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("TryUserCode(nobody) = %v, want ErrNotFound", err)
	}
	if _, err := a.OfferUserCode(ctx, "nobody", g.clock.now()); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("OfferUserCode(nobody) = %v, want ErrNotFound", err)
	}
	// What is under bob's name opens for bob alone.
	if string(a.userCode(a.Pseudonym("frida"), treeCode)) == string(a.userCode(a.Pseudonym(alice().ID), treeCode)) {
		t.Error("the same code of two people is kept as the same value")
	}
}

// TestUserCodeGuesses tries codes until no more are compared, also after a
// restart, and finds right ones free.
func TestUserCodeGuesses(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	if err := s.AddPerson(ctx, alice()); err != nil {
		t.Fatal(err)
	}
	person := alice().ID
	choose(t, s, person, treeCode)
	for range 3 * consent.PersonGuesses {
		if got := try(t, s, "agent", person, treeCode); got != "right" {
			t.Fatalf("the right code is %s", got)
		}
	}
	for i := range consent.PairGuesses {
		if got := try(t, s, "agent", person, consent.Secret(fmt.Sprint("guess-", i))); got != "wrong" {
			t.Fatalf("guess %d is %s", i+1, got)
		}
	}
	again := g.open(t)
	for _, at := range []*Store{s, again} {
		if got := try(t, at, "agent", person, treeCode); got != "refused" {
			t.Errorf("after %d guesses the right code is %s", consent.PairGuesses, got)
		}
		if got := try(t, at, "other", person, treeCode); got != "right" {
			t.Errorf("for another client the right code is %s", got)
		}
	}
	g.clock.forward(consent.PairWindow)
	if got := try(t, s, "agent", person, treeCode); got != "right" {
		t.Errorf("ten minutes later the right code is %s", got)
	}
	for i := range consent.PersonGuesses - consent.PairGuesses {
		if got := try(t, s, fmt.Sprint("evil-", i), person, "guess"); got != "wrong" {
			t.Fatalf("guess %d of everybody is %s", i+1, got)
		}
	}
	if got := try(t, again, "fresh", person, treeCode); got != "refused" {
		t.Errorf("after %d guesses of everybody the right code is %s", consent.PersonGuesses, got)
	}
	choose(t, s, person, "other-0815") // the person's way out
	if got := try(t, again, "agent", person, "other-0815"); got != "right" {
		t.Errorf("a new code is %s", got)
	}
}

// TestUserCodeRace has two processes guess at once: no more are compared than
// may be.
func TestUserCodeRace(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	a, b, ctx := g.open(t), g.open(t), t.Context()
	if err := a.AddPerson(ctx, alice()); err != nil {
		t.Fatal(err)
	}
	person := alice().ID
	eventually(t, "alice in both processes", func() bool { _, err := b.Person(ctx, person); return err == nil })
	choose(t, a, person, treeCode)
	var wrong, refused, other atomic.Int64
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			s := []*Store{a, b}[i%2]
			_, err := s.TryUserCode(ctx, "agent", person, consent.Secret(fmt.Sprint("guess-", i)))
			var refusal *consent.Refusal
			switch {
			case err == nil:
				wrong.Add(1)
			case errors.As(err, &refusal):
				refused.Add(1)
			case errors.Is(err, consent.ErrUnavailable): // overtaken too often: not compared
				other.Add(1)
			default:
				t.Errorf("TryUserCode: %v", err)
			}
		})
	}
	all.Wait()
	if wrong.Load() > consent.PairGuesses || wrong.Load()+refused.Load()+other.Load() != 64 {
		t.Errorf("%d guesses were compared, %d refused, %d given up; want at most %d compared", wrong.Load(), refused.Load(), other.Load(), consent.PairGuesses)
	}
	if got := try(t, b, "agent", person, treeCode); got != "refused" && wrong.Load() == consent.PairGuesses {
		t.Errorf("afterwards the right code is %s", got)
	}

	// Many right ones at once do not stand in each other's way.
	var rights sync.WaitGroup
	for range 2 * consent.PairGuesses {
		rights.Go(func() {
			if right, err := a.TryUserCode(ctx, "patient", person, treeCode); !right || err != nil {
				t.Errorf("one of many right codes at once: %v, %v", right, err)
			}
		})
	}
	rights.Wait()
}

func TestCodeChange(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	if err := s.AddPerson(ctx, alice()); err != nil {
		t.Fatal(err)
	}
	offer := func() [16]byte {
		t.Helper()
		id, err := s.OfferUserCode(ctx, alice().ID, g.clock.now().Add(10*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	gone := func(what string, id [16]byte) {
		t.Helper()
		_, err := s.CodeChange(ctx, id)
		_, missed := s.MissCodeChange(ctx, id, "n")
		chosen := s.ChooseUserCode(ctx, id, treeCode)
		for _, err := range []error{err, missed, chosen} {
			if !errors.Is(err, consent.ErrNotFound) {
				t.Errorf("%s: %v, want ErrNotFound", what, err)
			}
		}
	}
	first := offer()
	if c, err := s.CodeChange(ctx, first); err != nil || c.Person != s.Pseudonym(alice().ID) || c.Misses != 0 || c.Done {
		t.Errorf("CodeChange = %+v, %v", c, err)
	}
	second := offer()
	gone("an offer that another has replaced", first)
	gone("a name that was never given", [16]byte{1})
	wrongEnd := second
	wrongEnd[15]++
	gone("a name of the same person", wrongEnd)

	for n := 1; n <= consent.MaxMisses; n++ {
		if got, err := s.MissCodeChange(ctx, second, fmt.Sprint(n)); got != n || err != nil {
			t.Errorf("MissCodeChange = %d, %v, want %d", got, err, n)
		}
		if got, err := s.MissCodeChange(ctx, second, fmt.Sprint(n)); got != n || err != nil {
			t.Errorf("the same guess again: %d, %v, want %d", got, err, n)
		}
	}
	if _, err := s.MissCodeChange(ctx, second, "x"); !errors.Is(err, consent.ErrGuesses) {
		t.Errorf("one guess too many: %v, want ErrGuesses", err)
	}
	if err := s.ChooseUserCode(ctx, second, "1234"); !errors.Is(err, consent.ErrInvalid) {
		t.Errorf("ChooseUserCode(1234) = %v, want ErrInvalid", err)
	}
	if err := s.ChooseUserCode(ctx, second, treeCode); err != nil { // the third guess was right
		t.Errorf("ChooseUserCode: %v", err)
	}
	if c, err := s.CodeChange(ctx, second); err != nil || !c.Done {
		t.Errorf("CodeChange afterwards = %+v, %v", c, err)
	}
	if _, err := s.MissCodeChange(ctx, second, "y"); !errors.Is(err, consent.ErrDecided) {
		t.Errorf("a guess afterwards: %v, want ErrDecided", err)
	}
	if err := s.ChooseUserCode(ctx, second, "other-0815"); !errors.Is(err, consent.ErrDecided) {
		t.Errorf("choosing twice: %v, want ErrDecided", err)
	}
	third := offer()
	g.clock.forward(10 * time.Minute)
	gone("an offer whose time is over", third)
	if got := try(t, s, "agent", alice().ID, treeCode); got != "right" {
		t.Errorf("the code that stands is %s", got)
	}
}

// TestUserCodeAtRest looks at what the server has: one sealed message for each
// person, without anything of the code, and nothing after an erasure.
func TestUserCodeAtRest(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	if err := s.AddPerson(ctx, alice()); err != nil {
		t.Fatal(err)
	}
	p := s.Pseudonym(alice().ID)
	choose(t, s, alice().ID, treeCode)
	choose(t, s, alice().ID, treeCode)
	try(t, s, "agent", alice().ID, "guess-1")
	stream, err := s.js.Stream(ctx, "KV_"+s.names.stream(bucketDevices))
	if err != nil {
		t.Fatal(err)
	}
	messages := func() (list []*jetstream.RawStreamMsg) {
		t.Helper()
		info, err := stream.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
			if m, err := stream.GetMsg(ctx, seq); err == nil && m.Subject == s.userCodeSubject(p) {
				list = append(list, m)
			}
		}
		return list
	}
	kept := messages()
	if len(kept) != 1 {
		t.Fatalf("%d messages are kept, want 1", len(kept))
	}
	for _, clear := range []string{treeCode, "guess", "agent", "alice", string(s.userCode(p, treeCode))} {
		if strings.Contains(string(kept[0].Data), clear) {
			t.Errorf("%q is kept in the clear", clear)
		}
	}

	// Somebody with the server's credentials gives alice bob's code.
	if err := s.AddPerson(ctx, bob()); err != nil {
		t.Fatal(err)
	}
	choose(t, s, bob().ID, "bobs-own-code")
	bobs, err := s.dir.devices.last(ctx, userCodeKey(s.Pseudonym(bob().ID)))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(g.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, forged := range [][]byte{bobs.data, []byte(`{"v":1}`), {0}} {
		if _, err := nc.Request(s.userCodeSubject(p), forged, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		for _, code := range []consent.Secret{"bobs-own-code", treeCode} {
			if got := try(t, s, "agent", alice().ID, code); got != "wrong" {
				t.Errorf("with a forged entry %q is %s", string(code), got)
			}
		}
	}
	choose(t, s, alice().ID, treeCode)

	if err := s.RemovePerson(ctx, alice().ID); err != nil {
		t.Fatal(err)
	}
	for _, m := range messages() {
		if len(m.Data) > 0 {
			t.Error("an erased person's code is still kept")
		}
	}
	if _, err := s.TryUserCode(ctx, "agent", alice().ID, treeCode); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("TryUserCode for an erased person = %v, want ErrNotFound", err)
	}
	if err := s.AddPerson(ctx, alice()); err != nil {
		t.Fatal(err)
	}
	if got := try(t, s, "agent", alice().ID, treeCode); got != "wrong" {
		t.Errorf("for a later person of the same id the code is %s", got)
	}
}
