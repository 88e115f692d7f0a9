package ciba_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/ciba"
	"ringback/consent"
)

func pushedTo(id, url string, change ...func(*consent.Client)) consent.Client {
	return client(id, append([]func(*consent.Client){func(c *consent.Client) {
		c.Mode, c.NotificationEndpoint, c.GrantTypes = consent.Push, url, []string{ciba.GrantCIBA, ciba.GrantRefresh}
	}}, change...)...)
}

// last is what the endpoint got last, as a response.
func (e *endpoint) last(t testing.TB) *response {
	t.Helper()
	reqs, bodies := e.calls()
	if len(reqs) == 0 {
		t.Fatal("nothing was pushed")
	}
	r := reqs[len(reqs)-1]
	out := &response{header: r.Header, raw: bodies[len(bodies)-1]}
	if err := json.Unmarshal([]byte(out.raw), &out.body); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != "Bearer "+pingToken {
		t.Errorf("pushed: %s %s %v, %v", r.Method, r.URL, r.Header, err)
	}
	return out
}

func answering(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) }
}

// TestPush: CIBA Core §10.3.1. What is sent is what a poll would have got, and
// every attempt sends the same.
func TestPush(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	h := open(t, pushedTo("p", e.URL+"/push"))
	h.change(func(p *consent.Policy) { p.Lifetime.Renew = time.Hour })
	ack := h.ask("p", "client_notification_token", pingToken, "authorization_details", payment, "scope", "openid calendar offline_access")
	handle, id := ack.str("auth_req_id"), h.pending().Request.ID
	h.decide(id, consent.Approved)

	var all []*response
	for n, tt := range []struct {
		answer http.HandlerFunc
		done   bool
		code   string
	}{
		{answering(503), false, "503"},
		{func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false, "no_answer"},
		{func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, e.URL+"/elsewhere", http.StatusTemporaryRedirect)
		}, true, "307"},
		{func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"ignored":true}`) }, true, "200"},
		{answering(401), true, "401"},
		{answering(204), true, "204"},
	} {
		e.answers(tt.answer)
		got := h.door.Notify(t.Context(), h.state(id), n+1)
		if got.Done != tt.done || got.Code != tt.code || got.N != n+1 {
			t.Errorf("Notify = %+v, want %v, %s", got, tt.done, tt.code)
		}
		if reqs, _ := e.calls(); len(reqs) != 1 {
			t.Fatalf("%s: the endpoint was called %d times", tt.code, len(reqs))
		}
		all = append(all, e.last(t))
		h.forward(10 * time.Second)
	}
	st := h.state(id)
	first := all[0]
	wantBody := map[string]any{
		"auth_req_id": handle, "access_token": first.body["access_token"], "token_type": "Bearer", "expires_in": 300.0, "id_token": first.body["id_token"],
		"refresh_token": first.body["refresh_token"], "scope": "openid calendar offline_access", "authorization_details": unmarshal(t, payment),
	}
	if diff := cmp.Diff(wantBody, first.body); diff != "" {
		t.Errorf("pushed: %s", diff)
	}
	access, idToken := h.verified(first.str("access_token"), "at+jwt"), h.verified(first.str("id_token"), "JWT")
	at, rt := sha256.Sum256([]byte(first.str("access_token"))), sha256.Sum256([]byte(first.str("refresh_token")))
	if access["jti"] != id.String() || idToken["at_hash"] != b64(at[:16]) || idToken["urn:openid:params:jwt:claim:rt_hash"] != b64(rt[:16]) ||
		idToken["urn:openid:params:jwt:claim:auth_req_id"] != handle || idToken["aud"] != "p" {
		t.Errorf("access token %v, ID token %v", access, idToken)
	}
	if st.Settled.Verb != consent.Redeemed || st.Settled.JTI != access["jti"] || st.Settled.ExpiresAt.Unix() != int64(access["exp"].(float64)) {
		t.Errorf("settled %+v", st.Settled)
	}
	for _, again := range all[1:] {
		left := again.body["expires_in"].(float64)
		if again.body["expires_in"] = 300.0; left >= 300 || left < 240 {
			t.Errorf("expires_in %v of an older token", left)
		}
		if diff := cmp.Diff(first.body, again.body); diff != "" {
			t.Errorf("pushed again: %s", diff)
		}
	}
	if !h.active("p", first.str("access_token")) || h.renew("p", first.str("refresh_token")).status != http.StatusOK {
		t.Error("what was pushed does not work")
	}
	for _, bearer := range []string{pingToken, handle, first.str("access_token"), first.str("refresh_token")} {
		if strings.Contains(h.logged(), bearer) {
			t.Error("the log has a bearer")
		}
	}
}

// TestPushWithoutPoll: CIBA Core §11: whoever is sent its tokens cannot come
// for them.
func TestPushWithoutPoll(t *testing.T) {
	t.Parallel()
	h := open(t, pushedTo("p", "https://p.example/cb"), pushedTo("fapi", "https://p.example/cb", func(c *consent.Client) { c.Profile = consent.ProfileFAPI }))
	h.refused("no token", h.post("/bc-authorize", "p", params("scope", "openid", "login_hint", "alice")), http.StatusBadRequest, ciba.InvalidRequest, "client_notification_token: required in delivery mode push")
	h.refused("FAPI-CIBA §5.2.2", h.post("/bc-authorize", "fapi", params("scope", "openid", "login_hint", "alice", "client_notification_token", pingToken)), http.StatusBadRequest, ciba.UnauthorizedClient, "push")
	handle := h.ask("p", "client_notification_token", pingToken).str("auth_req_id")
	for _, state := range []string{"pending", "approved"} {
		h.refused(state, h.poll("p", handle), http.StatusBadRequest, ciba.UnauthorizedClient, "push")
		if state == "pending" {
			h.decide(h.pending().Request.ID, consent.Approved)
		}
	}
}

// TestPushErrors: CIBA Core §12. Nothing is said about what the client did
// itself.
func TestPushErrors(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	h := open(t, pushedTo("p", e.URL))
	for _, tt := range []struct {
		name   string
		end    func(st *consent.State, handle string)
		code   string
		status consent.Status
	}{
		{"denied", func(st *consent.State, _ string) { h.decide(st.Request.ID, consent.Denied) }, "access_denied", consent.StatusDenied},
		{"nobody answered", func(st *consent.State, _ string) {
			h.forward(301 * time.Second)
			d, err := consent.Expire(st, "nonce", h.now())
			if err == nil {
				_, err = h.Decide(t.Context(), st.Request.ID, d)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, "expired_token", consent.StatusExpired},
		{"approved, but late", func(st *consent.State, _ string) {
			h.decide(st.Request.ID, consent.Approved)
			h.forward(301 * time.Second)
		}, "expired_token", consent.StatusExpired},
		{"withdrawn by the operator", func(st *consent.State, _ string) {
			h.decide(st.Request.ID, consent.Withdrawn, func(ev *consent.Evidence) { ev.By, ev.Means = "operator", consent.ByAdmin })
		}, "transaction_failed", consent.StatusWithdrawn},
		{"withdrawn by the client", func(_ *consent.State, handle string) { h.post("/revoke", "p", params("token", handle)) }, "", consent.StatusWithdrawn},
		{"cancelled by the client", func(st *consent.State, handle string) {
			h.decide(st.Request.ID, consent.Approved)
			h.post("/revoke", "p", params("token", handle))
		}, "", consent.StatusCancelled},
	} {
		e.answers(answering(204))
		handle := h.ask("p", "client_notification_token", pingToken).str("auth_req_id")
		st := h.pending()
		tt.end(st, handle)
		got := h.door.Notify(t.Context(), h.state(st.Request.ID), 1)
		if status := h.state(st.Request.ID).Status(); !got.Done || status != tt.status {
			t.Errorf("%s: %+v, status %s, want %s", tt.name, got, status, tt.status)
		}
		if tt.code == "" {
			if reqs, _ := e.calls(); len(reqs) != 0 || got.Code != "over" {
				t.Errorf("%s: %d pushes, code %s", tt.name, len(reqs), got.Code)
			}
			continue
		}
		res := e.last(t)
		text := res.str("error_description")
		if diff := cmp.Diff(map[string]any{"auth_req_id": handle, "error": tt.code, "error_description": text}, res.body); diff != "" || text == "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// TestPushRevoked: what is no longer valid, or no longer for this client, is
// not sent.
func TestPushRevoked(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	h := open(t, pushedTo("p", e.URL))
	settled := func() (*consent.State, *response) {
		h.ask("p", "client_notification_token", pingToken)
		id := h.pending().Request.ID
		h.decide(id, consent.Approved)
		e.answers(answering(503))
		h.door.Notify(t.Context(), h.state(id), 1)
		res := e.last(t)
		e.answers(answering(204))
		return h.state(id), res
	}
	for name, change := range map[string]func(token string){
		"revoked": func(token string) { h.post("/revoke", "p", params("token", token)) },
		"over":    func(string) { h.forward(301 * time.Second) },
	} {
		st, res := settled()
		change(res.str("access_token"))
		if got := h.door.Notify(t.Context(), h.state(st.Request.ID), 2); !got.Done || got.Code != "over" {
			t.Errorf("%s: %+v", name, got)
		}
		if reqs, _ := e.calls(); len(reqs) != 0 {
			t.Errorf("%s: pushed %d times", name, len(reqs))
		}
	}
	h.ask("p", "client_notification_token", pingToken)
	id := h.pending().Request.ID
	h.decide(id, consent.Approved)
	for name, change := range map[string]func(*consent.Client){
		"polls now":    func(c *consent.Client) { c.Mode = consent.Poll },
		"stricter now": func(c *consent.Client) { c.Profile = consent.ProfileFAPI },
		"bound now":    func(c *consent.Client) { c.DPoPBound = true },
		"asks no more": func(c *consent.Client) { c.GrantTypes = []string{ciba.GrantClientCredentials} },
	} {
		if err := h.SetFile([]consent.Client{pushedTo("p", e.URL, change)}, people, nil); err != nil {
			t.Fatal(err)
		}
		if got := h.door.Notify(t.Context(), h.state(id), 1); !got.Done || got.Code != "not_pushed" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if st := h.state(id); st.Settled != nil {
		t.Errorf("settled %+v although nothing was sent", st.Settled)
	}
}

// TestPushBinding: the key that asked is the key that the tokens are bound to;
// a client that must be bound has to show one when it asks.
func TestPushBinding(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.answers(answering(204))
	key := newSigner(t, "ES256", "k")
	cert := key.certificate(nil)
	h := open(t, pushedTo("any", e.URL), pushedTo("proved", e.URL, func(c *consent.Client) { c.DPoPBound = true }),
		pushedTo("bound", e.URL, func(c *consent.Client) { c.CertificateBound = true }))
	form := params("scope", "openid", "login_hint", "alice", "client_notification_token", pingToken)
	proof := func() []string { return []string{"DPoP", key.proof(h, "POST", h.url+"/bc-authorize")} }
	before := h.facts()
	h.refused("no proof", h.post("/bc-authorize", "proved", form), http.StatusBadRequest, ciba.InvalidRequest, "DPoP")
	h.refused("no certificate", h.post("/bc-authorize", "bound", form), http.StatusBadRequest, ciba.InvalidRequest, "certificate")
	h.refused("a proof", h.post("/bc-authorize", "bound", form, proof()...), http.StatusBadRequest, ciba.InvalidRequest, "certificate")
	if after := h.facts(); after != before {
		t.Errorf("%d facts were stored", after-before)
	}
	for client, ask := range map[string]func() *response{
		"any":    func() *response { return h.post("/bc-authorize", "any", form, proof()...) },
		"proved": func() *response { return h.post("/bc-authorize", "proved", form, proof()...) },
		"bound": func() *response {
			v := params("scope", "openid", "login_hint", "alice", "client_notification_token", pingToken, "client_id", "bound", "client_secret", secret)
			return h.over(&cert, "/bc-authorize", v)
		},
	} {
		if res := ask(); res.status != http.StatusOK {
			t.Fatalf("%s: %d %s", client, res.status, res.raw)
		}
		id := h.pending().Request.ID
		h.decide(id, consent.Approved)
		h.door.Notify(t.Context(), h.state(id), 1)
		res := e.last(t)
		got := h.confirmed(res.str("access_token"))
		want := map[string]any{"jkt": key.thumbprint()}
		typ := "DPoP"
		if client == "bound" {
			want, typ = map[string]any{"x5t#S256": certificateThumbprint(cert)}, "Bearer"
		}
		if diff := cmp.Diff(want, got); diff != "" || res.str("token_type") != typ || h.state(id).Settled.Binding != h.state(id).Request.Binding {
			t.Errorf("%s: %s, token_type %s", client, diff, res.str("token_type"))
		}
	}
}

// TestPushRace: however many push at once, one settles and all send its token.
func TestPushRace(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.answers(answering(204))
	h := open(t, pushedTo("p", e.URL))
	h.ask("p", "client_notification_token", pingToken)
	id := h.pending().Request.ID
	h.decide(id, consent.Approved)
	st := h.state(id)
	var group sync.WaitGroup
	for n := range 20 {
		group.Go(func() {
			mine := *st
			if got := h.door.Notify(context.Background(), &mine, n+1); !got.Done || got.Code != "204" {
				t.Errorf("Notify = %+v", got)
			}
		})
	}
	group.Wait()
	_, bodies := e.calls()
	tokens := map[any]bool{}
	for _, body := range bodies {
		var b map[string]any
		if err := json.Unmarshal([]byte(body), &b); err != nil {
			t.Fatal(err)
		}
		tokens[b["access_token"]] = true
	}
	if len(bodies) != 20 || len(tokens) != 1 {
		t.Errorf("%d pushes of %d different tokens", len(bodies), len(tokens))
	}
}

// TestPushUnavailable: where the store takes nothing, nothing is sent, and the
// attempt can be repeated.
func TestPushUnavailable(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.answers(answering(204))
	h := open(t, pushedTo("p", e.URL))
	h.ask("p", "client_notification_token", pingToken)
	id := h.pending().Request.ID
	h.decide(id, consent.Approved)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if got := h.door.Notify(gone, h.state(id), 3); got.Done || got.Code != "unavailable" || got.Delay != 8 {
		t.Errorf("Notify = %+v", got)
	}
	if reqs, _ := e.calls(); len(reqs) != 0 || h.state(id).Settled != nil {
		t.Errorf("%d pushes, settled %+v", len(reqs), h.state(id).Settled)
	}
}

// TestRenewalMetadata: RFC 8414 §2, OpenID Connect Core §11; FAPI-CIBA §5.2.2
// for what is not there.
func TestRenewalMetadata(t *testing.T) {
	t.Parallel()
	h := open(t)
	has := func(member, value string) bool {
		list, _ := h.send(http.MethodGet, "/.well-known/openid-configuration", "").body[member].([]any)
		return slices.Contains(list, any(value))
	}
	for _, tt := range []struct {
		name           string
		change         func(*consent.Policy)
		renewals, push bool
	}{
		{"neither", func(p *consent.Policy) { p.FAPI = true }, false, false},
		{"push", func(p *consent.Policy) { p.FAPI = false }, false, true},
		{"both", func(p *consent.Policy) { p.Lifetime.Renew = time.Hour }, true, true},
		{"a configured scope", func(p *consent.Policy) { p.Scopes = map[string]consent.Scope{"offline_access": {}} }, true, true},
	} {
		h.change(tt.change)
		for member, value := range map[string]string{"grant_types_supported": ciba.GrantRefresh, "scopes_supported": "offline_access", "claims_supported": "urn:openid:params:jwt:claim:rt_hash"} {
			if has(member, value) != tt.renewals {
				t.Errorf("%s: %s has %s: %v", tt.name, member, value, !tt.renewals)
			}
		}
		if has("backchannel_token_delivery_modes_supported", "push") != tt.push {
			t.Errorf("%s: push: %v", tt.name, !tt.push)
		}
	}
}
