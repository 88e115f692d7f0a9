package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// reloadEvery is how often Run looks for keys that another process made.
	reloadEvery = 20 * time.Second
	// learnWithin is the time in which every running process has surely
	// reloaded; a key younger than that does not sign.
	learnWithin = time.Minute
	// saveTries bounds the retries of a change that others interfere with.
	saveTries = 16
	// ringContext binds the sealed document to its purpose.
	ringContext = "signing keys"
)

// ErrTooSoon is wrapped by the refusal to rotate onto a key that others may
// not know yet.
var ErrTooSoon = errors.New("too soon to rotate")

// RingStore keeps the sealed ring, one value under compare-and-set.
type RingStore interface {
	// LoadKeys returns the value and its revision; nil, 0 and no error when
	// there is none yet.
	LoadKeys(ctx context.Context) (data []byte, rev uint64, err error)
	// SaveKeys replaces the value if its revision is still rev (0: if there
	// is none), durably. Any error may mean that somebody was faster.
	SaveKeys(ctx context.Context, data []byte, rev uint64) error
}

// RingConfig is what a Ring needs.
type RingConfig struct {
	Root  *Root            // seals the stored keys; required
	Store RingStore        // required
	Now   func() time.Time // required
	Log   *slog.Logger     // required
	RSA   bool             // keep RSA keys as well, for SignPS256; once made, they are kept
}

// Ring signs tokens and evidence and verifies tokens. Any number of processes
// may have a Ring over one store. Its methods may be called concurrently and,
// but for those with a context, do no I/O.
type Ring struct {
	cfg  RingConfig
	seal cipher.AEAD
	snap atomic.Pointer[snapshot]
	mu   sync.Mutex // held while loading and changing
}

// snapshot is one state of the ring, ready for use; it is never changed.
type snapshot struct {
	doc      *document
	token    signer
	tokenRSA *signerRSA // nil: there are no such keys
	evidence signer
	verify   map[string]crypto.PublicKey // token keys by kid
	jwks     []byte
	evJWKS   []byte
}

// OpenRing loads the ring, or makes the first keys when the store has none.
// It fails when the stored keys were sealed with another root key.
func OpenRing(ctx context.Context, cfg RingConfig) (*Ring, error) {
	r := &Ring{cfg: cfg, seal: newAEAD(cfg.Root.derive("ring", 32))}
	if err := r.change(ctx, func(*document, time.Time) (bool, error) { return false, nil }); err != nil {
		return nil, fmt.Errorf("opening the signing keys: %w", err)
	}
	return r, nil
}

// Run reloads the ring every 20 seconds and rotates keys by schedule, until
// ctx ends: token keys after 30 days, evidence keys after a year.
func (r *Ring) Run(ctx context.Context) {
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := r.turn(ctx); err != nil && ctx.Err() == nil {
			r.cfg.Log.WarnContext(ctx, "signing keys not reloaded", slog.Any("err", err))
		}
	}
}

// turn reloads and rotates what is due.
func (r *Ring) turn(ctx context.Context) error {
	return r.change(ctx, func(doc *document, now time.Time) (bool, error) {
		token, evidence := doc.tokenDue(now), doc.Evidence.due(now, evidencePeriod)
		if token {
			for _, c := range doc.tokens() {
				c.prune(now)
				if err := c.rotate(now); err != nil {
					return false, err
				}
			}
		}
		if evidence {
			if err := doc.Evidence.rotate(now); err != nil {
				return false, err
			}
		}
		return token || evidence, nil
	})
}

// Rotate makes the published next key sign tokens at once, with RSA the next
// of each type, and publishes a new next one. Tokens of the old key verify for 90 more days. It returns an error
// that wraps ErrTooSoon within a minute of the last rotation, since other
// processes may not know the next key yet.
func (r *Ring) Rotate(ctx context.Context) error {
	return r.rotate(ctx, "token", (*document).tokens)
}

// RotateEvidence does the same for the key that signs evidence and
// checkpoints; its signatures verify for ever.
func (r *Ring) RotateEvidence(ctx context.Context) error {
	return r.rotate(ctx, "evidence", func(d *document) []*chain { return []*chain{&d.Evidence} })
}

// rotate rotates the chains of a purpose, which keep in step with the first.
func (r *Ring) rotate(ctx context.Context, purpose string, pick func(*document) []*chain) error {
	before := pick(r.snap.Load().doc)[0].Current.KID
	err := r.change(ctx, func(doc *document, now time.Time) (bool, error) {
		chains := pick(doc)
		if chains[0].Current.KID != before {
			return false, nil // somebody did it meanwhile, perhaps we ourselves
		}
		for _, c := range chains {
			if !c.known(now) {
				return false, fmt.Errorf("%w: the next %s key was published at %s, try again a minute later",
					ErrTooSoon, purpose, c.Next.CreatedAt.UTC().Format(time.RFC3339))
			}
			if purpose == "token" {
				c.prune(now)
			}
			if err := c.rotate(now); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("rotating the %s key: %w", purpose, err)
	}
	return nil
}

// change loads the ring, lets f alter it and saves it if f says so, again
// whenever somebody else was faster. What was loaded or saved is then in use.
func (r *Ring) change(ctx context.Context, f func(*document, time.Time) (bool, error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var failed error
	var failedRev uint64
	for range saveTries {
		data, rev, err := r.cfg.Store.LoadKeys(ctx)
		if err != nil {
			return fmt.Errorf("loading keys: %w", err)
		}
		if failed != nil && rev == failedRev {
			return fmt.Errorf("saving keys: %w", failed) // nobody was faster: a real failure
		}
		now := r.cfg.Now().UTC().Truncate(time.Second)
		doc, fresh, err := r.read(data, now)
		if err != nil {
			return err
		}
		changed, err := f(doc, now)
		if err != nil {
			return err
		}
		if !changed && !fresh {
			return r.adopt(doc, now)
		}
		doc.Serial++
		plain, err := json.Marshal(doc)
		if err != nil {
			return fmt.Errorf("encoding keys: %w", err)
		}
		if failed = r.cfg.Store.SaveKeys(ctx, seal(r.seal, plain, ringContext), rev); failed == nil {
			return r.adopt(doc, now)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("saving keys: %w", err)
		}
		failedRev = rev
	}
	return fmt.Errorf("saving keys: %w", failed)
}

// read opens a stored document and makes the chains that it lacks; fresh means
// that it made any.
func (r *Ring) read(data []byte, now time.Time) (doc *document, fresh bool, err error) {
	if data != nil {
		plain, err := open(r.seal, data, ringContext)
		if err != nil {
			return nil, false, fmt.Errorf("reading keys: %w", err)
		}
		if doc, err = readDocument(plain); err != nil {
			return nil, false, err
		}
	} else {
		doc, fresh = &document{V: documentVersion}, true
		if doc.Token, err = newChain(now, ""); err != nil {
			return nil, false, err
		}
		if doc.Evidence, err = newChain(now, ""); err != nil {
			return nil, false, err
		}
	}
	if r.cfg.RSA && doc.TokenRSA == nil {
		fresh, doc.TokenRSA = true, new(chain)
		if *doc.TokenRSA, err = newChain(now, typeRSA); err != nil {
			return nil, false, err
		}
	}
	return doc, fresh, nil
}

// adopt puts a document to use unless a newer one is in use already: a replica
// of the store may lag behind what was read or written before.
func (r *Ring) adopt(doc *document, now time.Time) error {
	if old := r.snap.Load(); old != nil && old.doc.Serial > doc.Serial {
		return nil
	}
	for _, c := range doc.tokens() {
		c.prune(now)
	}
	s := &snapshot{doc: doc}
	var err error
	if s.token, err = doc.Token.Current.signer(); err != nil {
		return err
	}
	if s.evidence, err = doc.Evidence.Current.signer(); err != nil {
		return err
	}
	if doc.TokenRSA != nil {
		if s.tokenRSA, err = doc.TokenRSA.Current.signerRSA(); err != nil {
			return err
		}
	}
	if s.verify, s.jwks, err = publish(doc.tokens()...); err != nil {
		return err
	}
	if _, s.evJWKS, err = publish(&doc.Evidence); err != nil {
		return err
	}
	r.snap.Store(s)
	return nil
}

// Sign returns claims, encoded as JSON, as a compact ES256 JWS with typ and
// kid in its header. Tokens longer than MaxToken are refused.
func (r *Ring) Sign(typ string, claims any) (string, error) {
	return r.snap.Load().token.sign(typ, claims)
}

// SignPS256 is Sign with the RSA key, for clients that chose PS256. It returns
// an error where no process ever kept RSA keys.
func (r *Ring) SignPS256(typ string, claims any) (string, error) {
	key := r.snap.Load().tokenRSA
	if key == nil {
		return "", errors.New("signing with PS256: this service keeps no RSA keys; open its ring with RSA")
	}
	return key.sign(typ, claims)
}

// SignEvidence is Sign with the evidence key.
func (r *Ring) SignEvidence(typ string, claims any) (string, error) {
	return r.snap.Load().evidence.sign(typ, claims)
}

// Verify returns the payload of a token that Sign or SignPS256 made for the
// same typ, by this or another process, with the current key, the next, or one
// retired less than 90 days ago. It checks no claim. Every error wraps
// ErrToken.
func (r *Ring) Verify(token, typ string) ([]byte, error) {
	return verify(r.snap.Load().verify, token, typ)
}

// JWKS is the public token keys (RFC 7517): current, next and retired.
func (r *Ring) JWKS() []byte { return bytes.Clone(r.snap.Load().jwks) }

// EvidenceJWKS is the public evidence keys: current, next and every retired.
func (r *Ring) EvidenceJWKS() []byte { return bytes.Clone(r.snap.Load().evJWKS) }

// KeyInfo describes a key without revealing it.
type KeyInfo struct {
	KID       string    `json:"kid"`
	Purpose   string    `json:"purpose"` // "token" (ES256), "token-rsa" (PS256) or "evidence"
	State     string    `json:"state"`   // "current", "next" or "retired"
	CreatedAt time.Time `json:"created_at"`
	ActiveAt  time.Time `json:"active_at,omitzero"`  // when it began to sign
	RetiredAt time.Time `json:"retired_at,omitzero"` // when it stopped
}

// List describes all keys: by purpose, then current, next, retired oldest
// first.
func (r *Ring) List() []KeyInfo {
	doc := r.snap.Load().doc
	var out []KeyInfo
	add := func(purpose, state string, list ...stored) {
		for _, k := range list {
			out = append(out, KeyInfo{k.KID, purpose, state, k.CreatedAt, k.ActiveAt, k.RetiredAt})
		}
	}
	for _, p := range []struct {
		name string
		*chain
	}{{"token", &doc.Token}, {"token-rsa", doc.TokenRSA}, {"evidence", &doc.Evidence}} {
		if p.chain == nil {
			continue
		}
		add(p.name, "current", p.Current)
		add(p.name, "next", p.Next)
		add(p.name, "retired", p.Retired...)
	}
	return out
}
