package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
)

func TestPerson(t *testing.T) {
	t.Parallel()
	s, ctx := newGround(t).open(t), t.Context()
	if err := s.AddPerson(ctx, alice()); err != nil {
		t.Fatalf("AddPerson: %v", err)
	}
	if err := s.AddPerson(ctx, bob()); err != nil {
		t.Fatalf("AddPerson: %v", err)
	}
	find := []struct {
		kind  consent.HintKind
		value string
		want  string
	}{
		{consent.HintID, "alice-7f3a", "alice-7f3a"},
		{consent.HintPhone, "+12025550101", "alice-7f3a"},
		{consent.HintPhone, "+12025550102", "bob-11c9"},
		{consent.HintEmail, "alice.liddell@example.COM", "alice-7f3a"},
		{consent.HintID, "Alice-7f3a", ""},
		{consent.HintPhone, "12025550101", ""},
		{consent.HintEmail, "", ""},
		{consent.HintPhone, "", ""},
		{"unknown", "alice-7f3a", ""},
	}
	for _, row := range find {
		got, err := s.Find(ctx, row.kind, row.value)
		if row.want == "" && !errors.Is(err, consent.ErrNotFound) || row.want != "" && (err != nil || got.ID != row.want) {
			t.Errorf("Find(%s, %q) = %v, %v, want %q", row.kind, row.value, got, err, row.want)
		}
	}
	got, err := s.PersonOf(ctx, s.Pseudonym("alice-7f3a"))
	if diff := cmp.Diff(alice(), got); err != nil || diff != "" {
		t.Errorf("PersonOf: %v (-want +got):\n%s", err, diff)
	}

	if err := s.RemovePerson(ctx, "alice-7f3a"); err != nil {
		t.Fatalf("RemovePerson: %v", err)
	}
	if p, err := s.Person(ctx, "alice-7f3a"); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("Person after RemovePerson = %v, %v, want ErrNotFound", p, err)
	}
	if p, err := s.Find(ctx, consent.HintPhone, "+12025550101"); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("Find(number of a removed person) = %v, %v, want ErrNotFound", p, err)
	}
	if err := s.AddPerson(ctx, &consent.Person{ID: "heir", Phone: "+12025550101"}); err != nil {
		t.Errorf("AddPerson with a number that was given up: %v", err)
	}
	if err := s.RemovePerson(ctx, "alice-7f3a"); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("second RemovePerson = %v, want ErrNotFound", err)
	}
	if err := s.RemovePerson(ctx, "nobody"); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("RemovePerson(nobody) = %v, want ErrNotFound", err)
	}
	if m, err := s.lastMessage(ctx, streamDEK, s.names.subject("dek", string(s.Pseudonym("nobody")))); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("RemovePerson(nobody) left message %d, %v", m.seq, err)
	}
}

func TestEmailOfTwoFindsNobody(t *testing.T) {
	t.Parallel()
	s, ctx := newGround(t).open(t), t.Context()
	for _, id := range []string{"one", "two"} {
		if err := s.AddPerson(ctx, &consent.Person{ID: id, Email: "family@example.com"}); err != nil {
			t.Fatalf("AddPerson: %v", err)
		}
	}
	if p, err := s.Find(ctx, consent.HintEmail, "family@example.com"); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("Find = %v, %v, want ErrNotFound", p, err)
	}
}

func TestPhoneHasOneOwner(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	a, b, ctx := g.open(t), g.open(t), t.Context()
	const writers = 16
	var wins []string
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			s, id := a, fmt.Sprintf("person-%02d", i)
			if i%2 == 1 {
				s = b
			}
			err := s.AddPerson(ctx, &consent.Person{ID: id, Phone: "+4915112345678"})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				wins = append(wins, id)
			case !errors.Is(err, consent.ErrTaken):
				t.Errorf("AddPerson(%s) = %v, want ErrTaken", id, err)
			case strings.Contains(err.Error(), "15112345678"):
				t.Errorf("the error tells the number: %v", err)
			}
		})
	}
	all.Wait()
	if len(wins) != 1 {
		t.Fatalf("%d people got the same number: %v", len(wins), wins)
	}
	for _, s := range []*Store{a, b} {
		eventually(t, "the owner's number", func() bool {
			p, err := s.Find(ctx, consent.HintPhone, "+4915112345678")
			return err == nil && p.ID == wins[0]
		})
	}

	// What a writer left behind that stopped between claim and entry is void
	// after a while, not at once.
	phone := consent.Phone("+4915112345679")
	if err := a.claimNumber(ctx, a.Pseudonym("crashed"), phone); err != nil {
		t.Fatalf("claimNumber: %v", err)
	}
	late := &consent.Person{ID: "late", Phone: phone}
	if err := b.AddPerson(ctx, late); !errors.Is(err, consent.ErrTaken) {
		t.Errorf("AddPerson beside a fresh claim = %v, want ErrTaken", err)
	}
	g.clock.forward(time.Minute)
	if err := b.AddPerson(ctx, late); err != nil {
		t.Errorf("AddPerson after a void claim: %v", err)
	}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	if err := s.AddPerson(ctx, alice()); err != nil {
		t.Fatalf("AddPerson: %v", err)
	}
	if err := s.SetFile(nil, []consent.Person{{ID: "carol"}}, nil); err != nil {
		t.Fatalf("SetFile: %v", err)
	}
	devices, err := s.Devices(ctx, "alice-7f3a")
	if err != nil || len(devices) != 2 || devices[0].Channel != "sms" || devices[0].Address != "+12025550101" || devices[1].Channel != "console" {
		t.Fatalf("Devices = %#v, %v, want sms and console", devices, err)
	}
	if strings.Contains(devices[0].ID, "2025550101") {
		t.Errorf("the device's id %q tells the number", devices[0].ID)
	}
	if devices, err := s.Devices(ctx, "carol"); err != nil || len(devices) != 1 || devices[0].Channel != "console" {
		t.Errorf("Devices of a person without a number = %v, %v, want console", devices, err)
	}
	if _, err := s.Devices(ctx, "nobody"); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("Devices(nobody) = %v, want ErrNotFound", err)
	}
	if err := s.StopDevice(ctx, "alice-7f3a", "no-such-device", true); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("StopDevice(no such device) = %v, want ErrNotFound", err)
	}
	other := g.open(t)
	for _, stopped := range []bool{true, true, false, true} {
		if err := s.StopDevice(ctx, "alice-7f3a", devices[0].ID, stopped); err != nil {
			t.Fatalf("StopDevice: %v", err)
		}
		if got, _ := s.Devices(ctx, "alice-7f3a"); got[0].Stopped != stopped || got[1].Stopped {
			t.Errorf("after StopDevice(%v): %#v", stopped, got)
		}
		eventually(t, "the device's state elsewhere", func() bool {
			got, _ := other.Devices(ctx, "alice-7f3a")
			return len(got) == 2 && got[0].Stopped == stopped
		})
	}
	again := g.open(t)
	if got, _ := again.Devices(ctx, "alice-7f3a"); !got[0].Stopped {
		t.Error("a stopped device takes messages after a restart")
	}
}

func TestClient(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	c := pollClient("https://agent.example/client?x=*.>&y=%20")
	c.SecretHashes = []consent.Digest{{1, 2, 3}}
	c.People, c.PeopleList = "list", []string{"alice-7f3a"}
	if err := s.AddClient(ctx, c); err != nil {
		t.Fatalf("AddClient: %v", err)
	}
	got, err := s.Client(ctx, c.ID)
	if err != nil {
		t.Fatalf("Client: %v", err)
	}
	want := *c
	want.CreatedAt = got.CreatedAt
	if diff := cmp.Diff(&want, got); diff != "" || got.CreatedAt.IsZero() {
		t.Errorf("Client (-want +got):\n%s", diff)
	}
	if _, err := g.open(t).Client(ctx, c.ID); err != nil {
		t.Errorf("Client after a restart: %v", err)
	}
	if err := s.RemoveClient(ctx, c.ID); err != nil {
		t.Fatalf("RemoveClient: %v", err)
	}
	if _, err := s.Client(ctx, c.ID); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("Client after RemoveClient = %v, want ErrNotFound", err)
	}
	for _, id := range []string{c.ID, "unknown", "", "with space"} {
		if err := s.RemoveClient(ctx, id); !errors.Is(err, consent.ErrNotFound) {
			t.Errorf("RemoveClient(%q) = %v, want ErrNotFound", id, err)
		}
	}
}

func TestChangeClient(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, other, ctx := g.open(t), g.open(t), t.Context()
	rename := func(name string) func(*consent.Client) error {
		return func(c *consent.Client) error { c.Name = name; return nil }
	}
	for _, id := range []string{"agent", "", "with space"} {
		if err := s.ChangeClient(ctx, id, rename("X")); !errors.Is(err, consent.ErrNotFound) {
			t.Errorf("ChangeClient(%q) = %v, want ErrNotFound", id, err)
		}
	}
	if err := s.AddClient(ctx, pollClient("agent")); err != nil {
		t.Fatal(err)
	}
	err := s.ChangeClient(ctx, "agent", func(c *consent.Client) error {
		*c = consent.Client{ID: "another", Name: "New", FromFile: true} // its id stays
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := s.Client(ctx, "agent"); err != nil || c.Name != "New" || c.ID != "agent" || c.FromFile {
		t.Errorf("Client = %+v, %v, want the new name", c, err)
	}
	refusal := errors.New("no")
	for name, row := range map[string]struct {
		change func(*consent.Client) error
		want   error
	}{
		"refused":    {func(c *consent.Client) error { c.Name = "Refused"; return refusal }, refusal},
		"not usable": {func(c *consent.Client) error { c.Mode = "pull"; return nil }, consent.ErrInvalid},
	} {
		if err := s.ChangeClient(ctx, "agent", row.change); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", name, err, row.want)
		}
	}
	// Somebody else's change in between is seen, and a removal stays one.
	turns := 0
	err = s.ChangeClient(ctx, "agent", func(c *consent.Client) error {
		if turns++; turns == 1 {
			if err := other.ChangeClient(ctx, "agent", rename("Theirs")); err != nil {
				t.Error(err)
			}
		}
		c.Name += " and ours"
		return nil
	})
	if c, _ := s.Client(ctx, "agent"); err != nil || c.Name != "Theirs and ours" || turns != 2 {
		t.Errorf("after a change in between: %v, %d turns, name %q", err, turns, c.Name)
	}
	err = s.ChangeClient(ctx, "agent", func(*consent.Client) error {
		if err := other.RemoveClient(ctx, "agent"); err != nil && !errors.Is(err, consent.ErrNotFound) {
			t.Error(err)
		}
		return nil
	})
	if !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("ChangeClient of a client that is removed meanwhile = %v, want ErrNotFound", err)
	}
	if _, err := g.open(t).Client(ctx, "agent"); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("it came back: %v", err)
	}
}

func TestLink(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, other, ctx := g.open(t), g.open(t), t.Context()
	for _, p := range []*consent.Person{alice(), bob()} {
		if err := s.AddPerson(ctx, p); err != nil {
			t.Fatalf("AddPerson: %v", err)
		}
	}
	var clients []string
	for i := range 8 {
		clients = append(clients, fmt.Sprintf("agent-%d", i))
		if err := s.AddClient(ctx, pollClient(clients[i])); err != nil {
			t.Fatalf("AddClient: %v", err)
		}
	}
	eventually(t, "the last client elsewhere", func() bool {
		_, err := other.Client(ctx, clients[7])
		return err == nil
	})
	// Links made at the same time in two processes are all there.
	var all sync.WaitGroup
	for i, client := range clients {
		all.Go(func() {
			at := []*Store{s, other}[i%2]
			if err := at.LinkPerson(ctx, "alice-7f3a", client); err != nil {
				t.Errorf("LinkPerson(%s): %v", client, err)
			}
		})
	}
	all.Wait()
	eventually(t, "every link", func() bool {
		p, err := s.Person(ctx, "alice-7f3a")
		return err == nil && len(p.Clients) == len(clients)
	})
	if err := s.LinkPerson(ctx, "alice-7f3a", "no-such-client"); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("LinkPerson(no such client) = %v, want ErrNotFound", err)
	}
	if err := s.LinkPerson(ctx, "nobody", clients[0]); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("LinkPerson(nobody) = %v, want ErrNotFound", err)
	}
	c, _ := s.Client(ctx, clients[3])
	a, _ := s.Person(ctx, "alice-7f3a")
	b, _ := s.Person(ctx, "bob-11c9")
	if !c.MayName(a) || c.MayName(b) {
		t.Errorf("MayName(alice), MayName(bob) = %v, %v, want true, false", c.MayName(a), c.MayName(b))
	}

	// A client that comes later under the id of a removed one names nobody.
	if err := s.RemoveClient(ctx, clients[3]); err != nil {
		t.Fatalf("RemoveClient: %v", err)
	}
	if err := s.AddClient(ctx, pollClient(clients[3])); err != nil {
		t.Fatalf("AddClient: %v", err)
	}
	eventually(t, "the link's removal", func() bool {
		c, err := s.Client(ctx, clients[3])
		a, err2 := s.Person(ctx, "alice-7f3a")
		return err == nil && err2 == nil && !c.MayName(a) && len(a.Clients) == len(clients)-1
	})
}
