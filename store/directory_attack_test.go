package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ringback/consent"
)

// TestForgedEntries writes into the buckets as somebody could who has the
// server's credentials and not the root key.
func TestForgedEntries(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	for _, p := range []*consent.Person{alice(), bob()} {
		if err := s.AddPerson(ctx, p); err != nil {
			t.Fatalf("AddPerson: %v", err)
		}
	}
	if err := s.AddClient(ctx, pollClient("good")); err != nil {
		t.Fatalf("AddClient: %v", err)
	}
	nc, err := nats.Connect(g.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	forge := func(bucket, key string, data []byte) {
		t.Helper()
		if _, err := nc.Request("$KV."+s.names.stream(bucket)+"."+key, data, 5*time.Second); err != nil {
			t.Fatalf("forging %s: %v", bucket, err)
		}
	}
	kept, err := s.dir.clients.last(ctx, token("good"))
	if err != nil {
		t.Fatal(err)
	}
	ofAlice, err := s.dir.people.last(ctx, string(s.Pseudonym("alice-7f3a")))
	if err != nil {
		t.Fatal(err)
	}
	forge(bucketClients, token("evil"), []byte(`{"v":1,"client_id":"evil","people":"any"}`))
	forge(bucketClients, token("evil-2"), kept.data)
	forge(bucketClients, "not+base64", kept.data)
	forge(bucketPeople, string(s.Pseudonym("bob-11c9")), ofAlice.data)
	forge(bucketPeople, string(s.Pseudonym("mallory")), ofAlice.data)
	forge(bucketPeople, string(s.Pseudonym("eve")), nil)
	forge(bucketDevices, "x.y.z", []byte("{"))
	forge(bucketDevices, "x", []byte("{}"))

	// Whatever it was, the directory goes on and what it knows is true.
	if err := s.AddClient(ctx, pollClient("later")); err != nil {
		t.Fatalf("AddClient: %v", err)
	}
	if err := s.AddPerson(ctx, &consent.Person{ID: "later"}); err != nil {
		t.Fatalf("AddPerson: %v", err)
	}
	// A start cannot tell the entry of somebody whose key is lost from one that
	// never had any.
	if _, err := Open(ctx, g.config(t)); !errors.Is(err, consent.ErrLost) {
		t.Fatalf("Open over entries without a key = %v, want %v", err, consent.ErrLost)
	}
	for _, id := range []string{"mallory", "eve"} {
		if _, err := s.dir.people.write(ctx, string(s.Pseudonym(id)), nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range []*Store{s, g.open(t)} {
		for _, id := range []string{"evil", "evil-2"} {
			if c, err := at.Client(ctx, id); !errors.Is(err, consent.ErrNotFound) {
				t.Errorf("Client(%s) = %v, %v, want ErrNotFound", id, c, err)
			}
		}
		if p, err := at.Person(ctx, "bob-11c9"); !errors.Is(err, consent.ErrNotFound) {
			t.Errorf("Person(overwritten) = %v, %v, want ErrNotFound", p, err)
		}
		if p, err := at.Find(ctx, consent.HintPhone, "+12025550101"); err != nil || p.ID != "alice-7f3a" {
			t.Errorf("Find(alice's number) = %v, %v", p, err)
		}
		if _, err := at.Client(ctx, "good"); err != nil {
			t.Errorf("Client(good): %v", err)
		}
	}
}

// TestNothingPersonalInTheClear reads every message of every stream as the
// server has it.
func TestNothingPersonalInTheClear(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	c := pollClient("agent")
	c.People, c.PeopleList = "list", []string{"alice-7f3a"}
	if err := s.AddClient(ctx, c); err != nil {
		t.Fatal(err)
	}
	if err := s.AddPerson(ctx, alice()); err != nil {
		t.Fatal(err)
	}
	if err := s.LinkPerson(ctx, "alice-7f3a", "agent"); err != nil {
		t.Fatal(err)
	}
	devices, err := s.Devices(ctx, "alice-7f3a")
	if err != nil {
		t.Fatal(err)
	}
	p := s.Pseudonym("alice-7f3a")
	req := askFor(t, s, "alice-7f3a")
	if err := errors.Join(
		s.AddDevice(ctx, "alice-7f3a", &consent.Device{Channel: "pager", Address: "pager-address", Name: "Kitchen"}),
		s.StopDevice(ctx, "alice-7f3a", devices[0].ID, true),
		s.Freeze(ctx, p, "agent", g.clock.now().Add(time.Hour)),
		s.PutEvidence(ctx, p, req.ID, []byte(`{"by":"alice-7f3a","phone":"+12025550101"}`)),
	); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Slot(ctx, p, req.ID, time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Once(ctx, "agent", "alice-7f3a's assertion", time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	secrets := []string{
		"alice", "liddell", "2025550101", "example.com", "match-code", "notification-token", "pager-address", "kitchen",
		strings.ToLower(string(token("alice-7f3a"))),
	}
	var seen int
	for name := range s.js.StreamNames(ctx).Name() {
		stream, err := s.js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
			m, err := stream.GetMsg(ctx, seq)
			if err != nil {
				continue
			}
			seen++
			text := strings.ToLower(fmt.Sprint(m.Subject, "\n", m.Header, "\n", string(m.Data)))
			for _, secret := range secrets {
				if strings.Contains(text, secret) {
					t.Errorf("%s, message %d (%s) has %q in the clear", name, seq, m.Subject, secret)
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d messages were looked at", seen)
	}
}
