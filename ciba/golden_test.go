package ciba

import (
	"encoding/json"
	"testing"
	"time"

	"ringback/consent"
	"ringback/keys"
)

// TestClaimsStay pins what is signed into tokens, and what the store is given
// to tell them apart by.
func TestClaimsStay(t *testing.T) {
	t.Parallel()
	root, err := keys.ParseRoot([]byte("bm90IGEgc2VjcmV0OiB0aGlzIGtleSBpcyBnb2xkZW4="))
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{cfg: Config{Handles: keys.NewHandles(root)}}
	at := time.Date(2026, 12, 1, 10, 0, 0, 123456789, time.UTC)
	req := &consent.Request{
		ID: consent.ID{0: 1, 15: 15}, Issuer: "https://consent.example", Client: consent.Party{ID: "agent"}, Approver: "alice", Resource: "https://api.example",
		Scope: []string{"openid", "offline_access"}, Details: json.RawMessage(`[{"actions":["read","write"],"type":"data_access"}]`),
		GrantLifetime: 300, Renewable: 3600,
	}
	own := *req
	own.Grant = consent.GrantClientCredentials
	d := &consent.Decision{ACR: consent.ACRTap, AMR: []string{"sms"}, At: at.Add(-time.Minute), GrantedDigest: consent.Digest{0: 1, 31: 31}}
	less := *d
	less.Granted = json.RawMessage(`[{"actions":["read"],"note":"<&>","type":"data_access"}]`)
	const jkt, x5t = "jkt:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "x5t#S256:bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"

	text := func(v any) string {
		t.Helper()
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for _, row := range []struct{ name, got, want string }{
		{"access token", text(claimsOf(req, &less, jkt, at)), `{"iss":"https://consent.example","sub":"alice","aud":"https://api.example","client_id":"agent","iat":1796119200,"exp":1796119500,"jti":"aeaaaaaaaaaaaaaaaaaaaaaab4","scope":"openid offline_access","authorization_details":[{"actions":["read"],"note":"\u003c\u0026\u003e","type":"data_access"}],"acr":"urn:ringback:acr:tap","amr":["sms"],"auth_time":1796119140,"granted_digest":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB8","cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}`},
		{"access token of the client itself", text(claimsOf(&own, d, x5t, at)), `{"iss":"https://consent.example","sub":"agent","aud":"https://api.example","client_id":"agent","iat":1796119200,"exp":1796119500,"jti":"aeaaaaaaaaaaaaaaaaaaaaaab4","scope":"openid offline_access","authorization_details":[{"actions":["read","write"],"type":"data_access"}],"ringback_approval":{"acr":"urn:ringback:acr:tap","amr":["sms"],"approved_at":1796119140,"granted_digest":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB8","request":"aeaaaaaaaaaaaaaaaaaaaaaab4"},"cnf":{"x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}}`},
		{"access token without approval", text(claimsOf(&consent.Request{ID: req.ID}, nil, "", at)), `{"iss":"","sub":"","aud":"","client_id":"","iat":1796119200,"exp":1796119200,"jti":"unasked.aeaaaaaaaaaaaaaaaaaaaaaab4"}`},
		{"renewed access token", text(claimsOf(req, d, "", at).renewed(7, at.Add(time.Hour))), `{"iss":"https://consent.example","sub":"alice","aud":"https://api.example","client_id":"agent","iat":1796119200,"exp":1796119500,"jti":"aeaaaaaaaaaaaaaaaaaaaaaab4.7","scope":"openid offline_access","authorization_details":[{"actions":["read","write"],"type":"data_access"}],"acr":"urn:ringback:acr:tap","amr":["sms"],"auth_time":1796119140,"granted_digest":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB8"}`},
		{"ID token", text(idClaims{"iss", "sub", "aud", 1, 2, 3, "acr", []string{"sms"}, "at", "rt", "id"}), `{"iss":"iss","sub":"sub","aud":"aud","exp":1,"iat":2,"auth_time":3,"acr":"acr","amr":["sms"],"at_hash":"at","urn:openid:params:jwt:claim:rt_hash":"rt","urn:openid:params:jwt:claim:auth_req_id":"id"}`},
		{"ID token of little", text(idClaims{}), `{"iss":"","sub":"","aud":"","exp":0,"iat":0,"auth_time":0,"acr":"","at_hash":"","urn:openid:params:jwt:claim:auth_req_id":""}`},
		{"hash of a token", halfHash("token"), "PEaenWxYddN6Q_NT1PiOYQ"},
		{"match code", string(s.matchCode(req.ID)), "1899"},
		{"another match code", string(s.matchCode(consent.ID{})), "4994"},
		{"first refresh token", s.refreshToken(req, 1), "AQEAAAAAAAAAAAAAAAAAAA8AAAFXqYFINy9J8m7lStj1CqeC"},
		{"revoked", revokedKey(&accessClaims{JTI: unaskedJTI + "x"}), "revoked\x00unasked.x"},
		{"types", typeAccess + " " + typeID, "at+jwt JWT"},
	} {
		if row.got != row.want {
			t.Errorf("%s = %s\nwant %s", row.name, row.got, row.want)
		}
	}
}
