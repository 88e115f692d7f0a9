package store

import (
	"errors"
	"testing"
	"time"

	"ringback/consent"
)

// TestEndDamaged: one person whose key is damaged keeps nobody else's request
// from being ended.
func TestEndDamaged(t *testing.T) {
	t.Parallel()
	s, ctx := newAlone(t).open(t), t.Context()
	whole, damaged := openFor(t, s, "whole"), openFor(t, s, "damaged")
	p, other := s.Pseudonym("damaged"), s.Pseudonym("other")
	if _, err := s.dataKey(ctx, other, true); err != nil {
		t.Fatal(err)
	}
	subject := s.names.subject("dek", string(p))
	mine, err := s.lastMessage(ctx, streamDEK, subject)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := s.lastMessage(ctx, streamDEK, s.names.subject("dek", string(other)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.dir.keys.stream.DeleteMsg(ctx, mine.seq); err != nil {
		t.Fatal(err)
	}
	if _, err := s.js.Publish(ctx, subject, theirs.data); err != nil {
		t.Fatal(err)
	}
	s.forgetKey(p)
	if _, err := s.dataKey(ctx, p, false); !errors.Is(err, errDamaged) {
		t.Fatalf("dataKey = %v, want errDamaged", err)
	}
	ended, err := s.End(ctx, []consent.ID{damaged.ID, whole.ID}, s.cfg.Now().Add(time.Hour))
	if err != nil || len(ended) != 1 || ended[0] != whole.ID {
		t.Errorf("End = %v, %v, want the one that is whole", ended, err)
	}
}
