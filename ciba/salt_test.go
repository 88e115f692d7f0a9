package ciba_test

import (
	"testing"

	"ringback/consent"
)

// TestRequestsAreSalted: digests are in chains, evidence and tokens. Who sees
// one must not find out by trying what was asked.
func TestRequestsAreSalted(t *testing.T) {
	t.Parallel()
	h := open(t)
	seen := map[string]bool{}
	for range 8 {
		salt := h.state(h.idOf(h.ask("agent").str("auth_req_id"))).Request.Salt
		if len(salt) != 16 || seen[string(salt)] || string(salt) == string(make([]byte, 16)) {
			t.Fatalf("salt %x, want 16 random bytes", salt)
		}
		seen[string(salt)] = true
	}
	again := h.state(h.idOf(h.ask("agent").str("auth_req_id"))).Request
	one, err := again.AskedDigest()
	if err != nil {
		t.Fatal(err)
	}
	guessed := *again
	guessed.Salt = make([]byte, 16)
	if two, err := guessed.AskedDigest(); err != nil || two == one || one == (consent.Digest{}) {
		t.Errorf("the salt makes no difference: %v, %v", two, err)
	}
}
