//go:build e2e

package main

import (
	"net/http"
	"net/url"
	"slices"

	"ringback/ciba"
)

// renewed is the module refresh-token: both clients renew, the first with its
// scope, and what the second has is nothing to the first.
func (r *run) renewed() {
	if grants, _ := r.meta["grant_types_supported"].([]any); !slices.Contains(grants, any(ciba.GrantRefresh)) {
		r.t.Errorf("grant_types_supported: %v", grants)
	}
	var newest string
	for _, p := range []*party{&r.one, &r.two} {
		first := r.flow(p)
		scope := ""
		if p == &r.one {
			scope = p.plan["scope"].(string)
		}
		a := r.renew(p, first.str("refresh_token"), scope)
		access := a.str("access_token")
		if a.status != http.StatusOK || a.header.Get("Cache-Control") != "no-store" || a.str("token_type") != "Bearer" || a.body["expires_in"].(float64) <= 0 {
			r.t.Fatalf("renewing: %d %v %s", a.status, a.header, a.raw)
		}
		if access == first.str("access_token") || !visible.MatchString(access) || entropy(access) < 128 {
			r.t.Errorf("the renewed token: %s", a.raw)
		}
		if newest = a.str("refresh_token"); !visible.MatchString(newest) || entropy(newest) < 128 {
			r.t.Errorf("the next refresh token: %s", a.raw)
		}
		r.opened(r.send(p.http, http.MethodGet, r.resource, nil, "Authorization", "Bearer "+access, "Accept", acceptJSON))
	}
	r.refused("the other client's refresh token", r.renew(&r.one, newest, r.one.plan["scope"].(string)), http.StatusBadRequest, ciba.InvalidGrant)
}

func (r *run) renew(p *party, token, scope string) *response {
	r.t.Helper()
	v := url.Values{"grant_type": {ciba.GrantRefresh}, "refresh_token": {token}}
	if scope != "" {
		v.Set("scope", scope)
	}
	at := r.endpoint("token_endpoint", true)
	return r.form(p.http, at, r.identified(p, v, at))
}
