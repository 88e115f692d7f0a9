package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ringback/consent"
)

func TestOfferUserCode(t *testing.T) {
	t.Parallel()
	h := open(t)
	until := time.Date(2026, 11, 22, 13, 40, 0, 7, time.UTC)
	var to []string
	h.offer = func(_ context.Context, p *consent.Person) (time.Time, error) {
		to = append(to, p.ID)
		return until, nil
	}
	h.want(201, "POST", "/people", `{"id":"carol","phone":"+12025550103"}`)
	for _, id := range []string{"carol", "alice"} { // one of the store, one of the file
		a := h.want(202, "POST", "/people/"+id+"/user-code", "")
		if a.body["id"] != id || a.body["until"] != "2026-11-22T13:40:00Z" || len(a.body) != 2 {
			t.Errorf("offering %s = %s", id, a.text)
		}
	}
	if fmt.Sprint(to) != "[carol alice]" {
		t.Errorf("messages went to %v", to)
	}
	h.want(404, "POST", "/people/nobody/user-code", "")
	if a := h.call("GET", "/people/carol/user-code", ""); a.status != 404 && a.status != 405 || len(to) != 2 {
		t.Errorf("GET: %d %s", a.status, a.text)
	}
	if a := h.call("POST", "/people/carol/user-code", "", func(r *http.Request) { r.Header.Del("Authorization") }); a.status != 401 || len(to) != 2 {
		t.Errorf("without the token: %d %s", a.status, a.text)
	}

	h.offer = func(context.Context, *consent.Person) (time.Time, error) {
		return time.Time{}, fmt.Errorf("%w: there is no phone number", consent.ErrUnreachable)
	}
	if a := h.call("POST", "/people/carol/user-code", ""); a.status != 409 || !strings.Contains(a.text, "there is no phone number") || a.body["next_step"] == nil {
		t.Errorf("for somebody whom nothing reaches: %d %s", a.status, a.text)
	}
	h.offer = func(context.Context, *consent.Person) (time.Time, error) {
		return time.Time{}, errors.New("a secret of the store")
	}
	if a := h.call("POST", "/people/carol/user-code", ""); a.status != 500 || strings.Contains(a.text, "secret") {
		t.Errorf("a fault: %d %s", a.status, a.text)
	}
}

// TestUserCodeShown: whether there is a code is shown, and nothing of it.
func TestUserCodeShown(t *testing.T) {
	t.Parallel()
	h := open(t)
	if a := h.want(200, "GET", "/people/alice", ""); a.body["user_code"] != false {
		t.Errorf("before there is one: %s", a.text)
	}
	id, err := h.OfferUserCode(t.Context(), "alice", time.Now().Add(time.Minute))
	if err == nil {
		err = h.ChooseUserCode(t.Context(), id, "tree-4711")
	}
	if err != nil {
		t.Fatal(err)
	}
	if a := h.want(200, "GET", "/people/alice", ""); a.body["user_code"] != true || strings.Contains(a.text, "tree") {
		t.Errorf("with one: %s", a.text)
	}
}
