package main

import (
	"testing"

	"ringback/config"
	"ringback/keys"
)

// TestManagementTokenStays pins what operators keep as RINGBACK_ADMIN_TOKEN.
func TestManagementTokenStays(t *testing.T) {
	t.Parallel()
	root, err := keys.ParseRoot([]byte("bm90IGEgc2VjcmV0OiB0aGlzIGtleSBpcyBnb2xkZW4="))
	if err != nil {
		t.Fatal(err)
	}
	const want = "jZfjFXtUgJ3uycK5ljvbydRaVxKVW1kgL1xReuTrTqo"
	if got := new(config.Config).ManagementToken(root); got != want {
		t.Errorf("the token of the management API is %s, want %s", got, want)
	}
}
