package config

import (
	"encoding/json"
	"math"
	"slices"

	"go.yaml.in/yaml/v3"

	"ringback/admin"
	"ringback/consent"
	"ringback/details"
	"ringback/keys"
)

// clientKeys are the members of a client's entry: the registered metadata names
// and ours.
var clientKeys = []string{
	"client_id", "client_secret", "client_name", "verified_host", "profile",
	"token_endpoint_auth_method", "token_endpoint_auth_signing_alg", "assertion_aud", "jwks", "jwks_uri",
	"tls_client_auth_subject_dn", "tls_client_auth_san_dns", "tls_client_auth_san_uri", "tls_client_auth_san_ip", "tls_client_auth_san_email",
	"tls_client_certificate_bound_access_tokens", "dpop_bound_access_tokens",
	"backchannel_token_delivery_mode", "backchannel_client_notification_endpoint", "backchannel_user_code_parameter",
	"backchannel_authentication_request_signing_alg", "require_signed_request_object", "id_token_signed_response_alg",
	"deferred_client_notification_endpoint", "grant_types", "scope", "authorization_details_types", "people", "approver",
	"default_resource", "resources", "may_enumerate",
}

// readClients reads agents by their registered metadata names.
func (c *Config) readClients(r *reader, top *section) {
	offer := admin.Offer{Dev: c.Dev, MTLS: c.MTLS != nil, ClientCA: c.ClientCAs != nil, Resources: len(c.Policy.Resources)}
	if c.Registry != nil {
		offer.Types = c.Registry.Names()
	}
	for _, e := range top.list("clients") {
		s := r.section(e.path, e.node, clientKeys...)
		if !s.need("client_id", "travel-agent") {
			continue
		}
		cl := readClient(s)
		c.readNamed(s, &cl)
		admin.Complete(&cl)
		for _, p := range admin.CheckClient(&cl, offer) {
			s.wrong(p.Member, "%s", p.What)
		}
		switch hasSecret := !cl.FromDocument && admin.HasSecret(cl.AuthMethod); {
		case !hasSecret && s.has("client_secret"):
			s.wrong("client_secret", "this client authenticates with a key of its own: remove the secret")
		case hasSecret && slices.Contains(admin.AuthMethods, cl.AuthMethod) && cl.Profile == "" && s.need("client_secret", "{env: NAME}"):
			c.readSecrets(s, &cl)
		}
		if other := c.Where("client", cl.ID); other != "" {
			s.wrong("client_id", "%s stands twice, first in %s: remove one", cl.ID, other)
		}
		for i := range c.Clients {
			if cl.Name != "" && details.Confusable(c.Clients[i].Name, cl.Name) && c.Clients[i].ID != cl.ID {
				s.wrong("client_name", "people could take %q for the client %s: choose a name that looks different", cl.Name, c.Clients[i].ID)
			}
		}
		c.lines["client/"+cl.ID] = s.line
		c.Clients = append(c.Clients, cl)
	}
}

// readClient reads what an entry says by single values.
func readClient(s *section) consent.Client {
	return consent.Client{
		ID: s.text("client_id"), Name: s.text("client_name"), Host: s.text("verified_host"), Profile: s.text("profile"),
		AuthMethod: s.text("token_endpoint_auth_method"), AuthAlg: s.text("token_endpoint_auth_signing_alg"), AssertionAud: s.text("assertion_aud"),
		JWKS: s.jwks("jwks"), JWKSURI: s.text("jwks_uri"),
		TLSSubjectDN: s.text("tls_client_auth_subject_dn"), TLSSANDNS: s.text("tls_client_auth_san_dns"), TLSSANURI: s.text("tls_client_auth_san_uri"),
		TLSSANIP: s.text("tls_client_auth_san_ip"), TLSSANEmail: s.text("tls_client_auth_san_email"),
		CertificateBound: s.yes("tls_client_certificate_bound_access_tokens", false), DPoPBound: s.yes("dpop_bound_access_tokens", false),

		Mode:                 consent.DeliveryMode(s.text("backchannel_token_delivery_mode")),
		NotificationEndpoint: s.text("backchannel_client_notification_endpoint"), UserCode: s.yes("backchannel_user_code_parameter", false),
		RequestAlg: s.text("backchannel_authentication_request_signing_alg"), MustSign: s.yes("require_signed_request_object", false),
		IDTokenAlg: s.text("id_token_signed_response_alg"), DeferredEndpoint: s.text("deferred_client_notification_endpoint"),

		GrantTypes: s.texts("grant_types"), Scope: s.text("scope"), DetailsTypes: s.texts("authorization_details_types"), Approver: s.text("approver"),
		DefaultResource: s.text("default_resource"), Resources: s.texts("resources"), MayEnumerate: s.yes("may_enumerate", false), FromFile: true,
	}
}

// jwks returns a set of public keys: a mapping, JSON text, or {file: PATH}.
func (s *section) jwks(key string) json.RawMessage {
	if !s.has(key) {
		return nil
	}
	n := s.fields[key]
	switch {
	case n.Kind == yaml.ScalarNode:
		return json.RawMessage(n.Value)
	case n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[0].Value == "file" && n.Content[1].Kind == yaml.ScalarNode:
		data, err := s.r.readFile(n.Content[1].Value)
		if err != nil {
			s.wrong(key, "%v", err)
			return nil
		}
		return data
	}
	data, err := json.Marshal(plain(n))
	if err != nil {
		s.wrong(key, "%v", err)
	}
	return data
}

// plain is a node as JSON has it. What is not a truth value is text, as every
// member of a key is: a kid of digits stays what it is.
func plain(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := []any{}
		for _, e := range n.Content {
			list = append(list, plain(e))
		}
		return list
	}
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool":
		return n.Value == "true"
	}
	return n.Value
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
