package keys

import (
	"strings"
	"testing"
	"time"
)

func TestNonce(t *testing.T) {
	t.Parallel()
	h, same, foreign := NewHandles(testRoot(1)), newHandles(testRoot(1), 2), NewHandles(testRoot(2))
	start := time.Unix(1_800_000_000, 0) // a window begins
	nonce := h.Nonce(start)
	if len(nonce) != nonceLen || strings.Trim(nonce, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.Errorf("Nonce = %q, want %d characters of base64url", nonce, nonceLen)
	}
	for _, row := range []struct {
		after time.Duration
		want  bool
	}{
		{-time.Second, false}, {0, true}, {nonceWindow - time.Second, true}, {nonceWindow, true}, {2*nonceWindow - time.Second, true},
		{2 * nonceWindow, false}, {time.Hour, false}, {-time.Hour, false}, {-nonceWindow, false},
	} {
		now := start.Add(row.after)
		if got := h.CheckNonce(nonce, now); got != row.want {
			t.Errorf("CheckNonce after %v = %v, want %v", row.after, got, row.want)
		}
		if same.Nonce(now) != h.Nonce(now) {
			t.Errorf("two processes give different nonces after %v", row.after)
		}
		if foreign.CheckNonce(h.Nonce(now), now) {
			t.Errorf("the nonce of another root key passes after %v", row.after)
		}
	}
	if h.Nonce(start.Add(nonceWindow-time.Second)) != nonce || h.Nonce(start.Add(nonceWindow)) == nonce {
		t.Error("a nonce is not the one of its window")
	}
	for _, now := range []time.Time{{}, time.Unix(0, 0), time.Unix(-1, 0), time.Unix(1<<62, 0)} {
		if !h.CheckNonce(h.Nonce(now), now) {
			t.Errorf("the nonce of %v is refused at once", now)
		}
	}
}

func TestNonceForged(t *testing.T) {
	t.Parallel()
	h := NewHandles(testRoot(1))
	now := newClock().Now()
	nonce := h.Nonce(now)
	for _, bad := range []string{
		"", nonce[1:], nonce + "A", nonce + "=", nonce + "\n", " " + nonce, nonce[:len(nonce)-1] + "\n", strings.ToLower(nonce), strings.ToUpper(nonce),
		strings.Repeat("A", nonceLen), strings.Repeat("\x00", nonceLen), strings.Repeat("A", 1<<20), nonce + nonce,
		h.AuthReqID([16]byte{1})[:nonceLen], h.Ticket([16]byte{1}, 1)[:nonceLen],
	} {
		if h.CheckNonce(bad, now) {
			t.Errorf("CheckNonce(%.60q) = true", bad)
		}
	}
	rnd := source(10)
	for range forgeries / 10 {
		bad := mutate(rnd, nonce)
		if bad != nonce && h.CheckNonce(bad, now) {
			t.Fatalf("CheckNonce(%q) = true for %q", bad, nonce)
		}
	}
}

func FuzzCheckNonce(f *testing.F) {
	h := NewHandles(testRoot(1))
	now := newClock().Now()
	f.Add(h.Nonce(now), int64(0))
	f.Add(h.Nonce(now), int64(-120))
	f.Fuzz(func(t *testing.T, s string, later int64) {
		at := now.Add(time.Duration(later%1_000_000_000) * time.Second)
		if h.CheckNonce(s, at) && s != h.Nonce(at) && s != h.Nonce(at.Add(-nonceWindow)) {
			t.Errorf("CheckNonce(%q) at %v = true", s, at)
		}
	})
}

func BenchmarkCheckNonce(b *testing.B) {
	h := NewHandles(testRoot(1))
	now := newClock().Now()
	nonce := h.Nonce(now)
	b.ReportAllocs()
	for b.Loop() {
		if !h.CheckNonce(nonce, now) {
			b.Fatal("refused")
		}
	}
}
