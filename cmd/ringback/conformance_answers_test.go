//go:build e2e

package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"ringback/ciba"
	"ringback/consent"
)

var (
	handle  = regexp.MustCompile(`^[A-Za-z0-9._-]{22,}$`)
	textual = regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]*$`)
	uuid    = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	visible = regexp.MustCompile(`^[\x21-\x7E]{22,}$`)
)

// entropy is the Shannon estimate that the suite makes, in bits.
func entropy(s string) float64 {
	counts := map[rune]int{}
	for _, c := range s {
		counts[c]++
	}
	sum := 0.0
	for _, n := range counts {
		p := float64(n) / float64(len(s))
		sum -= p * math.Log2(p)
	}
	return sum * float64(len(s))
}

// acknowledged checks an acknowledgement and returns the auth_req_id.
func (r *run) acknowledged(a *response) string {
	r.t.Helper()
	id := a.str("auth_req_id")
	expires, _ := a.body["expires_in"].(float64)
	interval, ok := a.body["interval"].(float64)
	if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		r.t.Fatalf("asking: %d %s", a.status, a.raw)
	}
	if !handle.MatchString(id) || entropy(id) <= 160 || expires <= 0 || !ok || interval < 0 {
		r.t.Errorf("an acknowledgement: %s", a.raw)
	}
	return id
}

// refused checks an error of either endpoint.
func (r *run) refused(what string, a *response, status int, codes ...ciba.Code) {
	r.t.Helper()
	if !slices.Contains(codes, ciba.Code(a.str("error"))) || status != 0 && a.status != status {
		r.t.Errorf("%s: %d %s, want %d %v", what, a.status, a.raw, status, codes)
	}
	for member := range a.body {
		if member != "error" && member != "error_description" && member != "error_uri" {
			r.t.Errorf("%s: a member %s", what, member)
		}
	}
	if !textual.MatchString(a.str("error_description")) || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		r.t.Errorf("%s: %q as %s", what, a.str("error_description"), a.header.Get("Content-Type"))
	}
}

// flow is the whole way of a client, up to the token response.
func (r *run) flow(p *party, changes ...any) *response {
	r.t.Helper()
	return r.token(p, r.agreed(p, changes...))
}

// agreed asks, polls twice and decides, and returns the auth_req_id. Of the
// second client the request has a type, and the assertion another audience.
func (r *run) agreed(p *party, changes ...any) string {
	r.t.Helper()
	claims := r.asked(p, changes...)
	ping := r.expect(claims)
	typ, aud := "", r.issuer
	if p == &r.two {
		typ, aud = "oAuTh-AuThZ-ReQ+jWt", r.endpoint("token_endpoint", false)
	}
	id := r.acknowledged(r.ask(p, r.signed(p, p.alg(), typ, claims), func(v url.Values) { r.identified(p, v, aud) }))
	for range 2 {
		r.refused("while pending", r.redeem(p, id), http.StatusBadRequest, ciba.AuthorizationPending, ciba.SlowDown)
	}
	r.decide(id, "allow")
	if ping != nil {
		r.arrived(ping, id)
	}
	return id
}

// expect waits for the pings of a request with these claims, of which there are
// none where clients poll.
func (r *run) expect(claims map[string]any) *pinged {
	if bearer, _ := claims["client_notification_token"].(string); bearer != "" {
		return r.pings.expect(bearer, &pinged{status: http.StatusNoContent})
	}
	return nil
}

// arrived waits for a ping and checks it.
func (r *run) arrived(p *pinged, id string) {
	r.t.Helper()
	select {
	case req := <-p.arrived:
		_, body := r.pings.counted(p)
		if req.Method != http.MethodPost || len(body) != 1 || body["auth_req_id"] != id || !strings.HasPrefix(req.Header.Get("Content-Type"), "application/json") || req.TLS.Version < tls.VersionTLS13 {
			r.t.Errorf("a ping: %v %v", req.Header, body)
		}
	case <-time.After(30 * time.Second):
		r.t.Fatal("no ping")
	}
}

// token redeems and checks the token response.
func (r *run) token(p *party, id string) *response {
	r.t.Helper()
	a := r.redeem(p, id)
	access := a.str("access_token")
	if a.status != http.StatusOK || a.header.Get("Cache-Control") != "no-store" || entropy(access) < 128 || a.body["expires_in"].(float64) <= 0 {
		r.t.Fatalf("redeeming: %d %v %s", a.status, a.header, a.raw)
	}
	if !strings.EqualFold(a.str("token_type"), "Bearer") || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		r.t.Errorf("a token response: %v %s", a.header, a.raw)
	}
	if refresh := a.str("refresh_token"); !visible.MatchString(refresh) || entropy(refresh) < 128 {
		r.t.Errorf("the refresh token %q", refresh)
	}
	r.idToken(p, id, a)
	return a
}

func (r *run) idToken(p *party, id string, a *response) {
	r.t.Helper()
	jws, err := jose.ParseSignedCompact(a.str("id_token"), []jose.SignatureAlgorithm{jose.PS256, jose.ES256})
	if err != nil {
		r.t.Fatal(err)
	}
	head := jws.Signatures[0].Header
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(r.send(r.bare, http.MethodGet, r.meta["jwks_uri"].(string), nil).raw), &set); err != nil {
		r.t.Fatal(err)
	}
	found := set.Key(head.KeyID)
	if head.KeyID == "" || len(found) != 1 || found[0].Use != "sig" || found[0].Algorithm != head.Algorithm {
		r.t.Fatalf("kid %q is not that of one key for %s: %v", head.KeyID, head.Algorithm, found)
	}
	payload, err := jws.Verify(found[0])
	if err != nil {
		r.t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(payload, &c); err != nil {
		r.t.Fatal(err)
	}
	now := float64(time.Now().Unix())
	if c["iss"] != r.issuer || c["aud"] != p.ID || c["sub"] != "alice" || c["exp"].(float64) < now || math.Abs(c["iat"].(float64)-now) > 300 || c["acr"] != consent.ACRTap || c["auth_time"].(float64) > now+300 {
		r.t.Errorf("the ID token says %s", payload)
	}
	if c["c_hash"] != nil || c["s_hash"] != nil || c["urn:openid:params:jwt:claim:auth_req_id"] != id || c["at_hash"] != half(a.str("access_token")) || c["urn:openid:params:jwt:claim:rt_hash"] != half(a.str("refresh_token")) {
		r.t.Errorf("the ID token's hashes: %s", payload)
	}
	if want := p.plan["id_token_signed_response_alg"]; want != nil && head.Algorithm != want {
		r.t.Errorf("the ID token is signed by %s, registered was %v", head.Algorithm, want)
	}
}

// half is the left half of a token's hash, as at_hash has it.
func half(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
