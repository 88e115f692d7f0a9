package clients

import (
	"crypto/x509"
	"strings"
	"testing"
)

// TestBindingStays pins what a token that is bound to a certificate says, and
// what the store is given to compare.
func TestBindingStays(t *testing.T) {
	t.Parallel()
	const want = "x5t#S256:A9Zt0Ig1wco_EozOrNHzGslBYwlrIPRFroQoW8CDLXI"
	if got := certificateBinding(&x509.Certificate{Raw: []byte("certificate")}); got != want {
		t.Errorf("certificateBinding(…) = %s, want %s", got, want)
	}
}

// FuzzUnverified: what is no JWT says nothing.
func FuzzUnverified(f *testing.F) {
	for _, s := range []string{"", ".", "..", "e30.e30.e30", "e30.eyJpc3MiOiJhIiwic3ViIjoiYiJ9.", "x.eyJpc3MiOjF9.y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if iss, sub := Unverified(token); (iss != "" || sub != "") && strings.Count(token, ".") == 0 {
			t.Errorf("Unverified(%q) = %q, %q", token, iss, sub)
		}
	})
}
