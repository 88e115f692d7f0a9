package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"ringback/config/configtest"
)

// TestPushAndRenewal goes through the whole program: a client is sent its
// tokens after the person was told for how long, renews them, and shows itself
// when it uses a refresh token twice.
func TestPushAndRenewal(t *testing.T) {
	t.Parallel()
	type pushed struct {
		bearer string
		body   map[string]any
	}
	got := make(chan pushed, 8)
	refuse := make(chan bool, 1)
	refuse <- true // the first attempt
	e := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		p := pushed{bearer: r.Header.Get("Authorization")}
		if err := json.Unmarshal(raw, &p.body); err != nil {
			t.Errorf("pushed %q: %v", raw, err)
		}
		got <- p
		select {
		case <-refuse:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer e.Close()
	s := startDev(t, `listen: 127.0.0.1:0
manage: 127.0.0.1:0
policy: {lifetime: {renew: 12h}}
scopes:
  - {name: notes, words: {en: read your notes, de: Ihre Notizen lesen}}
clients:
  - client_id: pusher
    client_name: Notes Agent
    client_secret: {env: T}
    people: any
    default_resource: https://api.example
    backchannel_token_delivery_mode: push
    backchannel_client_notification_endpoint: `+e.URL+`/push
    grant_types: ["urn:openid:params:grant-type:ciba", refresh_token]
`)
	const bearer = "8d67dc78-7faa-4d41-aabd-67707b374255"
	post := func(path string, form url.Values) (int, map[string]any) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.cfg.Issuer+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("pusher", configtest.Strong)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var body map[string]any
		_ = json.Unmarshal(raw, &body) // where there is one
		return resp.StatusCode, body
	}
	status, ack := post("/bc-authorize", url.Values{"scope": {"openid notes offline_access"}, "login_hint": {"alice"}, "client_notification_token": {bearer}})
	if status != http.StatusOK {
		t.Fatalf("asking: %d %v", status, ack)
	}
	handle, _ := ack["auth_req_id"].(string)
	if text := said(t, s, "alice"); !strings.Contains(text, "asks to read your notes. May repeat this for 12 hours without asking.") {
		t.Errorf("the message is %q", text)
	}
	if status, _ := post("/dev/decide?"+url.Values{"auth_req_id": {handle}, "action": {"allow"}}.Encode(), nil); status >= 300 {
		t.Fatalf("deciding: %d", status)
	}
	var tokens []map[string]any
	for range 2 {
		select {
		case p := <-got:
			if p.bearer != "Bearer "+bearer || p.body["auth_req_id"] != handle {
				t.Errorf("pushed with %s: %v", p.bearer, p.body)
			}
			tokens = append(tokens, p.body)
		case <-time.After(30 * time.Second):
			t.Fatal("nothing was pushed")
		}
	}
	if tokens[0]["access_token"] != tokens[1]["access_token"] || tokens[0]["access_token"] == nil {
		t.Errorf("pushed %v and then %v", tokens[0], tokens[1])
	}
	refresh := func(token any) (int, map[string]any) {
		text, _ := token.(string)
		return post("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text}})
	}
	active := func(token any) any {
		text, _ := token.(string)
		_, body := post("/introspect", url.Values{"token": {text}})
		return body["active"]
	}
	status, next := refresh(tokens[1]["refresh_token"])
	if status != http.StatusOK || active(next["access_token"]) != true {
		t.Fatalf("renewing: %d %v", status, next)
	}
	if status, body := refresh(tokens[1]["refresh_token"]); status != http.StatusBadRequest || body["error"] != "invalid_grant" {
		t.Errorf("renewing twice: %d %v", status, body)
	}
	if status, body := refresh(next["refresh_token"]); status != http.StatusBadRequest || body["error"] != "invalid_grant" || active(next["access_token"]) != false {
		t.Errorf("after it: %d %v", status, body)
	}
}

// said is the newest message to a person, once there is one.
func said(t *testing.T, s *service, person string) string {
	t.Helper()
	for range 200 {
		resp, err := http.Get(s.cfg.Issuer + "/dev/outbox?person=" + person)
		if err != nil {
			t.Fatal(err)
		}
		var list []struct {
			Text string `json:"text"`
		}
		err = json.NewDecoder(resp.Body).Decode(&list)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(list) > 0 {
			return list[len(list)-1].Text
		}
		time.Sleep(25 * time.Millisecond)
	}
	return ""
}
