package config

import (
	"net/url"
	"strings"

	"ringback/admin"
	"ringback/consent"
	"ringback/keys"
)

// What every development run offers beside the file's entries.
const (
	DemoSecret   = "demo-secret-0000"
	demoEndpoint = "http://127.0.0.1:9876/ping"
	demoResource = "https://api.example"
)

// overlay adds the clients and people of a development run, but for those
// whose id the file uses itself, and lets loopback be called.
func (c *Config) overlay() {
	hashes := []consent.Digest{keys.TokenDigest(DemoSecret)}
	for _, cl := range []consent.Client{
		{ID: "demo-agent", Name: "Travel Agent", Host: "travel.example", Mode: consent.Poll},
		{ID: "demo-ping", Name: "Demo Ping", Mode: consent.Ping, NotificationEndpoint: demoEndpoint},
		{ID: "demo-worker", Name: "Report Worker", Mode: consent.Poll, GrantTypes: []string{consent.GrantTypeClientCredentials}, Approver: "alice"},
	} {
		if c.Where("client", cl.ID) != "" {
			continue
		}
		admin.Complete(&cl)
		cl.SecretHashes = hashes
		cl.People, cl.DefaultResource, cl.FromFile = "any", demoResource, true
		c.Clients = append(c.Clients, cl)
	}
	for _, p := range []consent.Person{
		{ID: "alice", Name: "Alice", Locale: "en", Phone: "+12025550101", Email: "alice@example.com"},
		{ID: "bob", Name: "Bob", Locale: "en", Phone: "+12025550102"},
	} {
		if c.Where("person", p.ID) != "" {
			continue
		}
		for i := range c.Approvers { // a number of the file's own person is theirs
			if c.Approvers[i].Phone == p.Phone {
				p.Phone = ""
			}
			if strings.EqualFold(c.Approvers[i].Email, p.Email) {
				p.Email = ""
			}
		}
		p.FromFile = true
		c.Approvers = append(c.Approvers, p)
	}
	c.Outbound.Allow = append(c.Outbound.Allow, "127.0.0.0/8", "::1/128")
}

// DevHosts lists the values of Host under which browsers reach /dev/.
func (c *Config) DevHosts() []string {
	hosts := []string{c.Listen}
	bases := []string{c.Issuer, c.PublicURL()}
	if c.MTLS != nil {
		bases = append(bases, c.MTLS.PublicURL)
	}
	for _, base := range bases {
		if u, err := url.Parse(base); err == nil && u.Host != "" {
			hosts = append(hosts, u.Host)
		}
	}
	return hosts
}
