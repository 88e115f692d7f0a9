package clients

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"slices"

	"ringback/consent"
)

// certificate returns the client certificate of the connection, nil when there
// is none. Only the listener of MTLS asks for one.
func certificate(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil
	}
	return r.TLS.PeerCertificates[0]
}

// bindingCertificate begins the consent.Binding of a certificate.
const bindingCertificate = "x5t#S256:"

// certificateBinding is the confirmation of a certificate (RFC 8705 §3.1).
func certificateBinding(c *x509.Certificate) consent.Binding {
	sum := sha256.Sum256(c.Raw)
	return consent.Binding(bindingCertificate + base64.RawURLEncoding.EncodeToString(sum[:]))
}

var errCertificate = &Error{Code: InvalidClient, Description: "unknown client, or a certificate that is not registered for the client"}

// checkCertificate compares the client's certificate with what was registered:
// a name in one of a trusted issuer (RFC 8705 §2.1), or the certificate itself
// (§2.2). That one the client may just have made, by a clock that is as far
// ahead as that of an assertion may be.
func (v *Verifier) checkCertificate(ctx context.Context, c *consent.Client, chain []*x509.Certificate) error {
	cert := chain[0]
	now, from := v.cfg.Now(), cert.NotBefore
	if c.AuthMethod == consent.MethodSelfSignedTLS {
		from = from.Add(-aheadOfUs)
	}
	if now.Before(from) || now.After(cert.NotAfter) {
		return refuse(InvalidClient, "the client certificate is not valid now")
	}
	if c.AuthMethod == consent.MethodSelfSignedTLS {
		set, err := v.clientKeys(ctx, c, false)
		if err == nil && !set.HasCertificate(cert.Raw) && c.JWKSURI != "" {
			set, err = v.clientKeys(ctx, c, true)
		}
		if err != nil {
			return unsigned(InvalidClient, "jwks", err)
		}
		if !set.HasCertificate(cert.Raw) {
			return errCertificate
		}
		return nil
	}
	if v.cfg.MTLS == nil || v.cfg.MTLS.ClientCAs == nil {
		return errors.New("a client of tls_client_auth without configured certificate authorities")
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := cert.Verify(x509.VerifyOptions{
		Roots: v.cfg.MTLS.ClientCAs, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil || !names(c, cert) {
		return errCertificate
	}
	return nil
}

// subject is the whole distinguished name (RFC 4514), part by part as it stands
// there: of one that has two common names, [pkix.Name] shows the last alone.
func subject(cert *x509.Certificate) string {
	var name pkix.RDNSequence
	if rest, err := asn1.Unmarshal(cert.RawSubject, &name); err != nil || len(rest) > 0 {
		return ""
	}
	return name.String()
}

// names reports whether the certificate has the one name that was registered
// (RFC 8705 §2.1.2).
func names(c *consent.Client, cert *x509.Certificate) bool {
	switch {
	case c.TLSSubjectDN != "":
		return subject(cert) == c.TLSSubjectDN
	case c.TLSSANDNS != "":
		return slices.Contains(cert.DNSNames, c.TLSSANDNS)
	case c.TLSSANEmail != "":
		return slices.Contains(cert.EmailAddresses, c.TLSSANEmail)
	case c.TLSSANURI != "":
		for _, u := range cert.URIs {
			if u.String() == c.TLSSANURI {
				return true
			}
		}
	case c.TLSSANIP != "":
		want, err := netip.ParseAddr(c.TLSSANIP)
		for _, ip := range cert.IPAddresses {
			if got, ok := netip.AddrFromSlice(ip); err == nil && ok && got.Unmap() == want.Unmap() {
				return true
			}
		}
	}
	return false
}
