package store

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"ringback/consent"
	"ringback/keys"
)

func TestDataKey(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	a, b, ctx := g.open(t), g.open(t), t.Context()
	p := a.Pseudonym("somebody")
	if _, err := a.dataKey(ctx, p, false); !errors.Is(err, consent.ErrNotFound) || errors.Is(err, ErrErased) {
		t.Errorf("dataKey of nobody = %v, want ErrNotFound", err)
	}
	// Whoever makes it, there is one key.
	const callers = 32
	keys := make([]cipher.AEAD, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			var err error
			if keys[i], err = []*Store{a, b}[i%2].dataKey(ctx, p, true); err != nil {
				t.Errorf("dataKey: %v", err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	sealed := sealValue(keys[0], "here", []byte("plain"))
	for i, key := range keys {
		if got, err := openValue(key, "here", sealed); err != nil || string(got) != "plain" {
			t.Errorf("key %d opens it to %q, %v", i, got, err)
		}
	}
	other, err := a.dataKey(ctx, a.Pseudonym("other"), true)
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"with another's key": func() ([]byte, error) { return openValue(other, "here", sealed) },
		"at another place":   func() ([]byte, error) { return openValue(keys[0], "there", sealed) },
		"cut":                func() ([]byte, error) { return openValue(keys[0], "here", sealed[:len(sealed)-1]) },
		"empty":              func() ([]byte, error) { return openValue(keys[0], "here", nil) },
		"of another version": func() ([]byte, error) { return openValue(keys[0], "here", append([]byte{2}, sealed[1:]...)) },
		"changed": func() ([]byte, error) {
			return openValue(keys[0], "here", append(bytes.Clone(sealed[:len(sealed)-1]), sealed[len(sealed)-1]^1))
		},
	} {
		if got, err := open(); !errors.Is(err, errDamaged) {
			t.Errorf("a value %s opens to %q, %v", name, got, err)
		}
	}
}

// TestStolenKey moves a wrapped key to somebody else's name.
func TestStolenKey(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	from, to := s.Pseudonym("from"), s.Pseudonym("to")
	if _, err := s.dataKey(ctx, from, true); err != nil {
		t.Fatal(err)
	}
	m, err := s.lastMessage(ctx, streamDEK, s.names.subject("dek", string(from)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.js.Publish(ctx, s.names.subject("dek", string(to)), m.data); err != nil {
		t.Fatal(err)
	}
	if _, err := s.dataKey(ctx, to, true); !errors.Is(err, errDamaged) {
		t.Errorf("dataKey = %v, want errDamaged", err)
	}
}

func TestErasure(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	a, b, ctx := g.open(t), g.open(t), t.Context()
	for _, p := range []*consent.Person{alice(), bob()} {
		if err := a.AddPerson(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	listing := pollClient("agent")
	listing.People, listing.PeopleList = "list", []string{"alice-7f3a", "bob-11c9"}
	if err := a.AddClient(ctx, listing); err != nil {
		t.Fatal(err)
	}
	pa, pb := a.Pseudonym("alice-7f3a"), a.Pseudonym("bob-11c9")
	ofAlice, ofBob := askFor(t, a, "alice-7f3a"), askFor(t, a, "bob-11c9")
	for p, id := range map[consent.Pseudonym]consent.ID{pa: ofAlice.ID, pb: ofBob.ID} {
		if err := a.PutEvidence(ctx, p, id, []byte("evidence of "+string(p))); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Freeze(ctx, pa, "agent", g.clock.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	devices, _ := a.Devices(ctx, "alice-7f3a")
	if err := a.StopDevice(ctx, "alice-7f3a", devices[0].ID, true); err != nil {
		t.Fatal(err)
	}
	if _, err := b.dataKey(ctx, pa, false); err != nil { // b remembers the key
		t.Fatal(err)
	}
	m, err := a.lastMessage(ctx, streamDEK, a.names.subject("dek", string(pa)))
	if err != nil {
		t.Fatal(err)
	}
	wrapped := m.data
	if !onDisk(t, g.dir, wrapped) {
		t.Fatal("the wrapped key is not in the server's files before: this test would prove nothing")
	}

	if err := a.RemovePerson(ctx, "alice-7f3a"); err != nil {
		t.Fatalf("RemovePerson: %v", err)
	}
	if onDisk(t, g.dir, wrapped) {
		t.Error("the wrapped key is still in the server's files")
	}
	eventually(t, "erasure in the other process", func() bool {
		_, err := b.dataKey(ctx, pa, true)
		return errors.Is(err, ErrErased)
	})
	c := g.open(t) // and after a restart
	for i, s := range []*Store{a, b, c} {
		// Nobody makes a new key by asking late.
		if _, err := s.dataKey(ctx, pa, true); !errors.Is(err, ErrErased) || !errors.Is(err, consent.ErrNotFound) {
			t.Errorf("store %d: dataKey = %v, want ErrErased", i, err)
		}
		if err := s.PutEvidence(ctx, pa, consent.NewID(), []byte("late")); !errors.Is(err, consent.ErrNotFound) {
			t.Errorf("store %d: PutEvidence = %v, want ErrNotFound", i, err)
		}
		if st, err := s.Get(ctx, ofAlice.ID); !errors.Is(err, consent.ErrNotFound) {
			t.Errorf("store %d: Get = %+v, %v, want ErrNotFound", i, st, err)
		}
		if st, err := s.Get(ctx, ofBob.ID); err != nil || st.Request.Approver != "bob-11c9" {
			t.Errorf("store %d: Get of somebody else's request: %v", i, err)
		}
		if left := s.frozen(pa); i == 0 && left != nil {
			t.Errorf("store %d: frozen = %v", i, left)
		}
		wantFacts(t, s, map[consent.Pseudonym]string{pa: "erased", pb: "readable"})
		list, err := s.Evidence(ctx, 0, 100)
		if err != nil || len(list) != 2 {
			t.Fatalf("store %d: Evidence = %v, %v", i, list, err)
		}
		for _, e := range list {
			if e.Erased != (e.Pseudonym == pa) || e.Unreadable != e.Erased || (e.Data == nil) != e.Erased || (e.Stored != consent.Digest{}) != e.Erased {
				t.Errorf("store %d: evidence %+v", i, e)
			}
		}
	}
	eventually(t, "the person leaving the client's list", func() bool {
		client, err := a.Client(ctx, "agent")
		return err == nil && len(client.PeopleList) == 1 && client.PeopleList[0] == "bob-11c9"
	})
	clients, err := a.bucket(ctx, bucketClients)
	if err != nil {
		t.Fatal(err)
	}
	if history, err := clients.History(ctx, token("agent")); err != nil || len(history) != 1 {
		t.Errorf("%d revisions of the client are left (%v), want the one without the person", len(history), err)
	}

	// The same person added anew is somebody new: a new key, the past stays
	// unreadable, the device is not stopped, the number is free.
	if err := b.AddPerson(ctx, alice()); err != nil {
		t.Fatalf("AddPerson after erasure: %v", err)
	}
	if devices, err := b.Devices(ctx, "alice-7f3a"); err != nil || devices[0].Stopped {
		t.Errorf("Devices = %v, %v", devices, err)
	}
	wantFacts(t, b, map[consent.Pseudonym]string{pa: "erased", pb: "readable"})
	again := askFor(t, b, "alice-7f3a")
	facts, err := b.FactsOf(ctx, again.ID)
	if err != nil || len(facts) != 2 || facts[0].Unreadable || facts[1].Unreadable {
		t.Errorf("FactsOf(new request) = %+v, %v, want two readable ones", facts, err)
	}
}

// wantFacts checks which people's facts can be read.
func wantFacts(t *testing.T, s *Store, want map[consent.Pseudonym]string) {
	t.Helper()
	facts, err := s.Facts(t.Context(), 0, 1000)
	if err != nil || len(facts) < 4 {
		t.Fatalf("Facts = %d facts, %v", len(facts), err)
	}
	for _, f := range facts {
		got := "readable"
		switch {
		case f.Erased && f.Unreadable && f.Data == nil:
			got = "erased"
		case f.Unreadable:
			got = "damaged"
		}
		if got != want[f.Pseudonym] {
			t.Errorf("fact %d (%s) of %s is %s, want %s", f.Seq, f.Kind, f.Pseudonym, got, want[f.Pseudonym])
		}
	}
}

// TestErasureOfTheFilesPeople erases somebody who left the configuration file.
func TestErasureOfTheFilesPeople(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	inFile := []consent.Person{*alice()}
	if err := s.SetFile(nil, inFile, nil); err != nil {
		t.Fatal(err)
	}
	askFor(t, s, "alice-7f3a")
	if err := s.RemovePerson(ctx, "alice-7f3a"); !errors.Is(err, consent.ErrReadOnly) {
		t.Fatalf("RemovePerson = %v, want ErrReadOnly", err)
	}
	if err := s.SetFile(nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.RemovePerson(ctx, "alice-7f3a"); err != nil {
		t.Fatalf("RemovePerson: %v", err)
	}
	if _, err := s.dataKey(ctx, s.Pseudonym("alice-7f3a"), true); !errors.Is(err, ErrErased) {
		t.Errorf("dataKey = %v, want ErrErased", err)
	}
	// In the file again: a new key, without a word to anybody.
	if err := s.SetFile(nil, inFile, nil); err != nil {
		t.Fatal(err)
	}
	askFor(t, s, "alice-7f3a")
}

// TestErasureEmbedded erases where there is one process, across restarts.
func TestErasureEmbedded(t *testing.T) {
	t.Parallel()
	cfg := Config{
		Dir: t.TempDir(), Vault: keys.NewVault(keys.NewRoot()), Now: time.Now,
		Log: slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
	ctx := t.Context()
	if err := Init(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	session := func(use func(*Store)) {
		t.Helper()
		s, err := Open(ctx, cfg)
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		use(s)
		if err := s.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	var req *consent.Request
	session(func(s *Store) {
		if err := errors.Join(s.AddPerson(ctx, alice()), s.AddPerson(ctx, bob())); err != nil {
			t.Fatal(err)
		}
		req = askFor(t, s, "alice-7f3a")
		askFor(t, s, "bob-11c9")
	})
	session(func(s *Store) {
		if st, err := s.Get(ctx, req.ID); err != nil || st.Request.Approver != "alice-7f3a" {
			t.Fatalf("Get: %v", err)
		}
		if err := s.RemovePerson(ctx, "alice-7f3a"); err != nil {
			t.Fatalf("RemovePerson: %v", err)
		}
		if _, err := s.Get(ctx, req.ID); !errors.Is(err, consent.ErrNotFound) {
			t.Errorf("Get after erasure = %v, want ErrNotFound", err)
		}
	})
	session(func(s *Store) {
		if _, err := s.Get(ctx, req.ID); !errors.Is(err, consent.ErrNotFound) {
			t.Errorf("Get after erasure and restart = %v, want ErrNotFound", err)
		}
		if _, err := s.Person(ctx, "alice-7f3a"); !errors.Is(err, consent.ErrNotFound) {
			t.Errorf("Person after erasure and restart = %v, want ErrNotFound", err)
		}
		wantFacts(t, s, map[consent.Pseudonym]string{s.Pseudonym("alice-7f3a"): "erased", s.Pseudonym("bob-11c9"): "readable"})
	})
}

// onDisk reports whether any file under dir contains data.
func onDisk(t *testing.T, dir string, data []byte) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // files come and go under a running server
		}
		content, err := os.ReadFile(path)
		found = found || err == nil && bytes.Contains(content, data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestManyPeopleAtStart(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	const people = preloadMin + 50
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := w; i < people; i += 8 {
				if err := s.AddPerson(ctx, &consent.Person{ID: fmt.Sprint("p", i), Phone: consent.Phone(fmt.Sprint("+120255", 10000+i))}); err != nil {
					t.Errorf("AddPerson: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
	again := g.open(t)
	for i := range people {
		p, err := again.Find(ctx, consent.HintPhone, fmt.Sprint("+120255", 10000+i))
		if err != nil || p.ID != fmt.Sprint("p", i) {
			t.Fatalf("Find(number of p%d) = %v, %v", i, p, err)
		}
	}
	if all := again.dir.keys.preloaded.Load(); all != nil {
		t.Errorf("%d preloaded keys are still held", len(*all))
	}
}

// TestKeysAreForgotten lets keys get old: what is not used is dropped, and a
// key that another process erased without our hearing of it is not used for
// longer than a minute.
func TestKeysAreForgotten(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	p := s.Pseudonym("somebody")
	if _, err := s.dataKey(ctx, p, true); err != nil {
		t.Fatal(err)
	}
	m, err := s.lastMessage(ctx, streamDEK, s.names.subject("dek", string(p)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.dir.keys.stream.SecureDeleteMsg(ctx, m.seq); err != nil {
		t.Fatal(err)
	}
	if _, err := s.dataKey(ctx, p, false); err != nil {
		t.Errorf("dataKey within a minute: %v", err)
	}
	g.clock.forward(keyLife + time.Second)
	if _, err := s.dataKey(ctx, p, false); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("dataKey after a minute = %v, want ErrNotFound", err)
	}
}
