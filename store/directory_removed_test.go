package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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

// TestAddOverTheUnreadable adds where there is an entry that nobody can read,
// and not where there is one of a later release.
func TestAddOverTheUnreadable(t *testing.T) {
	t.Parallel()
	s, ctx := newGround(t).open(t), t.Context()
	for _, later := range []bool{false, true} {
		p := alice()
		name := s.pseudonym(p.ID)
		key, err := s.storedKey(ctx, name, keyAnew)
		if err != nil {
			t.Fatal(err)
		}
		person, client := []byte("x"), []byte("x")
		if later {
			person = sealValue(key, s.personPlace(name), []byte(`{"v":2}`))
			if client, err = s.cfg.Vault.Wrap([]byte(`{"v":2}`), s.clientPlace("agent")); err != nil {
				t.Fatal(err)
			}
		}
		for bucket, row := range map[string]struct {
			f    *follower
			key  string
			data []byte
			add  func() error
		}{
			bucketPeople:  {s.dir.people, string(name), person, func() error { return s.AddPerson(ctx, p) }},
			bucketClients: {s.dir.clients, token("agent"), client, func() error { return s.AddClient(ctx, pollClient("agent")) }},
		} {
			if _, err := row.f.write(ctx, row.key, row.data); err != nil {
				t.Fatal(err)
			}
			if err := row.add(); later != errors.Is(err, consent.ErrExists) || !later && err != nil {
				t.Errorf("%s, later release %v: %v", bucket, later, err)
			}
			if now := heldBy(t, s, bucket, row.key); later != bytes.Equal(now, row.data) {
				t.Errorf("%s, later release %v: %d bytes are there, before %d", bucket, later, len(now), len(row.data))
			}
		}
	}
}

// pause has f call before with the first write of a key, between what that write
// rests on and the write itself. It returns how often the key was written, and
// what takes the pause out.
func pause(f *follower, key string, before func()) (writes *int, end func()) {
	publish, n := f.publish, 0
	f.publish = func(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
		if m.Subject == f.prefix+key {
			if n++; n == 1 {
				before()
			}
		}
		return publish(ctx, m, opts...)
	}
	return &n, func() { f.publish = publish }
}

// TestChangeOfTheRemoved removes what is being changed, while it is changed,
// and adds somebody of the same id: no change brings anything back.
func TestChangeOfTheRemoved(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, other, ctx := g.open(t), g.open(t), t.Context()
	if err := s.AddClient(ctx, pollClient("agent")); err != nil {
		t.Fatal(err)
	}
	number := s.numberID(alice().Phone)
	for what, row := range map[string]struct {
		f      *follower
		key    func(p consent.Pseudonym) string
		change func(id string) error
	}{
		"link": {
			s.dir.people, func(p consent.Pseudonym) string { return string(p) },
			func(id string) error { return s.LinkPerson(ctx, id, "agent") },
		},
		"unlink": {
			s.dir.people, func(p consent.Pseudonym) string { return string(p) },
			func(id string) error { return s.UnlinkPerson(ctx, id, "agent") },
		},
		"console": {
			s.dir.devices, deviceGuard,
			func(id string) error { return s.StopDevice(ctx, id, channelConsole, true) },
		},
		"number": {
			s.dir.devices, func(p consent.Pseudonym) string { return string(p) + "." + number },
			func(id string) error { return s.StopDevice(ctx, id, number, true) },
		},
		"offer": {
			s.dir.devices, userCodeKey,
			func(id string) error {
				_, err := s.OfferUserCode(ctx, id, g.clock.now().Add(time.Minute))
				return err
			},
		},
		"guess": {
			s.dir.devices, userCodeKey,
			func(id string) error { _, err := s.TryUserCode(ctx, "agent", id, "guess"); return err },
		},
	} {
		for again, want := range []error{consent.ErrNotFound, nil} { // gone; and added again
			for i, remover := range []*Store{s, other} {
				person := alice()
				person.ID = fmt.Sprintf("%s-%d-%d", what, again, i) // nobody was there before
				if what == "unlink" {
					person.Clients = []string{"agent"}
				}
				p := s.Pseudonym(person.ID)
				if err := s.AddPerson(ctx, person); err != nil {
					t.Fatal(err)
				}
				writes, end := pause(row.f, row.key(p), func() {
					err := remover.RemovePerson(ctx, person.ID)
					if err == nil && again > 0 {
						err = remover.AddPerson(ctx, person)
					}
					if err != nil {
						t.Error(err)
					}
				})
				err := row.change(person.ID)
				end()
				if !errors.Is(err, want) || *writes == 0 {
					t.Errorf("%s, added %d times again: %v after %d writes, want %v", what, again, err, *writes, want)
				}
				if again > 0 {
					if _, _, err := openKeptOf(ctx, s, p); err != nil {
						t.Errorf("%s: the new entry cannot be read: %v", what, err)
					}
					if err := s.RemovePerson(ctx, person.ID); err != nil {
						t.Fatal(err)
					}
				}
				wantErased(t, s, p)
			}
		}
	}
}

// TestKeyOfTheRemoved removes somebody after their entry was read and before
// their key is.
func TestKeyOfTheRemoved(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	id, p := alice().ID, s.Pseudonym(alice().ID)
	for again, want := range map[bool]error{false: consent.ErrNotFound, true: nil} {
		if err := s.AddPerson(ctx, alice()); err != nil {
			t.Fatal(err)
		}
		turns := 0
		_, err := s.dir.people.change(ctx, string(p), func(m message) ([]byte, error) {
			if turns++; turns == 1 {
				err := s.RemovePerson(ctx, id)
				if again {
					err = errors.Join(err, s.AddPerson(ctx, alice()))
				}
				if err != nil {
					t.Error(err)
				}
			}
			person, key, err := s.openKept(ctx, p, m)
			if err != nil {
				return nil, err
			}
			return s.sealPerson(key, p, person)
		})
		if !errors.Is(err, want) {
			t.Errorf("a change of somebody removed, added again %v: %v, want %v", again, err, want)
		}
		if again {
			err = s.RemovePerson(ctx, id)
		}
		if wantErased(t, s, p); again && err != nil {
			t.Fatal(err)
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
