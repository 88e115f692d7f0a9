package consent

import (
	"encoding/json"
	"slices"
	"time"
)

// Values of [Client.AssertionAud].
const (
	AudIssuerOnly = "issuer-only" // the issuer's name alone
	AudCIBAFinal  = "ciba-final"  // also the URL of an endpoint (CIBA Core §7.1)
)

// Values of [Client.AuthMethod]: how a client proves who it is.
const (
	MethodBasic         = "client_secret_basic"         // RFC 6749 §2.3.1
	MethodPost          = "client_secret_post"          // the same secret in the form
	MethodPrivateKeyJWT = "private_key_jwt"             // OpenID Connect Core §9
	MethodTLS           = "tls_client_auth"             // RFC 8705 §2.1
	MethodSelfSignedTLS = "self_signed_tls_client_auth" // RFC 8705 §2.2
)

// Values of [Client.GrantTypes].
const (
	GrantTypeCIBA              = "urn:openid:params:grant-type:ciba" // CIBA Core §4
	GrantTypeClientCredentials = "client_credentials"                // RFC 6749 §4.4
	GrantTypeRefresh           = "refresh_token"                     // RFC 6749 §6
	GrantTypeDeferred          = "urn:ietf:params:oauth:grant-type:deferred"
)

// ProfileFAPI is the profile of FAPI-CIBA.
const ProfileFAPI = "fapi-ciba"

// Client is a registered agent. Members are the registered metadata names
// (RFC 7591, CIBA Core §4, RFC 8705, RFC 9101, RFC 9449) where there are such.
type Client struct {
	ID           string   `json:"client_id"`
	Name         string   `json:"client_name,omitempty"`
	Host         string   `json:"verified_host,omitempty"`
	AuthMethod   string   `json:"token_endpoint_auth_method,omitempty"`      // default client_secret_basic, and _post works as well
	AuthAlg      string   `json:"token_endpoint_auth_signing_alg,omitempty"` // of private_key_jwt; empty: any that is accepted here
	SecretHashes []Digest `json:"secret_sha256,omitempty"`                   // SHA-256 of generated secrets; two while one is rotated out

	JWKS             json.RawMessage `json:"jwks,omitempty"`
	JWKSURI          string          `json:"jwks_uri,omitempty"`                                   // instead of JWKS
	TLSSubjectDN     string          `json:"tls_client_auth_subject_dn,omitempty"`                 // of tls_client_auth one of the five (RFC 8705 §2.1.2)
	TLSSANDNS        string          `json:"tls_client_auth_san_dns,omitempty"`                    //
	TLSSANURI        string          `json:"tls_client_auth_san_uri,omitempty"`                    //
	TLSSANIP         string          `json:"tls_client_auth_san_ip,omitempty"`                     //
	TLSSANEmail      string          `json:"tls_client_auth_san_email,omitempty"`                  //
	CertificateBound bool            `json:"tls_client_certificate_bound_access_tokens,omitempty"` // no token without a client certificate
	DPoPBound        bool            `json:"dpop_bound_access_tokens,omitempty"`                   // no token without a DPoP proof
	AssertionAud     string          `json:"assertion_aud,omitempty"`                              // AudIssuerOnly (default) or AudCIBAFinal
	Profile          string          `json:"profile,omitempty"`                                    // empty or ProfileFAPI

	Mode                 DeliveryMode `json:"backchannel_token_delivery_mode"`
	NotificationEndpoint string       `json:"backchannel_client_notification_endpoint,omitempty"`
	RequestAlg           string       `json:"backchannel_authentication_request_signing_alg,omitempty"` // of signed requests; empty: any that is accepted here
	MustSign             bool         `json:"require_signed_request_object,omitempty"`
	UserCode             bool         `json:"backchannel_user_code_parameter,omitempty"`
	IDTokenAlg           string       `json:"id_token_signed_response_alg,omitempty"` // ES256 (default) or PS256
	DeferredEndpoint     string       `json:"deferred_client_notification_endpoint,omitempty"`

	GrantTypes      []string `json:"grant_types,omitempty"`
	Scope           string   `json:"scope,omitempty"`                       // space-separated allow-list; empty: every configured scope
	DetailsTypes    []string `json:"authorization_details_types,omitempty"` // allow-list; empty: every type
	People          string   `json:"people,omitempty"`                      // "linked" (default), "any" or "list"
	PeopleList      []string `json:"people_list,omitempty"`
	Approver        string   `json:"approver,omitempty"` // person id: who is asked where a grant names nobody
	DefaultResource string   `json:"default_resource,omitempty"`
	Resources       []string `json:"resources,omitempty"` // further resources it may ask for
	MayEnumerate    bool     `json:"may_enumerate,omitempty"`

	Registrant        string    `json:"registrant,omitempty"`         // who registered it (RFC 7591): the name of the initial access token
	RegistrationToken Digest    `json:"registration_sha256,omitzero"` // SHA-256 of the registration access token (RFC 7592)
	FromFile          bool      `json:"from_file,omitempty"`          // an entry of the configuration file
	FromDocument      bool      `json:"from_document,omitempty"`      // its client_id is the URL of its metadata document
	CreatedAt         time.Time `json:"created_at,omitzero"`
}

// Strict reports whether the FAPI-CIBA profile applies to the client.
func (c *Client) Strict() bool { return c.Profile == ProfileFAPI }

// Signs reports whether every request of the client must be signed.
func (c *Client) Signs() bool { return c.MustSign || c.Strict() }

// Bound reports whether no token may be issued to the client that is not bound
// to a key.
func (c *Client) Bound() bool { return c.CertificateBound || c.DPoPBound || c.Strict() }

// Group is what a freeze stops: the client, or everything of the same verified
// host or registrant where a client_id costs nothing.
func (c *Client) Group() string {
	switch {
	case c.FromDocument:
		return "host " + c.Host
	case c.Registrant != "":
		return "registrant " + c.Registrant
	}
	return c.ID
}

// MayName reports whether the client may ask this person.
func (c *Client) MayName(p *Person) bool {
	switch c.People {
	case "any":
		return true
	case "list":
		return slices.Contains(c.PeopleList, p.ID)
	default:
		return slices.Contains(p.Clients, c.ID)
	}
}
