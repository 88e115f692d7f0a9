package audit_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"ringback/consent"
)

// TestUntold: a request that expired before anybody was told of it is sealed and
// no more, so that asking unreachable people fills no evidence of years; every
// other end has evidence, also an expiry that somebody saw coming, and every
// other end of a request that nobody was told of.
func TestUntold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	end := func(verb consent.Verb) consent.ID {
		req := h.Asked(h.add())
		st, err := h.Get(t.Context(), req.ID)
		h.must(err)
		var d consent.Decision
		if verb == consent.Expired {
			d, err = consent.Expire(st, rand.Text(), req.ExpiresAt.Add(time.Second))
		} else {
			d, err = consent.Decide(st, consent.Evidence{Verb: verb, By: req.Client.ID, Means: consent.ByClient, Nonce: rand.Text()}, h.types, time.Now())
		}
		h.must(err)
		_, err = h.Decide(t.Context(), req.ID, d)
		h.must(err)
		return req.ID
	}
	untold, back, seen := end(consent.Expired), end(consent.Withdrawn), h.story(h.add(), expired).ID
	export := h.export()
	h.holds(export)
	for id, want := range map[consent.ID]bool{untold: false, back: true, seen: true} {
		has := false
		for line := range strings.Lines(string(export)) {
			has = has || strings.HasPrefix(line, `{"v":1,"type":"evidence"`) && strings.Contains(line[:120], id.String())
		}
		if has != want {
			t.Errorf("evidence of %v: %v, want %v", id, has, want)
		}
		if sealed := strings.Count(string(export), `"request":"`+id.String()+`","fact":"decided"`); sealed != 1 {
			t.Errorf("the end of %v is sealed %d times", id, sealed)
		}
	}
}
