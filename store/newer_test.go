package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ringback/consent"
)

// TestNewerFactsAtStart: a program that cannot read the newest facts says which
// release can, instead of starting without them.
func TestNewerFactsAtStart(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	kv, err := s.bucket(ctx, bucketInstance)
	if err != nil {
		t.Fatal(err)
	}
	in, rev, err := s.fetchInstance(ctx, kv)
	if err != nil || in.Format != consent.Version {
		t.Fatalf("the record says that it was opened by one of format %d, %v", in.Format, err)
	}
	aead, err := s.dataKey(ctx, s.Pseudonym("alice"), true)
	if err != nil {
		t.Fatal(err)
	}
	id := consent.NewID()
	l := label{V: 2, Pseudonym: s.Pseudonym("alice"), Expires: time.Now().Add(time.Minute), At: time.Now(), Client: "agent"}
	subject := s.names.fact(place{ID: id, Kind: consent.FactAsked})
	payload := sealFact(aead, subject, l.String(), []byte(`{"v":2,"id":"`+id.String()+`"}`), []byte(`{}`))
	if _, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: payload, Header: nats.Header{headerName: {l.String()}}}); err != nil {
		t.Fatal(err)
	}
	for _, release := range []string{"", "2.0"} { // the record says which, or not yet
		want := "use a later release"
		if in.Format, in.Release = 2, release; release != "" {
			want = "use release 2.0 or a later one"
			if _, err := s.keepInstance(ctx, kv, in, rev); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Open(ctx, g.config(t)); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), want) {
			t.Errorf("Open over facts of format 2 = %v, want %q", err, want)
		}
		if _, rev, err = s.fetchInstance(ctx, kv); err != nil {
			t.Fatal(err)
		}
	}
	for range sealedAgain { // what is old enough to be over is nobody's concern
		askFor(t, s, "alice")
	}
	again := g.open(t)
	if got, _, err := again.fetchInstance(ctx, kv); err != nil || got.Release != "2.0" {
		t.Errorf("the record of the later release is %+v, %v", got, err)
	}
}

// TestSigningKeysGone: no others are made where something was signed with them.
func TestSigningKeysGone(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(context.Context, *Store) error{
		"their stream is empty": func(ctx context.Context, s *Store) error {
			stream, err := s.js.Stream(ctx, "KV_"+s.names.stream(bucketKeys))
			if err == nil {
				err = stream.Purge(ctx)
			}
			return err
		},
		"their entry was deleted": func(ctx context.Context, s *Store) error { return s.dir.rings.Delete(ctx, ringKey) },
		"their entry was purged":  func(ctx context.Context, s *Store) error { return s.dir.rings.Purge(ctx, ringKey) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, ctx := newGround(t).open(t), t.Context()
			if data, rev, err := s.LoadKeys(ctx); data != nil || rev != 0 || err != nil {
				t.Fatalf("LoadKeys of a new store = %q, %d, %v", data, rev, err)
			}
			if err := s.SaveKeys(ctx, []byte("sealed"), 0); err != nil {
				t.Fatal(err)
			}
			if err := damage(ctx, s); err != nil {
				t.Fatal(err)
			}
			if data, rev, err := s.LoadKeys(ctx); !errors.Is(err, consent.ErrLost) {
				t.Errorf("LoadKeys = %q, %d, %v, want %v", data, rev, err, consent.ErrLost)
			}
		})
	}
	s, ctx := newGround(t).open(t), t.Context()
	if _, err := s.dir.rings.Put(ctx, ringKey, nil); err != nil {
		t.Fatal(err)
	}
	if data, rev, err := s.LoadKeys(ctx); data == nil || rev == 0 || err != nil {
		t.Errorf("LoadKeys of an empty entry = %v, %d, %v, want what nobody can open", data, rev, err)
	}
}

// TestDataKeyGone: nobody gets another data key while there are facts under the
// one that is gone.
func TestDataKeyGone(t *testing.T) {
	t.Parallel()
	s, ctx := newGround(t).open(t), t.Context()
	req := askFor(t, s, "alice")
	eventually(t, "the follower", func() bool { return s.knows(req.Pseudonym) })
	stream, err := s.js.Stream(ctx, s.names.stream(streamDEK))
	if err == nil {
		err = stream.Purge(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.forgetKey(req.Pseudonym)
	if _, err := s.dataKey(ctx, req.Pseudonym, true); !errors.Is(err, consent.ErrLost) {
		t.Errorf("a data key for somebody whose key is gone: %v, want %v", err, consent.ErrLost)
	}
	if err := s.Healthy(); !errors.Is(err, consent.ErrLost) {
		t.Errorf("Healthy = %v, want %v", err, consent.ErrLost)
	}
}
