package store

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"ringback/consent"
)

// TestErasureStands erases somebody whom others link, unlink, stop, give codes
// and ask, in two processes: when the erasure is acknowledged, nothing is there
// and nothing comes.
func TestErasureStands(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	a, b, ctx := g.open(t), g.open(t), t.Context()
	if err := a.AddClient(ctx, pollClient("agent")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the client", func() bool { _, err := b.Client(ctx, "agent"); return err == nil })
	id, p := alice().ID, a.Pseudonym(alice().ID)
	for round := range 100 {
		if err := a.AddPerson(ctx, alice()); err != nil {
			t.Fatalf("round %d: AddPerson: %v", round, err)
		}
		eventually(t, "the person", func() bool { _, err := b.Person(ctx, id); return err == nil })
		if err := errors.Join(a.StopDevice(ctx, id, channelConsole, true), a.StopDevice(ctx, id, channelConsole, false)); err != nil {
			t.Fatal(err)
		}
		req := askFor(t, a, id)
		want := func(what string, err error) {
			if err != nil && !errors.Is(err, consent.ErrNotFound) {
				t.Errorf("round %d: %s: %v", round, what, err)
			}
		}
		late := *req
		late.ID = consent.NewID()
		s, o := a, b
		if round%2 == 1 {
			s, o = b, a
		}
		changes := []func(){
			func() { want("LinkPerson", s.LinkPerson(ctx, id, "agent")) },
			func() { want("UnlinkPerson", o.UnlinkPerson(ctx, id, "agent")) },
			func() { want("StopDevice", o.StopDevice(ctx, id, channelConsole, true)) },
			func() { want("StopDevice", s.StopDevice(ctx, id, s.numberID(alice().Phone), true)) },
			func() { _, err := s.OfferUserCode(ctx, id, g.clock.now().Add(time.Minute)); want("OfferUserCode", err) },
			func() { _, err := o.HasUserCode(ctx, id); want("HasUserCode", err) },
			func() { want("Ask", s.Ask(ctx, &late)) },
		}
		together(append(changes, func() { want("RemovePerson", a.RemovePerson(ctx, id)) })...)
		wantErased(t, a, p)
		for _, change := range changes { // nobody is there to be changed
			change()
		}
		wantErased(t, a, p)
		for _, req := range []*consent.Request{req, &late} {
			if st, err := a.Get(ctx, req.ID); !errors.Is(err, consent.ErrNotFound) {
				t.Fatalf("round %d: what an erased person was asked is %+v, %v", round, st, err)
			}
		}
		eventually(t, "the erasure elsewhere", func() bool { _, err := b.Person(ctx, id); return errors.Is(err, consent.ErrNotFound) })
		if t.Failed() {
			return
		}
	}
}

// TestAddDuringErasure adds somebody while somebody of that id is erased: they
// are there in whole or not at all, and never with the key of before.
func TestAddDuringErasure(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	a, b, ctx := g.open(t), g.open(t), t.Context()
	id, p := alice().ID, a.Pseudonym(alice().ID)
	const rounds = 60
	there := 0
	for round := range rounds {
		if err := a.AddPerson(ctx, alice()); err != nil && !errors.Is(err, consent.ErrExists) {
			t.Fatalf("round %d: AddPerson: %v", round, err)
		}
		before, err := a.storedKey(ctx, p, keyNow)
		if err != nil {
			t.Fatal(err)
		}
		old := sealValue(before, "here", []byte("old"))
		add := func(s *Store) func() {
			return func() {
				for range 3 {
					if err := s.AddPerson(ctx, alice()); err != nil && !errors.Is(err, consent.ErrExists) {
						t.Errorf("round %d: AddPerson: %v", round, err)
					}
				}
			}
		}
		erase := func(s *Store) func() {
			return func() {
				if err := s.RemovePerson(ctx, id); err != nil && !errors.Is(err, consent.ErrNotFound) {
					t.Errorf("round %d: RemovePerson: %v", round, err)
				}
			}
		}
		calls := []func(){add(a), add(b), erase(a)}
		if round%2 == 1 {
			calls = append(calls, erase(b))
		}
		together(calls...)
		person, m, err := openKeptOf(ctx, a, p)
		switch {
		case m.data == nil:
			wantErased(t, a, p)
		case err != nil:
			t.Fatalf("round %d: an entry without its key: %v", round, err)
		default:
			there++
			key, err := a.storedKey(ctx, p, keyNow)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := openValue(key, "here", old); err == nil {
				t.Fatalf("round %d: the key of before is there again", round)
			}
			if owner := heldBy(t, a, bucketDevices, numberClaims+"."+a.numberID(person.Phone)); string(owner) != string(p) {
				t.Fatalf("round %d: the number of who is there belongs to %q", round, owner)
			}
		}
		if t.Failed() {
			return
		}
	}
	if there == 0 || there == rounds {
		t.Errorf("in %d of %d rounds there was somebody in the end: this proves little", there, rounds)
	}
}

// TestErasuresAtOnce erases one person many times at once: none of them fails
// for what another has done already.
func TestErasuresAtOnce(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	stores, ctx := []*Store{g.open(t), g.open(t)}, t.Context()
	for range 5 {
		if err := stores[0].AddPerson(ctx, alice()); err != nil {
			t.Fatal(err)
		}
		var done atomic.Int32
		var calls []func()
		for i := range 20 {
			calls = append(calls, func() {
				switch err := stores[i%2].RemovePerson(ctx, alice().ID); {
				case err == nil:
					done.Add(1)
				case !errors.Is(err, consent.ErrNotFound):
					t.Errorf("RemovePerson = %v", err)
				}
			})
		}
		together(calls...)
		if done.Load() == 0 {
			t.Error("nobody has erased a person who was there")
		}
		wantErased(t, stores[0], stores[0].Pseudonym(alice().ID))
	}
}

// TestUnseenErasure has a process hear nothing of an erasure but the entry of
// who was added afterwards.
func TestUnseenErasure(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	a, b, ctx := g.open(t), g.open(t), t.Context()
	id, p := alice().ID, a.Pseudonym(alice().ID)
	if err := a.AddPerson(ctx, alice()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the person", func() bool { _, err := b.Person(ctx, id); return err == nil })
	if _, err := b.dataKey(ctx, p, false); err != nil {
		t.Fatal(err)
	}
	b.dir.stop()
	b.dir.done.Wait()
	if err := errors.Join(a.RemovePerson(ctx, id), a.AddPerson(ctx, alice())); err != nil {
		t.Fatal(err)
	}
	if err := b.applyPerson(ctx, string(p), heldBy(t, a, bucketPeople, string(p))); err != nil {
		t.Fatal(err)
	}
	key, err := a.dataKey(ctx, p, false)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := b.dataKey(ctx, p, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openValue(key, "here", sealValue(theirs, "here", nil)); err != nil {
		t.Errorf("the other process seals with the key of who was erased: %v", err)
	}
}

// TestFreezeOfSomebodyElse erases somebody who does not want to be asked by a
// client: a later person of the same id is somebody else, in every process.
func TestFreezeOfSomebodyElse(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	a, b, ctx := g.open(t), g.open(t), t.Context()
	p, until := a.Pseudonym(alice().ID), g.clock.now().Add(time.Hour)
	if err := errors.Join(a.AddPerson(ctx, alice()), a.Freeze(ctx, p, "agent", until)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the freeze elsewhere", func() bool { return b.frozen(p) != nil })
	if err := errors.Join(a.RemovePerson(ctx, alice().ID), a.AddPerson(ctx, alice())); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Store{a, b} {
		eventually(t, "the end of the freeze", func() bool { return s.frozen(p) == nil })
	}
	if again := g.open(t); again.frozen(p) != nil {
		t.Error("the freeze is there again after a restart")
	}
}

// TestUserCodeDuringErasure looks for a user code whose key is gone, while the
// entry is not yet.
func TestUserCodeDuringErasure(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	if err := s.AddPerson(ctx, alice()); err != nil {
		t.Fatal(err)
	}
	choose(t, s, alice().ID, treeCode)
	id, err := s.OfferUserCode(ctx, alice().ID, g.clock.now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	p := s.Pseudonym(alice().ID)
	if _, err := s.dataKey(ctx, p, false); err != nil { // remembered from now on
		t.Fatal(err)
	}
	if had, err := s.eraseKey(ctx, p); !had || err != nil {
		t.Fatalf("eraseKey = %v, %v", had, err)
	}
	if _, err := s.dataKey(ctx, p, false); !errors.Is(err, ErrErased) {
		t.Errorf("dataKey = %v, want ErrErased at once", err)
	}
	if has, err := s.HasUserCode(ctx, alice().ID); has || err != nil {
		t.Errorf("HasUserCode = %v, %v, want none", has, err)
	}
	if _, err := s.CodeChange(ctx, id); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("CodeChange = %v, want ErrNotFound", err)
	}
	if err := s.ChooseUserCode(ctx, id, treeCode); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("ChooseUserCode = %v, want ErrNotFound", err)
	}
}
