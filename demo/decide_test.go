package demo_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
	"ringback/keys"
)

// decidePath is /dev/decide for an auth_req_id.
func decidePath(handle, action string) string {
	return "/dev/decide?" + url.Values{"auth_req_id": {handle}, "action": {action}}.Encode()
}

func (h *house) decision(id consent.ID) *consent.Decision {
	h.t.Helper()
	st, err := h.Get(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return st.Decided
}

func TestDecide(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, tt := range []struct {
		name, action string
		acr          []string
		verb         consent.Verb
		want         string // acr of the decision
	}{
		{"tap", "allow", []string{consent.ACRTap, consent.ACRMatch, consent.ACRPhr}, consent.Approved, consent.ACRTap},
		{"match", "allow", []string{consent.ACRMatch}, consent.Approved, consent.ACRMatch},
		{"match or stronger", "allow", []string{consent.ACRMatch, consent.ACRPhr}, consent.Approved, consent.ACRMatch},
		{"phr", "allow", []string{consent.ACRPhr}, consent.Approved, consent.ACRPhr},
		{"the first named, not the weakest", "allow", []string{consent.ACRPhr, consent.ACRTap}, consent.Approved, consent.ACRPhr},
		{"denied", "deny", []string{consent.ACRPhr}, consent.Denied, ""},
	} {
		req := h.Asked("alice", func(r *consent.Request) { r.ACR = tt.acr })
		handle := h.handles.AuthReqID(req.ID)
		if a := h.want(http.StatusNoContent, "POST", decidePath(handle, tt.action), nil); a.body != "" {
			t.Errorf("%s: body %q", tt.name, a.body)
		}
		for _, again := range []string{"allow", "deny"} {
			h.want(http.StatusConflict, "POST", decidePath(handle, again), nil)
		}
		d := h.decision(req.ID)
		if d == nil {
			t.Errorf("%s: 204 and no decision", tt.name)
			continue
		}
		type said struct {
			Verb    consent.Verb
			By, ACR string
			AMR     []string
			Means   consent.Means
		}
		want := said{tt.verb, "alice", tt.want, []string{"dev"}, consent.ByDev}
		if diff := cmp.Diff(want, said{d.Verb, d.By, d.ACR, d.AMR, d.Means}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestDecideRefuses: what is refused leaves no fact behind.
func TestDecideRefuses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	open := h.Asked("alice")
	handle := h.handles.AuthReqID(open.ID)
	over := h.Asked("alice", func(r *consent.Request) {
		r.AskedAt, r.ExpiresAt = r.AskedAt.Add(-time.Hour), r.AskedAt.Add(-time.Second)
	})
	other := keys.NewHandles(keys.NewRoot())
	before := h.facts()
	for _, tt := range []struct {
		name, handle, action string
		want                 int
	}{
		{"never asked", h.handles.AuthReqID(consent.NewID()), "allow", http.StatusNotFound},
		{"another service's", other.AuthReqID(open.ID), "allow", http.StatusNotFound},
		{"the bare id", open.ID.String(), "allow", http.StatusNotFound},
		{"one byte more", handle + "A", "allow", http.StatusNotFound},
		{"a ticket", h.handles.Ticket(open.ID, 1), "allow", http.StatusNotFound},
		{"none", "", "allow", http.StatusNotFound},
		{"no action", handle, "", http.StatusBadRequest},
		{"another action", handle, "approve", http.StatusBadRequest},
		{"another case", handle, "Allow", http.StatusBadRequest},
		{"expired", h.handles.AuthReqID(over.ID), "allow", http.StatusConflict},
		{"expired, no", h.handles.AuthReqID(over.ID), "deny", http.StatusConflict},
	} {
		if a := h.call("POST", decidePath(tt.handle, tt.action), nil); a.status != tt.want {
			t.Errorf("%s: %d %s, want %d", tt.name, a.status, a.body, tt.want)
		}
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE"} {
		h.want(http.StatusMethodNotAllowed, method, decidePath(handle, "allow"), nil)
	}
	// A form of a foreign page has no custom headers, but it has an Origin.
	h.want(http.StatusForbidden, "POST", decidePath(handle, "allow"), url.Values{}, origin("https://evil.example"))
	if diff := cmp.Diff(before, h.facts()); diff != "" {
		t.Errorf("refused calls changed the store (-before +after):\n%s", diff)
	}
}
