package admin

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"ringback/consent"
	"ringback/details"
	"ringback/keys"
)

var (
	grants = []string{consent.GrantTypeCIBA, consent.GrantTypeClientCredentials, consent.GrantTypeRefresh, consent.GrantTypeDeferred}
	// AuthMethods are the ways in which a client may prove who it is. A client
	// of either of the first two may use both, since they carry the same secret.
	AuthMethods = []string{consent.MethodBasic, consent.MethodPost, consent.MethodPrivateKeyJWT, consent.MethodTLS, consent.MethodSelfSignedTLS}
	keyMethods  = AuthMethods[2:]

	signingAlgs = []string{keys.ES256, keys.PS256, keys.EdDSA, keys.Ed25519} // of clients
	strictAlgs  = signingAlgs[:2]                                            // FAPI-CIBA §5.2.2, and ours for ID tokens
)

// Offer is what a deployment has for its clients.
type Offer struct {
	Dev       bool     // clients may be called over plain http on loopback
	MTLS      bool     // there is a listener for client certificates
	ClientCA  bool     // certificates of tls_client_auth can be verified there
	Types     []string // of authorization_details; nil: not checked
	Resources int      // how many are configured
}

// HasSecret reports whether clients of an authentication method have a secret;
// the empty method is the default.
func HasSecret(method string) bool { return !slices.Contains(keyMethods, method) }

// Complete fills what an entry does not say with the defaults of the registered
// metadata. An entry whose client_id is a URL and that has no keys leaves to
// the document there what the client says of itself.
func Complete(c *consent.Client) {
	if isURL(c.ID) {
		if c.FromDocument = len(c.JWKS) == 0 && c.JWKSURI == ""; c.FromDocument {
			return
		}
		if c.AuthMethod == "" {
			c.AuthMethod = consent.MethodPrivateKeyJWT
		}
		if u, err := url.Parse(c.ID); err == nil && c.Name == "" {
			c.Name = u.Hostname()
		}
	}
	if c.Name == "" {
		c.Name = c.ID
	}
	if c.AuthMethod == "" {
		c.AuthMethod = consent.MethodBasic
	}
	if c.Mode == "" {
		c.Mode = consent.Poll
	}
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = []string{consent.GrantTypeCIBA}
	}
}

// CheckClient lists what is wrong with a client that is complete.
func CheckClient(c *consent.Client, o Offer) []Problem {
	k := checker{c: c, offer: o}
	k.identity()
	if c.FromDocument {
		k.document()
	} else {
		k.authentication()
		k.keys()
		k.certificate()
		k.delivery()
		k.grants()
	}
	k.profile()
	k.asking()
	k.audience()
	return k.out
}

// checker collects what is wrong with one client.
type checker struct {
	c     *consent.Client
	offer Offer
	out   []Problem
}

func (k *checker) wrong(member, format string, args ...any) {
	k.out = append(k.out, Problem{member, fmt.Sprintf(format, args...)})
}

func (k *checker) identity() {
	c := k.c
	if isURL(c.ID) {
		k.documentURL()
	} else if !clientID.MatchString(c.ID) {
		k.wrong("client_id", "%q is not a client_id: 1 to 128 letters, digits and . _ ~ : -, beginning with a letter or digit; or the https URL of the client's metadata document", c.ID)
	}
	if c.Name != "" {
		if err := details.CheckName(c.Name); err != nil {
			k.wrong("client_name", "%v", err)
		}
	}
	if c.Host != "" && (len(c.Host) > 253 || !hostname.MatchString(c.Host)) {
		k.wrong("verified_host", "%q is not a host name: write travel.example, without scheme or path", c.Host)
	}
}

// isURL tells a client_id that is the URL of a metadata document from others.
func isURL(clientID string) bool { return strings.Contains(clientID, "/") }

// documentURL checks such a client_id
// (draft-ietf-oauth-client-id-metadata-document §3).
func (k *checker) documentURL() {
	id := k.c.ID
	u, err := url.Parse(id)
	switch {
	case err != nil || len(id) > 255 || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(id, "#") ||
		len(u.Path) < 2 || path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/"):
		k.wrong("client_id", "%q is not the URL of a metadata document: write https://agent.example/client.json, at most 255 characters, with a path and without user, query, fragment and dot segments", id)
	case !k.reachable(u):
		k.wrong("client_id", "%q must begin with https://", id)
	}
}

// document checks that an entry leaves to the client's metadata document what
// that says.
func (k *checker) document() {
	c := k.c
	for _, m := range []struct {
		member string
		given  bool
	}{
		{"verified_host", c.Host != ""},
		{"token_endpoint_auth_method", c.AuthMethod != ""},
		{"backchannel_token_delivery_mode", c.Mode != ""},
		{"backchannel_client_notification_endpoint", c.NotificationEndpoint != ""},
		{"deferred_client_notification_endpoint", c.DeferredEndpoint != ""},
		{"grant_types", len(c.GrantTypes) > 0},
	} {
		if m.given {
			k.wrong(m.member, "a client whose client_id is a URL says this in the document there: remove it, or add its jwks or jwks_uri and say everything here")
		}
	}
}

// delivery checks how answers reach the client (CIBA Core §4).
func (k *checker) delivery() {
	const member = "backchannel_client_notification_endpoint"
	c := k.c
	switch c.Mode {
	case consent.Poll:
		if c.NotificationEndpoint != "" {
			k.wrong(member, "a client that polls is not notified: remove it, or set backchannel_token_delivery_mode to ping")
		}
	case consent.Ping, consent.Push:
		if c.NotificationEndpoint == "" {
			k.wrong(member, "missing: a client of delivery mode %s needs an https URL", c.Mode)
		} else {
			k.endpoint(member, c.NotificationEndpoint, "https://agent.example/ping")
		}
	default:
		k.wrong("backchannel_token_delivery_mode", "%q is not offered here: use poll, ping or push", c.Mode)
	}
	if c.DeferredEndpoint != "" {
		k.endpoint("deferred_client_notification_endpoint", c.DeferredEndpoint, "https://agent.example/ping")
	}
}

// endpoint checks a URL of the client that we will call. Whether its address
// may be called is told by the guard when it is.
func (k *checker) endpoint(member, s, example string) {
	u, err := url.Parse(s)
	switch {
	case err != nil || len(s) > 2048 || u.Host == "" || u.User != nil || strings.Contains(s, "#"):
		k.wrong(member, "%q is not a URL without user and fragment: write %s", s, example)
	case !k.reachable(u):
		k.wrong(member, "%q must begin with https://", s)
	}
}

// reachable reports whether a URL has a scheme by which we call clients.
func (k *checker) reachable(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "http" && k.offer.Dev && loopback(u.Hostname())
}

func (k *checker) grants() {
	c := k.c
	has := func(g string) bool { return slices.Contains(c.GrantTypes, g) }
	for _, g := range c.GrantTypes {
		if !slices.Contains(grants, g) {
			k.wrong("grant_types", "%q is not offered here: use %s", g, either(grants))
		}
	}
	switch {
	case has(consent.GrantTypeRefresh) && !has(consent.GrantTypeCIBA):
		k.wrong("grant_types", "%s renews what a person has approved: add %s, or remove it", consent.GrantTypeRefresh, consent.GrantTypeCIBA)
	case has(consent.GrantTypeDeferred) && !has(consent.GrantTypeClientCredentials):
		k.wrong("grant_types", "%s completes %s: add that, or remove it", consent.GrantTypeDeferred, consent.GrantTypeClientCredentials)
	case c.DeferredEndpoint != "" && !has(consent.GrantTypeClientCredentials):
		k.wrong("deferred_client_notification_endpoint", "only %s is deferred: add it to grant_types, or remove this", consent.GrantTypeClientCredentials)
	}
}

// profile checks the profile, and that its clients are not sent tokens
// (FAPI-CIBA §5.2.2).
func (k *checker) profile() {
	switch c := k.c; {
	case c.Profile != "" && !c.Strict():
		k.wrong("profile", "%q is unknown: use %s, or leave it out", c.Profile, consent.ProfileFAPI)
	case c.Strict() && c.Mode == consent.Push:
		k.wrong("backchannel_token_delivery_mode", "the profile %s has no push: use poll or ping", c.Profile)
	}
}

// asking checks whom the client may ask, and for what.
func (k *checker) asking() {
	c := k.c
	for s := range strings.FieldsSeq(c.Scope) {
		if !scope.MatchString(s) {
			k.wrong("scope", "%q is not a scope: printable ASCII without quotation mark and backslash", s)
		}
	}
	for _, t := range c.DetailsTypes {
		if k.offer.Types != nil && !slices.Contains(k.offer.Types, t) {
			k.wrong("authorization_details_types", "there is no type %q: known are %s", t, strings.Join(k.offer.Types, ", "))
		}
	}
	if c.People == "list" && len(c.PeopleList) == 0 {
		k.wrong("people", "the list is empty: name people, or use linked or any")
	}
	if c.People != "" && !slices.Contains([]string{"linked", "any", "list"}, c.People) {
		k.wrong("people", "%q is neither linked nor any nor a list of people", c.People)
	}
	for _, id := range c.PeopleList {
		if !personID.MatchString(id) {
			k.wrong("people", "%q is not the id of a person", id)
		}
	}
	if c.Approver != "" && !personID.MatchString(c.Approver) {
		k.wrong("approver", "%q is not the id of a person", c.Approver)
	}
}

// audience checks that tokens of the client can be for some API (RFC 8707).
func (k *checker) audience() {
	c := k.c
	if c.DefaultResource != "" && !IsResource(c.DefaultResource) {
		k.wrong("default_resource", "%q is not an absolute URI without fragment: write https://api.example (RFC 8707)", c.DefaultResource)
	}
	for _, u := range c.Resources {
		if !IsResource(u) {
			k.wrong("resources", "%q is not an absolute URI without fragment: write https://api.example (RFC 8707)", u)
		}
	}
	if c.DefaultResource == "" && len(c.Resources) == 0 && k.offer.Resources == 0 {
		k.wrong("default_resource", "missing, and no resources are configured, so nothing could be asked for: name the API that its tokens are for, such as https://api.example.com")
	}
}

// either lists words of which one is to be used.
func either(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
