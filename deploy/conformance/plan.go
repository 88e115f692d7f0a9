package main

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
)

// client is one of the suite's two.
type client struct {
	number  int
	signing *key // assertions and requests: the first client's is RSA, so that the suite can try RS256 with it
	tls     *key // its certificate
}

func newClient(n int) (client, error) {
	c, make := client{number: n}, newEC
	if n == 1 {
		make = newRSA
	}
	var err error
	if c.signing, err = make(fmt.Sprintf("client%d-signing", n)); err != nil {
		return c, err
	}
	if c.tls, err = newRSA(fmt.Sprintf("client%d-tls", n)); err != nil {
		return c, err
	}
	return c, c.tls.certify("", x509.ExtKeyUsageClientAuth)
}

// variant is a run of the plan.
type variant struct {
	mode    string // ciba_mode
	auth    string // client_auth_type
	dynamic bool   // client_registration
}

func variants() (out []variant) {
	for _, dynamic := range []bool{false, true} {
		for _, mode := range []string{"poll", "ping"} {
			for _, auth := range []string{"private_key_jwt", "mtls"} {
				out = append(out, variant{mode, auth, dynamic})
			}
		}
	}
	return out
}

func (v variant) name() string {
	registered := "static"
	if v.dynamic {
		registered = "dynamic"
	}
	return registered + "-" + v.mode + "-" + v.auth
}

// clientID is that of a static client: each variant has its own two, since a
// client has one mode and one way to authenticate.
func (v variant) clientID(c client) string { return fmt.Sprintf("%s-%s-%d", v.mode, v.auth, c.number) }

// clientName is how people would read of it. The suite makes the names of
// dynamic clients longer.
func (v variant) clientName(c client) string {
	if v.dynamic {
		return fmt.Sprintf("Conformance %d %s", c.number, v.mode)
	}
	how := "by certificate"
	if v.auth == "private_key_jwt" {
		how = "by key"
	}
	return fmt.Sprintf("Conformance %d %s %s", c.number, v.mode, how)
}

// unregistered are the members of ringback's metadata that are of drafts: the
// suite warns of those that its configuration does not name.
var unregistered = []string{
	"authorization_details_types_metadata_endpoint", "deferred_token_response_supported", "revocation_endpoint_token_type_values_supported",
}

// plan is the suite's configuration for a variant of its FAPI-CIBA plan.
func (s *setup) plan(v variant, clients [2]client, token string) map[string]any {
	out := map[string]any{
		"alias": s.Alias, "description": "ringback, " + v.name(),
		"automated_ciba_approval_url": s.URL() + "/dev/decide?auth_req_id={auth_req_id}&action={action}",
		"server":                      map[string]any{"discoveryUrl": s.URL() + "/.well-known/openid-configuration", "allow_unexpected_metadata_fields": unregistered},
		"resource":                    map[string]any{"resourceUrl": s.MTLSURL() + "/dev/resource"},
	}
	for i, c := range clients {
		entry := map[string]any{"scope": "openid accounts offline_access", "hint_type": "login_hint", "hint_value": "alice", "acr_value": "urn:ringback:acr:tap"}
		suffix := ""
		if i == 1 {
			suffix = "2"
		}
		if v.dynamic {
			entry["client_name"] = v.clientName(c)
			entry["initial_access_token"] = token
		} else {
			jwk, err := c.signing.jwk(true)
			certificate, private, err2 := c.tls.pemText()
			if err != nil || err2 != nil {
				panic("conformance: a key that was just made cannot be encoded")
			}
			entry["client_id"], entry["jwks"] = v.clientID(c), map[string]any{"keys": []any{jwk}}
			out["mtls"+suffix] = map[string]any{"cert": certificate, "key": private}
		}
		out["client"+suffix] = entry
	}
	return out
}

// entries are the static clients as ringback's configuration has them, one
// JSON object each, which YAML takes as it is.
func (s *setup) entries(clients [2]client) (out []string, err error) {
	for _, v := range variants() {
		if v.dynamic {
			continue
		}
		for _, c := range clients {
			var set []any
			for _, k := range []*key{c.signing, c.tls} {
				jwk, err := k.jwk(false)
				if err != nil {
					return nil, err
				}
				set = append(set, jwk)
			}
			e := map[string]any{
				"client_id": v.clientID(c), "client_name": v.clientName(c),
				"token_endpoint_auth_method": "private_key_jwt", "backchannel_token_delivery_mode": v.mode,
				"grant_types": []string{"urn:openid:params:grant-type:ciba", "refresh_token"},
				"tls_client_certificate_bound_access_tokens": true, "profile": "fapi-ciba", "people": "any",
				"default_resource": "https://api.example", "jwks": map[string]any{"keys": set},
			}
			if v.auth == "mtls" {
				e["token_endpoint_auth_method"] = "self_signed_tls_client_auth"
			}
			if v.mode == "ping" {
				e["backchannel_client_notification_endpoint"] = s.Suite + "/test/a/" + s.Alias + "/ciba-notification-endpoint"
			}
			text, err := json.Marshal(e)
			if err != nil {
				return nil, err
			}
			out = append(out, string(text))
		}
	}
	return out, nil
}
