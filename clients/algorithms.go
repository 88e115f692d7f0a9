package clients

import (
	"slices"

	"ringback/consent"
	"ringback/keys"
)

// Algs are the algorithms of what clients sign. FAPI permits the first two.
var (
	Algs     = []string{keys.PS256, keys.ES256, keys.EdDSA, keys.Ed25519}
	fapiAlgs = Algs[:2:2]
)

// algs are the algorithms that the client may sign with: the registered one,
// else all that its profile permits.
func algs(c *consent.Client, registered string) []string {
	permitted := Algs
	if c.Strict() {
		permitted = fapiAlgs
	}
	if registered == "" {
		return permitted
	}
	if slices.Contains(permitted, registered) {
		return []string{registered}
	}
	return nil
}
