package ciba

import (
	"context"
	"fmt"
	"sync"

	"ringback/consent"
	"ringback/keys"
)

// maxKeySets bounds how many parsed key sets are kept. The registered ones fit;
// when strangers' come in too, all are parsed again now and then.
const maxKeySets = 4096

// keySets keeps the parsed keys of clients by the text that they came in.
type keySets struct {
	mu     sync.RWMutex
	parsed map[string]*keys.PublicKeys
}

// parse returns the keys of a JWKS.
func (k *keySets) parse(jwks []byte) (*keys.PublicKeys, error) {
	k.mu.RLock()
	set := k.parsed[string(jwks)]
	k.mu.RUnlock()
	if set != nil {
		return set, nil
	}
	set, err := keys.ParsePublicKeys(jwks)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.parsed == nil || len(k.parsed) >= maxKeySets {
		k.parsed = make(map[string]*keys.PublicKeys)
	}
	k.parsed[string(jwks)] = set
	return set, nil
}

// clientKeys returns the keys of a client. Those behind a jwks_uri are at most
// as old as its answer permits; fresh asks for them again.
func (s *Server) clientKeys(ctx context.Context, c *consent.Client, fresh bool) (*keys.PublicKeys, error) {
	if c.JWKS == nil {
		return nil, fmt.Errorf("%w: no keys are registered for the client", keys.ErrToken)
	}
	return s.keySets.parse(c.JWKS)
}

// client returns a registered client, or ErrNotFound.
func (s *Server) client(ctx context.Context, id string) (*consent.Client, error) {
	return s.cfg.Directory.Client(ctx, id)
}
