package ciba

import (
	"testing"

	"ringback/consent"
	"ringback/keys"
)

// TestMatchCodesOfOnePersonDiffer asks so often beside so many open requests
// that codes would meet if nobody looked.
func TestMatchCodesOfOnePersonDiffer(t *testing.T) {
	t.Parallel()
	root, err := keys.ParseRoot([]byte("bm90IGEgc2VjcmV0OiB0aGlzIGtleSBpcyBnb2xkZW4="))
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{cfg: Config{Handles: keys.NewHandles(root)}}
	policy := &consent.Policy{MatchCode: true}
	var open []consent.Brief
	for range 5000 { // one in 250 meets another
		req := &consent.Request{}
		s.number(req, policy, open)
		code := req.Bearers.MatchCode
		if len(code) != 4 || code[0] < '1' || code[0] > '8' || code != s.matchCode(req.ID) {
			t.Fatalf("the match code of %v is %q", req.ID, string(code))
		}
		for _, o := range open {
			if s.matchCode(o.ID) == code {
				t.Fatalf("two open requests have the match code %s", string(code))
			}
		}
		if open = append(open, consent.Brief{ID: req.ID}); len(open) > matchNewest {
			open = open[1:]
		}
	}
	req := &consent.Request{ACR: []string{consent.ACRTap}}
	if s.number(req, &consent.Policy{}, nil); req.Bearers.MatchCode != "" || req.ID == (consent.ID{}) {
		t.Errorf("a request that needs no match code has id %v and code %q", req.ID, string(req.Bearers.MatchCode))
	}
}
