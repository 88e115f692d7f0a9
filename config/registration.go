package config

import (
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"ringback/admin"
	"ringback/ciba"
	"ringback/consent"
	"ringback/keys"
)

var (
	registrant = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	hostParts  = regexp.MustCompile(`^(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)
)

// readRegistration reads who may register clients, and what these get.
func (c *Config) readRegistration(r *reader, top *section) {
	if !top.has("registration") {
		return
	}
	s := r.section("registration", top.fields["registration"], "tokens", "people", "scope", "profile", "default_resource", "resources")
	reg := &ciba.Registration{Profile: s.text("profile")}
	if reg.Profile != "" && reg.Profile != consent.ProfileFAPI {
		s.wrong("profile", "%q is unknown: use %s, or leave it out", reg.Profile, consent.ProfileFAPI)
	}
	reg.People, reg.Scope, reg.DefaultResource, reg.Resources = c.readAllowed(s)
	for _, name := range slices.Sorted(maps.Keys(c.Policy.Scopes)) {
		if reg.Scope == "" && c.Policy.Scopes[name].Unattended {
			s.wrong("scope", "missing, and %s is unattended: clients that register themselves would get it without anybody being asked, so list the scopes that they may have", name)
			break
		}
	}
	if s.need("tokens", "[{name: partner, token: {env: REGISTRATION_TOKEN}}]") && len(s.list("tokens")) == 0 {
		s.wrong("tokens", "empty, so nobody could register a client: name a token, or remove `registration`")
	}
	for _, e := range s.list("tokens") {
		t := r.section(e.path, e.node, "name", "token", "hosts")
		if !t.need("name", "partner") || !t.need("token", "{env: REGISTRATION_TOKEN}") {
			continue
		}
		name, token := t.text("name"), t.secret("token")
		if !registrant.MatchString(name) {
			t.wrong("name", "%q is not a name: 1 to 64 letters, digits and . _ -", name)
		}
		if token == "" {
			continue
		}
		if !c.Dev && bits(token) < 128 {
			t.wrong("token", "it has less than 128 bits: make one with `openssl rand -base64 32`")
		}
		given := ciba.InitialToken{Name: name, Digest: keys.TokenDigest(token), Hosts: c.hosts(t)}
		if i := slices.IndexFunc(reg.Tokens, func(o ciba.InitialToken) bool { return o.Digest == given.Digest }); i >= 0 {
			t.wrong("token", "this token is that of %s already: make one for each", reg.Tokens[i].Name)
		}
		reg.Tokens = append(reg.Tokens, given)
	}
	c.Registration = reg
}

// readDocuments reads what clients get whose client_id is the URL of their
// metadata document.
func (c *Config) readDocuments(r *reader, top *section) {
	if !top.has("client_documents") {
		return
	}
	s := r.section("client_documents", top.fields["client_documents"], "hosts", "people", "scope", "default_resource", "resources")
	d := &consent.Documents{Hosts: c.hosts(s)}
	if s.need("hosts", "[agent.example]") && len(d.Hosts) == 0 {
		s.wrong("hosts", "empty, so there would be no such client: name hosts, or remove `client_documents`")
	}
	d.People, d.Scope, d.DefaultResource, d.Resources = c.readAllowed(s)
	c.Policy.Documents = d
}

// hosts reads hosts of clients: their names, or "*.agent.example" for all below
// one.
func (c *Config) hosts(s *section) (out []string) {
	for _, e := range s.list("hosts") {
		name := strings.ToLower(e.node.Value)
		_, address := netip.ParseAddr(name)
		if len(name) > 253 || !hostParts.MatchString(name) || address == nil && !c.Dev {
			s.r.wrong(e.node.Line, e.path, "%q is not a host name: write agent.example, or *.agent.example for every host below it", e.node.Value)
		}
		out = append(out, name)
	}
	return out
}

// readAllowed reads what clients may ask that no entry speaks of.
func (c *Config) readAllowed(s *section) (people, scope, resource string, resources []string) {
	people, scope = s.oneOf("people", "linked", "any"), s.text("scope")
	for name := range strings.FieldsSeq(scope) {
		if _, ok := c.Policy.Scopes[name]; !ok && name != "openid" {
			s.wrong("scope", "there is no scope %q: add it under `scopes`, or remove it here", name)
		}
	}
	if resource = s.text("default_resource"); resource != "" && !admin.IsResource(resource) {
		s.wrong("default_resource", "%q is not an absolute URI without fragment: write https://api.example (RFC 8707)", resource)
	}
	resources = s.texts("resources")
	if i := slices.IndexFunc(resources, func(u string) bool { return !admin.IsResource(u) }); i >= 0 {
		s.wrong("resources", "%q is not an absolute URI without fragment: write https://api.example (RFC 8707)", resources[i])
	}
	if resource == "" && len(resources) == 0 && len(c.Policy.Resources) == 0 {
		s.wrong("default_resource", "missing, and no resources are configured, so nothing could be asked for: name the API that tokens are for")
	}
	return people, scope, resource, resources
}

// readHintIssuers reads whose login_hint_tokens name people (CIBA Core §7.1).
func (c *Config) readHintIssuers(r *reader, top *section) {
	c.Policy.HintIssuers = map[string]consent.HintIssuer{}
	for _, e := range top.list("hint_issuers") {
		s := r.section(e.path, e.node, "iss", "jwks", "jwks_uri")
		if !s.need("iss", "https://people.example.com") {
			continue
		}
		iss, from := s.text("iss"), consent.HintIssuer{JWKS: s.jwks("jwks"), JWKSURI: s.text("jwks_uri")}
		if _, twice := c.Policy.HintIssuers[iss]; twice {
			s.wrong("iss", "%s stands twice: remove one", iss)
		}
		if len(iss) > 512 || iss == c.Issuer {
			s.wrong("iss", "this is ourselves, or longer than 512 bytes: name the service that signs the hints")
		}
		checkIssuerKeys(s, from, c.Dev)
		c.Policy.HintIssuers[iss] = from
	}
}

// checkIssuerKeys checks that there is one place for the keys, and a good one.
func checkIssuerKeys(s *section, from consent.HintIssuer, dev bool) {
	switch u, err := url.Parse(from.JWKSURI); {
	case len(from.JWKS) > 0 && from.JWKSURI != "":
		s.wrong("jwks_uri", "jwks is given as well: keep one of the two")
	case len(from.JWKS) > 0:
		if _, err := keys.ParsePublicKeys(from.JWKS); err != nil {
			s.wrong("jwks", "%v", err)
		}
	case from.JWKSURI == "":
		s.need("jwks_uri", "https://people.example.com/jwks")
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && !(dev && u.Scheme == "http" && IsLoopback(u.Hostname())):
		s.wrong("jwks_uri", "%q is not an https URL without user and fragment", from.JWKSURI)
	}
}
