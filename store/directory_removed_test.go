package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"ringback/consent"
)

// together calls all at once and returns when they have ended.
func together(calls ...func()) {
	start := make(chan struct{})
	var all sync.WaitGroup
	for _, call := range calls {
		all.Go(func() {
			<-start
			call()
		})
	}
	close(start)
	all.Wait()
}

// heldBy returns what the server holds under a key of a bucket, nil for nothing.
func heldBy(t *testing.T, s *Store, bucket, key string) []byte {
	t.Helper()
	name := s.names.stream(bucket)
	m, err := s.leaderMessage(t.Context(), "KV_"+name, "$KV."+name+"."+key)
	if err != nil && !errors.Is(err, consent.ErrNotFound) {
		t.Fatal(err)
	}
	return m.data
}

// wantErased checks that the server holds nothing of p but marks.
func wantErased(t *testing.T, s *Store, p consent.Pseudonym) {
	t.Helper()
	for _, key := range []string{string(p), string(p) + "." + channelConsole, string(p) + "." + s.numberID(alice().Phone), userCodes + "." + string(p)} {
		for _, bucket := range []string{bucketPeople, bucketDevices} {
			if data := heldBy(t, s, bucket, key); len(data) > 0 {
				t.Fatalf("%s has %q for an erased person under %s", bucket, data, key)
			}
		}
	}
	m, err := s.leaderMessage(t.Context(), s.names.stream(streamDEK), s.names.subject("dek", string(p)))
	if err != nil || len(m.data) > 0 {
		t.Fatalf("an erased person has a data key of %d bytes, %v; want a mark", len(m.data), err)
	}
	if _, err := s.dataKey(t.Context(), p, true); !errors.Is(err, ErrErased) {
		t.Fatalf("dataKey of an erased person = %v, want ErrErased", err)
	}
}

// TestAddOnce has many add one id at once, in two processes: one of them does.
func TestAddOnce(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	stores, ctx := []*Store{g.open(t), g.open(t)}, t.Context()
	add := map[string]func(s *Store, name string) error{
		"person": func(s *Store, name string) error {
			return s.AddPerson(ctx, &consent.Person{ID: "one", Name: name, Phone: "+12025550101"})
		},
		"client": func(s *Store, name string) error {
			return s.AddClient(ctx, &consent.Client{ID: "one", Name: name})
		},
	}
	find := map[string]func(s *Store) (name string){
		"person": func(s *Store) string {
			if p, err := s.Person(ctx, "one"); err == nil {
				return p.Name
			}
			return ""
		},
		"client": func(s *Store) string {
			if c, err := s.Client(ctx, "one"); err == nil {
				return c.Name
			}
			return ""
		},
	}
	for kind := range add {
		var added atomic.Int32
		var winner atomic.Value
		var calls []func()
		for i := range 50 {
			calls = append(calls, func() {
				name := fmt.Sprint("Number ", i)
				switch err := add[kind](stores[i%2], name); {
				case err == nil:
					added.Add(1)
					winner.Store(name)
				case !errors.Is(err, consent.ErrExists):
					t.Errorf("adding a %s that is there = %v, want ErrExists", kind, err)
				}
			})
		}
		together(calls...)
		if n := added.Load(); n != 1 {
			t.Fatalf("%d of 50 have added the same %s", n, kind)
		}
		for i, s := range append(stores, g.open(t)) {
			eventually(t, fmt.Sprintf("the %s that was added, in store %d", kind, i), func() bool { return find[kind](s) == winner.Load() })
			if err := add[kind](s, "Late"); !errors.Is(err, consent.ErrExists) {
				t.Errorf("adding a %s again = %v, want ErrExists", kind, err)
			}
		}
	}
}

// TestChangeOfTheRemoved removes what is being changed, while it is changed,
// and adds somebody of the same id: no change finds its way to them.
func TestChangeOfTheRemoved(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, other, ctx := g.open(t), g.open(t), t.Context()
	id, p := alice().ID, s.Pseudonym(alice().ID)
	person := map[string]func(meanwhile func()) error{
		"entry": func(meanwhile func()) error {
			return s.changePerson(ctx, id, func(p *consent.Person) error { meanwhile(); p.Name = "Changed"; return nil })
		},
		"user code": func(meanwhile func()) error {
			return s.changeUserCode(ctx, p, func(u *storedUserCode) error { meanwhile(); u.Code = []byte("code"); return nil })
		},
		"guard of devices": func(meanwhile func()) error {
			_, err := s.dir.devices.change(ctx, deviceGuard(p), func(m message) ([]byte, error) {
				m, err := s.dir.people.last(ctx, string(p))
				if meanwhile(); err == nil && m.data == nil {
					err = consent.ErrNotFound
				}
				return []byte(`{"v":1,"stopped":true}`), err
			})
			return err
		},
	}
	for what, change := range person {
		for _, remover := range []*Store{s, other} {
			if err := s.AddPerson(ctx, alice()); err != nil {
				t.Fatal(err)
			}
			err := change(func() {
				if err := remover.RemovePerson(ctx, id); err != nil && !errors.Is(err, consent.ErrNotFound) {
					t.Error(err)
				}
			})
			if !errors.Is(err, consent.ErrNotFound) {
				t.Errorf("%s of somebody who is erased meanwhile: %v, want ErrNotFound", what, err)
			}
			wantErased(t, s, p)

			// Again, and added anew meanwhile: the change is of the new one, or
			// of nobody.
			if err := s.AddPerson(ctx, alice()); err != nil {
				t.Fatal(err)
			}
			turns := 0
			err = change(func() {
				if turns++; turns > 1 {
					return
				}
				if err := errors.Join(remover.RemovePerson(ctx, id), remover.AddPerson(ctx, alice())); err != nil {
					t.Error(err)
				}
			})
			if err != nil || turns != 2 {
				t.Errorf("%s of somebody who is there again: %v after %d turns, want two", what, err, turns)
			}
			if _, _, err := openKeptOf(ctx, s, p); err != nil {
				t.Errorf("%s: the new entry cannot be read: %v", what, err)
			}
			if err := s.RemovePerson(ctx, id); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func openKeptOf(ctx context.Context, s *Store, p consent.Pseudonym) (*consent.Person, message, error) {
	m, err := s.dir.people.last(ctx, string(p))
	if err != nil {
		return nil, m, err
	}
	person, _, err := s.openKept(ctx, p, m)
	return person, m, err
}

// TestRemovalOfAClient removes a client whose secret is renewed and to which
// people are linked meanwhile, in two processes. No secret works afterwards and
// nobody is linked, so that a later client of that id may name nobody.
func TestRemovalOfAClient(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	a, b, ctx := g.open(t), g.open(t), t.Context()
	var people []string
	for i := range 4 {
		people = append(people, fmt.Sprint("person-", i))
		if err := a.AddPerson(ctx, &consent.Person{ID: people[i]}); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 30 {
		id := fmt.Sprint("agent-", round)
		if err := a.AddClient(ctx, pollClient(id)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "client and people", func() bool {
			_, err := b.Client(ctx, id)
			_, err2 := b.Person(ctx, people[len(people)-1])
			return err == nil && err2 == nil
		})
		changes := []func() error{
			func() error {
				return b.ChangeClient(ctx, id, func(c *consent.Client) error { c.SecretHashes = []consent.Digest{{1}}; return nil })
			},
		}
		for i, person := range people {
			changes = append(changes, func() error { return []*Store{a, b}[i%2].LinkPerson(ctx, person, id) })
		}
		calls := []func(){func() {
			if err := a.RemoveClient(ctx, id); err != nil {
				t.Errorf("RemoveClient: %v", err)
			}
		}}
		for _, change := range changes {
			calls = append(calls, func() {
				if err := change(); err != nil && !errors.Is(err, consent.ErrNotFound) {
					t.Errorf("changing what is removed: %v", err)
				}
			})
		}
		together(calls...)
		if data := heldBy(t, a, bucketClients, token(id)); len(data) > 0 {
			t.Fatal("a removed client is there again")
		}
		for _, person := range people {
			if p, _, err := openKeptOf(ctx, a, a.Pseudonym(person)); err != nil || len(p.Clients) > 0 {
				t.Fatalf("%s is linked to %v, %v; want nobody", person, p.Clients, err)
			}
		}
		for _, change := range changes {
			if err := change(); !errors.Is(err, consent.ErrNotFound) {
				t.Errorf("changing what was removed = %v, want ErrNotFound", err)
			}
		}
	}
}

// TestLinkWhileRemoving links a person in the moment after the remover has
// looked who is linked.
func TestLinkWhileRemoving(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	if err := errors.Join(s.AddPerson(ctx, alice()), s.AddClient(ctx, pollClient("agent"))); err != nil {
		t.Fatal(err)
	}
	// A link whose writer has seen the client comes to an end after it is gone.
	removed := false
	err := s.changePerson(ctx, alice().ID, func(p *consent.Person) error {
		if !removed {
			removed = true
			if err := s.RemoveClient(ctx, "agent"); err != nil {
				t.Error(err)
			}
		}
		p.Clients = []string{"agent"}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveClient(ctx, "agent"); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("RemoveClient again = %v, want ErrNotFound", err)
	}
	if p, err := s.Person(ctx, alice().ID); err != nil || len(p.Clients) > 0 {
		t.Errorf("after another removal the person is linked to %v, %v", p.Clients, err)
	}

	// While the client is removed, one of its id is added: both are removed.
	adds := 0
	had, err := s.dir.clients.remove(ctx, token("agent"), func(message) error {
		if adds++; adds > 1 {
			return nil
		}
		return s.AddClient(ctx, pollClient("agent"))
	})
	if !had || err != nil || adds != 2 {
		t.Errorf("remove = %v, %v after %d rounds, want both of them removed in two", had, err, adds)
	}
	if _, err := s.Client(ctx, "agent"); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("Client = %v, want ErrNotFound", err)
	}
}
