package ciba

import (
	"context"
	"testing"
	"time"

	"ringback/consent"
)

func TestPace(t *testing.T) {
	t.Parallel()
	type poll struct {
		at   float64 // seconds
		held bool
		next int
		ok   bool
	}
	for _, tt := range []struct {
		name  string
		polls []poll
	}{
		{"in time", []poll{{0, false, 5, true}, {5, false, 5, true}, {10, false, 5, true}}},
		{"first poll at once", []poll{{0, false, 5, true}}},
		{"a little early", []poll{{0, false, 5, true}, {4.6, false, 5, true}}},
		{"too early", []poll{{0, false, 5, true}, {4.4, false, 10, false}}},
		{"too early once, then slower", []poll{{0, false, 5, true}, {1, false, 10, false}, {11, false, 10, true}, {16, false, 15, false}}},
		{"five more per offence", []poll{{0, false, 5, true}, {1, false, 10, false}, {2, false, 15, false}, {3, false, 20, false}, {23, false, 20, true}}},
		{"measured from the last poll, early or not", []poll{{0, false, 5, true}, {4, false, 10, false}, {13, false, 15, false}}},
		{"another is being held", []poll{{0, false, 5, true}, {6, true, 10, false}}},
		{"a clock that went back", []poll{{10, false, 5, true}, {0, false, 10, false}}},
	} {
		var p pace
		id := consent.NewID()
		start := time.Unix(1_800_000_000, 0)
		for i, poll := range tt.polls {
			next, ok := p.poll(id, start.Add(time.Duration(poll.at*float64(time.Second))), 5, poll.held)
			if next != poll.next || ok != poll.ok {
				t.Errorf("%s: poll %d = %d, %v, want %d, %v", tt.name, i, next, ok, poll.next, poll.ok)
			}
		}
	}
}

// TestPaceIsPerRequest: one request's haste is not another's.
func TestPaceIsPerRequest(t *testing.T) {
	t.Parallel()
	var p pace
	now := time.Unix(1_800_000_000, 0)
	for i := range 1000 {
		if _, ok := p.poll(consent.ID{byte(i), byte(i >> 8)}, now, 5, false); !ok {
			t.Fatalf("first poll of request %d was too early", i)
		}
	}
	p.forget(consent.ID{1})
	if _, ok := p.poll(consent.ID{1}, now, 5, false); !ok {
		t.Errorf("a forgotten request is remembered")
	}
}

// TestPaceIsBounded: whoever opens requests without end does not fill memory.
func TestPaceIsBounded(t *testing.T) {
	t.Parallel()
	var p pace
	now := time.Unix(1_800_000_000, 0)
	id := func(i int) consent.ID { return consent.ID{0, byte(i), byte(i >> 8), byte(i >> 16)} } // one shard
	for i := range 3 * paceSize {
		p.poll(id(i), now, 5, false)
	}
	s := &p.shards[0]
	if n := len(s.young) + len(s.old); n > 2*paceSize {
		t.Errorf("%d entries, want at most %d", n, 2*paceSize)
	}
	if _, ok := p.poll(id(3*paceSize-1), now, 5, false); ok {
		t.Errorf("the latest request was forgotten")
	}
	p.poll(id(0), now.Add(paceAge), 5, false)
	p.poll(id(0), now.Add(2*paceAge), 5, false)
	if n := len(s.young) + len(s.old); n > 2 {
		t.Errorf("%d entries after two ages, want at most 2", n)
	}
}

func TestHolds(t *testing.T) {
	t.Parallel()
	var h holds
	ctx, end := context.WithCancel(t.Context())
	id := consent.NewID()
	if !h.begin(id, end) || !h.has(id) || h.has(consent.NewID()) {
		t.Fatal("a held poll is not remembered")
	}
	h.close()
	if ctx.Err() == nil {
		t.Error("close left a poll held")
	}
	h.end(id)
	if h.has(id) {
		t.Error("end left a poll held")
	}
	if h.begin(id, end) {
		t.Error("a poll is held after close")
	}
}
