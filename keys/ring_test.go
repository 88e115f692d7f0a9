package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

type claims struct {
	Sub   string `json:"sub"`
	Scope string `json:"scope,omitempty"`
}

func TestRingSigns(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := openTestRing(t, new(shelf), c)
	token, err := r.Sign("at+jwt", claims{Sub: "alice", Scope: "a<b>&c"})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := r.Verify(token, "at+jwt")
	if err != nil {
		t.Fatal(err)
	}
	var got claims
	if err := json.Unmarshal(payload, &got); err != nil || got.Sub != "alice" || got.Scope != "a<b>&c" {
		t.Errorf("Verify = %s, %v", payload, err)
	}

	// Another implementation agrees, with what we publish alone.
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(r.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 2 {
		t.Errorf("JWKS has %d keys, want the current and the next", len(set.Keys))
	}
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	header := parsed.Signatures[0].Protected
	if header.KeyID != r.List()[0].KID || header.ExtraHeaders["typ"] != "at+jwt" {
		t.Errorf("header = %+v", header)
	}
	keys := set.Key(header.KeyID)
	if len(keys) != 1 || keys[0].Algorithm != "ES256" || keys[0].Use != "sig" {
		t.Fatalf("JWKS has %+v for %s", keys, header.KeyID)
	}
	if _, err := parsed.Verify(keys[0].Key); err != nil {
		t.Errorf("go-jose refuses our signature: %v", err)
	}

	own, err := ParseKeySet(r.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := own.Verify(token, "at+jwt"); err != nil {
		t.Errorf("KeySet refuses our token: %v", err)
	}
}

// TestRingPublishesNoPrivateParts looks for every private scalar, in every
// form, in everything that leaves the ring.
func TestRingPublishesNoPrivateParts(t *testing.T) {
	t.Parallel()
	s, c := new(shelf), newClock()
	r := openTestRing(t, s, c)
	for range 3 {
		c.Advance(time.Hour)
		if err := errors.Join(r.Rotate(t.Context()), r.RotateEvidence(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	list, _ := json.Marshal(r.List())
	out := string(r.JWKS()) + string(r.EvidenceJWKS()) + string(list) + string(s.data) + fmt.Sprintf("%v", r.List())
	doc := r.snap.Load().doc
	for _, k := range []stored{doc.Token.Current, doc.Token.Next, doc.Evidence.Current, doc.Evidence.Next} {
		for _, secret := range []string{string(k.Private), encoding.EncodeToString(k.Private), fmt.Sprintf("%x", k.Private)} {
			if strings.Contains(out, secret) {
				t.Errorf("the private part of %s leaves the ring", k.KID)
			}
		}
	}
	for _, k := range append(doc.Token.Retired, doc.Evidence.Retired...) {
		if k.Private != nil {
			t.Errorf("the private part of retired %s is kept", k.KID)
		}
	}
	for _, jwks := range [][]byte{r.JWKS(), r.EvidenceJWKS()} {
		if bytes.Contains(jwks, []byte(`"d"`)) {
			t.Errorf("JWKS has a private member: %s", jwks)
		}
	}
}

func TestRingSchedule(t *testing.T) {
	t.Parallel()
	s, c := new(shelf), newClock()
	r := openTestRing(t, s, c)
	first, _ := r.Sign("JWT", claims{})
	next := r.List()[1].KID
	turn := func() {
		t.Helper()
		if err := r.turn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c.Advance(tokenPeriod - time.Second)
	if turn(); s.saves != 1 {
		t.Fatalf("%d saves before a period is over, want only the first", s.saves)
	}
	c.Advance(time.Second)
	turn()
	list := r.List()
	if list[0].KID != next || list[0].State != "current" || list[2].State != "retired" {
		t.Fatalf("after a period: %+v, want %s current", list, next)
	}
	if published := c.Now().Sub(list[0].CreatedAt); published < publishAhead {
		t.Errorf("the key was published %v before it signs, want %v", published, publishAhead)
	}
	if _, err := r.Verify(first, "JWT"); err != nil {
		t.Errorf("a token of the old key: %v", err)
	}
	// A rotation by hand just before does not let the schedule use a key that
	// was published less than a day ago.
	c.Advance(tokenPeriod - time.Hour)
	if err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	saves := s.saves
	c.Advance(2 * time.Hour)
	if turn(); s.saves != saves {
		t.Error("the schedule rotated onto a key of two hours")
	}
	c.Advance(keepRetired - tokenPeriod + time.Hour)
	turn()
	if _, err := r.Verify(first, "JWT"); !errors.Is(err, ErrToken) {
		t.Errorf("a token of a key retired %v ago = %v, want ErrToken", keepRetired, err)
	}

	evidence, _ := r.SignEvidence("x", claims{})
	c.Advance(evidencePeriod)
	turn()
	c.Advance(10 * evidencePeriod)
	turn()
	set, err := ParseKeySet(r.EvidenceJWKS())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Verify(evidence, "x"); err != nil {
		t.Errorf("evidence of eleven years ago: %v", err)
	}
	if _, err := r.Verify(evidence, "x"); !errors.Is(err, ErrToken) {
		t.Errorf("evidence passes for a token: %v", err)
	}
}

func TestRingTooSoon(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := openTestRing(t, new(shelf), c)
	if err := r.Rotate(t.Context()); err != nil {
		t.Fatalf("rotating at once after the first start: %v", err)
	}
	before := r.List()
	if err := r.Rotate(t.Context()); !errors.Is(err, ErrTooSoon) {
		t.Errorf("rotating twice = %v, want ErrTooSoon", err)
	}
	if got := r.List(); got[0] != before[0] {
		t.Error("a refused rotation changed the key")
	}
	c.Advance(learnWithin)
	if err := r.Rotate(t.Context()); err != nil {
		t.Errorf("rotating a minute later: %v", err)
	}
}

// TestRingRotatesUnderLoad: while two processes sign and verify each other's
// tokens, rotations never make one fail.
func TestRingRotatesUnderLoad(t *testing.T) {
	t.Parallel()
	s, c := new(shelf), newClock()
	rings := []*Ring{openTestRing(t, s, c), openTestRing(t, s, c)}
	stop := make(chan struct{})
	var workers sync.WaitGroup
	var done atomic.Int64
	for n := range 4 {
		workers.Go(func() {
			signs, verifies := rings[n%2], rings[n/2]
			for {
				select {
				case <-stop:
					return
				default:
				}
				token, err := signs.Sign("at+jwt", claims{Sub: "alice"})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := verifies.Verify(token, "at+jwt"); err != nil {
					t.Error(err)
					return
				}
				// What a verifier fetches knows the key as well.
				if done.Add(1)%16 == 0 {
					set, err := ParseKeySet(verifies.JWKS())
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := set.Verify(token, "at+jwt"); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for n := range 40 {
		// Both reload within a minute, as Run does, in either order.
		c.Advance(learnWithin)
		if err := rings[n%2].Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		for target := done.Load() + 20; done.Load() < target && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
		if err := rings[(n+1)%2].turn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	workers.Wait()
}

func TestRingsConverge(t *testing.T) {
	t.Parallel()
	s, c := new(shelf), newClock()
	var rings []*Ring
	var opening sync.WaitGroup
	var mu sync.Mutex
	for range 8 {
		opening.Go(func() {
			r, err := OpenRing(t.Context(), RingConfig{Root: testRoot(1), Store: s, Now: c.Now, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			rings = append(rings, r)
		})
	}
	opening.Wait()
	if s.saves != 1 {
		t.Fatalf("eight processes starting at once saved %d rings, want 1", s.saves)
	}
	same := func() {
		t.Helper()
		for _, r := range rings {
			if err := r.turn(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(r.JWKS(), rings[0].JWKS()) || r.List()[0] != rings[0].List()[0] {
				t.Fatal("two processes hold different keys")
			}
		}
	}
	same()
	for range 5 {
		saves := s.saves
		c.Advance(tokenPeriod)
		var turning sync.WaitGroup
		for _, r := range rings {
			turning.Go(func() {
				if err := r.turn(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		turning.Wait()
		if s.saves != saves+1 {
			t.Fatalf("a due rotation was saved %d times, want once", s.saves-saves)
		}
		same()
	}
	// By hand, all at once: each caller's key is replaced, once.
	c.Advance(learnWithin)
	saves := s.saves
	var turning sync.WaitGroup
	for _, r := range rings {
		turning.Go(func() {
			if err := r.Rotate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	turning.Wait()
	if s.saves != saves+1 {
		t.Errorf("one rotation asked for in eight processes was saved %d times", s.saves-saves)
	}
	same()
}

func BenchmarkSign(b *testing.B) {
	r := openTestRing(b, new(shelf), newClock())
	c := map[string]any{"iss": "https://consent.example.com", "sub": "alice", "aud": "https://api.example", "exp": 1, "iat": 1, "jti": "abcdefghijklmnopqrstuvwxyz"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Sign("at+jwt", c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	r := openTestRing(b, new(shelf), newClock())
	token, _ := r.Sign("at+jwt", claims{Sub: "alice"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Verify(token, "at+jwt"); err != nil {
			b.Fatal(err)
		}
	}
}
