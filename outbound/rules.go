package outbound

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// The rules that refuse a request, as [RefusedError] names them.
const (
	RuleURL      = "url"      // not an absolute URL with a host, or it has a fragment
	RuleScheme   = "scheme"   // not https
	RuleUserinfo = "userinfo" // a name or password before the host
	RuleHost     = "host"     // not a plain ASCII host name
	RuleLiteral  = "literal"  // an IP address instead of a name
	RulePort     = "port"     // a port other than 443
	RuleAddress  = "address"  // the name leads to a private or special address
)

// RefusedError says which rule refused a request. Nothing was sent, and trying
// again does not help.
type RefusedError struct {
	Rule string // one of the Rule constants
}

// Error names the rule and where exceptions are made.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("outbound request refused by rule %q (only https to public hosts on port 443; exceptions: outbound.allow)", e.Rule)
}

// rules decide what may be dialled.
type rules struct {
	prefixes []netip.Prefix
	hosts    map[string]bool // "host:port"
	http     bool
}

// newRules reads the exceptions and reports every mistake in them.
func newRules(cfg Config) (rules, error) {
	r := rules{hosts: make(map[string]bool), http: cfg.AllowHTTP}
	var errs []error
	for _, entry := range cfg.Allow {
		if p, err := netip.ParsePrefix(entry); err == nil {
			if p != p.Masked() || p.Addr().Is4In6() {
				errs = append(errs, fmt.Errorf("outbound exception %q: write the network address, as in 10.1.0.0/16", entry))
				continue
			}
			r.prefixes = append(r.prefixes, p)
			continue
		}
		host, port, err := net.SplitHostPort(entry)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			errs = append(errs, fmt.Errorf("outbound exception %q: neither a network (10.1.0.0/16) nor host:port", entry))
			continue
		}
		if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" {
			host = ip.Unmap().String()
		} else if host = strings.ToLower(host); !validName(host) {
			errs = append(errs, fmt.Errorf("outbound exception %q: not a host name", entry))
			continue
		}
		r.hosts[net.JoinHostPort(host, port)] = true
	}
	return r, errors.Join(errs...)
}

// target is where a URL leads, before any name is resolved.
type target struct {
	scheme, host, port string
	literal            bool
	exempt             bool // this host and port are an exception
}

// check reads a URL and refuses what no address could make good.
func (r *rules) check(u *url.URL) (target, error) {
	if u == nil || u.Host == "" || u.Opaque != "" || u.Fragment != "" {
		return target{}, &RefusedError{RuleURL}
	}
	if u.User != nil {
		return target{}, &RefusedError{RuleUserinfo}
	}
	t := target{scheme: u.Scheme, host: strings.ToLower(u.Hostname()), port: u.Port()}
	switch {
	case t.scheme == "https" && t.port == "":
		t.port = "443"
	case t.scheme == "http" && r.http && t.port == "":
		t.port = "80"
	case t.scheme != "https" && !(t.scheme == "http" && r.http):
		return target{}, &RefusedError{RuleScheme}
	}
	if n, err := strconv.ParseUint(t.port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != t.port {
		return target{}, &RefusedError{RulePort}
	}
	if strings.HasSuffix(u.Host, ":") {
		return target{}, &RefusedError{RulePort}
	}
	ip, err := netip.ParseAddr(t.host)
	switch {
	case err == nil && ip.Zone() != "":
		return target{}, &RefusedError{RuleLiteral}
	case err == nil:
		t.literal = true
		t.host = ip.Unmap().String()
	case endsInNumber(t.host):
		return target{}, &RefusedError{RuleLiteral}
	case !validName(t.host):
		return target{}, &RefusedError{RuleHost}
	}
	t.exempt = r.hosts[net.JoinHostPort(t.host, t.port)]
	if t.literal {
		return t, r.permit(t, ip)
	}
	if len(r.prefixes) == 0 { // then no answer of a name server can be an exception
		return t, r.plain(t)
	}
	return t, nil
}

// permit decides about the address that is about to be dialled for t.
func (r *rules) permit(t target, ip netip.Addr) error {
	ip = ip.Unmap()
	if t.exempt {
		return nil
	}
	if contains(r.prefixes, ip) {
		if !nat64.Contains(ip) {
			return nil
		}
		// Allowing the translator must not allow what lies behind it.
		b := ip.As16()
		if v4 := netip.AddrFrom4([4]byte(b[12:])); !special(v4) || contains(r.prefixes, v4) {
			return nil
		}
		return &RefusedError{RuleAddress}
	}
	if err := r.plain(t); err != nil {
		return err
	}
	if special(ip) {
		return &RefusedError{RuleAddress}
	}
	return nil
}

// plain refuses what only an exception allows, whatever the address.
func (r *rules) plain(t target) error {
	switch {
	case t.exempt:
		return nil
	case t.scheme != "https":
		return &RefusedError{RuleScheme}
	case t.port != "443":
		return &RefusedError{RulePort}
	case t.literal:
		return &RefusedError{RuleLiteral}
	}
	return nil
}

// validName takes host names of letters, digits and hyphens (RFC 1123), lower
// case. Everything else is a spelling that some resolver reads differently.
func validName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
				return false
			}
		}
	}
	return !endsInNumber(s)
}

// endsInNumber tells hosts that resolvers and browsers may take for IPv4: the
// last label is a number in some base ("2130706433", "127.1", "0x7f.0.0.1").
func endsInNumber(s string) bool {
	s = strings.TrimSuffix(s, ".")
	last := s[strings.LastIndexByte(s, '.')+1:]
	if rest, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(rest, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}
