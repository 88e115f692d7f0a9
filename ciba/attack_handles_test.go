package ciba_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/ciba"
	"ringback/consent"
	"ringback/keys"
	"ringback/outbound"
	"ringback/store/storetest"
)

// TestHandlesNeverRepeat: an auth_req_id is unguessable, of the characters of
// CIBA Core §7.3, and never made twice.
func TestHandlesNeverRepeat(t *testing.T) {
	t.Parallel()
	h := keys.NewHandles(keys.NewRoot())
	form := regexp.MustCompile(`^[A-Za-z0-9._-]{43,}$`)
	all := make([]string, manyHandles)
	for i := range all {
		id := consent.NewID()
		all[i] = h.AuthReqID(id)
		if !form.MatchString(all[i]) {
			t.Fatalf("auth_req_id %q", all[i])
		}
		if got, ok := h.ParseAuthReqID(all[i]); !ok || got != id {
			t.Fatalf("%q is read as %x, %v", all[i], got, ok)
		}
	}
	slices.Sort(all)
	if got := len(slices.Compact(all)); got != manyHandles {
		t.Errorf("%d of %d auth_req_ids are different", got, manyHandles)
	}
}

// TestBearersStayOutside: nothing by which somebody could go on in an agent's
// place is at rest or in the log, however a request ends: no auth_req_id, no
// token, no client's secret, no user code, and no notification token, which
// has to be kept, in the clear.
func TestBearersStayOutside(t *testing.T) {
	t.Parallel()
	const lost = "lost-secret-4711-4711"
	k := newKeyring(t)
	// The files of the embedded store are sealed as a whole. Those of a server
	// are not.
	srv := storetest.NewServer(t)
	h := keeping(t, srv.Use, outbound.Config{Allow: []string{"127.0.0.0/8"}, AllowHTTP: true},
		coded("coded"), client("keyed", k.register), pingedAt("nowhere", "http://127.0.0.1:1/"), renewing("renewing"), self("self"))
	h.chooses("alice", treeCode)
	h.change(func(p *consent.Policy) { p.Lifetime.Renew = time.Hour })
	bearers := map[string]string{"the client's secret": secret, "the user code": treeCode, "a secret tried in vain": lost}
	keep := func(what, bearer string) {
		if bearer != "" {
			bearers[fmt.Sprint(what, " ", len(bearers))] = bearer
		}
	}
	var ids []consent.ID
	for i := range manyBearers {
		who := []string{"agent", "nowhere", "coded", "keyed", "renewing", "self"}[i%6]
		token := fmt.Sprintf("notification-token-%08d", i)
		proof := func(path string) (header []string) {
			if who == "keyed" {
				header = []string{"DPoP", k.of(i).proof(h, "POST", h.url+path)}
				keep("proof", header[1])
			}
			return header
		}
		if who == "self" {
			ids = append(ids, h.deferSelf(i, keep))
			continue
		}
		res := h.directAs(who, "/bc-authorize", asking("scope", "openid offline_access", "client_notification_token", token, "user_code", treeCode, "binding_message", "Hotel"), proof("/bc-authorize")...)
		if res.status != http.StatusOK {
			t.Fatalf("%s asks: %d %s", who, res.status, res.raw)
		}
		handle := res.str("auth_req_id")
		id := h.idOf(handle)
		ids = append(ids, id)
		keep("auth_req_id", handle)
		if who == "nowhere" {
			keep("notification token", token)
		}
		h.directAs("other", "/token", collecting(handle)) // a thief
		h.directAs(who, "/token", collecting(handle), proof("/token")...)
		switch i % 5 {
		case 0:
			h.decide(id, consent.Denied)
		case 1, 2:
			h.decide(id, consent.Approved)
		case 3:
			h.directAs(who, "/revoke", params("token", handle), proof("/revoke")...)
		}
		if st := h.state(id); st.Decided != nil {
			h.door.Notify(t.Context(), st, 1)
		}
		res = h.directAs(who, "/token", collecting(handle), proof("/token")...)
		if access := res.str("access_token"); access != "" {
			keep("access token", access)
			keep("ID token", res.str("id_token"))
			if first := res.str("refresh_token"); first != "" {
				keep("refresh token", first)
				res := h.directAs(who, "/token", params("grant_type", ciba.GrantRefresh, "refresh_token", first))
				keep("refresh token", res.str("refresh_token"))
				keep("access token", res.str("access_token"))
				h.directAs("other", "/token", params("grant_type", ciba.GrantRefresh, "refresh_token", first)) // a thief
			}
			h.directAs("other", "/introspect", params("token", access))
			h.directAs(who, "/revoke", params("token", access))
		}
	}
	h.refused("in vain", h.direct("/token", params("client_id", "agent", "client_secret", lost)), http.StatusUnauthorized, ciba.InvalidClient, "")
	places := map[string][]byte{"the log": []byte(h.logged())}
	h.Close()
	srv.Stop() // everything is on the disk now
	if err := filepath.WalkDir(srv.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		places[strings.TrimPrefix(path, srv.Dir)], err = os.ReadFile(path)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	all := bytes.Join(slices.Collect(maps.Values(places)), nil)
	for what, bearer := range bearers {
		raw, _ := unb64(bearer)
		for _, form := range []string{bearer, string(raw), fmt.Sprintf("%x", bearer), base64.StdEncoding.EncodeToString([]byte(bearer))} {
			if len(form) > 8 && bytes.Contains(all, []byte(form)) {
				t.Errorf("%s is there as %.20q", what, form)
			}
		}
	}
	// What is looked for in this way is found: a request's id opens nothing.
	for _, id := range ids {
		if got := bytes.Count(all, []byte(id.String())); got < 2 {
			t.Fatalf("a request's id is found %d times: the search shows nothing", got)
		}
	}
}

// deferSelf is a deferred answer from its question to one of its ends.
func (h *house) deferSelf(i int, keep func(what, bearer string)) consent.ID {
	h.t.Helper()
	code := h.directAs("self", "/token", params("grant_type", ciba.GrantClientCredentials, "scope", "calendar", "completion_mode", "deferred")).str("deferral_code")
	id, ok := keys.NewHandles(h.Root).ParseDeferralCode(code)
	if !ok {
		h.t.Fatalf("%q is no deferral code", code)
	}
	keep("deferral code", code)
	form := params("grant_type", ciba.GrantDeferred, "deferral_code", code)
	h.directAs("other", "/token", form) // a thief
	h.directAs("self", "/token", form)
	h.decide(id, []consent.Verb{consent.Approved, consent.Denied}[i/6%2])
	res := h.directAs("self", "/token", form)
	keep("access token", res.str("access_token"))
	h.directAs("self", "/revoke", params("token", code))
	return id
}
