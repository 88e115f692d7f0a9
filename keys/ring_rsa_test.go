package keys

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func openRSARing(t testing.TB, s RingStore, c *clock) *Ring {
	t.Helper()
	r, err := OpenRing(t.Context(), RingConfig{Root: testRoot(1), Store: s, Now: c.Now, Log: slog.New(slog.DiscardHandler), RSA: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// purposes lists the keys as "purpose state", in their order.
func purposes(r *Ring) (out []string) {
	for _, k := range r.List() {
		out = append(out, k.Purpose+" "+k.State)
	}
	return out
}

func TestRingPS256(t *testing.T) {
	t.Parallel()
	r := openRSARing(t, rsaShelf(), newClock())
	token, err := r.SignPS256("JWT", claims{Sub: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := r.Verify(token, "JWT")
	if err != nil || string(payload) != `{"sub":"alice"}` {
		t.Errorf("Verify = %s, %v", payload, err)
	}
	if _, err := r.Verify(token, "at+jwt"); !errors.Is(err, ErrToken) {
		t.Errorf("Verify as another type = %v, want ErrToken", err)
	}
	es, err := r.Sign("JWT", claims{Sub: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Verify(es, "JWT"); err != nil {
		t.Errorf("Verify of ES256 beside = %v", err)
	}
	if got, want := purposes(r), []string{"token current", "token next", "token-rsa current", "token-rsa next", "evidence current", "evidence next"}; !slices.Equal(got, want) {
		t.Errorf("List = %q, want %q", got, want)
	}

	// Another implementation agrees, with what we publish alone.
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(r.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.PS256})
	if err != nil {
		t.Fatal(err)
	}
	header := parsed.Signatures[0].Protected
	found := set.Key(header.KeyID)
	if len(set.Keys) != 4 || len(found) != 1 || found[0].Algorithm != PS256 || found[0].Use != "sig" || header.KeyID != r.List()[2].KID {
		t.Fatalf("JWKS of %d keys has %+v for %s", len(set.Keys), found, header.KeyID)
	}
	if _, err := parsed.Verify(found[0].Key); err != nil {
		t.Errorf("go-jose refuses our signature: %v", err)
	}
	public, err := ParsePublicKeys(r.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{token, es} {
		if _, err := public.Verify(token, []string{PS256, ES256}, []string{"JWT"}); err != nil {
			t.Errorf("PublicKeys refuse our token: %v", err)
		}
	}
	// Our own reader of the set is for ES256.
	own, err := ParseKeySet(r.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := own.Verify(es, "JWT"); err != nil {
		t.Errorf("KeySet refuses our token: %v", err)
	}
	if _, err := own.Verify(token, "JWT"); !errors.Is(err, ErrToken) {
		t.Errorf("KeySet takes PS256: %v", err)
	}
	if strings.Contains(string(r.EvidenceJWKS()), `"RSA"`) {
		t.Error("evidence has RSA keys")
	}
}

func TestRingPS256Refuses(t *testing.T) {
	t.Parallel()
	r := openRSARing(t, rsaShelf(), newClock())
	snap := r.snap.Load()
	key, kid := snap.tokenRSA.key, snap.tokenRSA.kid
	foreign := agentKeys()[1]
	const body = `{"sub":"alice"}`
	ours := headerPS256 + kid + headerMiddle + "JWT" + headerEnd
	p := pair{PS256, key}
	good, err := r.SignPS256("JWT", claims{Sub: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	pkcs1, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	short, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: 0})
	if err != nil {
		t.Fatal(err)
	}
	signature, _ := decodeExact(parts[2])
	for name, token := range map[string]string{
		"foreign key under our kid": foreign.sign(t, ours, body),
		"RS256":                     p.sign(t, strings.Replace(ours, PS256, "RS256", 1), body),
		"PKCS #1 v1.5":              parts[0] + "." + parts[1] + "." + encoding.EncodeToString(pkcs1),
		"no salt":                   parts[0] + "." + parts[1] + "." + encoding.EncodeToString(short),
		"ES256 by the RSA key":      p.sign(t, strings.Replace(ours, PS256, ES256, 1), body),
		"PS256 by the P-256 key":    signedBy(t, snap.token.key, strings.Replace(ours, kid, snap.token.kid, 1), body),
		"P-256 key, RSA kid":        signedBy(t, snap.token.key, strings.Replace(ours, PS256, ES256, 1), body),
		"RSA key, P-256 kid":        p.sign(t, strings.Replace(ours, kid, snap.token.kid, 1), body),
		"HS256, modulus as secret":  mac(key.N.Bytes(), strings.Replace(ours, PS256, "HS256", 1), body),
		"none":                      compact(strings.Replace(ours, PS256, "none", 1), body, nil),
		"no signature":              parts[0] + "." + parts[1] + ".",
		"signature and the modulus": parts[0] + "." + parts[1] + "." + encoding.EncodeToString(new(big.Int).Add(key.N, new(big.Int).SetBytes(signature)).Bytes()),
		"leading zero":              parts[0] + "." + parts[1] + "." + encoding.EncodeToString(append([]byte{0}, signature...)),
		"space in the header":       p.sign(t, strings.Replace(ours, ",", ", ", 1), body),
		"jwk":                       p.sign(t, strings.TrimSuffix(ours, "}")+`,"jwk":`+foreign.jwk(t, "")+`}`, body),
		"payload repeats a member":  p.sign(t, ours, `{"sub":"alice","SUB":"bob"}`),
	} {
		if payload, err := r.Verify(token, "JWT"); !errors.Is(err, ErrToken) || payload != nil {
			t.Errorf("%s: Verify = %s, %v, want ErrToken", name, payload, err)
		}
	}
	if _, err := r.Verify(p.sign(t, ours, body), "JWT"); err != nil {
		t.Errorf("Verify of what the key signed = %v", err)
	}
	if _, err := r.SignPS256("JWT", claims{Sub: strings.Repeat("x", MaxToken)}); err == nil {
		t.Error("SignPS256 of a payload that could not be verified succeeded")
	}
	if _, err := r.SignPS256("a b", claims{}); err == nil {
		t.Error("SignPS256 of no token type succeeded")
	}
	rnd := source(13)
	for range *mutations / 10 {
		if bad := mutate(rnd, good); bad != good {
			if _, err := r.Verify(bad, "JWT"); !errors.Is(err, ErrToken) {
				t.Fatalf("%q passes for %q", bad, good)
			}
		}
	}
}

// TestRingAddsRSA: keys that exist without RSA stay, and get it on a start
// that wants it; a start without it keeps what is there.
func TestRingAddsRSA(t *testing.T) {
	t.Parallel()
	s, c := new(shelf), newClock()
	before := openTestRing(t, s, c)
	token, err := before.Sign("JWT", claims{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.SignPS256("JWT", claims{}); err == nil || !strings.Contains(err.Error(), "open its ring with RSA") {
		t.Errorf("SignPS256 without RSA keys = %v", err)
	}
	with := openRSARing(t, s, c)
	if s.saves != 2 || with.List()[0] != before.List()[0] {
		t.Errorf("after a start with RSA: %d saves, %+v, want the keys of before", s.saves, with.List())
	}
	ps, err := with.SignPS256("JWT", claims{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := with.Verify(token, "JWT"); err != nil {
		t.Errorf("Verify of a token of before = %v", err)
	}
	if err := before.turn(t.Context()); err != nil { // a process that does not want RSA learns them
		t.Fatal(err)
	}
	after := openTestRing(t, s, c)
	for name, r := range map[string]*Ring{"running": before, "new": after} {
		if _, err := r.Verify(ps, "JWT"); err != nil || !bytes.Equal(r.JWKS(), with.JWKS()) {
			t.Errorf("%s without RSA: Verify = %v, JWKS %s", name, err, r.JWKS())
		}
	}
	if again := openRSARing(t, s, c); s.saves != 2 || again.List()[2] != with.List()[2] {
		t.Errorf("a second start with RSA made keys: %d saves", s.saves)
	}

	// The next RSA key is a minute old: too young for the schedule, which
	// then rotates all at once.
	c.Advance(tokenPeriod - time.Minute)
	if err := with.change(t.Context(), func(doc *document, now time.Time) (bool, error) {
		doc.TokenRSA.Next.CreatedAt = now
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Minute)
	saves, first := s.saves, with.List()
	if err := with.turn(t.Context()); err != nil || s.saves != saves {
		t.Errorf("the schedule rotated onto a key of a minute: %v", err)
	}
	c.Advance(publishAhead)
	if err := with.turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	list := with.List()
	want := []string{"token current", "token next", "token retired", "token-rsa current", "token-rsa next", "token-rsa retired", "evidence current", "evidence next"}
	if !slices.Equal(purposes(with), want) || list[0].KID != first[1].KID || list[3].KID != first[3].KID || list[5].KID != first[2].KID {
		t.Errorf("after a period: %+v", list)
	}
	if _, err := with.Verify(ps, "JWT"); err != nil {
		t.Errorf("a PS256 token of the old key: %v", err)
	}
	if err := with.Rotate(t.Context()); !errors.Is(err, ErrTooSoon) {
		t.Errorf("Rotate at once = %v, want ErrTooSoon", err)
	}
	c.Advance(keepRetired)
	if err := with.turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := with.Verify(ps, "JWT"); !errors.Is(err, ErrToken) {
		t.Errorf("a PS256 token of a key retired %v ago = %v, want ErrToken", keepRetired, err)
	}
}

// TestRingsAddRSAOnce: of processes that start at once, one makes the keys.
func TestRingsAddRSAOnce(t *testing.T) {
	t.Parallel()
	s, c := new(shelf), newClock()
	openTestRing(t, s, c)
	rings := make([]*Ring, 3)
	var opening sync.WaitGroup
	for i := range rings {
		opening.Go(func() {
			r, err := OpenRing(t.Context(), RingConfig{Root: testRoot(1), Store: s, Now: c.Now, Log: slog.New(slog.DiscardHandler), RSA: true})
			if err != nil {
				t.Error(err)
			}
			rings[i] = r
		})
	}
	if opening.Wait(); t.Failed() {
		return
	}
	if s.saves != 2 {
		t.Errorf("%d saves, want the first and one for RSA", s.saves)
	}
	token, err := rings[0].SignPS256("JWT", claims{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rings {
		if _, err := r.Verify(token, "JWT"); err != nil {
			t.Errorf("Verify in another process = %v", err)
		}
	}
}

// TestRingRSAKeepsPrivateParts looks for every private number in what leaves
// the ring.
func TestRingRSAKeepsPrivateParts(t *testing.T) {
	t.Parallel()
	s, c := rsaShelf(), newClock()
	r := openRSARing(t, s, c)
	old := r.snap.Load().tokenRSA.key
	if err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	doc := r.snap.Load().doc
	for _, k := range doc.TokenRSA.Retired {
		if k.Private != nil {
			t.Errorf("the private part of retired %s is kept", k.KID)
		}
	}
	next, err := doc.TokenRSA.Next.signerRSA()
	if err != nil {
		t.Fatal(err)
	}
	list, _ := json.Marshal(r.List())
	out := string(r.JWKS()) + string(list) + string(s.data)
	for _, key := range []*rsa.PrivateKey{old, r.snap.Load().tokenRSA.key, next.key} {
		for _, n := range []*big.Int{key.D, key.Primes[0], key.Primes[1], key.Precomputed.Dp, key.Precomputed.Qinv} {
			if strings.Contains(out, encoding.EncodeToString(n.Bytes())) || strings.Contains(out, string(n.Bytes())) {
				t.Error("a private part leaves the ring")
			}
		}
	}
	for _, name := range []string{`"d"`, `"p"`, `"q"`, `"dp"`, `"dq"`, `"qi"`} {
		if bytes.Contains(r.JWKS(), []byte(name)) {
			t.Errorf("JWKS has the private member %s", name)
		}
	}
}

// TestRingRSAStaysSmall: with as many retired keys as there may be, the ring
// fits a message.
func TestRingRSAStaysSmall(t *testing.T) {
	t.Parallel()
	s, c := rsaShelf(), newClock()
	r := openRSARing(t, s, c)
	err := r.change(t.Context(), func(doc *document, now time.Time) (bool, error) {
		for _, chain := range append(doc.tokens(), &doc.Evidence) {
			old := chain.Current
			old.Private, old.RetiredAt = nil, now
			chain.Retired = slices.Repeat([]stored{old}, maxRetired)
		}
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.data) > 256<<10 || len(r.JWKS()) > maxKeySet {
		t.Errorf("the stored ring has %d bytes, its JWKS %d", len(s.data), len(r.JWKS()))
	}
	c.Advance(learnWithin)
	if err := r.Rotate(t.Context()); !errors.Is(err, ErrTooSoon) {
		t.Errorf("rotation %d = %v, want ErrTooSoon", maxRetired+1, err)
	}
}

func BenchmarkSignPS256(b *testing.B) {
	r := openRSARing(b, rsaShelf(), newClock())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.SignPS256("JWT", claims{Sub: "alice"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyPS256(b *testing.B) {
	r := openRSARing(b, rsaShelf(), newClock())
	token, err := r.SignPS256("JWT", claims{Sub: "alice"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Verify(token, "JWT"); err != nil {
			b.Fatal(err)
		}
	}
}
