package clients

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"ringback/consent"
	"ringback/details"
	"ringback/keys"
	"ringback/outbound"
)

// Bounds of a client's metadata document (draft-ietf-oauth-client-id-metadata-document).
const (
	maxDocument   = 5 << 10 // bytes, §6.6
	maxDocumentID = 512
	maxEndpoint   = 2048
)

// Grant types that a document may ask for. A client without an entry of ours
// gets those of strangers: nothing that is granted without a person.
var (
	documentGrants = []string{consent.GrantTypeCIBA, consent.GrantTypeRefresh, consent.GrantTypeClientCredentials, consent.GrantTypeDeferred}
	strangerGrants = documentGrants[:2]
)

// document is what a client says of itself at the URL that is its client_id,
// checked. Other members mean nothing here.
type document struct {
	ID                   string               `json:"client_id"`
	Name                 string               `json:"client_name"`
	AuthMethod           string               `json:"token_endpoint_auth_method"`
	AuthAlg              string               `json:"token_endpoint_auth_signing_alg"`
	Secret               json.RawMessage      `json:"client_secret"`
	SecretExpiry         json.RawMessage      `json:"client_secret_expires_at"`
	JWKS                 json.RawMessage      `json:"jwks"`
	JWKSURI              string               `json:"jwks_uri"`
	GrantTypes           []string             `json:"grant_types"`
	Mode                 consent.DeliveryMode `json:"backchannel_token_delivery_mode"`
	NotificationEndpoint string               `json:"backchannel_client_notification_endpoint"`
	DeferredEndpoint     string               `json:"deferred_client_notification_endpoint"`
	RequestAlg           string               `json:"backchannel_authentication_request_signing_alg"`
	MustSign             bool                 `json:"require_signed_request_object"`
	UserCode             bool                 `json:"backchannel_user_code_parameter"`
	IDTokenAlg           string               `json:"id_token_signed_response_alg"`
	CertificateBound     bool                 `json:"tls_client_certificate_bound_access_tokens"`
	DPoPBound            bool                 `json:"dpop_bound_access_tokens"`

	host string
}

// find is Client that can ask for a document again.
func (v *Verifier) find(ctx context.Context, id string, newest bool) (*consent.Client, error) {
	c, err := v.cfg.Find(ctx, id)
	if !IsAddress(id) || err != nil && !errors.Is(err, consent.ErrNotFound) || err == nil && provable(c) {
		return c, err
	}
	allowed := v.cfg.Policy().Documents
	u, ok := v.documentURL(id)
	if !ok || err != nil && (allowed == nil || !Covers(allowed.Hosts, u.Hostname())) {
		return c, err
	}
	d, fault := v.documents.get(ctx, id, id, newest)
	if fault == nil {
		c, fault = d.client(c, allowed)
	}
	if fault != nil {
		return nil, unfetched(InvalidClient, "client_id: the document there is", fault)
	}
	return c, nil
}

// IsAddress tells client_ids that may be URLs.
func IsAddress(id string) bool {
	return strings.HasPrefix(id, "https://") || strings.HasPrefix(id, "http://")
}

// provable reports whether an entry has what its client is known by.
func provable(c *consent.Client) bool {
	return len(c.SecretHashes) > 0 || c.JWKS != nil || c.JWKSURI != "" ||
		c.TLSSubjectDN != "" || c.TLSSANDNS != "" || c.TLSSANURI != "" || c.TLSSANIP != "" || c.TLSSANEmail != ""
}

// documentURL reads a client_id as the URL of a document (§3): there is one
// spelling of each.
func (v *Verifier) documentURL(id string) (*url.URL, bool) {
	u, err := url.Parse(id)
	if err != nil || len(id) > maxDocumentID || u.String() != id || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) ||
		strings.Contains(id, "#") || u.User != nil || u.Path == "" || u.Host != strings.ToLower(u.Host) || u.Scheme == "http" && !v.cfg.Dev {
		return nil, false
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return nil, false
		}
	}
	return u, v.cfg.Outbound.Check(u) == nil
}

// Covers reports whether a list of hosts has one: by its name, or by
// "*.agent.example" for what is below agent.example.
func Covers(hosts []string, host string) bool {
	return slices.ContainsFunc(hosts, func(entry string) bool {
		entry = strings.ToLower(entry)
		if above, ok := strings.CutPrefix(entry, "*"); ok && strings.HasPrefix(above, ".") {
			return len(host) > len(above) && strings.HasSuffix(host, above)
		}
		return entry == host
	})
}

// fetchDocument gets the document of a client.
func (v *Verifier) fetchDocument(ctx context.Context, address string) (*document, *outbound.Response, error) {
	res, err := v.fetch(ctx, address, maxDocument, isJSON)
	if err != nil {
		return nil, nil, err
	}
	d, err := readDocument(address, res.Body, v.cfg.Outbound.Check)
	return d, res, err
}

// isJSON takes application/json and every type that is JSON by its suffix
// (RFC 6838 §4.2.8).
func isJSON(typ string) bool {
	suffixed, ok := strings.CutPrefix(typ, "application/")
	return typ == "application/json" || ok && strings.HasSuffix(suffixed, "+json") && len(suffixed) > len("+json")
}

// readDocument reads and checks the document at an address; check tells which
// other addresses we would call. Its errors have nothing of the document.
func readDocument(address string, body []byte, check func(*url.URL) error) (*document, error) {
	d := new(document)
	if err := details.DecodeStrict(body, d); err != nil {
		return nil, errSyntax
	}
	here, err := url.Parse(address)
	if err != nil || d.ID != address {
		return nil, &ruleError{"client_id", "its client_id must be the URL where it stands, byte for byte"}
	}
	d.host = here.Hostname()
	if details.CheckName(d.Name) != nil {
		d.Name = d.host
	}
	elsewhere := func(text string) bool {
		u, err := url.Parse(text)
		return text != "" && (err != nil || len(text) > maxEndpoint || strings.Contains(text, "#") || !strings.EqualFold(u.Hostname(), d.host) || check(u) != nil)
	}
	calls := d.Mode == consent.Ping || d.Mode == consent.Push
	switch {
	case d.Secret != nil || d.SecretExpiry != nil:
		return nil, &ruleError{"secret", "it must not have a client_secret"}
	case d.AuthMethod != "" && d.AuthMethod != consent.MethodPrivateKeyJWT:
		return nil, &ruleError{"auth_method", "its token_endpoint_auth_method must be private_key_jwt"}
	case (d.JWKS == nil) == (d.JWKSURI == ""):
		return nil, &ruleError{"keys", "it must have either jwks or jwks_uri"}
	case d.JWKS != nil && !areKeys(d.JWKS):
		return nil, &ruleError{"keys", "its jwks must have 1 to 32 keys, all of them public: RSA of 2048 bits or more, P-256 or Ed25519"}
	case elsewhere(d.JWKSURI):
		return nil, &ruleError{"jwks_uri", "its jwks_uri must be an https URL on its own host"}
	case !known(d.AuthAlg, Algs), !known(d.RequestAlg, Algs), !known(d.IDTokenAlg, fapiAlgs):
		return nil, &ruleError{"algorithm", "signing algorithms here are PS256, ES256 and EdDSA, of ID tokens the first two"}
	case d.GrantTypes != nil && len(among(d.GrantTypes, documentGrants)) == 0:
		return nil, errGrants
	case d.Mode != "" && d.Mode != consent.Poll && !calls:
		return nil, &ruleError{"delivery_mode", "its backchannel_token_delivery_mode must be poll, ping or push"}
	case calls && d.NotificationEndpoint == "":
		return nil, &ruleError{"endpoint", "ping and push need a backchannel_client_notification_endpoint"}
	case elsewhere(d.NotificationEndpoint), elsewhere(d.DeferredEndpoint):
		return nil, &ruleError{"endpoint", "its notification endpoints must be https URLs on its own host"}
	}
	return d, nil
}

var (
	errSyntax = &ruleError{"syntax", "it must be one JSON object in which no member stands twice, with members of the registered types"}
	errGrants = &ruleError{"grant_types", "its grant_types must have " + consent.GrantTypeCIBA}
)

func areKeys(jwks []byte) bool {
	_, err := keys.ParsePublicKeys(jwks)
	return err == nil
}

// known reports whether a word is absent or on the list.
func known(word string, list []string) bool { return word == "" || slices.Contains(list, word) }

// among returns the words that are on the list.
func among(words, list []string) (out []string) {
	for _, w := range words {
		if slices.Contains(list, w) && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// client returns what the document makes: with what the entry says that was
// made for it, else with what all of them are allowed.
func (d *document) client(entry *consent.Client, allowed *consent.Documents) (*consent.Client, error) {
	c, grants := new(consent.Client), strangerGrants
	if entry == nil {
		c.FromDocument, c.People, c.Scope, c.DefaultResource, c.Resources = true, allowed.People, allowed.Scope, allowed.DefaultResource, allowed.Resources
	} else {
		*c = *entry
		c.FromDocument = false // not everybody on its host has an entry, so it is counted by itself
		if grants = entry.GrantTypes; len(grants) == 0 {
			grants = documentGrants[:1] // as for any entry that names none
		}
	}
	c.ID, c.AuthMethod, c.JWKS, c.JWKSURI = d.ID, consent.MethodPrivateKeyJWT, d.JWKS, d.JWKSURI
	for _, own := range []struct {
		member *string
		said   string
	}{{&c.Name, d.Name}, {&c.Host, d.host}, {&c.AuthAlg, d.AuthAlg}, {&c.RequestAlg, d.RequestAlg}, {&c.IDTokenAlg, d.IDTokenAlg}} {
		if *own.member == "" {
			*own.member = own.said
		}
	}
	if c.Mode = d.Mode; c.Mode == "" {
		c.Mode = consent.Poll
	}
	c.NotificationEndpoint, c.DeferredEndpoint = d.NotificationEndpoint, d.DeferredEndpoint
	c.MustSign, c.UserCode = c.MustSign || d.MustSign, c.UserCode || d.UserCode
	c.CertificateBound, c.DPoPBound = c.CertificateBound || d.CertificateBound, c.DPoPBound || d.DPoPBound
	if c.GrantTypes = among(d.GrantTypes, grants); d.GrantTypes == nil {
		c.GrantTypes = among(documentGrants[:1], grants)
	}
	if len(c.GrantTypes) == 0 {
		return nil, errGrants
	}
	if c.Strict() && c.Mode == consent.Push {
		return nil, &ruleError{"delivery_mode", "clients of the profile " + consent.ProfileFAPI + " poll or are pinged"}
	}
	return c, nil
}
