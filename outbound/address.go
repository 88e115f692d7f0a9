package outbound

import "net/netip"

// specialV4 are the IPv4 blocks that are not somebody's public host: the IANA
// special-purpose registry (RFC 6890 and updates), multicast and reserved.
var specialV4 = prefixes(
	"0.0.0.0/8",       // this network
	"10.0.0.0/8",      // private
	"100.64.0.0/10",   // shared, carriers
	"127.0.0.0/8",     // loopback
	"169.254.0.0/16",  // link local, metadata services
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // IETF protocols
	"192.0.2.0/24",    // documentation
	"192.31.196.0/24", // AS112
	"192.52.193.0/24", // automatic multicast tunnelling
	"192.88.99.0/24",  // 6to4 relays
	"192.168.0.0/16",  // private
	"192.175.48.0/24", // AS112
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved, broadcast
)

// globalV6 is the only block that IPv6 hosts have public addresses from.
// Everything outside is refused: loopback, unique and link local, site local,
// multicast, discard, mapped, compatible and translated addresses.
var globalV6 = netip.MustParsePrefix("2000::/3")

// specialV6 are the exceptions inside globalV6.
var specialV6 = prefixes(
	"2001::/23",         // IETF protocols: Teredo, benchmarks, ORCHID
	"2001:db8::/32",     // documentation
	"2002::/16",         // 6to4, embeds IPv4
	"2620:4f:8000::/48", // AS112
	"3ffe::/16",         // 6bone, returned
	"3fff::/20",         // documentation
)

// nat64 embeds an IPv4 address in its last four bytes (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// special reports whether ip is anything but a public unicast address.
func special(ip netip.Addr) bool {
	ip = ip.Unmap()
	if !ip.IsValid() || ip.Zone() != "" {
		return true
	}
	if ip.Is4() {
		return contains(specialV4, ip)
	}
	return !globalV6.Contains(ip) || contains(specialV6, ip)
}

func contains(list []netip.Prefix, ip netip.Addr) bool {
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}
