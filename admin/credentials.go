package admin

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	"ringback/consent"
	"ringback/keys"
)

// authentication checks how the client proves who it is, and with which
// algorithms it signs.
func (k *checker) authentication() {
	c := k.c
	switch m := c.AuthMethod; {
	case m != "" && !slices.Contains(AuthMethods, m):
		k.wrong("token_endpoint_auth_method", "%q is not supported: use %s", m, either(AuthMethods))
	case c.Strict() && HasSecret(m):
		k.wrong("token_endpoint_auth_method", "the profile %s takes no secret: use %s", c.Profile, either(keyMethods))
	case isURL(c.ID) && HasSecret(m):
		k.wrong("token_endpoint_auth_method", "a client whose client_id is a URL has no secret: use %s", either(keyMethods))
	case (m == consent.MethodTLS || m == consent.MethodSelfSignedTLS) && !k.offer.MTLS:
		k.wrong("token_endpoint_auth_method", "%s needs a listener that asks for certificates: add `mtls` to the configuration", m)
	case m == consent.MethodTLS && !k.offer.ClientCA:
		k.wrong("token_endpoint_auth_method", "%s needs authorities that certificates are verified against: add mtls.client_ca to the configuration, or use %s", m, consent.MethodSelfSignedTLS)
	}
	if c.CertificateBound && !k.offer.MTLS {
		k.wrong("tls_client_certificate_bound_access_tokens", "needs a listener that asks for certificates: add `mtls` to the configuration")
	}
	if c.CertificateBound && c.DPoPBound {
		k.wrong("dpop_bound_access_tokens", "a token is bound to one key, and tls_client_certificate_bound_access_tokens is set as well: keep one of the two")
	}
	k.alg("token_endpoint_auth_signing_alg", c.AuthAlg, signingAlgs)
	if c.AuthAlg != "" && c.AuthMethod != consent.MethodPrivateKeyJWT {
		k.wrong("token_endpoint_auth_signing_alg", "is for assertions, and the client sends none: remove it, or set token_endpoint_auth_method to %s", consent.MethodPrivateKeyJWT)
	}
	k.alg("backchannel_authentication_request_signing_alg", c.RequestAlg, signingAlgs)
	k.alg("id_token_signed_response_alg", c.IDTokenAlg, strictAlgs)
	switch c.AssertionAud {
	case "", consent.AudIssuerOnly, consent.AudCIBAFinal:
	default:
		k.wrong("assertion_aud", "%q is unknown: use %s, or %s for clients that name an endpoint", c.AssertionAud, consent.AudIssuerOnly, consent.AudCIBAFinal)
	}
}

func (k *checker) alg(member, alg string, allowed []string) {
	switch {
	case alg == "":
	case !slices.Contains(allowed, alg):
		k.wrong(member, "%q is not supported: use %s", alg, either(allowed))
	case k.c.Strict() && !slices.Contains(strictAlgs, alg):
		k.wrong(member, "%s is not of the profile %s: use %s", alg, consent.ProfileFAPI, either(strictAlgs))
	}
}

// keys checks the client's public keys (RFC 7591 §2).
func (k *checker) keys() {
	c, why := k.c, ""
	switch {
	case c.AuthMethod == consent.MethodPrivateKeyJWT || c.AuthMethod == consent.MethodSelfSignedTLS:
		why = c.AuthMethod
	case c.Strict():
		why = "the profile " + c.Profile
	case c.MustSign || c.RequestAlg != "":
		why = "a client that signs its requests"
	}
	if c.JWKSURI != "" {
		k.endpoint("jwks_uri", c.JWKSURI, "https://agent.example/jwks.json")
	}
	switch {
	case len(c.JWKS) > 0 && c.JWKSURI != "":
		k.wrong("jwks_uri", "jwks is given as well: keep one of the two (RFC 7591 section 2)")
	case len(c.JWKS) > 0:
		if _, err := keys.ParsePublicKeys(c.JWKS); err != nil {
			k.wrong("jwks", "%v", err)
		} else if c.AuthMethod == consent.MethodSelfSignedTLS && !hasCertificate(c.JWKS) {
			k.wrong("jwks", "no key has its certificate beside it (x5c), which is what %s compares (RFC 8705 section 2.2.2): add it", c.AuthMethod)
		}
	case c.JWKSURI == "" && why != "":
		k.wrong("jwks", "missing: %s needs the client's public keys, so add jwks, or jwks_uri", why)
	}
}

// hasCertificate reports whether a key of the set comes with a certificate.
func hasCertificate(jwks []byte) bool {
	var set struct {
		Keys []struct {
			X5C []string `json:"x5c"`
		} `json:"keys"`
	}
	if json.Unmarshal(jwks, &set) != nil {
		return false
	}
	for _, key := range set.Keys {
		if len(key.X5C) > 0 {
			return true
		}
	}
	return false
}

// certificate checks which subject a verified certificate must have (RFC 8705
// §2.1.2).
func (k *checker) certificate() {
	c, given := k.c, 0
	for _, m := range []struct {
		member, value, want string
		ok                  func(string) bool
	}{
		{"tls_client_auth_subject_dn", c.TLSSubjectDN, "a distinguished name such as CN=agent,O=Example", func(s string) bool { return len(s) <= 1024 && strings.Contains(s, "=") }},
		{"tls_client_auth_san_dns", c.TLSSANDNS, "a host name such as agent.example", func(s string) bool { return len(s) <= 253 && hostname.MatchString(s) }},
		{"tls_client_auth_san_uri", c.TLSSANURI, "a URI such as spiffe://example/agent", IsResource},
		{"tls_client_auth_san_ip", c.TLSSANIP, "an address such as 192.0.2.7", func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Zone() == "" }},
		{"tls_client_auth_san_email", c.TLSSANEmail, "an address such as agent@example.com", email.MatchString},
	} {
		if m.value == "" {
			continue
		}
		switch given++; {
		case c.AuthMethod != consent.MethodTLS:
			k.wrong(m.member, "is for %s only: remove it, or set token_endpoint_auth_method", consent.MethodTLS)
		case given > 1:
			k.wrong(m.member, "a second name of the certificate's subject: keep one (RFC 8705 section 2.1.2)")
		case !m.ok(m.value):
			k.wrong(m.member, "%q is not %s", m.value, m.want)
		}
	}
	if c.AuthMethod == consent.MethodTLS && given == 0 {
		k.wrong("tls_client_auth_subject_dn", "missing: %s needs one name of the certificate's subject, as tls_client_auth_subject_dn or tls_client_auth_san_dns, _uri, _ip or _email", consent.MethodTLS)
	}
}
