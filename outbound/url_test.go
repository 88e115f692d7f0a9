package outbound

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"ringback/outbound/outboundtest"
)

// spellings are ways to write an address inside, by what people have tried.
func spellings() (out []string) {
	hosts := []string{
		"127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0X7F000001", "0x7f.0.0.1", "0x7f.0x0.0x0.0x1", "0177.0.0.1", "0177.0.0.01", "017700000001",
		"00000177.0.0.1", "127.000.000.001", "127.0.0.01", "127.0.0.1.", "127.0.0.0x1", "0", "0.0.0.0", "00", "0x0", "0.0", "127.127", "4294967295", "4294967296", "99999999999999999999",
		"169.254.169.254", "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376", "025177524776", "169.254.43518", "169.16689662", "169.254.169.254.",
		"[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]",
		"[fe80::1]", "[fe80::1%25eth0]", "[fe80::1%25lo]", "[::1%25lo]", "[fd00:ec2::254]", "[64:ff9b::7f00:1]", "[64:ff9b::169.254.169.254]", "[2002:7f00:1::]", "[ff02::1]", "[fec0::1]",
		"10.0.0.1", "10.1", "167772161", "192.168.1.1", "192.168.257", "172.16.0.1", "100.64.0.1", "100.100.100.200", "198.18.0.1", "192.0.0.192", "255.255.255.255", "224.0.0.1",
		"8.8.8.8", "134744072", "[2606:4700::1111]",
		"localhost", "LOCALHOST", "localhost.", "localhost.localdomain", "ip6-localhost", "inside.example", "INSIDE.example", "127.0.0.1.inside.example", "metadata.google.internal", "metadata", "instance-data", "kubernetes.default.svc",
		"１２７.０.０.１", "127。0。0。1", "127．0．0．1", "①②⑦.⓪.⓪.①", "ｌｏｃａｌｈｏｓｔ", "ⓛocalhost", "locaⅼhost", "lo\u00adcalhost", "local\u200bhost", "bücher.example", "xn--bcher-kva.example",
		"%31%32%37.0.0.1", "%6c%6f%63%61%6c%68%6f%73%74", "localhost%00.example", "inside.example%23.public.example", "inside.example%2f.public.example", "127.0.0.1%2f", "inside_host.example",
		"-inside.example", "inside-.example", "inside..example", ".inside.example", "inside.example..", "*.inside.example", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 130) + "example",
		"user@inside.example", "user:password@inside.example", "public.example@127.0.0.1", "public.example:443@127.0.0.1", "@127.0.0.1", ":@127.0.0.1", "public.example%40127.0.0.1",
		"inside.example:80", "inside.example:22", "inside.example:8443", "inside.example:0", "inside.example:", "inside.example:00443", "inside.example:+443", "inside.example:65536", "inside.example:443:443", "[::1]:443", "127.0.0.1:443", "[::1", "::1", "[127.0.0.1]", "",
		"1.example.0x7f", "example.1", "example.0x", "a.b.c.4", "0x.0x.0", "0xg.example",
	}
	for _, h := range hosts {
		out = append(out, "https://"+h+"/latest/meta-data/")
	}
	for _, h := range []string{"127.0.0.1", "inside.example", "[::1]", "localhost", "2130706433", "0x7f.1", "169.254.169.254"} {
		for _, form := range []string{
			"http://%s/", "HTTP://%s/", "//%s/", "///%s/", "https:%s", "https:/%s/", "https:///%s/", "https:\\\\%s\\", "ftp://%s/", "file://%s/etc/passwd", "gopher://%s:70/_x", "dict://%s:11211/", "ws://%s/", "wss://%s/", "unix://%s/run/x",
			"https://%s#@public.example/", "https://%s\\@public.example/", "https://public.example\\@%s/", "https://public.example#@%s", "https://%s?@public.example/", "https://%s;@public.example/", " https://%s/", "https://%s /", "https://\t%s/", "https://%s\r\nHost: public.example/", "javascript:https://%s", "jar:https://%s!/", "https+unix://%s/",
		} {
			out = append(out, fmt.Sprintf(form, h))
		}
	}
	return out
}

func TestURLSpellings(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	canary, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { canary.Close() })
	go func() {
		for {
			conn, err := canary.Accept()
			if err != nil {
				return
			}
			hits.Add(1)
			conn.Close()
		}
	}()
	list := spellings()
	if len(list) < 200 {
		t.Fatalf("%d spellings, want 200", len(list))
	}
	_, port, _ := net.SplitHostPort(canary.Addr().String())
	n := &outboundtest.Names{Answer: outboundtest.Always("127.0.0.1", "::1")}
	// Even a development client, which may reach one other inside address,
	// reaches none of these.
	for _, cfg := range []Config{{}, {Allow: []string{"127.0.0.2/32"}, AllowHTTP: true}} {
		cfg.Resolver = n.Resolver(t)
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			for _, raw := range []string{s, strings.Replace(s, "example/", "example:"+port+"/", 1), strings.Replace(s, "1/", "1:"+port+"/", 1)} {
				u, err := url.Parse(raw)
				if err != nil {
					continue
				}
				_, err = c.Do(t.Context(), &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}})
				var refused *RefusedError
				if !errors.As(err, &refused) {
					t.Errorf("Do(%q) = %v, want it refused", raw, err)
				}
			}
		}
	}
	if hits.Load() != 0 {
		t.Errorf("the server inside was reached %d times", hits.Load())
	}
	for _, name := range n.Questions() {
		if !validName(strings.ToLower(name)) {
			t.Errorf("a name server was asked for %q", name)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	c, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{
		"https://agent.example/ping":          "",
		"https://agent.example:443/ping?x=1":  "",
		"https://AGENT.Example/":              "",
		"https://a1.2b.c-d.example/":          "",
		"https://xn--bcher-kva.example/":      "",
		"http://agent.example/":               RuleScheme,
		"https://agent.example:8443/":         RulePort,
		"https://agent.example:/":             RulePort,
		"https://agent.example:0443/":         RulePort,
		"https://u@agent.example/":            RuleUserinfo,
		"https://:@agent.example/":            RuleUserinfo,
		"https://agent.example/#x":            RuleURL,
		"https:agent.example":                 RuleURL,
		"/ping":                               RuleURL,
		"":                                    RuleURL,
		"https://bücher.example/":             RuleHost,
		"https://agent.example./":             RuleHost,
		"https://agent_x.example/":            RuleHost,
		"https://93.184.216.34/":              RuleLiteral,
		"https://93.184.216/":                 RuleLiteral,
		"https://[2606:2800:220:1::1]/":       RuleLiteral,
		"https://[2606:2800:220:1::1%25en0]/": RuleLiteral,
	}
	for raw, want := range rows {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		var refused *RefusedError
		if errors.As(c.Check(u), &refused) {
			got = refused.Rule
		}
		if got != want {
			t.Errorf("Check(%q) refuses by %q, want %q", raw, got, want)
		}
	}
	if err := c.Check(nil); err == nil {
		t.Error("Check(nil) = nil")
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range spellings() {
		f.Add(s)
	}
	r, err := newRules(Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.Parse(raw)
		if err != nil {
			return
		}
		target, err := r.check(u)
		if err != nil {
			return
		}
		if target.scheme != "https" || target.port != "443" || u.User != nil {
			t.Errorf("check(%q) = %+v", raw, target)
		}
		if _, err := netip.ParseAddr(target.host); err == nil || !validName(target.host) {
			t.Errorf("check(%q) takes host %q", raw, target.host)
		}
	})
}

// FuzzAllow is an exception out of a configuration file: it never opens more
// than what it names.
func FuzzAllow(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "10.1.2.3/8", "::ffff:10.0.0.0/104", "a.example:8443", "[::1]:80", "127.0.0.1:0", "A.example:1", "0.0.0.0/0", "x:99999", "[fe80::1%25eth0]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		r, err := newRules(Config{Allow: []string{entry}})
		if n := len(r.prefixes) + len(r.hosts); (err == nil) != (n == 1) {
			t.Errorf("newRules(%q) = %+v, %v", entry, r, err)
		}
		for _, p := range r.prefixes {
			if p != p.Masked() || p.Addr().Is4In6() {
				t.Errorf("newRules(%q) allows %v", entry, p)
			}
		}
	})
}
