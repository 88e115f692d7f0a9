package audit_test

import (
	"strings"
	"testing"
	"time"

	"ringback/consent"
)

// TestWrongRenewals: renewals that nobody granted, or that were not made one
// after the other, are sealed as they are; Verify names them.
func TestWrongRenewals(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx, now := t.Context(), time.Now().UTC()
	renew := func(req *consent.Request, numbers ...int) {
		for _, n := range numbers {
			h.must(h.Renew(ctx, req.ID, h.renewal(req, n)))
		}
	}
	revoke := func(req *consent.Request) {
		h.must(h.Revoke(ctx, req.ID, consent.Revocation{V: 1, By: consent.ByReuse, At: now}))
	}
	ask := func(change ...func(*consent.Request)) *consent.Request { return h.Asked(h.add(), change...) }
	settle := func(req *consent.Request, v consent.SettleVerb) {
		_, err := h.Decide(ctx, req.ID, h.Decision(req, consent.Approved))
		h.must(err)
		s := h.Settlement(req, v)
		if v != consent.Redeemed {
			s.JTI, s.IssuedAt, s.ExpiresAt = "", time.Time{}, time.Time{}
		}
		_, err = h.Settle(ctx, req.ID, s)
		h.must(err)
	}
	for _, tt := range []struct {
		name string
		tell func() *consent.Request
		says string
	}{
		{"in order", func() *consent.Request { r := h.story(h.add(), renewed); renew(r, 4); return r }, ""},
		{"revoked while one was under way", func() *consent.Request { r := h.story(h.add(), renewed); revoke(r); renew(r, 4); return r }, ""},
		{"revoked, and still renewed", func() *consent.Request { r := h.story(h.add(), renewed); revoke(r); renew(r, 4, 5); return r }, "although it was revoked"},
		{"one left out", func() *consent.Request { r := h.story(h.add(), renewed); renew(r, 5); return r }, "renewal 5"},
		{"backwards", func() *consent.Request { r := ask(renewable); settle(r, consent.Redeemed); renew(r, 2, 1); return r }, "renewal 2"},
		{"before a token was issued", func() *consent.Request { r := ask(renewable); renew(r, 1); settle(r, consent.Redeemed); return r }, "was not settled before"},
		{"not granted", func() *consent.Request { r := h.story(h.add(), narrowed); renew(r, 1); return r }, "than was granted"},
		{"taken back", func() *consent.Request { r := ask(renewable); settle(r, consent.Cancelled); renew(r, 1); return r }, "than was granted"},
		{"not asked", func() *consent.Request {
			r := ask(renewable, func(r *consent.Request) { r.Scope = []string{"openid"} })
			settle(r, consent.Redeemed)
			return r
		}, "without having been asked so"},
		{"with another key", func() *consent.Request {
			r := ask(func(r *consent.Request) { r.Binding = "jkt:a" })
			settle(r, consent.Redeemed)
			return r
		}, "another key"},
	} {
		id := tt.tell().ID
		var said []string
		report := h.verify(h.export())
		for _, f := range report.Failures {
			if strings.Contains(f.Where+f.What, id.String()) {
				said = append(said, f.What)
			}
		}
		if (len(said) == 0) != (tt.says == "") || !strings.Contains(strings.Join(said, "; "), tt.says) {
			t.Errorf("%s: Verify says %q, want %q", tt.name, said, tt.says)
		}
	}
}
