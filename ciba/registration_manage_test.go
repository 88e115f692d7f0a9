package ciba_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/ciba"
	"ringback/consent"
)

// TestManage reads, replaces and removes a registration (RFC 7592 §2).
func TestManage(t *testing.T) {
	t.Parallel()
	h := registering(t)
	first, second := newSigner(t, "ES256", "first"), newSigner(t, "EdDSA", "second")
	r := h.register(initial, map[string]any{
		"client_name": "Travel Agent", "token_endpoint_auth_method": "private_key_jwt", "jwks": jwks(first), "scope": "openid",
		"backchannel_token_delivery_mode": "ping", "backchannel_client_notification_endpoint": "https://a.partner.example/ping",
	})
	res := h.json(http.MethodGet, r.path, r.token, "")
	h.sealed("reading", res)
	if diff := cmp.Diff(r.body, res.body); res.status != http.StatusOK || diff != "" {
		t.Errorf("reading: %d %s", res.status, diff)
	}
	asks := func(s *signer) *response {
		return h.as(s, r.id, "/bc-authorize", "scope", "openid", "login_hint", "alice")
	}

	// What is left out falls back to its default; keys are those of now.
	res = h.json(http.MethodPut, r.path, r.token, map[string]any{"client_id": r.id, "token_endpoint_auth_method": "private_key_jwt", "jwks": jwks(second), "scope": nil, "people": "list"})
	if res.status != http.StatusOK || res.str("scope") != "openid calendar" || res.str("backchannel_token_delivery_mode") != "poll" ||
		res.body["backchannel_client_notification_endpoint"] != nil || res.str("client_name") != "Travel Agent" ||
		res.str("registration_access_token") != r.token || res.body["client_id_issued_at"] != r.body["client_id_issued_at"] || res.body["client_secret"] != nil {
		t.Fatalf("replacing: %d %s", res.status, res.raw)
	}
	h.refused("key of before", asks(first), http.StatusUnauthorized, ciba.InvalidClient, "")
	if res := asks(second); res.status != http.StatusOK {
		t.Errorf("key of now: %d %s", res.status, res.raw)
	}

	// A client that needs a secret gets one, and keeps it.
	res = h.json(http.MethodPut, r.path, r.token, map[string]any{"client_id": r.id})
	secret := res.str("client_secret")
	if res.status != http.StatusOK || len(secret) != 43 || res.body["client_secret_expires_at"] != 0.0 || res.body["jwks"] != nil {
		t.Fatalf("taking a secret: %d %s", res.status, res.raw)
	}
	h.refused("key beside a secret", asks(second), http.StatusUnauthorized, ciba.InvalidClient, "")
	res = h.json(http.MethodPut, r.path, r.token, map[string]any{"client_id": r.id, "client_secret": secret, "scope": "openid calendar"})
	if res.status != http.StatusOK || res.body["client_secret"] != nil {
		t.Errorf("keeping the secret: %d %s", res.status, res.raw)
	}
	inspects := func() *response {
		return h.send(http.MethodPost, "/introspect", params("token", "x").Encode(), "Authorization", basic(r.id, secret))
	}
	if res := inspects(); res.status != http.StatusOK {
		t.Errorf("with the secret: %d %s", res.status, res.raw)
	}

	before, err := h.Client(t.Context(), r.id)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		body any
		code ciba.Code
		says string
	}{
		{"nothing", "", ciba.InvalidClientMetadata, "not JSON"},
		{"no client_id", map[string]any{}, ciba.InvalidRequest, "client_id: "},
		{"another client_id", map[string]any{"client_id": "agent"}, ciba.InvalidRequest, "client_id: "},
		{"a list of ids", map[string]any{"client_id": []string{r.id}}, ciba.InvalidClientMetadata, "client_id: "},
		{"a secret of its own", map[string]any{"client_id": r.id, "client_secret": "mine"}, ciba.InvalidRequest, "client_secret: "},
		{"a token of its own", map[string]any{"client_id": r.id, "registration_access_token": "mine"}, ciba.InvalidRequest, "registration_access_token: "},
		{"an address of its own", map[string]any{"client_id": r.id, "registration_client_uri": "https://evil.example"}, ciba.InvalidRequest, "registration_client_uri: "},
		{"a time of its own", map[string]any{"client_id": r.id, "client_id_issued_at": 1}, ciba.InvalidRequest, "client_id_issued_at: "},
		{"an end of its own", map[string]any{"client_id": r.id, "client_secret_expires_at": 1}, ciba.InvalidRequest, "client_secret_expires_at: "},
		{"another name", map[string]any{"client_id": r.id, "client_name": "Your Bank"}, ciba.InvalidClientMetadata, "client_name: "},
		{"a scope beyond", map[string]any{"client_id": r.id, "scope": "openid payments"}, ciba.InvalidClientMetadata, "payments"},
		{"somebody's endpoint", map[string]any{"client_id": r.id, "backchannel_token_delivery_mode": "ping", "backchannel_client_notification_endpoint": "https://victim.example/"}, ciba.InvalidClientMetadata, "has not named its host"},
		{"no keys", map[string]any{"client_id": r.id, "token_endpoint_auth_method": "private_key_jwt"}, ciba.InvalidClientMetadata, "jwks: "},
	} {
		h.refused(tt.name, h.json(http.MethodPut, r.path, r.token, tt.body), http.StatusBadRequest, tt.code, tt.says)
	}
	if after, err := h.Client(t.Context(), r.id); err != nil || cmp.Diff(before, after) != "" {
		t.Errorf("refused changes left %s, %v", cmp.Diff(before, after), err)
	}

	// Removal takes back what is open, and is the end of the token.
	asked := h.pending().Request.ID
	if res := h.json(http.MethodDelete, r.path, r.token, ""); res.status != http.StatusNoContent || res.raw != "" {
		t.Fatalf("removing: %d %s", res.status, res.raw)
	}
	if st := h.state(asked); st.Status() != consent.StatusWithdrawn {
		t.Errorf("after the removal its request is %s, want it withdrawn", st.Status())
	}
	h.refused("secret after the removal", inspects(), http.StatusUnauthorized, ciba.InvalidClient, "")
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		h.unauthorized(method+" after the removal", h.json(method, r.path, r.token, map[string]any{"client_id": r.id}))
	}
	if strings.Contains(h.logged(), r.token) || strings.Contains(h.logged(), secret) {
		t.Error("the log has a token or secret")
	}
}

// TestRemovalStands: a client that keeps changing its registration while it is
// removed does not come back.
func TestRemovalStands(t *testing.T) {
	t.Parallel()
	h := registering(t)
	for range 10 {
		r := h.register(initial, map[string]any{"client_name": "Clinging"})
		changed, removed := make(chan struct{}, 4), make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for last := false; !last; {
					select {
					case <-removed:
						last = true
					default:
					}
					res, err := h.try(t.Context(), http.MethodPut, r.path, `{"client_id":"`+r.id+`"}`, "Content-Type", "application/json", "Authorization", "Bearer "+r.token)
					if err != nil || last && res.status != http.StatusUnauthorized {
						t.Errorf("changing what was removed: %v %+v", err, res)
						return
					}
					select {
					case changed <- struct{}{}:
					default:
					}
				}
			})
		}
		for range 4 {
			<-changed
		}
		if err := h.RemoveClient(t.Context(), r.id); err != nil {
			t.Error(err)
		}
		close(removed)
		wg.Wait()
		if _, err := h.Client(t.Context(), r.id); !errors.Is(err, consent.ErrNotFound) {
			t.Fatalf("the client is there again: %v", err)
		}
	}
}
