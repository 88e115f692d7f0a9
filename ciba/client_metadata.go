package ciba

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"ringback/clients"
	"ringback/consent"
	"ringback/details"
)

// sayable are the members that a client says of itself (RFC 7591 §2, CIBA Core
// §4, RFC 8705 §2.1.2 and §3.4, RFC 9101 §10.5, RFC 9396 §10, RFC 9449 §5.2),
// by the names of consent.Client. Everything else there is the operator's to
// say.
var sayable = []string{
	"client_name", "token_endpoint_auth_method", "token_endpoint_auth_signing_alg", "jwks", "jwks_uri",
	"tls_client_auth_subject_dn", "tls_client_auth_san_dns", "tls_client_auth_san_uri", "tls_client_auth_san_ip", "tls_client_auth_san_email",
	"tls_client_certificate_bound_access_tokens", "dpop_bound_access_tokens",
	"backchannel_token_delivery_mode", "backchannel_client_notification_endpoint", "backchannel_user_code_parameter",
	"backchannel_authentication_request_signing_alg", "require_signed_request_object", "id_token_signed_response_alg",
	"deferred_client_notification_endpoint", "grant_types", "scope", "authorization_details_types",
}

// clientMetadata is what a client says of itself, member by member. A null is
// as good as nothing (RFC 7592 §2.2).
type clientMetadata map[string]json.RawMessage

// readMetadata reads the body of a registration.
func readMetadata(r *http.Request) (clientMetadata, error) {
	if typ := "application/json"; !isType(r.Header.Get("Content-Type"), typ) {
		return nil, refuseType(typ)
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	return parseMetadata([]byte(body))
}

// parseMetadata reads client metadata, which is one strict JSON object.
func parseMetadata(body []byte) (clientMetadata, error) {
	if err := details.CheckLongJSON(body, MaxBody); err != nil {
		return nil, refuse(InvalidClientMetadata, "the body: %v", err)
	}
	var m clientMetadata
	if err := json.Unmarshal(body, &m); err != nil || m == nil {
		return nil, refuse(InvalidClientMetadata, "the body must be a JSON object")
	}
	for name, v := range m {
		if string(v) == "null" {
			delete(m, name)
		}
	}
	return m, nil
}

// decode reads one member; absent it leaves v alone.
func (m clientMetadata) decode(name string, v any) error {
	raw, ok := m[name]
	if !ok || json.Unmarshal(raw, v) == nil {
		return nil
	}
	return refuse(InvalidClientMetadata, "%s: must have the form that RFC 7591 section 2 gives it", name)
}

// client returns what is said as an entry. Members that nobody here knows are
// ignored (RFC 7591 §2).
func (m clientMetadata) client() (*consent.Client, error) {
	said := clientMetadata{}
	for _, name := range sayable {
		if v, ok := m[name]; ok {
			said[name] = v
		}
	}
	raw, err := json.Marshal(said)
	if err != nil {
		return nil, err
	}
	c := new(consent.Client)
	var wrong *json.UnmarshalTypeError
	if err := json.Unmarshal(raw, c); errors.As(err, &wrong) {
		return nil, refuse(InvalidClientMetadata, "%s: must not be a JSON %s", wrong.Field, wrong.Value)
	} else if err != nil {
		return nil, refuse(InvalidClientMetadata, "a member has another form than RFC 7591 section 2 gives it")
	}
	return c, m.foreign()
}

// foreign checks members whose meaning cannot be ignored: what needs a browser
// here, and hiding people from clients.
func (m clientMetadata) foreign() error {
	var responses, redirects []string
	subject := ""
	if err := errors.Join(m.decode("response_types", &responses), m.decode("redirect_uris", &redirects), m.decode("subject_type", &subject)); err != nil {
		return err
	}
	if len(responses) > 0 {
		return refuse(InvalidClientMetadata, "response_types: there is no authorization endpoint here, send []")
	}
	if subject != "" && subject != "public" {
		return refuse(InvalidClientMetadata, "subject_type: must be public")
	}
	for _, uri := range redirects {
		if u, err := url.Parse(uri); err != nil || !u.IsAbs() || strings.Contains(uri, "#") {
			return refuse(InvalidRedirectURI, "redirect_uris: each must be an absolute URI without fragment; none is used here, so they can be left out")
		}
	}
	return nil
}

// about checks a body that replaces the metadata of a client (RFC 7592 §2.2).
func (m clientMetadata) about(c *consent.Client) error {
	id, secret := "", ""
	if err := errors.Join(m.decode("client_id", &id), m.decode("client_secret", &secret)); err != nil {
		return err
	}
	if id != c.ID {
		return refuse(InvalidRequest, "client_id: must be %s, the client that is being changed", c.ID)
	}
	if secret != "" && !clients.HasSecret(c, secret) {
		return refuse(InvalidRequest, "client_secret: must be the present one, or be left out")
	}
	for _, name := range []string{"registration_access_token", "registration_client_uri", "client_id_issued_at", "client_secret_expires_at"} {
		if _, ok := m[name]; ok {
			return refuse(InvalidRequest, "%s: must not be sent (RFC 7592 section 2.2)", name)
		}
	}
	return nil
}

// entry returns the client that a registrant describes, with what such clients
// get here.
func (s *Server) entry(by string, said clientMetadata) (*consent.Client, error) {
	c, err := said.client()
	if err != nil {
		return nil, err
	}
	reg := s.cfg.Registration
	c.Registrant, c.People, c.Profile = by, reg.People, reg.Profile
	c.DefaultResource, c.Resources = reg.DefaultResource, reg.Resources
	if c.Scope, err = s.registeredScope(c.Scope); err != nil {
		return nil, err
	}
	if c.IDTokenAlg == "" { // the default of OpenID Connect Registration is another
		c.IDTokenAlg = "ES256"
	}
	for _, at := range []struct{ member, address string }{
		{"backchannel_client_notification_endpoint", c.NotificationEndpoint},
		{"deferred_client_notification_endpoint", c.DeferredEndpoint},
		{"jwks_uri", c.JWKSURI},
	} {
		if err := s.mayCall(by, at.member, at.address); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// registeredScope is what a client may ask for that registers for scope.
func (s *Server) registeredScope(scope string) (string, error) {
	most := s.cfg.Registration.Scope
	if scope == "" {
		return most, nil
	}
	policy := s.cfg.Policy()
	for _, name := range strings.Fields(scope) {
		_, known := policy.Scopes[name]
		switch {
		case name == scopeOpenID, name == scopeOffline:
		case !known || most != "" && !slices.Contains(strings.Fields(most), name):
			return "", refuse(InvalidClientMetadata, "scope: %.64s is not a scope that clients can register for here", name)
		}
	}
	return scope, nil
}

// mayCall refuses an address of the client that we would call and must not:
// one that nobody outside may lead us to, and one of a host that the registrant
// has not been trusted with (CIBA Core §14).
func (s *Server) mayCall(by, member, address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return refuse(InvalidClientMetadata, "%s: must be an https URL", member)
	}
	if err := s.cfg.Outbound.Check(u); err != nil {
		return refuse(InvalidClientMetadata, "%s: %v", member, err)
	}
	for _, t := range s.cfg.Registration.Tokens {
		if t.Name == by && clients.Covers(t.Hosts, strings.ToLower(u.Hostname())) {
			return nil
		}
	}
	return refuse(InvalidClientMetadata, "%s: the operator has not named its host for this initial access token, ask for that", member)
}

// information is the client information response (RFC 7591 §3.2.1, RFC 7592
// §3): all that is registered, and what lets the client change it.
func (s *Server) information(c *consent.Client, secret, token string) map[string]any {
	out := map[string]any{
		"client_id": c.ID, "client_id_issued_at": c.CreatedAt.Unix(), "response_types": []string{},
		"registration_access_token": token, "registration_client_uri": s.base + pathRegister + "/" + url.PathEscape(c.ID),
	}
	if secret != "" {
		out["client_secret"], out["client_secret_expires_at"] = secret, 0
	}
	registered := clientMetadata{}
	if raw, err := json.Marshal(c); err == nil {
		_ = json.Unmarshal(raw, &registered) // an object that was just written
	}
	for _, name := range sayable {
		if v, ok := registered[name]; ok {
			out[name] = v
		}
	}
	return out
}
