package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What the golden tests pin is in stores, links and tokens out there. A change
// that fails one of them needs a new version of the format, and readers that
// go on reading this one; literals and files stay as they are.

// golden makes the golden files that are not there. It never replaces one.
var golden = flag.Bool("golden", false, "make the golden files that are missing")

// goldenRoot is the root key of the golden files of every room, and of nothing
// else.
const goldenRoot = "bm90IGEgc2VjcmV0OiB0aGlzIGtleSBpcyBnb2xkZW4=\n"

func openGoldenRoot(t testing.TB) *Root {
	t.Helper()
	root, err := ParseRoot([]byte(goldenRoot))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// goldenFile is the content of a file under testdata.
func goldenFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// writeGolden makes a file under testdata, unless it is there.
func writeGolden(t testing.TB, name string, data []byte) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join("testdata", name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
}

func TestRootFormStays(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "root.key")
	root := openGoldenRoot(t)
	if err := root.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != goldenRoot {
		t.Errorf("WriteFile wrote %q, %v, want %q", text, err, goldenRoot)
	}
	if string(root.key[:]) != "not a secret: this key is golden" || root.Fingerprint() != "5ff385dd13ccb5cc55e4f95649fb36ec" {
		t.Errorf("ParseRoot(%q) has fingerprint %s", goldenRoot, root.Fingerprint())
	}
}

// TestHandlesStay pins what [TestDerivedKeysStay] leaves out, and that what it
// pins is still taken.
func TestHandlesStay(t *testing.T) {
	t.Parallel()
	h := NewHandles(testRoot(0))
	id := [16]byte{1, 2, 3}
	at := time.Date(2026, 12, 1, 10, 1, 59, 0, time.UTC)
	for _, row := range []struct{ name, got, want string }{
		{"deferral_code", h.DeferralCode(id), "AQECAwAAAAAAAAAAAAAAAABwe5jsQO8eE51wezGKDg7F"},
		{"refresh token 1", h.RefreshToken(id, 1), "AQECAwAAAAAAAAAAAAAAAAAAAAEjU-oycSVcCjNYr4rKUuNm"},
		{"refresh token of the highest number", h.RefreshToken(id, MaxRefresh), "AQECAwAAAAAAAAAAAAAAAAD___-AWIhnSez3X0oSQPpiaEoE"},
		{"link to choose a user code", h.UserCodeTicket(id), "AQECAwAAAAAAAAAAAAAAAAAAAE-HbcYVYx02nm8T"},
		{"ticket of the highest attempt", h.Ticket(id, MaxAttempt), "AQECAwAAAAAAAAAAAAAAAAD__7e1kHd8LBFGG8GH"},
		{"code of no attempt", h.Code(id, 0), "827579"},
		{"code of another request", h.Code([16]byte{0xff}, 300), "024492"},
		{"code whose first draw would favour low ones", h.Code(id, 4413), "444506"},
		{"DPoP nonce", h.Nonce(at), "FiCE0j_m51TW-kRv0s7LPQHC"},
	} {
		if row.got != row.want {
			t.Errorf("%s = %s\nwant %s", row.name, row.got, row.want)
		}
	}
	n, taken := 0, false
	for name, parse := range map[string]func() ([16]byte, bool){
		"auth_req_id": func() ([16]byte, bool) { return h.ParseAuthReqID(pinned["auth_req_id"]) },
		"ticket": func() (id [16]byte, ok bool) {
			id, n, taken = h.ParseTicket(pinned["ticket"])
			return id, taken && n == 2
		},
		"callback": func() (id [16]byte, ok bool) {
			id, n, taken = h.ParseCallbackRef(pinned["callback"])
			return id, taken && n == 2
		},
	} {
		if got, ok := parse(); !ok || got != id {
			t.Errorf("the pinned %s is not taken", name)
		}
	}
}

// openRaw opens what seal returned without it: version ‖ nonce ‖ AES-256-GCM
// under a key of the golden root.
func openRaw(t testing.TB, label, context string, sealed []byte) []byte {
	t.Helper()
	key, err := hkdf.Key(sha256.New, []byte("not a secret: this key is golden"), nil, label, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	if len(sealed) < 13 || sealed[0] != 1 {
		t.Fatalf("sealed bytes begin with %x, want 01", sealed[:1])
	}
	plain, err := aead.Open(nil, sealed[1:13], sealed[13:], []byte(context))
	if err != nil {
		t.Fatalf("opening what was sealed for %q: %v", context, err)
	}
	return plain
}

func TestWrappedKeysStay(t *testing.T) {
	t.Parallel()
	v := NewVault(openGoldenRoot(t))
	key := []byte("a data key of thirty-two bytes..")
	wrapped, err := hex.DecodeString(goldenWrapped)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Unwrap(wrapped, "abcdefghijklmnop"); err != nil || !bytes.Equal(got, key) {
		t.Errorf("Unwrap = %q, %v, want %q", got, err, key)
	}
	if wrapped, err = v.Wrap(key, "abcdefghijklmnop"); err != nil {
		t.Fatal(err)
	}
	if got := openRaw(t, "ringback/data-keys", "abcdefghijklmnop", wrapped); !bytes.Equal(got, key) {
		t.Errorf("Wrap sealed %q, want %q", got, key)
	}
	digest := TokenDigest("demo-secret-0000")
	if got := hex.EncodeToString(digest[:]); got != goldenDigest {
		t.Errorf("TokenDigest = %s, want %s", got, goldenDigest)
	}
}

const (
	goldenWrapped = "012db6940e4c26a51b1a658174421688a636ed55c6fb403e7f035caabc8722cb5b3edd2da6bff963bf6ec0df08421afad49ee930f574df5fda1e2252ba"
	goldenDigest  = "aa1ee7cde2dddbb3ac100c7a7ef2cabd63bb04ead756c0eacc67b901bd9d7cb3"
)

// goldenTokens are signed by keys of the golden ring.
type goldenTokens struct {
	ES256    string `json:"es256"`
	PS256    string `json:"ps256"` // salted, so that only reading it can be pinned
	Retired  string `json:"retired"`
	Evidence string `json:"evidence"`
}

// goldenClaims are their payload.
type goldenClaims struct {
	Issuer string `json:"iss"`
	Text   string `json:"text"`
	N      int    `json:"n,omitempty"`
}

var (
	goldenSaid = goldenClaims{"https://consent.example", "a<b>&c ü", 1}
	goldenMade = time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)
)

// goldenPayload is the payload as it is signed.
const goldenPayload = `{"iss":"https://consent.example","text":"a\u003cb\u003e\u0026c ü","n":1}`

// openGoldenRing opens the ring that is on s, a day after it was made.
func openGoldenRing(t testing.TB, s *shelf) *Ring {
	t.Helper()
	r, err := OpenRing(t.Context(), RingConfig{
		Root: openGoldenRoot(t), Store: s, RSA: true, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return goldenMade.Add(24 * time.Hour) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// goldenNoKeys is a ring of nothing but what always has to be written.
const goldenNoKeys = `{"v":1,"serial":0,"token":{"current":{"kid":"","public":null,"created_at":"0001-01-01T00:00:00Z"},"next":{"kid":"","public":null,"created_at":"0001-01-01T00:00:00Z"}},"evidence":{"current":{"kid":"","public":null,"created_at":"0001-01-01T00:00:00Z"},"next":{"kid":"","public":null,"created_at":"0001-01-01T00:00:00Z"}}}`

// goldenRetired is the golden ring's current token key once it is retired.
const goldenRetired = `{"kid":"7-G6Yqraub83_nsY","public":"BMuCPilNUP5ZHqcSybeFEp4uYzeqqNP7a+UUd8sws87b5Y0G8KgoqFs+qOg/ZxLtMuNom+37DW8FuBm1OQgGwkU=","created_at":"2026-12-01T10:00:00Z","active_at":"2026-12-01T11:00:00Z","retired_at":"2026-12-02T10:00:00Z"}`

// TestRingStays pins the signing keys as they are stored, what is published of
// them, and what they sign.
func TestRingStays(t *testing.T) {
	t.Parallel()
	if *golden {
		makeGoldenRing(t)
	}
	sealed, plain := goldenFile(t, "ring.sealed"), goldenFile(t, "ring.json")
	s := &shelf{data: sealed, rev: 1}
	r := openGoldenRing(t, s)
	if s.saves != 0 {
		t.Error("opening the ring changed it")
	}
	if got := openRaw(t, "ringback/ring", "signing keys", sealed); !bytes.Equal(got, plain) {
		t.Errorf("sealed are %s\nwant %s", got, plain)
	}
	if got, err := json.Marshal(r.snap.Load().doc); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("the ring is written as %s, %v\nwant %s", got, err, plain)
	}
	if got, err := json.Marshal(document{V: documentVersion}); err != nil || string(got) != goldenNoKeys {
		t.Errorf("a ring without keys is written as %s, %v\nwant %s", got, err, goldenNoKeys)
	}
	for name, got := range map[string][]byte{"jwks.json": r.JWKS(), "evidence.json": r.EvidenceJWKS()} {
		if diff := cmp.Diff(members(t, goldenFile(t, name)), members(t, got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	var list []KeyInfo
	if err := json.Unmarshal(goldenFile(t, "list.json"), &list); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(list, r.List()); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}

	var tokens goldenTokens
	if err := json.Unmarshal(goldenFile(t, "tokens.json"), &tokens); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Sign("at+jwt", goldenSaid); err != nil || got != tokens.ES256 {
		t.Errorf("Sign = %s, %v\nwant %s", got, err, tokens.ES256)
	}
	if got, err := r.SignEvidence("evidence+jws", goldenSaid); err != nil || got != tokens.Evidence {
		t.Errorf("SignEvidence = %s, %v\nwant %s", got, err, tokens.Evidence)
	}
	for name, token := range map[string]string{"ES256": tokens.ES256, "PS256": tokens.PS256, "a retired key": tokens.Retired} {
		if got, err := r.Verify(token, "at+jwt"); err != nil || string(got) != goldenPayload {
			t.Errorf("%s: Verify = %s, %v, want %s", name, got, err, goldenPayload)
		}
	}
	set, err := ParseKeySet(goldenFile(t, "evidence.json"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := set.Verify(tokens.Evidence, "evidence+jws"); err != nil || string(got) != goldenPayload {
		t.Errorf("evidence: Verify = %s, %v, want %s", got, err, goldenPayload)
	}

	// What a change of it writes is read back as what it is.
	if err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := openRaw(t, "ringback/ring", "signing keys", s.data)
	if want := fmt.Sprintf(`{"v":1,"serial":%d,"token":{"current":{"kid":"%s",`, r.snap.Load().doc.Serial, list[1].KID); !bytes.HasPrefix(after, []byte(want)) {
		t.Errorf("a rotated ring is written as %s\nwant %s…", after, want)
	}
	if !bytes.Contains(after, []byte(goldenRetired)) {
		t.Errorf("a rotated ring is written as %s\nwant %s in it", after, goldenRetired)
	}
}

// members is JSON in which the order of members does not count.
func members(t testing.TB, data []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// makeGoldenRing makes a ring with keys of every state, and signs with them.
func makeGoldenRing(t testing.TB) {
	t.Helper()
	s, now := new(shelf), goldenMade
	r, err := OpenRing(t.Context(), RingConfig{Root: openGoldenRoot(t), Store: s, RSA: true, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	sign := func(token string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	var tokens goldenTokens
	tokens.Retired = sign(r.Sign("at+jwt", goldenSaid))
	now = now.Add(time.Hour)
	if err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.RotateEvidence(t.Context()); err != nil {
		t.Fatal(err)
	}
	tokens.ES256, tokens.PS256 = sign(r.Sign("at+jwt", goldenSaid)), sign(r.SignPS256("at+jwt", goldenSaid))
	tokens.Evidence = sign(r.SignEvidence("evidence+jws", goldenSaid))
	writeGolden(t, "ring.sealed", s.data)
	writeGolden(t, "ring.json", openRaw(t, "ringback/ring", "signing keys", s.data))
	writeGolden(t, "jwks.json", r.JWKS())
	writeGolden(t, "evidence.json", r.EvidenceJWKS())
	for name, v := range map[string]any{"list.json": r.List(), "tokens.json": tokens} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		writeGolden(t, name, data)
	}
}
