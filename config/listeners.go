package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readListeners reads where we listen and what we are called.
func (c *Config) readListeners(r *reader, top *section, src Sources) {
	c.Listen = c.address(r, top, "listen", src.Flags.Listen, src.Getenv("RINGBACK_LISTEN"), defaultListen)
	c.Manage = c.address(r, top, "manage", src.Flags.Manage, src.Getenv("RINGBACK_MANAGE"), DefaultManage)
	if c.Listen == c.Manage && !strings.HasSuffix(c.Listen, ":0") {
		top.wrong("manage", "the same address as listen: management never shares the public listener")
	}
	c.TLS = readTLS(r, "tls", top.fields["tls"])
	c.readMTLS(r, top)
	if top.has("people_listener") {
		s := r.section("people_listener", top.fields["people_listener"], "listen", "public_url", "tls")
		c.People = &Listener{TLS: readTLS(r, "people_listener.tls", s.fields["tls"])}
		if s.need("listen", "0.0.0.0:8665") {
			c.People.Listen = c.address(r, s, "listen", "", "", "")
		}
		if s.need("public_url", "https://approve.example.com") {
			c.People.PublicURL = c.publicURL(s, "public_url")
		}
	}
	if top.has("issuer") {
		c.Issuer = c.publicURL(top, "issuer")
	} else if !c.Dev {
		top.need("issuer", "https://consent.example.com")
	}
	if c.MTLS != nil && c.MTLS.PublicURL != "" && (c.MTLS.PublicURL == c.Issuer || c.MTLS.PublicURL == c.PublicURL()) {
		top.wrong("mtls", "its public_url is that of another listener: browsers there would ask people for a certificate, so use a name or port of its own")
	}
	c.noteNetwork()
	for _, e := range top.list("trusted_proxies") {
		p, err := netip.ParsePrefix(e.node.Value)
		if a, aerr := netip.ParseAddr(e.node.Value); aerr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			r.wrong(e.node.Line, e.path, "%q is not an address or range: write 10.0.0.7 or 10.0.0.0/24", e.node.Value)
			continue
		}
		c.TrustedProxies = append(c.TrustedProxies, p)
	}
}

// Listeners is how many there are beside the management listener.
func (c *Config) Listeners() int {
	n := 1
	if c.MTLS != nil {
		n++
	}
	if c.People != nil {
		n++
	}
	return n
}

// readMTLS reads the listener for client certificates.
func (c *Config) readMTLS(r *reader, top *section) {
	if !top.has("mtls") {
		return
	}
	s := r.section("mtls", top.fields["mtls"], "listen", "public_url", "tls", "client_ca")
	m := &MTLS{TLS: readTLS(r, "mtls.tls", s.fields["tls"]), ClientCA: s.text("client_ca")}
	if s.need("listen", "0.0.0.0:8445") {
		m.Listen = c.address(r, s, "listen", "", "", "")
	}
	if m.Listen != "" && !strings.HasSuffix(m.Listen, ":0") && (m.Listen == c.Listen || m.Listen == c.Manage) {
		s.wrong("listen", "another listener has this address: use one of its own")
	}
	switch {
	case s.has("tls"):
	case c.TLS != nil:
		m.TLS = c.TLS
	default:
		r.wrong(s.line, "mtls.tls", "missing: a proxy that ends TLS would keep the client's certificate, so add `tls: {cert: …, key: …}`")
	}
	switch {
	case s.has("public_url"):
		if m.PublicURL = c.publicURL(s, "public_url"); m.PublicURL != "" && !strings.HasPrefix(m.PublicURL, "https://") {
			s.wrong("public_url", "%q must begin with https://, also on this machine: certificates come with TLS only", m.PublicURL)
		}
	case !c.Dev:
		s.need("public_url", "https://mtls.consent.example.com")
	}
	if m.ClientCA != "" {
		c.ClientCAs = readAuthorities(r, s, "client_ca")
	}
	c.MTLS = m
}

// readAuthorities reads the certificates of authorities from the PEM file that
// key names.
func readAuthorities(r *reader, s *section, key string) *x509.CertPool {
	data, err := r.readFile(s.text(key))
	if err != nil {
		s.wrong(key, "%v", err)
		return nil
	}
	pool, n := x509.NewCertPool(), 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil || !cert.IsCA {
			s.wrong(key, "%s holds more than certificates of authorities (PEM): remove the rest", s.text(key))
			return nil
		}
		pool.AddCert(cert)
		n++
	}
	if n == 0 {
		s.wrong(key, "%s holds no certificate: it must be PEM", s.text(key))
		return nil
	}
	return pool
}

// noteNetwork notes listeners that others on the network can read or reach.
func (c *Config) noteNetwork() {
	if host, _, err := net.SplitHostPort(c.Manage); err == nil && !IsLoopback(host) {
		c.Notes = append(c.Notes, fmt.Sprintf("manage listens on %s: let nobody but operators reach it", host))
	}
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && !IsLoopback(host) && c.TLS == nil {
		c.Notes = append(c.Notes, fmt.Sprintf("listen is %s without TLS: let a proxy that ends TLS stand before it", c.Listen))
	}
}

// address returns the first of flag, variable, file and fallback.
func (c *Config) address(r *reader, s *section, key, flag, env, fallback string) string {
	v, line, where := flag, 0, "--"+key
	if v == "" {
		v, where = env, "RINGBACK_"+strings.ToUpper(key)
	}
	if v == "" {
		v, line, where = s.text(key), s.at(key), join(s.path, key)
	}
	if v == "" {
		return fallback
	}
	host, port, err := net.SplitHostPort(v)
	if err != nil || !isPort(port) {
		r.wrong(line, where, "%q is not an address: write HOST:PORT, such as 127.0.0.1:8663", v)
		return fallback
	}
	if c.Dev && key == "listen" && !c.AllowRemote && !IsLoopback(host) {
		r.wrong(line, where, "a development run lets anybody decide, so it listens on loopback only: use 127.0.0.1:%s, or `dev: {allow_remote: true}` in a file on a network that you trust", port)
	}
	return v
}

// publicURL reads a URL under which others reach us, "" if it is none.
func (c *Config) publicURL(s *section, key string) string {
	v := s.text(key)
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		s.wrong(key, "%q is not a URL without query and fragment: write https://consent.example.com", v)
	case u.Path != "" && (strings.HasSuffix(u.Path, "/") || u.Path != filepath.Clean(u.Path)):
		s.wrong(key, "%q must not end in a slash: write %s", v, strings.TrimRight(v, "/"))
	case u.Scheme == "http" && IsLoopback(u.Hostname()):
		if !c.Dev {
			c.Notes = append(c.Notes, fmt.Sprintf("%s is plain http: for a trial on this machine only", join(s.path, key)))
		}
		return v
	case u.Scheme == "https":
		return v
	default:
		s.wrong(key, "%q must begin with https://; http is for loopback addresses only", v)
	}
	return ""
}

// readTLS reads the files of a certificate.
func readTLS(r *reader, path string, n *yaml.Node) *TLS {
	if n == nil || n.Tag == "!!null" {
		return nil
	}
	s := r.section(path, n, "cert", "key")
	if !s.need("cert", "/etc/ringback/tls.crt") || !s.need("key", "/etc/ringback/tls.key") {
		return nil
	}
	t := &TLS{Cert: s.text("cert"), Key: s.text("key")}
	cert, err1 := r.readFile(t.Cert)
	if err1 != nil {
		s.wrong("cert", "%v", err1)
	}
	key, err2 := r.readFile(t.Key)
	if err2 != nil {
		s.wrong("key", "%v", err2)
	}
	if err1 == nil && err2 == nil {
		if _, err := tls.X509KeyPair(cert, key); err != nil {
			r.wrong(s.line, path, "these are no certificate and its key: %v", err)
		}
	}
	return t
}

func isPort(s string) bool {
	n := 0
	for _, d := range s {
		if d < '0' || d > '9' || len(s) > 5 {
			return false
		}
		n = n*10 + int(d-'0')
	}
	return s != "" && n < 1<<16
}

func IsLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
