package ciba

import (
	"crypto/subtle"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/consent"
	"ringback/keys"
)

// Prefixes of a [consent.Binding].
const (
	bindingProof       = "jkt:"
	bindingCertificate = "x5t#S256:"
)

// proofWindow is how far the iat of a DPoP proof may lie from our clock.
const proofWindow = time.Minute

// dpopClaims are those of a DPoP proof (RFC 9449 §4.2).
type dpopClaims struct {
	JTI      string
	Method   string // htm
	URI      string // htu
	IssuedAt time.Time
	Nonce    string
}

// claim reads one of them.
func (p *dpopClaims) claim(name, value []byte) (err error) {
	switch string(name) {
	case "jti":
		p.JTI, err = readText(value)
	case "htm":
		p.Method, err = readText(value)
	case "htu":
		p.URI, err = readText(value)
	case "iat":
		p.IssuedAt, err = readMoment(value)
	case "nonce":
		p.Nonce, err = readText(value)
	}
	return err
}

// senderKey returns the key that the caller proves to hold: by a DPoP proof
// (RFC 9449 §5), else by its certificate, else none.
func (s *Server) senderKey(c echo.Context, who *consent.Client) (consent.Binding, error) {
	r := c.Request()
	proofs := r.Header["Dpop"]
	switch {
	case len(proofs) > 1:
		return "", refuse(InvalidDPoPProof, "DPoP: send one proof")
	case len(proofs) == 1:
		return s.checkProof(c, who, proofs[0])
	}
	if cert := certificate(r); cert != nil {
		return certificateBinding(cert), nil
	}
	return "", nil
}

// checkProof verifies a DPoP proof (RFC 9449 §4.3) and uses up its jti.
func (s *Server) checkProof(c echo.Context, who *consent.Client, proof string) (consent.Binding, error) {
	thumbprint, payload, err := keys.VerifyProof(proof, algs(who, ""))
	if err != nil {
		return "", refused(InvalidDPoPProof, "DPoP", err)
	}
	var p dpopClaims
	if err := payload.Each(p.claim); err != nil {
		return "", refuse(InvalidDPoPProof, "DPoP: jti, htm, htu, iat and nonce must have the forms of RFC 9449 section 4.2")
	}
	now, r := s.cfg.Now(), c.Request()
	switch {
	case p.JTI == "" || len(p.JTI) > maxJTI:
		return "", refuse(InvalidDPoPProof, "DPoP: jti must be there, with at most %d bytes", maxJTI)
	case p.Method != r.Method:
		return "", refuse(InvalidDPoPProof, "DPoP: htm must be %s", r.Method)
	case !s.isHere(p.URI, c.Path()):
		return "", refuse(InvalidDPoPProof, "DPoP: htu must be %s", s.base+c.Path())
	case p.IssuedAt.IsZero() || p.IssuedAt.Before(now.Add(-proofWindow)) || p.IssuedAt.After(now.Add(proofWindow)):
		return "", refuse(InvalidDPoPProof, "DPoP: iat must be now, check the clock")
	}
	if s.cfg.Policy().DPoPNonce || p.Nonce != "" {
		if !s.cfg.Handles.CheckNonce(p.Nonce, now) {
			c.Response().Header().Set("DPoP-Nonce", s.cfg.Handles.Nonce(now))
			return "", refuse(UseDPoPNonce, "DPoP: send the nonce of the header DPoP-Nonce in the proof")
		}
	}
	if err := s.useUp(r.Context(), who, InvalidDPoPProof, "DPoP", "dpop\x00"+thumbprint+"\x00"+p.JTI, p.IssuedAt.Add(proofWindow)); err != nil {
		return "", err
	}
	return consent.Binding(bindingProof + thumbprint), nil
}

// isHere reports whether uri is that of the route, at either of our addresses,
// but for its query and fragment (RFC 9449 §4.3, step 9).
func (s *Server) isHere(uri, route string) bool {
	u, err := url.Parse(uri)
	if err != nil || u.User != nil || u.Opaque != "" {
		return false
	}
	u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = "", false, "", ""
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	given := strings.Replace(u.String(), ":443/", "/", 1)
	return given == s.base+route || s.mtls != "" && given == s.mtls+route
}

// mayRedeem reports why the caller may not come for what was asked for with a
// key.
func mayRedeem(who caller, asked consent.Binding) error {
	if asked == "" {
		return nil
	}
	if subtle.ConstantTimeCompare([]byte(asked), []byte(who.key)) == 1 {
		return nil
	}
	if strings.HasPrefix(string(asked), bindingProof) {
		return refuse(InvalidDPoPProof, "DPoP: this was asked for with another key, send a proof of that key")
	}
	return refuse(InvalidGrant, "this was asked for with another client certificate, use that one")
}

// needsKey refuses a caller whose tokens must be bound and who proved no key
// that they could be bound to (RFC 8705 §3, RFC 9449 §5).
func needsKey(who caller) error {
	certificate := strings.HasPrefix(string(who.key), bindingCertificate)
	proof := strings.HasPrefix(string(who.key), bindingProof)
	switch {
	case !who.Bound(), certificate && (who.CertificateBound || !who.DPoPBound), proof && (who.DPoPBound || !who.CertificateBound):
		return nil
	case who.DPoPBound && !who.CertificateBound:
		return refuse(InvalidRequest, "DPoP: this client's tokens are bound to a key, send a proof of it")
	case who.CertificateBound && !who.DPoPBound:
		return refuse(InvalidRequest, "this client's tokens are bound to a key: use the mTLS address with its certificate")
	}
	return refuse(InvalidRequest, "this client's tokens are bound to a key: use the mTLS address with its certificate, or send a DPoP proof")
}

// confirmation is the cnf claim of a token (RFC 7800 §3.1).
type confirmation struct {
	JKT string `json:"jkt,omitempty"`      // RFC 9449 §6.1
	X5T string `json:"x5t#S256,omitempty"` // RFC 8705 §3.1
}

func confirmationOf(b consent.Binding) *confirmation {
	if jkt, ok := strings.CutPrefix(string(b), bindingProof); ok {
		return &confirmation{JKT: jkt}
	}
	if x5t, ok := strings.CutPrefix(string(b), bindingCertificate); ok {
		return &confirmation{X5T: x5t}
	}
	return nil
}

// tokenType is how a bound token is presented (RFC 9449 §7.1).
func tokenType(c *confirmation) string {
	if c != nil && c.JKT != "" {
		return "DPoP"
	}
	return "Bearer"
}
