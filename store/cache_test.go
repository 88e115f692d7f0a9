package store

import (
	"testing"
	"time"

	"ringback/consent"
)

// TestCacheKeepsNothingInDoubt goes through what may come between a read of
// the stream and a write to it.
func TestCacheKeepsNothingInDoubt(t *testing.T) {
	t.Parallel()
	w := &wall{}
	id := consent.NewID()
	req := &consent.Request{ID: id, Pseudonym: "abcdefghijklmnop"}
	decided := place{ID: id, Kind: consent.FactDecided}
	read := func(c *cache, meanwhile func()) {
		c.begin(id)
		meanwhile()
		c.end(id, &consent.State{Request: req})
	}
	tests := []struct {
		name string
		do   func(c *cache)
		want string // "", "known" or "whole"
	}{
		{"nothing was read", func(*cache) {}, ""},
		{"read", func(c *cache) { read(c, func() {}) }, "whole"},
		{"asked by us", func(c *cache) { c.add(place{ID: id, Kind: consent.FactAsked}, req, req, 1) }, "whole"},
		{"decided by us, not remembered", func(c *cache) { c.add(decided, req, consent.Decision{}, 1) }, ""},
		{"written while it was read", func(c *cache) { read(c, func() { c.add(decided, req, consent.Decision{}, 2) }) }, ""},
		{"a write is under way", func(c *cache) { read(c, func() {}); c.writing(id) }, "known"},
		{"a write was under way", func(c *cache) { read(c, func() {}); c.writing(id); c.written(id) }, "whole"},
		{"a write went unanswered", func(c *cache) { read(c, func() {}); c.lost(id) }, ""},
		{"read soon after a write went unanswered", func(c *cache) { c.lost(id); read(c, func() {}) }, ""},
		{"read soon after, looked at later", func(c *cache) { c.lost(id); read(c, func() {}); w.forward(2 * doubtFor) }, ""},
		{"read long after", func(c *cache) { c.lost(id); w.forward(2 * doubtFor); read(c, func() {}) }, "whole"},
		{"somebody else wrote", func(c *cache) { read(c, func() {}); c.drop(id) }, ""},
		{"somebody else wrote while it was read", func(c *cache) { read(c, func() { c.drop(id) }) }, ""},
		{"the person was erased", func(c *cache) { read(c, func() {}); c.dropAll(req.Pseudonym) }, ""},
		{"the person was erased while it was read", func(c *cache) { read(c, func() { c.dropAll(req.Pseudonym) }) }, ""},
		{"another person was erased", func(c *cache) { read(c, func() {}); c.dropAll("ponmlkjihgfedcba") }, "whole"},
		{"others came", func(c *cache) {
			read(c, func() {})
			for range 8 {
				other := consent.NewID()
				c.add(place{ID: other, Kind: consent.FactAsked}, &consent.Request{ID: other}, nil, 3)
			}
		}, ""},
	}
	for _, tt := range tests { // in order: they share the clock
		c := newCache(8, w.now)
		tt.do(c)
		got := ""
		if st, whole := c.get(id); whole {
			got = "whole"
		} else if st != nil {
			got = "known"
		}
		if got != tt.want {
			t.Errorf("%s: the request is %q, want %q", tt.name, got, tt.want)
		}
		if len(c.loads) != 0 || len(c.under) != 0 && tt.name != "a write is under way" {
			t.Errorf("%s: loads or writes are left over", tt.name)
		}
	}
}

func TestCacheForgetsDoubts(t *testing.T) {
	t.Parallel()
	w := &wall{}
	c := newCache(8, w.now)
	for range doubtMany {
		c.lost(consent.NewID())
	}
	w.forward(doubtFor + time.Second)
	c.lost(consent.NewID())
	if len(c.doubt) != 1 {
		t.Errorf("%d doubts are remembered, want the last one", len(c.doubt))
	}
}
