package store

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"ringback/consent"
	"ringback/keys"
)

// TestServerRestart restarts the external server under two running stores.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	g := &ground{dir: t.TempDir(), vault: keys.NewVault(keys.NewRoot()), clock: &wall{}}
	srv := g.serve(t, server.RANDOM_PORT)
	g.url = srv.ClientURL()
	if err := Init(t.Context(), g.config(t)); err != nil {
		t.Fatalf("Init: %v", err)
	}
	a, b, ctx := g.open(t), g.open(t), t.Context()
	if err := a.AddPerson(ctx, alice()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other store following", func() bool {
		_, err := b.Person(ctx, "alice-7f3a")
		return err == nil
	})
	p, id := a.Pseudonym("alice-7f3a"), consent.NewID()
	if got, _, err := a.Slot(ctx, p, id, time.Hour); !got || err != nil {
		t.Fatalf("Slot = %v, %v", got, err)
	}
	port := srv.Addr().(*net.TCPAddr).Port
	srv.Shutdown()
	srv.WaitForShutdown()

	// What memory holds is answered meanwhile; what needs the server fails.
	if _, err := b.Person(ctx, "alice-7f3a"); err != nil {
		t.Errorf("Person while the server is away: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := a.AddPerson(short, bob()); err == nil {
		t.Error("AddPerson succeeded while the server was away")
	}
	g.serve(t, port)
	eventually(t, "writing after the restart", func() bool {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return a.AddPerson(ctx, bob()) == nil
	})
	eventually(t, "the other store following", func() bool {
		_, err := b.Person(ctx, "bob-11c9")
		return err == nil
	})
	// The server has forgotten slots and single uses; they work again.
	if err := a.Release(ctx, p, id); err != nil {
		t.Errorf("Release after the restart: %v", err)
	}
	if got, _, err := b.Slot(ctx, p, consent.NewID(), time.Hour); !got || err != nil {
		t.Errorf("Slot after the restart = %v, %v, want true", got, err)
	}
	if first, err := b.Once(ctx, "agent", "again", time.Now().Add(time.Minute)); !first || err != nil {
		t.Errorf("Once after the restart = %v, %v, want true", first, err)
	}
	if err := b.Release(ctx, p, id); err != nil { // no longer its holder
		t.Errorf("Release: %v", err)
	}
}

// TestOpenGivesUp opens a directory that cannot be read in time.
func TestOpenGivesUp(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := Open(ctx, g.config(t)); err == nil {
		s.Close(t.Context())
		t.Error("Open succeeded after its context had ended")
	}
}

// TestWaitEnds does not wait for what never comes.
func TestWaitEnds(t *testing.T) {
	t.Parallel()
	s := newGround(t).open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.dir.people.wait(ctx, 1<<40); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait = %v, want its context's end", err)
	}
}
