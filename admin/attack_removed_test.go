package admin_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"ringback/consent"
	"ringback/keys"
)

// request is one call of many at once.
type request struct{ method, path, body string }

// together sends all at once and returns the answers in their order.
func (h *house) together(all ...request) []answer {
	h.t.Helper()
	answers, start := make([]answer, len(all)), make(chan struct{})
	var wg sync.WaitGroup
	for i, r := range all {
		wg.Go(func() {
			<-start
			var err error
			if answers[i], err = h.try(r.method, r.path, r.body); err != nil {
				h.t.Errorf("%s %s: %v", r.method, r.path, err)
			}
		})
	}
	close(start)
	wg.Wait()
	return answers
}

// TestAddOnce adds one id many times at once: one gets 201, the others are told.
func TestAddOnce(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, row := range []struct{ path, body, want string }{
		{"/people", `{"id":"carol","phone":"+12025550103"}`, "There is a person carol already."},
		{"/clients", `{"client_id":"agent-1","client_name":"Agent"}`, "There is a client agent-1 already."},
	} {
		added := 0
		for _, a := range h.together(slices.Repeat([]request{{"POST", row.path, row.body}}, 50)...) {
			switch {
			case a.status == 201:
				added++
			case a.status != 409 || a.body["error"] != "conflict" || a.body["error_description"] != row.want || a.body["next_step"] == nil:
				t.Errorf("POST %s again = %d %s, want 409 with %q", row.path, a.status, a.text, row.want)
			}
		}
		if added != 1 {
			t.Errorf("POST %s: %d of 50 have added the same id", row.path, added)
		}
	}
	if c, err := h.Client(t.Context(), "agent-1"); err != nil || len(c.SecretHashes) != 1 {
		t.Errorf("Client = %+v, %v; want it with the secret of who has added it", c, err)
	}
}

// TestChangesAtOnce changes one entry many times at once: no change undoes
// another.
func TestChangesAtOnce(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.want(201, "POST", "/people", `{"id":"carol"}`)
	var links, unlinks []request
	for i := range 16 {
		id := fmt.Sprint("agent-", i)
		h.want(201, "POST", "/clients", `{"client_id":"`+id+`"}`)
		links = append(links, request{"PUT", "/people/carol/clients/" + id, ""})
		unlinks = append(unlinks, request{"DELETE", "/people/carol/clients/" + id, ""})
	}
	for _, step := range []struct {
		all  []request
		want int
	}{{links, 16}, {links, 16}, {unlinks[:8], 8}, {unlinks, 0}} {
		for i, a := range h.together(step.all...) {
			if a.status != 200 {
				t.Errorf("%s %s = %d %s", step.all[i].method, step.all[i].path, a.status, a.text)
			}
		}
		if p, err := h.Person(t.Context(), "carol"); err != nil || len(p.Clients) != step.want {
			t.Errorf("carol is linked to %v, %v; want %d", p.Clients, err, step.want)
		}
	}
	for range 10 { // both secrets that were made work
		renew := request{"POST", "/clients/agent-0/secret", ""}
		answers := h.together(renew, renew)
		c, err := h.Client(t.Context(), "agent-0")
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range answers {
			if secret, _ := a.body["client_secret"].(string); a.status != 200 || !slices.Contains(c.SecretHashes, keys.TokenDigest(secret)) {
				t.Fatalf("a secret that was given out does not work: %d", a.status)
			}
		}
	}
}

// TestErasureStands erases somebody who is linked and unlinked all the while:
// when the operator is told, nobody is there and nobody comes.
func TestErasureStands(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.want(201, "POST", "/clients", `{"client_id":"agent"}`)
	p := h.Pseudonym("carol")
	for round := range 200 {
		h.want(201, "POST", "/people", `{"id":"carol","phone":"+12025550103"}`)
		link, unlink := request{"PUT", "/people/carol/clients/agent", ""}, request{"DELETE", "/people/carol/clients/agent", ""}
		answers := h.together(link, request{"DELETE", "/people/carol", ""}, unlink, link)
		if a := answers[1]; a.status != 200 {
			t.Fatalf("round %d: erasing = %d %s", round, a.status, a.text)
		}
		for _, a := range slices.Delete(answers, 1, 2) {
			if a.status != 200 && (a.status != 404 || a.body["next_step"] == nil) {
				t.Fatalf("round %d: linking who is erased = %d %s, want 200 or 404", round, a.status, a.text)
			}
		}
		if a := h.call("GET", "/people/carol", ""); a.status != 404 {
			t.Fatalf("round %d: the person is there again: %s", round, a.text)
		}
		if err := h.PutEvidence(t.Context(), p, consent.NewID(), []byte("late")); !errors.Is(err, consent.ErrNotFound) {
			t.Fatalf("round %d: the person has a data key again: %v", round, err)
		}
	}
}

// TestRemovalStands removes a client whose secret is renewed all the while:
// when the operator is told, no secret works.
func TestRemovalStands(t *testing.T) {
	t.Parallel()
	h := open(t)
	for round := range 50 {
		id := fmt.Sprint("agent-", round)
		h.want(201, "POST", "/clients", `{"client_id":"`+id+`"}`)
		renew := request{"POST", "/clients/" + id + "/secret", ""}
		answers := h.together(renew, request{"DELETE", "/clients/" + id, ""}, renew, renew)
		if a := answers[1]; a.status != 200 {
			t.Fatalf("round %d: removing = %d %s", round, a.status, a.text)
		}
		for _, a := range append(slices.Delete(answers, 1, 2), h.call(renew.method, renew.path, "")) {
			if a.status != 200 && (a.status != 404 || !strings.Contains(a.text, "no such client")) {
				t.Fatalf("round %d: renewing = %d %s, want 200 or 404", round, a.status, a.text)
			}
		}
		if _, err := h.Client(t.Context(), id); !errors.Is(err, consent.ErrNotFound) {
			t.Fatalf("round %d: the client is there again: %v", round, err)
		}
	}
}
