package ciba

import (
	"slices"
	"strings"
	"testing"
)

// FuzzNarrowed: whatever scope is asked for with a refresh token, nothing comes
// out that was not granted.
func FuzzNarrowed(f *testing.F) {
	granted := []string{"openid", "calendar", "offline_access"}
	for _, text := range []string{"", "openid", "openid calendar", "openid  calendar", "calendar\tpayments", " ", "OPENID"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := narrowed(text, granted)
		if err != nil {
			return
		}
		for _, name := range strings.Split(got, " ") {
			if !slices.Contains(granted, name) {
				t.Errorf("narrowed(%q) = %q, which has %q", text, got, name)
			}
		}
	})
}
