package demo

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/details"
	"ringback/keys"
)

const (
	typeAccess = "at+jwt" // RFC 9068 §2.1

	// A DPoP proof is taken this long before and after it was made.
	proofEarly = 10 * time.Second
	proofLate  = time.Minute
)

var proofAlgs = []string{keys.ES256, keys.PS256, keys.EdDSA}

// RegisterResource adds a small API that takes the access tokens of this
// service, for trying out what they open: it checks a token's signature, issuer
// and end, and that the caller holds the key to which it is bound (RFC 9449
// §7, RFC 8705 §3). Whom the token is for it does not mind.
func (s *Server) RegisterResource(e *echo.Echo) {
	e.Match([]string{http.MethodGet, http.MethodPost}, "/dev/resource", s.resource, s.ours)
}

// claims are what the resource looks at in an access token.
type claims struct {
	Issuer   string          `json:"iss"`
	Expiry   int64           `json:"exp"`
	Subject  string          `json:"sub"`
	ClientID string          `json:"client_id"`
	Audience string          `json:"aud"`
	Scope    string          `json:"scope"`
	Details  json.RawMessage `json:"authorization_details"`
	Key      struct {
		Thumbprint  string `json:"jkt"`      // RFC 9449 §6.1
		Certificate string `json:"x5t#S256"` // RFC 8705 §3.1
	} `json:"cnf"`
}

// content is what the resource answers.
type content struct {
	Subject  string          `json:"sub"`
	ClientID string          `json:"client_id"`
	Audience string          `json:"aud"`
	Scope    string          `json:"scope,omitempty"`
	Details  json.RawMessage `json:"authorization_details,omitempty"`
}

// refusal is an answer without content (RFC 6750 §3, RFC 9449 §7.1).
type refusal struct {
	status int
	scheme string // of the challenge: Bearer or DPoP
	code   string // empty where no token was sent
	what   string
}

func (r *refusal) Error() string { return r.code + ": " + r.what }

func (s *Server) resource(c echo.Context) error {
	r, h := c.Request(), c.Response().Header()
	h.Set("X-Fapi-Interaction-Id", interaction(r.Header.Get("X-Fapi-Interaction-Id")))
	got, err := s.admit(r)
	var no *refusal
	if errors.As(err, &no) {
		return no.write(c)
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, content{got.Subject, got.ClientID, got.Audience, got.Scope, got.Details})
}

// write sends the challenge and says why.
func (r *refusal) write(c echo.Context) error {
	const name = "WWW-Authenticate"
	bearer, dpop := `Bearer realm="ringback"`, fmt.Sprintf(`DPoP algs="%s"`, strings.Join(proofAlgs, " "))
	h, why := c.Response().Header(), fmt.Sprintf(`, error="%s", error_description="%s"`, r.code, r.what)
	switch {
	case r.code == "": // either will do
		h.Add(name, bearer)
		h.Add(name, dpop)
	case r.scheme == "DPoP":
		h.Set(name, dpop+why)
	default:
		h.Set(name, bearer+why)
	}
	return c.JSON(r.status, struct {
		Code string `json:"error,omitempty"`
		What string `json:"error_description"`
	}{r.code, r.what})
}

// admit returns the claims of the token that opens the resource for r.
func (s *Server) admit(r *http.Request) (*claims, error) {
	if r.URL.Query().Has("access_token") {
		return nil, &refusal{http.StatusBadRequest, "Bearer", "invalid_request", "send the access token in the Authorization header, never in the query"}
	}
	sent := r.Header["Authorization"]
	scheme, token, ok := strings.Cut(strings.Join(sent, ", "), " ")
	switch {
	case len(sent) == 0:
		return nil, &refusal{http.StatusUnauthorized, "Bearer", "", "send an access token in the Authorization header"}
	case len(sent) > 1 || !ok:
		return nil, &refusal{http.StatusBadRequest, "Bearer", "invalid_request", "send one Authorization header: a scheme and the access token"}
	case strings.EqualFold(scheme, "Bearer"):
		scheme = "Bearer"
	case strings.EqualFold(scheme, "DPoP"):
		scheme = "DPoP"
	default:
		return nil, &refusal{http.StatusUnauthorized, "Bearer", "", "the scheme of Authorization is Bearer or DPoP"}
	}
	invalid := func(what string) error {
		return &refusal{http.StatusUnauthorized, scheme, "invalid_token", what}
	}
	var got claims
	payload, err := s.cfg.Ring.Verify(token, typeAccess)
	if err != nil || json.Unmarshal(payload, &got) != nil || got.Issuer != s.cfg.Issuer {
		return nil, invalid("this is no access token of this service")
	}
	if !s.cfg.Now().Before(time.Unix(got.Expiry, 0)) {
		return nil, invalid("the access token is over")
	}
	if got.Key.Certificate != "" && !same(got.Key.Certificate, certificate(r)) {
		return nil, invalid("the access token is bound to another client certificate than the one presented, if any was")
	}
	switch {
	case scheme == "DPoP" && got.Key.Thumbprint == "":
		return nil, invalid("the access token is not bound to a DPoP key: send it as Bearer")
	case scheme == "Bearer" && got.Key.Thumbprint != "":
		scheme = "DPoP"
		return nil, invalid("the access token is bound to a key: send it as DPoP, with a proof")
	case scheme == "DPoP":
		if err := s.prove(r, token, &got); err != nil {
			return nil, err
		}
	}
	return &got, nil
}

// proof are the claims of a DPoP proof (RFC 9449 §4.2).
type proof struct {
	JTI      string  `json:"jti"`
	Method   string  `json:"htm"`
	URI      string  `json:"htu"`
	IssuedAt float64 `json:"iat"`
	Token    string  `json:"ath"`
}

// prove checks the DPoP proof of r (RFC 9449 §4.3, §7.1) beside a token that
// says got.
func (s *Server) prove(r *http.Request, token string, got *claims) error {
	invalid := func(what string) error {
		return &refusal{http.StatusUnauthorized, "DPoP", "invalid_dpop_proof", what}
	}
	sent := r.Header["Dpop"]
	if len(sent) != 1 {
		return invalid("send one DPoP header with a proof")
	}
	by, payload, err := keys.VerifyProof(sent[0], proofAlgs)
	if err != nil {
		return invalid("the DPoP header is not a proof that is signed by the key in it")
	}
	var p proof
	if details.DecodeStrict(payload, &p) != nil || p.JTI == "" || len(p.JTI) > 256 {
		return invalid("the proof needs jti, htm, htu, iat and ath")
	}
	hash := sha256.Sum256([]byte(token))
	now := s.cfg.Now()
	made := time.Unix(int64(min(max(p.IssuedAt, 0), 1<<40)), 0)
	switch {
	case !same(by, got.Key.Thumbprint):
		return invalid("the proof is by another key than the one to which the access token is bound")
	case p.Method != r.Method:
		return invalid("htm is not the method of this request")
	case !isHere(p.URI, r):
		return invalid("htu is not the URL of this request without query and fragment")
	case made.Before(now.Add(-proofLate)) || made.After(now.Add(proofEarly)):
		return invalid("iat is not now")
	case !same(p.Token, base64.RawURLEncoding.EncodeToString(hash[:])):
		return invalid("ath is not the hash of the access token")
	}
	first, err := s.cfg.Store.Once(r.Context(), got.ClientID, "resource "+by+" "+p.JTI, made.Add(proofLate+time.Second))
	if err != nil {
		return err
	}
	if !first {
		return invalid("the proof was used before: make one for each request")
	}
	return nil
}

// isHere reports whether htu names what r was sent to.
func isHere(htu string, r *http.Request) bool {
	u, err := url.Parse(htu)
	if err != nil || u.User != nil {
		return false
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	bare := func(host string) string { // without the scheme's own port
		own := map[string]string{"http": ":80", "https": ":443"}[scheme]
		return strings.TrimSuffix(strings.ToLower(host), own)
	}
	return strings.EqualFold(u.Scheme, scheme) && bare(u.Host) == bare(r.Host) && u.EscapedPath() == r.URL.EscapedPath()
}

// certificate is the hash of the client's certificate (RFC 8705 §3.1), empty
// where it presented none. The handshake has proven that it holds the key.
func certificate(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	hash := sha256.Sum256(r.TLS.PeerCertificates[0].Raw)
	return base64.RawURLEncoding.EncodeToString(hash[:])
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

var interactionID = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)

// interaction is the id that tells one call from another in the logs of both
// sides (FAPI part 1 §6.2.1): the caller's, or a new UUID.
func interaction(sent string) string {
	if interactionID.MatchString(sent) {
		return sent
	}
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
