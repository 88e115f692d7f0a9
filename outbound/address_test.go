package outbound

import (
	"errors"
	"net/http"
	"net/netip"
	"testing"

	"ringback/outbound/outboundtest"
)

// refusedAddresses are what no stranger's name may lead to.
var refusedAddresses = []string{
	"0.0.0.0", "0.0.0.1", "0.255.255.255", "10.0.0.0", "10.0.0.1", "10.255.255.255",
	"100.64.0.0", "100.64.0.1", "100.100.100.200", "100.127.255.255",
	"127.0.0.0", "127.0.0.1", "127.0.1.1", "127.255.255.255",
	"169.254.0.1", "169.254.169.254", "169.254.170.2", "169.254.255.255",
	"172.16.0.0", "172.17.0.1", "172.31.255.255",
	"192.0.0.0", "192.0.0.8", "192.0.0.170", "192.0.0.192", "192.0.0.255", "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1",
	"192.168.0.0", "192.168.1.1", "192.168.255.255", "192.175.48.1",
	"198.18.0.0", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
	"224.0.0.1", "224.0.0.251", "239.255.255.250", "240.0.0.1", "250.1.2.3", "255.255.255.254", "255.255.255.255",
	"::", "::1", "::2", "::7f00:1", "::10.0.0.1", "::a9fe:a9fe",
	"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:100.64.0.1", "::ffff:0.0.0.0", "::ffff:0:127.0.0.1",
	"64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "64:ff9b:1::169.254.169.254",
	"100::1", "100:0:0:1::1",
	"2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:1::1", "2001:2::1", "2001:3::1", "2001:4:112::1", "2001:10::1", "2001:20::1", "2001:30::1", "2001:1ff:ffff::1",
	"2001:db8::1", "2002::1", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:c0a8:101::1", "2620:4f:8000::1", "3ffe::1", "3fff::1", "3fff:fff::1",
	"1::1", "4000::1", "5f00::1", "8000::1",
	"fc00::1", "fd00::1", "fd00:ec2::254", "fdff:ffff::1", "fe00::1", "fe80::1", "fe80::a9fe:a9fe", "febf::1", "fec0::1", "feff::1", "ff00::1", "ff02::1", "ff0e::1",
}

// publicAddresses border on refused blocks.
var publicAddresses = []string{
	"1.0.0.0", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
	"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0",
	"198.17.255.255", "198.20.0.0", "198.51.99.255", "203.0.112.255", "203.0.114.0", "223.255.255.255", "::ffff:8.8.8.8",
	"2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700::1111", "2a00:1450::1", "3ffd::1", "3fff:1000::1",
}

func TestSpecial(t *testing.T) {
	t.Parallel()
	for _, s := range refusedAddresses {
		if !special(netip.MustParseAddr(s)) {
			t.Errorf("special(%s) = false, want true", s)
		}
	}
	for _, s := range publicAddresses {
		if special(netip.MustParseAddr(s)) {
			t.Errorf("special(%s) = true, want false", s)
		}
	}
	if !special(netip.Addr{}) || !special(netip.MustParseAddr("2606:4700::1%eth0")) {
		t.Error("special of no address or of one with a zone = false, want true")
	}
}

// TestRefusedAddresses takes each address through the whole client, as the
// answer of a name server to a well-formed URL.
func TestRefusedAddresses(t *testing.T) {
	t.Parallel()
	for _, s := range refusedAddresses {
		n := &outboundtest.Names{Answer: outboundtest.Always(s)}
		c, err := New(Config{Resolver: n.Resolver(t)})
		if err != nil {
			t.Fatal(err)
		}
		ip := netip.MustParseAddr(s)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://target.example/ping", nil)
		if err != nil {
			t.Fatal(err)
		}
		var refused *RefusedError
		if _, err = c.Do(t.Context(), req); !errors.As(err, &refused) || refused.Rule != RuleAddress {
			t.Errorf("Do to a name at %s = %v, want rule %q", s, err, RuleAddress)
		}
		if IsConnect(err) {
			t.Errorf("IsConnect(%v) = true: it would be tried again", err)
		}
		host := ip.String()
		if ip.Is6() {
			host = "[" + host + "]"
		}
		if req.URL.Host = host; c.Check(req.URL) == nil {
			t.Errorf("Check of the literal %s = nil", host)
		}
	}
}

func TestAllow(t *testing.T) {
	t.Parallel()
	r, err := newRules(Config{Allow: []string{"10.1.0.0/16", "fd00:1::/32", "64:ff9b::/96", "Agent.Internal:8443", "127.0.0.1:9876", "[::1]:9000"}, AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		url, ip string
		want    string // rule, or empty
	}{
		{"https://a.example", "8.8.8.8", ""},
		{"https://a.example", "10.1.2.3", ""},
		{"https://a.example", "::ffff:10.1.2.3", ""},
		{"https://a.example:8443", "10.1.2.3", ""},
		{"http://a.example", "10.1.2.3", ""},
		{"https://10.1.2.3:1", "10.1.2.3", ""},
		{"http://[::ffff:10.1.2.3]:99", "10.1.2.3", ""},
		{"https://[fd00:1::5]", "fd00:1::5", ""},
		{"https://a.example", "10.2.0.1", RuleAddress},
		{"https://a.example:8443", "8.8.8.8", RulePort},
		{"http://a.example", "8.8.8.8", RuleScheme},
		{"http://a.example:443", "8.8.8.8", RuleScheme},
		{"https://8.8.8.8", "8.8.8.8", RuleLiteral},
		{"https://10.2.0.1", "10.2.0.1", RuleLiteral},
		{"https://agent.internal:8443", "192.168.0.9", ""},
		{"http://AGENT.internal:8443", "127.0.0.1", ""},
		{"https://agent.internal", "192.168.0.9", RuleAddress},
		{"https://agent.internal:8444", "192.168.0.9", RulePort},
		{"https://x.agent.internal:8443", "192.168.0.9", RulePort},
		{"http://127.0.0.1:9876", "127.0.0.1", ""},
		{"http://[::ffff:127.0.0.1]:9876", "127.0.0.1", ""},
		{"http://127.0.0.1:9877", "127.0.0.1", RuleScheme},
		{"https://[::1]:9000", "::1", ""},
		{"https://a.example", "64:ff9b::8.8.8.8", ""},
		{"https://a.example", "64:ff9b::10.1.0.1", ""},
		{"https://a.example", "64:ff9b::169.254.169.254", RuleAddress},
		{"https://a.example", "64:ff9b::10.2.0.1", RuleAddress},
	}
	for _, row := range rows {
		req, err := http.NewRequest(http.MethodGet, row.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		target, err := r.check(req.URL)
		if err == nil {
			err = r.permit(target, netip.MustParseAddr(row.ip))
		}
		got := ""
		var refused *RefusedError
		if errors.As(err, &refused) {
			got = refused.Rule
		}
		if got != row.want {
			t.Errorf("%s at %s: refused by %q, want %q", row.url, row.ip, got, row.want)
		}
	}
}

func TestAllowRefuses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "10.1.2.3/16", "10.0.0.0", "10.0.0.0/33", "host", "host:", "host:0", "host:70000", "host:+1", "host:01", ":443", "a b:1", "hö.st:1", "a.:1", "https://a.example", "[fe80::1%eth0]:1", "::ffff:10.0.0.0/104", "127.1:80"} {
		if _, err := New(Config{Allow: []string{bad}}); err == nil {
			t.Errorf("New with exception %q succeeded", bad)
		}
	}
}
