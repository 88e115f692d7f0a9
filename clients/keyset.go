package clients

import (
	"context"
	"fmt"

	"ringback/consent"
	"ringback/keys"
	"ringback/outbound"
)

// maxJWKS is the longest key set that is fetched, in bytes.
const maxJWKS = 64 << 10

// maxKeySets bounds how many parsed key sets are kept by their text. The
// registered ones fit; strangers' may come in too.
const maxKeySets = 4096

// parse returns the keys of a JWKS.
func (v *Verifier) parse(jwks []byte) (*keys.PublicKeys, error) {
	if set, ok := v.parsed.Get(string(jwks)); ok {
		return set, nil
	}
	set, err := keys.ParsePublicKeys(jwks)
	if err == nil {
		v.parsed.Add(string(jwks), set)
	}
	return set, err
}

// clientKeys returns the keys of a client. Those behind an address are at most
// as old as its answer permits; newest asks for them again.
func (v *Verifier) clientKeys(ctx context.Context, c *consent.Client, newest bool) (*keys.PublicKeys, error) {
	if newest && c.JWKSURI == "" && IsAddress(c.ID) { // they stand in its document
		var err error
		if c, err = v.find(ctx, c.ID, true); err != nil {
			return nil, err
		}
	}
	switch {
	case c.JWKSURI != "":
		set, err := v.remoteKeys.get(ctx, c.JWKSURI, c.ID, newest)
		return set, unfetched(InvalidClient, "jwks_uri:", err)
	case c.JWKS != nil:
		return v.parse(c.JWKS)
	}
	return nil, fmt.Errorf("%w: no keys are registered for the client", keys.ErrToken)
}

// fetchKeys gets a JWKS. The error has nothing of it.
func (v *Verifier) fetchKeys(ctx context.Context, address string) (*keys.PublicKeys, *outbound.Response, error) {
	res, err := v.fetch(ctx, address, maxJWKS, isJWKS)
	if err != nil {
		return nil, nil, err
	}
	set, err := keys.ParsePublicKeys(res.Body)
	if err != nil {
		return nil, nil, errKeys
	}
	return set, res, nil
}

var errKeys = &ruleError{"syntax", "it must be a JWK Set of 1 to 32 keys, all of them public, with one that is RSA of 2048 bits or more, P-256 or Ed25519"}

// isJWKS takes the media types of key sets (RFC 7517 §8.5).
func isJWKS(typ string) bool { return typ == "application/json" || typ == "application/jwk-set+json" }
