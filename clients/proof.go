package clients

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"ringback/consent"
	"ringback/keys"
)

// proofWindow is how far the iat of a DPoP proof may lie from our clock.
const proofWindow = time.Minute

// bindingProof begins the consent.Binding of a key that was proved to be held.
const bindingProof = "jkt:"

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
		p.JTI, err = ReadText(value)
	case "htm":
		p.Method, err = ReadText(value)
	case "htu":
		p.URI, err = ReadText(value)
	case "iat":
		p.IssuedAt, err = readMoment(value)
	case "nonce":
		p.Nonce, err = ReadText(value)
	}
	return err
}

// proofs are DPoP proofs.
var proofs = &Kind{Name: "DPoP", Code: InvalidDPoPProof, Use: "dpop"}

// checkProof verifies a DPoP proof (RFC 9449 §4.3) and uses up its jti.
func (v *Verifier) checkProof(r *http.Request, c *consent.Client, proof string) (consent.Binding, error) {
	thumbprint, payload, err := keys.VerifyProof(proof, algs(c, ""))
	if err != nil {
		return "", unsigned(proofs.Code, proofs.Name, err)
	}
	var p dpopClaims
	if payload.Each(p.claim) != nil {
		return "", proofs.Refuse("jti, htm, htu, iat and nonce must have the forms of RFC 9449 section 4.2")
	}
	now := v.cfg.Now()
	switch {
	case !isJTI(p.JTI):
		return "", proofs.Refuse(NoJTI)
	case p.Method != r.Method:
		return "", proofs.Refuse("htm must be %s", r.Method)
	case !v.isHere(p.URI, r.URL.Path):
		return "", proofs.Refuse("htu must be %s", v.bases[0]+r.URL.Path)
	case p.IssuedAt.IsZero() || p.IssuedAt.Before(now.Add(-proofWindow)) || p.IssuedAt.After(now.Add(proofWindow)):
		return "", proofs.Refuse("iat must be now, check the clock")
	}
	if (v.cfg.Policy().DPoPNonce || p.Nonce != "") && !v.cfg.Handles.CheckNonce(p.Nonce, now) {
		e := refuse(UseDPoPNonce, "DPoP: send the nonce of the header DPoP-Nonce in the proof")
		e.Nonce = v.cfg.Handles.Nonce(now)
		return "", e
	}
	return consent.Binding(bindingProof + thumbprint), v.useUp(r.Context(), proofs, c, thumbprint, p.JTI, p.IssuedAt.Add(proofWindow))
}

// isHere reports whether uri is that of the path, at one of our addresses, but
// for its query and fragment (RFC 9449 §4.3, step 9).
func (v *Verifier) isHere(uri, path string) bool {
	u, err := url.Parse(uri)
	if err != nil || u.User != nil || u.Opaque != "" {
		return false
	}
	u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = "", false, "", ""
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	given := strings.Replace(u.String(), ":443/", "/", 1)
	return slices.ContainsFunc(v.bases, func(base string) bool { return given == base+path })
}
