package main

import (
	"errors"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"ringback/admin"
	"ringback/consent"
	"ringback/details"
	"ringback/keys"
	"ringback/templates"
)

// readClients reads agents by their registered metadata names.
func (c *Config) readClients(r *reader, top *section) {
	for _, e := range top.list("clients") {
		s := r.section(e.path, e.node, "client_id", "client_secret", "client_name", "verified_host", "token_endpoint_auth_method",
			"backchannel_token_delivery_mode", "backchannel_client_notification_endpoint", "grant_types", "scope",
			"people", "default_resource", "resources", "may_enumerate")
		if !s.need("client_id", "travel-agent") {
			continue
		}
		cl := consent.Client{
			ID: s.text("client_id"), Name: s.text("client_name"), Host: s.text("verified_host"),
			AuthMethod: s.text("token_endpoint_auth_method"), Mode: consent.DeliveryMode(s.text("backchannel_token_delivery_mode")),
			NotificationEndpoint: s.text("backchannel_client_notification_endpoint"), GrantTypes: s.texts("grant_types"),
			Scope: s.text("scope"), DefaultResource: s.text("default_resource"), Resources: s.texts("resources"),
			MayEnumerate: s.yes("may_enumerate", false), FromFile: true,
		}
		c.readNamed(s, &cl)
		withDefaults(&cl)
		for _, p := range append(admin.CheckClient(&cl, c.Dev), admin.CheckAudience(&cl, len(c.Policy.Resources))...) {
			s.wrong(p.Member, "%s", p.What)
		}
		if slices.Contains(admin.AuthMethods, cl.AuthMethod) && s.need("client_secret", "{env: NAME}") {
			c.readSecrets(s, &cl)
		}
		if other := c.Where("client", cl.ID); other != "" {
			s.wrong("client_id", "%s stands twice, first in %s: remove one", cl.ID, other)
		}
		for i := range c.Clients {
			if details.Confusable(c.Clients[i].Name, cl.Name) && c.Clients[i].ID != cl.ID {
				s.wrong("client_name", "people could take %q for the client %s: choose a name that looks different", cl.Name, c.Clients[i].ID)
			}
		}
		c.lines["client/"+cl.ID] = s.line
		c.Clients = append(c.Clients, cl)
	}
}

// withDefaults fills what a client did not say.
func withDefaults(cl *consent.Client) {
	if cl.Name == "" {
		cl.Name = cl.ID
	}
	if cl.AuthMethod == "" {
		cl.AuthMethod = admin.AuthMethods[0]
	}
	if cl.Mode == "" {
		cl.Mode = consent.Poll
	}
	if len(cl.GrantTypes) == 0 {
		cl.GrantTypes = []string{admin.GrantCIBA}
	}
}

// readNamed reads whom a client may name: linked, any, or a list of people.
func (c *Config) readNamed(s *section, cl *consent.Client) {
	n := s.fields["people"]
	switch {
	case n != nil && n.Kind == yaml.SequenceNode:
		cl.People, cl.PeopleList = "list", s.texts("people")
	default:
		cl.People = s.oneOf("people", "linked", "any")
	}
}

// readSecrets reads the client's secret, or two while one is rotated out.
func (c *Config) readSecrets(s *section, cl *consent.Client) {
	refs := []item{{join(s.path, "client_secret"), s.fields["client_secret"]}}
	if refs[0].node.Kind == yaml.SequenceNode {
		if refs = s.list("client_secret"); len(refs) == 0 || len(refs) > 2 {
			s.wrong("client_secret", "expected one secret, or two while the second is being rotated out")
			return
		}
	}
	for _, ref := range refs {
		secret := s.r.secret(ref.path, ref.node)
		if secret == "" {
			continue
		}
		if !c.Dev && bits(secret) < 128 {
			s.r.wrong(ref.node.Line, ref.path, "the secret has less than 128 bits: make one with `openssl rand -base64 32`")
		}
		cl.SecretHashes = append(cl.SecretHashes, keys.TokenDigest(secret))
	}
}

// bits estimates from above how many bits a secret can have, by its length and
// the kinds of characters in it.
func bits(secret string) float64 {
	kinds, distinct := 0.0, map[rune]bool{}
	var digit, lower, upper, hex, other bool
	hex = true
	for _, r := range secret {
		distinct[r] = true
		switch {
		case r >= '0' && r <= '9':
			digit = true
		case r >= 'a' && r <= 'z':
			lower, hex = true, hex && r <= 'f'
		case r >= 'A' && r <= 'Z':
			upper, hex = true, hex && r <= 'F'
		default:
			other, hex = true, false
		}
	}
	for _, k := range []struct {
		is bool
		n  float64
	}{{digit, 10}, {lower, 26}, {upper, 26}, {other, 12}} {
		if k.is {
			kinds += k.n
		}
	}
	if hex {
		kinds = min(kinds, 16)
	}
	return float64(len(secret)) * math.Log2(max(1, min(kinds, 4*float64(len(distinct)))))
}

// readPeople reads approvers. A telephone number and an address belong to one.
func (c *Config) readPeople(r *reader, top *section) {
	owner := map[string]string{}
	for _, e := range top.list("people") {
		s := r.section(e.path, e.node, "id", "name", "locale", "zoneinfo", "phone", "email", "clients")
		if !s.need("id", "alice") {
			continue
		}
		p := consent.Person{
			ID: s.text("id"), Name: s.text("name"), Locale: s.text("locale"), Zoneinfo: s.text("zoneinfo"),
			Phone: consent.Phone(s.text("phone")), Email: s.text("email"), Clients: s.texts("clients"), FromFile: true,
		}
		for _, problem := range admin.CheckPerson(&p) {
			s.wrong(problem.Member, "%s", problem.What)
		}
		if other := c.Where("person", p.ID); other != "" {
			s.wrong("id", "%s stands twice, first in %s: remove one", p.ID, other)
		}
		for key, value := range map[string]string{"phone": string(p.Phone), "email": strings.ToLower(p.Email)} {
			if value == "" {
				continue
			}
			if other, taken := owner[value]; taken {
				s.wrong(key, "this belongs to %s already: a person is found by it, so it has one owner", other)
			}
			owner[value] = p.ID
		}
		c.lines["person/"+p.ID] = s.line
		c.Approvers = append(c.Approvers, p)
	}
}

// readLast checks what needs everything else.
func (c *Config) readLast(r *reader, top *section) {
	if c.SMS != nil && c.PublicURL() != "" {
		if _, err := c.openChannels(io.Discard); err != nil {
			for _, err := range flatten(errors.Unwrap(flatten(err)[0])) {
				r.wrong(c.channelsAt, "channels.sms", "%v", err)
			}
		}
	}
	if c.Registry == nil {
		return
	}
	set, err := templates.New(templates.Config{Details: c.Registry, Scopes: c.ScopeWords()})
	if err != nil {
		for _, err := range flatten(err) {
			r.wrong(0, "", "%v", err)
		}
		return
	}
	for _, err := range set.Check(c.languages()) {
		line := 0
		if strings.HasPrefix(err.Error(), "language ") {
			c.Notes = append(c.Notes, err.Error())
			continue
		}
		if m := wordless.FindStringSubmatch(err.Error()); m != nil {
			line = c.lines[strings.TrimPrefix(m[1], "details ")+"/"+m[2]]
		}
		r.wrong(line, "", "%v", err)
	}
	c.reachable()
}

// wordless is how a report of missing words begins.
var wordless = regexp.MustCompile(`^(scope|details type) (\S+?):`)

func isLanguage(tag string) bool { return admin.IsLocale(tag) }
