package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"ringback/consent"
)

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
	s, other, ctx := g.open(t), g.open(t), t.Context()
	if err := errors.Join(s.AddPerson(ctx, alice()), s.AddClient(ctx, pollClient("agent"))); err != nil {
		t.Fatal(err)
	}
	// The link is written when the remover has looked already.
	p := s.Pseudonym(alice().ID)
	writes, end := pause(s.dir.people, string(p), func() {
		if err := other.RemoveClient(ctx, "agent"); err != nil {
			t.Error(err)
		}
	})
	err := s.LinkPerson(ctx, alice().ID, "agent")
	end()
	if !errors.Is(err, consent.ErrNotFound) || *writes != 2 {
		t.Errorf("LinkPerson = %v after %d writes, want ErrNotFound after two", err, *writes)
	}
	if p, _, err := openKeptOf(ctx, s, p); err != nil || len(p.Clients) > 0 {
		t.Errorf("the person is linked to %v, %v; want nobody", p.Clients, err)
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

// deaf is a log in which a follower stays when it reports an entry that it
// cannot read, until it is told to go on.
type deaf struct {
	slog.Handler
	stuck, goOn chan struct{}
}

func (d deaf) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "unreadable") {
		d.stuck <- struct{}{}
		<-d.goOn
	}
	return d.Handler.Handle(ctx, r)
}

// TestRemovalSeesAll removes what another process has linked or listed while
// this one has not heard of it.
func TestRemovalSeesAll(t *testing.T) {
	t.Parallel()
	for bucket, row := range map[string]struct {
		unreadable    func(s *Store) (key string)
		write, remove func(ctx context.Context, s *Store) error
		left          func(ctx context.Context, s *Store) int
	}{
		bucketPeople: {
			func(s *Store) string { return string(s.Pseudonym(bob().ID)) },
			func(ctx context.Context, s *Store) error { return s.LinkPerson(ctx, alice().ID, "agent") },
			func(ctx context.Context, s *Store) error { return s.RemoveClient(ctx, "agent") },
			func(ctx context.Context, s *Store) int {
				p, err := s.Person(ctx, alice().ID)
				if err != nil {
					return -1
				}
				return len(p.Clients)
			},
		},
		bucketClients: {
			func(*Store) string { return token("forged") },
			func(ctx context.Context, s *Store) error {
				return s.ChangeClient(ctx, "agent", func(c *consent.Client) error { c.PeopleList = []string{alice().ID}; return nil })
			},
			func(ctx context.Context, s *Store) error { return s.RemovePerson(ctx, alice().ID) },
			func(ctx context.Context, s *Store) int {
				c, err := s.Client(ctx, "agent")
				if err != nil {
					return -1
				}
				return len(c.PeopleList)
			},
		},
	} {
		g, ctx := newGround(t), t.Context()
		other := g.open(t)
		if err := errors.Join(other.AddPerson(ctx, alice()), other.AddPerson(ctx, bob()), other.AddClient(ctx, pollClient("agent"))); err != nil {
			t.Fatal(err)
		}
		config := g.config(t)
		log := deaf{config.Log.Handler(), make(chan struct{}), make(chan struct{})}
		config.Log = slog.New(log)
		s, err := Open(ctx, config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.js.Publish(ctx, "$KV."+other.names.stream(bucket)+"."+row.unreadable(other), []byte("x")); err != nil {
			t.Fatal(err)
		}
		wait := func(c chan struct{}) {
			t.Helper()
			select {
			case <-c:
			case <-time.After(20 * time.Second):
				t.Fatal("nobody came")
			}
		}
		wait(log.stuck)
		if err := row.write(ctx, other); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- row.remove(ctx, s) }()
		select { // it has to wait for what it has not heard of
		case err := <-ended:
			t.Errorf("%s: a removal ended (%v) before all of it was known", bucket, err)
			ended <- err
		case <-time.After(200 * time.Millisecond):
		}
		close(log.goOn)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		eventually(t, "nothing left in "+bucket, func() bool { return row.left(ctx, other) == 0 })
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}
