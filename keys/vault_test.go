package keys

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"testing"
)

func TestVaultWrap(t *testing.T) {
	t.Parallel()
	v, other := NewVault(testRoot(1)), NewVault(testRoot(2))
	key := []byte("0123456789abcdef0123456789abcdef")
	wrapped, err := v.Wrap(key, "person")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := v.Wrap(key, "person"); bytes.Equal(again, wrapped) {
		t.Error("Wrap gave the same bytes twice")
	}
	if bytes.Contains(wrapped, key[:8]) {
		t.Error("Wrap left the key readable")
	}
	got, err := v.Unwrap(wrapped, "person")
	if err != nil || !bytes.Equal(got, key) {
		t.Fatalf("Unwrap = %q, %v, want %q", got, err, key)
	}
	if _, err := v.Unwrap(wrapped, "another"); !errors.Is(err, ErrSealed) {
		t.Errorf("Unwrap for another pseudonym = %v, want ErrSealed", err)
	}
	if _, err := other.Unwrap(wrapped, "person"); !errors.Is(err, ErrSealed) {
		t.Errorf("Unwrap with another root = %v, want ErrSealed", err)
	}
	for i := range wrapped {
		for bit := range 8 {
			bad := bytes.Clone(wrapped)
			bad[i] ^= 1 << bit
			if _, err := v.Unwrap(bad, "person"); !errors.Is(err, ErrSealed) {
				t.Fatalf("Unwrap with bit %d of byte %d flipped = %v, want ErrSealed", bit, i, err)
			}
		}
		if _, err := v.Unwrap(wrapped[:i], "person"); !errors.Is(err, ErrSealed) {
			t.Fatalf("Unwrap of %d bytes = %v, want ErrSealed", i, err)
		}
	}
}

func TestVaultMAC(t *testing.T) {
	t.Parallel()
	v := NewVault(testRoot(1))
	seen := make(map[string]string)
	for _, in := range [][2]string{{"pseudonym", "alice"}, {"pseudonyma", "lice"}, {"pseudony", "malice"}, {"", "pseudonymalice"}, {"pseudonym", ""}, {"pseudonym", "bob"}} {
		mac := v.MAC(in[0], in[1])
		if len(mac) != 32 {
			t.Errorf("MAC(%q) has %d bytes, want 32", in, len(mac))
		}
		if was, ok := seen[string(mac)]; ok {
			t.Errorf("MAC(%q) = MAC(%s)", in, was)
		}
		seen[string(mac)] = in[0] + "," + in[1]
		if again := NewVault(testRoot(1)).MAC(in[0], in[1]); !bytes.Equal(mac, again) {
			t.Errorf("MAC(%q) is not stable", in)
		}
		if other := NewVault(testRoot(2)).MAC(in[0], in[1]); bytes.Equal(mac, other) {
			t.Errorf("MAC(%q) does not depend on the root key", in)
		}
	}
}

// TestShortMAC compares the allocation-free MAC with the standard library's.
func TestShortMAC(t *testing.T) {
	t.Parallel()
	for size := range 65 {
		key := bytes.Repeat([]byte{byte(size)}, size)
		for n := range maxMessage + 1 {
			message := bytes.Repeat([]byte{byte(n) ^ 0x5a}, n)
			want := hmac.New(sha256.New, key)
			want.Write(message)
			got := newMAC(key).sum(message)
			if !bytes.Equal(got[:], want.Sum(nil)) {
				t.Fatalf("sum of %d bytes under %d bytes differs from HMAC-SHA256", n, size)
			}
		}
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	token := NewToken()
	if len(token) != 43 || token == NewToken() {
		t.Fatalf("NewToken() = %q", token)
	}
	digest := TokenDigest(token)
	if !TokenMatches(token, digest) {
		t.Error("a token does not match its digest")
	}
	for _, other := range []string{"", NewToken(), token + " ", token[:42]} {
		if TokenMatches(other, digest) {
			t.Errorf("%q matches the digest of another token", other)
		}
	}
}

func FuzzUnwrap(f *testing.F) {
	v := NewVault(testRoot(1))
	wrapped, _ := v.Wrap(make([]byte, 32), "person")
	f.Add(wrapped)
	f.Add([]byte{sealVersion})
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := v.Unwrap(data, "another"); !errors.Is(err, ErrSealed) {
			t.Errorf("Unwrap(%x) = %v, want ErrSealed", data, err)
		}
	})
}

func FuzzParseRoot(f *testing.F) {
	f.Add([]byte("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRoot(text)
		if (r == nil) != errors.Is(err, ErrRoot) {
			t.Errorf("ParseRoot(%q) = %v, %v", text, r, err)
		}
	})
}

// FuzzReadDocument is what was stored of the signing keys.
func FuzzReadDocument(f *testing.F) {
	s := new(shelf)
	r := openTestRing(f, s, newClock())
	good, err := open(r.seal, s.data, ringContext)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"v":1,"tokens":{"keys":[{"kid":"a"}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := readDocument(data)
		if (d == nil) == (err == nil) {
			t.Fatalf("readDocument(%q) = %v, %v", data, d, err)
		}
		if err == nil {
			_ = r.adopt(d, newClock().Now())
		}
	})
}
