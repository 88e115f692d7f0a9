package keys

import (
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// source returns reproducible random numbers.
func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func randomID(rnd *rand.Rand) (id [16]byte) {
	for i := range id {
		id[i] = byte(rnd.Uint32())
	}
	return id
}

func TestHandlesRoundTrip(t *testing.T) {
	t.Parallel()
	h := NewHandles(testRoot(1))
	form := regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	rnd := source(1)
	seen := make(map[string]bool)
	for n := range 2000 {
		id, attempt := randomID(rnd), n%(MaxAttempt+1)
		handle, ticket, ref := h.AuthReqID(id), h.Ticket(id, attempt), h.CallbackRef(id, attempt)
		deferral, number := h.DeferralCode(id), n*8389 // up to MaxRefresh
		refresh := h.RefreshToken(id, number)
		if len(handle) != 44 || len(ticket) != 40 || len(ref) != 40 || len(deferral) != 44 || len(refresh) != 48 {
			t.Fatalf("lengths = %d, %d, %d, %d, %d, want 44, 40, 40, 44, 48", len(handle), len(ticket), len(ref), len(deferral), len(refresh))
		}
		for _, s := range []string{handle, ticket, ref, deferral, refresh} {
			if !form.MatchString(s) {
				t.Fatalf("%q has characters that CIBA Core §7.3 does not allow", s)
			}
			if seen[s] {
				t.Fatalf("%q was made twice", s)
			}
			seen[s] = true
		}
		if got, ok := h.ParseAuthReqID(handle); !ok || got != id {
			t.Fatalf("ParseAuthReqID(AuthReqID(%x)) = %x, %v", id, got, ok)
		}
		if got, a, ok := h.ParseTicket(ticket); !ok || got != id || a != attempt {
			t.Fatalf("ParseTicket(Ticket(%x, %d)) = %x, %d, %v", id, attempt, got, a, ok)
		}
		if got, a, ok := h.ParseCallbackRef(ref); !ok || got != id || a != attempt {
			t.Fatalf("ParseCallbackRef(CallbackRef(%x, %d)) = %x, %d, %v", id, attempt, got, a, ok)
		}
		if got, ok := h.ParseDeferralCode(deferral); !ok || got != id {
			t.Fatalf("ParseDeferralCode(DeferralCode(%x)) = %x, %v", id, got, ok)
		}
		if got, a, ok := h.ParseRefreshToken(refresh); !ok || got != id || a != number {
			t.Fatalf("ParseRefreshToken(RefreshToken(%x, %d)) = %x, %d, %v", id, number, got, a, ok)
		}
	}
}

// kinds are the kinds of handles in the order of everyKind.
var kinds = []string{"auth_req_id", "ticket", "callback", "deferral_code", "refresh_token"}

// everyKind returns a handle of each kind.
func everyKind(h *Handles, id [16]byte, n int) []string {
	return []string{h.AuthReqID(id), h.Ticket(id, n), h.CallbackRef(id, n), h.DeferralCode(id), h.RefreshToken(id, n)}
}

// parses reports the parsers that take s.
func parses(h *Handles, s string) (by []string) {
	if _, ok := h.ParseAuthReqID(s); ok {
		by = append(by, "auth_req_id")
	}
	if _, _, ok := h.ParseTicket(s); ok {
		by = append(by, "ticket")
	}
	if _, _, ok := h.ParseCallbackRef(s); ok {
		by = append(by, "callback")
	}
	if _, ok := h.ParseDeferralCode(s); ok {
		by = append(by, "deferral_code")
	}
	if _, _, ok := h.ParseRefreshToken(s); ok {
		by = append(by, "refresh_token")
	}
	return by
}

func TestHandlesForged(t *testing.T) {
	t.Parallel()
	h, foreign := NewHandles(testRoot(1)), NewHandles(testRoot(2))
	rnd := source(2)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	id := randomID(rnd)
	genuine := everyKind(h, id, 1)
	buf := make([]byte, 0, 64)
	for n := range forgeries {
		buf = append(buf[:0], genuine[n/5%len(genuine)]...)
		switch n % 5 {
		case 0: // nothing genuine but the length
			for i := range buf {
				buf[i] = alphabet[rnd.IntN(64)]
			}
		case 1: // right version, the rest random
			for i := 2; i < len(buf); i++ {
				buf[i] = alphabet[rnd.IntN(64)]
			}
		case 2: // one character changed
			i := rnd.IntN(len(buf))
			c := buf[i]
			for buf[i] == c {
				buf[i] = alphabet[rnd.IntN(64)]
			}
		case 3: // any byte anywhere
			i := rnd.IntN(len(buf))
			c := buf[i]
			for buf[i] == c {
				buf[i] = byte(rnd.Uint32())
			}
		case 4: // another one's genuine handle
			if n%50 != 4 {
				continue
			}
			other := randomID(rnd)
			buf = append(buf[:0], everyKind(foreign, other, 1)[n/5%len(genuine)]...)
		}
		if by := parses(h, string(buf)); by != nil {
			t.Fatalf("forged %q passes for %v", buf, by)
		}
	}
}

func TestHandlesBitFlips(t *testing.T) {
	t.Parallel()
	h := NewHandles(testRoot(1))
	id := randomID(source(3))
	for _, s := range everyKind(h, id, 3) {
		raw, err := encoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			for bit := range 8 {
				raw[i] ^= 1 << bit
				if by := parses(h, encoding.EncodeToString(raw)); by != nil {
					t.Errorf("bit %d of byte %d flipped still passes for %v", bit, i, by)
				}
				raw[i] ^= 1 << bit
			}
		}
	}
}

// TestHandlesOneKindEach: an agent's handle opens nothing at a device's door,
// and the other way round.
func TestHandlesOneKindEach(t *testing.T) {
	t.Parallel()
	h := NewHandles(testRoot(1))
	id := randomID(source(4))
	for i, s := range everyKind(h, id, 1) {
		if by := parses(h, s); len(by) != 1 || by[0] != kinds[i] {
			t.Errorf("%s passes for %v", kinds[i], by)
		}
	}
	// The same bytes under the same length but another key.
	raw, _ := encoding.DecodeString(h.Ticket(id, 1))
	long := append(raw, 0, 0, 0)
	if _, ok := h.ParseAuthReqID(encoding.EncodeToString(long)); ok {
		t.Error("a lengthened ticket passes for an auth_req_id")
	}
	if _, _, ok := h.ParseTicket(h.AuthReqID(id)[:40]); ok {
		t.Error("a shortened auth_req_id passes for a ticket")
	}
	// A number added or left out makes no other handle.
	refresh, _ := encoding.DecodeString(h.RefreshToken(id, 0))
	if by := parses(h, encoding.EncodeToString(append(refresh[:1+idSize:1+idSize], refresh[1+idSize+refreshNumber:]...))); by != nil {
		t.Errorf("a refresh token without its number passes for %v", by)
	}
	auth, _ := encoding.DecodeString(h.AuthReqID(id))
	if by := parses(h, encoding.EncodeToString(append(append(auth[:1+idSize:1+idSize], 0, 0, 0), auth[1+idSize:]...))); by != nil {
		t.Errorf("an auth_req_id with a number passes for %v", by)
	}
}

func TestHandlesSpelling(t *testing.T) {
	t.Parallel()
	h := NewHandles(testRoot(1))
	id := randomID(source(5))
	for _, s := range everyKind(h, id, 1) {
		for _, bad := range []string{
			"", s[:len(s)-1], s[1:], s + "A", s + "=", s + "\n", "\n" + s, s[:10] + "\n" + s[10:], s[:10] + "\n" + s[11:], s[:len(s)-1] + "\n",
			s[:len(s)-4] + "\r\n\r\n", " " + s, s + " ", strings.ToUpper(s), strings.ToLower(s), s[:len(s)-2] + "==", s + s, strings.Repeat("A", 44), strings.Repeat("A", 40),
			s[:5] + "+" + s[6:], s[:5] + "/" + s[6:], s[:5] + "." + s[6:], s[:5] + "\x00" + s[6:], s[:5] + "é" + s[7:], strings.Repeat("A", 1<<20),
		} {
			if by := parses(h, bad); by != nil && bad != s {
				t.Errorf("%.60q passes for %v", bad, by)
			}
		}
	}
}

func TestHandlesVersions(t *testing.T) {
	t.Parallel()
	root := testRoot(1)
	one, two, three := newHandles(root, 1), newHandles(root, 2), newHandles(root, 3)
	id := randomID(source(6))
	rows := []struct {
		name     string
		by, with *Handles
		want     bool
	}{
		{"own", two, two, true}, {"previous", one, two, true}, {"two back", one, three, false},
		{"not yet", two, one, false}, {"first", one, one, true},
	}
	for _, row := range rows {
		_, a := row.with.ParseAuthReqID(row.by.AuthReqID(id))
		_, _, b := row.with.ParseTicket(row.by.Ticket(id, 9))
		_, _, c := row.with.ParseCallbackRef(row.by.CallbackRef(id, 9))
		_, d := row.with.ParseDeferralCode(row.by.DeferralCode(id))
		_, _, e := row.with.ParseRefreshToken(row.by.RefreshToken(id, 9))
		if a != row.want || b != row.want || c != row.want || d != row.want || e != row.want {
			t.Errorf("%s: parses = %v, %v, %v, %v, %v, want %v", row.name, a, b, c, d, e, row.want)
		}
	}
	// A handle of one version does not pass with the byte of another.
	raw, _ := encoding.DecodeString(one.AuthReqID(id))
	raw[0] = 2
	if _, ok := two.ParseAuthReqID(encoding.EncodeToString(raw)); ok {
		t.Error("a handle passes under another key version")
	}
	raw[0] = 0
	if _, ok := one.ParseAuthReqID(encoding.EncodeToString(raw)); ok {
		t.Error("a handle passes under key version 0")
	}
}

func TestHandlesAllocateNothing(t *testing.T) {
	h := NewHandles(testRoot(1))
	id := randomID(source(7))
	handle, ticket := h.AuthReqID(id), h.Ticket(id, 1)
	code, now := h.Code(id, 1), newClock().Now()
	refresh, nonce := h.RefreshToken(id, 1), h.Nonce(now)
	if got := testing.AllocsPerRun(100, func() {
		h.ParseAuthReqID(handle)
		h.ParseTicket(ticket)
		h.ParseAuthReqID(ticket)
		h.CheckCode(id, 1, code)
		h.ParseDeferralCode(handle)
		h.ParseRefreshToken(refresh)
		h.CheckNonce(nonce, now)
	}); got != 0 {
		t.Errorf("parsing allocates %v times, want 0", got)
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	h := NewHandles(testRoot(1))
	rnd := source(8)
	var digits [codeDigits][10]int
	const draws = 60_000
	for range draws {
		id := randomID(rnd)
		code := h.Code(id, 1)
		if len(code) != codeDigits {
			t.Fatalf("Code = %q, want %d digits", code, codeDigits)
		}
		for i := range code {
			digits[i][code[i]-'0']++
		}
	}
	for place, counts := range digits {
		chi := 0.0
		for _, n := range counts {
			d := float64(n) - draws/10
			chi += d * d / (draws / 10)
		}
		if chi > 33.7 { // 9 degrees of freedom, p = 0.0001; the draws are fixed
			t.Errorf("digit %d is skewed: chi square %.1f", place, chi)
		}
	}
	id, other := randomID(rnd), randomID(rnd)
	code := h.Code(id, 1)
	if !h.CheckCode(id, 1, code) {
		t.Error("CheckCode refuses the right code")
	}
	if h.CheckCode(id, 2, code) || h.CheckCode(other, 1, code) || NewHandles(testRoot(2)).CheckCode(id, 1, code) {
		t.Error("CheckCode takes a code of another attempt, request or root key")
	}
	for _, bad := range []string{"", code[:5], code + "0", " " + code[1:], code + "\n", "-" + code[1:], "+" + code[1:], strings.Repeat("٣", 3)} {
		if h.CheckCode(id, 1, bad) {
			t.Errorf("CheckCode(%q) = true", bad)
		}
	}
	hits := 0
	const step = codeRange / forgeries
	right, err := strconv.Atoi(code)
	if err != nil {
		t.Fatal(err)
	}
	for n := right % step; n < codeRange; n += step {
		var text [codeDigits]byte
		for d, v := codeDigits-1, n; d >= 0; d, v = d-1, v/10 {
			text[d] = '0' + byte(v%10)
		}
		if h.CheckCode(id, 1, string(text[:])) {
			hits++
		}
	}
	if hits != 1 {
		t.Errorf("%d of all codes are right, want 1", hits)
	}
	if a, b := newHandles(testRoot(1), 1), newHandles(testRoot(1), 2); a.Code(id, 1) != b.Code(id, 1) {
		t.Error("a new key version changed a code that was sent")
	}
}

func FuzzHandles(f *testing.F) {
	h := NewHandles(testRoot(1))
	id := [16]byte{1}
	f.Add(h.AuthReqID(id))
	f.Add(h.Ticket(id, 1))
	f.Add(h.CallbackRef(id, 70))
	f.Add(h.DeferralCode(id))
	f.Add(h.RefreshToken(id, 70))
	f.Fuzz(func(t *testing.T, s string) {
		if id, ok := h.ParseAuthReqID(s); ok && h.AuthReqID(id) != s {
			t.Errorf("ParseAuthReqID takes %q, which is no spelling of ours", s)
		}
		if id, n, ok := h.ParseTicket(s); ok && h.Ticket(id, n) != s {
			t.Errorf("ParseTicket takes %q, which is no spelling of ours", s)
		}
		if id, n, ok := h.ParseCallbackRef(s); ok && h.CallbackRef(id, n) != s {
			t.Errorf("ParseCallbackRef takes %q, which is no spelling of ours", s)
		}
		if id, ok := h.ParseDeferralCode(s); ok && h.DeferralCode(id) != s {
			t.Errorf("ParseDeferralCode takes %q, which is no spelling of ours", s)
		}
		if id, n, ok := h.ParseRefreshToken(s); ok && h.RefreshToken(id, n) != s {
			t.Errorf("ParseRefreshToken takes %q, which is no spelling of ours", s)
		}
		h.CheckCode(id, 1, s)
	})
}

func TestRefreshTokenRange(t *testing.T) {
	t.Parallel()
	h := NewHandles(testRoot(1))
	for _, n := range []int{-1, MaxRefresh + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("RefreshToken of number %d is made", n)
				}
			}()
			h.RefreshToken([16]byte{1}, n)
		}()
	}
	if _, n, ok := h.ParseRefreshToken(h.RefreshToken([16]byte{1}, MaxRefresh)); !ok || n != MaxRefresh {
		t.Errorf("ParseRefreshToken of the highest number = %d, %v", n, ok)
	}
}

func BenchmarkParseAuthReqID(b *testing.B) {
	h := NewHandles(NewRoot())
	s := h.AuthReqID([16]byte{1})
	for b.Loop() {
		h.ParseAuthReqID(s)
	}
}
