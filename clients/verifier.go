package clients

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"ringback/consent"
	"ringback/keys"
	"ringback/outbound"
)

// Config is what a Verifier needs. Every field is required unless it says so.
type Config struct {
	Issuer    string                 // public URL that names us
	Endpoints []string               // paths of endpoints by whose URL clients of the older rule may call us in aud
	MTLS      *MTLS                  // nil: no client certificates
	Handles   *keys.Handles          // makes and checks nonces
	Policy    func() *consent.Policy // the policy that stands now, never nil
	Outbound  *outbound.Client       // reaches keys and metadata of clients
	Dev       bool                   // documents may be at http addresses
	Now       func() time.Time       // the clock
	Log       *slog.Logger           // never nil

	// Find finds a registered client; consent.ErrNotFound for an unknown one.
	Find func(ctx context.Context, id string) (*consent.Client, error)
	// Once reports whether key is seen for the first time, see consent.Store.
	Once func(ctx context.Context, whose, key string, until time.Time) (bool, error)
}

// MTLS is the address at which client certificates are asked for (RFC 8705).
// They count nowhere else.
type MTLS struct {
	URL       string         // public URL
	ClientCAs *x509.CertPool // issuers for tls_client_auth; nil: that method is not offered
}

// Verifier finds out who calls.
type Verifier struct {
	cfg        Config
	slots      *slots
	parsed     *lru.Cache[string, *keys.PublicKeys]
	remoteKeys *remote[*keys.PublicKeys]
	documents  *remote[*document]

	bases []string // our addresses, without a slash at the end: the issuer's, then that of MTLS
	names []string // by what clients may call us in aud: the issuer, then our endpoints
}

// New returns a Verifier; it starts nothing.
func New(cfg Config) *Verifier {
	v := &Verifier{cfg: cfg, slots: newSlots(), bases: []string{strings.TrimSuffix(cfg.Issuer, "/")}, names: []string{cfg.Issuer}}
	v.parsed, _ = lru.New[string, *keys.PublicKeys](maxKeySets) // no error but for a size below 1
	v.remoteKeys = (&remote[*keys.PublicKeys]{
		failed: "client keys not fetched", changed: "client keys changed", least: leastKeys, most: staleTime, lenient: true,
		now: cfg.Now, log: cfg.Log, read: v.fetchKeys,
	}).open()
	v.documents = (&remote[*document]{
		failed: "client document not fetched", changed: "client document changed", least: leastDocument, most: staleTime,
		now: cfg.Now, log: cfg.Log, read: v.fetchDocument,
	}).open()
	if cfg.MTLS != nil {
		v.bases = append(v.bases, strings.TrimSuffix(cfg.MTLS.URL, "/"))
	}
	for _, base := range v.bases {
		for _, path := range cfg.Endpoints {
			v.names = append(v.names, base+path)
		}
	}
	return v
}

// MTLS returns the address at which client certificates are asked for, without
// a slash at the end; empty: they are not.
func (v *Verifier) MTLS() string { return strings.Join(v.bases[1:], "") }

// Methods are the ways to authenticate that are offered
// (token_endpoint_auth_methods_supported, RFC 8414 §2).
func (v *Verifier) Methods() []string {
	methods := []string{consent.MethodBasic, consent.MethodPost, consent.MethodPrivateKeyJWT}
	if m := v.cfg.MTLS; m != nil {
		methods = append(methods, consent.MethodSelfSignedTLS)
		if m.ClientCAs != nil {
			methods = append(methods, consent.MethodTLS)
		}
	}
	return methods
}

// Authenticate returns who sent r with the form f (RFC 6749 §2.3, CIBA Core
// §7.1), and the key that it proves to hold: by a DPoP proof (RFC 9449 §5),
// else by its certificate, else none. Exactly one method may be used. An
// unknown client, a wrong secret and a method that the client did not register
// are one answer. What a client may read of an error is an *Error.
func (v *Verifier) Authenticate(r *http.Request, f Form) (Caller, error) {
	given, err := readCredentials(r, f)
	if err != nil {
		return Caller{}, err
	}
	ctx := r.Context()
	c, err := v.Client(ctx, given.id)
	switch {
	case errors.Is(err, consent.ErrNotFound):
		return Caller{}, ErrCredentials
	case err != nil:
		return Caller{}, err
	case !mayUse(c, given.method):
		return Caller{}, ErrCredentials
	}
	switch given.method {
	case consent.MethodPrivateKeyJWT:
		err = v.checkAssertion(ctx, c, given.assertion)
	case consent.MethodTLS:
		err = v.checkCertificate(ctx, c, r.TLS.PeerCertificates)
	default:
		if !HasSecret(c, given.secret) {
			err = ErrCredentials
		}
	}
	if err != nil {
		return Caller{}, err
	}
	key, err := v.holderKey(r, c)
	return Caller{c, key}, err
}

// Client returns a registered client, or one whose client_id is the URL of its
// metadata document. consent.ErrNotFound if there is none.
func (v *Verifier) Client(ctx context.Context, id string) (*consent.Client, error) {
	return v.find(ctx, id, false)
}

// holderKey returns the key that the client proves to hold, "" for none.
func (v *Verifier) holderKey(r *http.Request, c *consent.Client) (consent.Binding, error) {
	switch given := r.Header["Dpop"]; len(given) {
	case 0:
	case 1:
		return v.checkProof(r, c, given[0])
	default:
		return "", proofs.Refuse("send one proof")
	}
	if cert := certificate(r); cert != nil {
		return certificateBinding(cert), nil
	}
	return "", nil
}
