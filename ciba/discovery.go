package ciba

import (
	"maps"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"ringback/clients"
	"ringback/consent"
	"ringback/keys"
)

// metadata describes this service (OpenID Connect Discovery §3, RFC 8414 §2,
// CIBA Core §4, RFC 9396 §10, draft-ietf-oauth-rar-metadata-remediation-00 §5,
// draft-ietf-oauth-deferred-token-response-01 §5.1 and §8.4).
// What is absent is not supported.
type metadata struct {
	Issuer                string   `json:"issuer"`
	TokenEndpoint         string   `json:"token_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	BackchannelEndpoint   string   `json:"backchannel_authentication_endpoint"`
	DeliveryModes         []string `json:"backchannel_token_delivery_modes_supported"`
	UserCode              bool     `json:"backchannel_user_code_parameter_supported"`
	Scopes                []string `json:"scopes_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	ACRs                  []string `json:"acr_values_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenAlgs           []string `json:"id_token_signing_alg_values_supported"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	InspectAuthMethods    []string `json:"introspection_endpoint_auth_methods_supported"`
	RevokeAuthMethods     []string `json:"revocation_endpoint_auth_methods_supported"`
	DetailsTypes          []string `json:"authorization_details_types_supported"`
	DetailsTypesEndpoint  string   `json:"authorization_details_types_metadata_endpoint"`
	AssertionAlgs         []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	RequestAlgs           []string `json:"backchannel_authentication_request_signing_alg_values_supported"`
	ProofAlgs             []string `json:"dpop_signing_alg_values_supported"`
	CertificateBound      bool     `json:"tls_client_certificate_bound_access_tokens"`
	Aliases               *aliases `json:"mtls_endpoint_aliases,omitempty"`
	AuthorizationEndpoint string   `json:"authorization_endpoint,omitempty"`
	RegistrationEndpoint  string   `json:"registration_endpoint,omitempty"`
	Claims                []string `json:"claims_supported"`
	ClaimsParameter       bool     `json:"claims_parameter_supported"`
	RequestParameter      bool     `json:"request_parameter_supported"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"`
	ClientDocuments       bool     `json:"client_id_metadata_document_supported,omitempty"`
	Deferred              bool     `json:"deferred_token_response_supported"`
	RevokeTypes           []string `json:"revocation_endpoint_token_type_values_supported"`
}

// aliases are the endpoints at the address of client certificates (RFC 8705
// §5).
type aliases struct {
	Token       string `json:"token_endpoint"`
	Introspect  string `json:"introspection_endpoint"`
	Revoke      string `json:"revocation_endpoint"`
	Backchannel string `json:"backchannel_authentication_endpoint"`
}

// discovery serves both well-known documents.
func (s *Server) discovery(c echo.Context) error {
	return answer(c, http.StatusOK, s.metadata(s.cfg.Policy()))
}

func (s *Server) metadata(p *consent.Policy) *metadata {
	methods, mtls := s.cfg.Clients.Methods(), s.cfg.Clients.MTLS()
	m := &metadata{
		Issuer:                s.cfg.Issuer,
		TokenEndpoint:         s.base + pathToken,
		JWKSURI:               s.base + "/jwks",
		IntrospectionEndpoint: s.base + pathIntrospect,
		RevocationEndpoint:    s.base + pathRevoke,
		BackchannelEndpoint:   s.base + pathBackchannel,
		DetailsTypesEndpoint:  s.base + pathDetailsTypes,
		UserCode:              true,
		DeliveryModes:         []string{string(consent.Poll), string(consent.Ping)},
		ResponseTypes:         []string{},
		GrantTypes:            grantTypes,
		SubjectTypes:          []string{"public"},
		IDTokenAlgs:           []string{keys.ES256, keys.PS256},
		AssertionAlgs:         clients.Algs, RequestAlgs: clients.Algs, ProofAlgs: clients.Algs,
		CertificateBound: mtls != "", RequestParameter: true,
		TokenAuthMethods: methods, InspectAuthMethods: methods, RevokeAuthMethods: methods,
		DetailsTypes: append([]string{}, s.cfg.Details.Names()...),
		Deferred:     true, RevokeTypes: []string{typeDeferral},
		Claims: []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "acr", "amr", "at_hash", "urn:openid:params:jwt:claim:auth_req_id"},
	}
	if mtls != "" {
		m.Aliases = &aliases{mtls + pathToken, mtls + pathIntrospect, mtls + pathRevoke, mtls + pathBackchannel}
	}
	m.ClientDocuments = p.Documents != nil
	if s.cfg.Registration != nil {
		m.RegistrationEndpoint = s.base + pathRegister
	}
	if p.FAPI {
		m.AuthorizationEndpoint = s.base + pathAuthorize
	} else { // which has no push
		m.DeliveryModes = append(m.DeliveryModes, string(consent.Push))
	}
	own := []string{scopeOpenID}
	if p.Lifetime.Renew > 0 {
		m.GrantTypes = append(m.GrantTypes, GrantRefresh)
		m.Claims = append(m.Claims, "urn:openid:params:jwt:claim:rt_hash")
		own = append(own, scopeOffline)
	}
	m.Scopes = slices.AppendSeq(own, maps.Keys(p.Scopes))
	slices.Sort(m.Scopes)
	m.Scopes = slices.Compact(m.Scopes)
	for _, acr := range consent.ACRs {
		if p.Reach == "" || consent.Rank(acr) <= consent.Rank(p.Reach) {
			m.ACRs = append(m.ACRs, acr)
		}
	}
	return m
}

// jwks serves the keys that our tokens are signed with.
func (s *Server) jwks(c echo.Context) error {
	return writeJSON(c, http.StatusOK, s.cfg.Ring.JWKS())
}

// pathAuthorize is published where a profile wants an authorization endpoint.
const pathAuthorize = "/authorize"

// authorize answers what the front channel would ask: there is none here.
func (s *Server) authorize(echo.Context) error {
	return refuse(UnsupportedResponseType, "people are asked by the backchannel authentication endpoint here, not in a browser")
}

// Paths of the endpoints.
const (
	pathToken       = "/token"
	pathBackchannel = "/bc-authorize"
	pathIntrospect  = "/introspect"
	pathRevoke      = "/revoke"
	pathRegister    = "/register"

	pathDetailsTypes = "/authorization-details-types"
)
