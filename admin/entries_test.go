package admin_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ringback/admin"
	"ringback/consent"
	"ringback/keys"
)

// checkBody decodes and checks body as both kinds of entry.
func checkBody(t *testing.T, body string) {
	var p admin.People
	if err := json.Unmarshal([]byte(body), &p); err == nil {
		if _, err := json.Marshal(p); err != nil {
			t.Fatalf("People %q is read and cannot be written: %v", body, err)
		}
	}
	var c consent.Client
	if json.Unmarshal([]byte(body), &c) == nil {
		admin.CheckClient(&c, admin.Offer{})
	}
	var person consent.Person
	if json.Unmarshal([]byte(body), &person) == nil {
		admin.CheckPerson(&person)
	}
}

func TestClients(t *testing.T) {
	t.Parallel()
	h := open(t)
	a := h.want(201, "POST", "/clients", `{"client_name":"Travel Agent","people":["alice"],"verified_host":"travel.example"}`)
	id, secret := a.body["client_id"].(string), a.body["client_secret"].(string)
	if !strings.HasPrefix(id, "travel-agent-") || len(secret) != 43 || a.body["issuer"] != "https://consent.example.com" {
		t.Errorf("added %s", a.text)
	}
	stored, err := h.Client(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if stored.SecretHashes[0] != keys.TokenDigest(secret) || stored.Mode != consent.Poll || stored.DefaultResource != "https://api.example" || stored.People != "list" || stored.PeopleList[0] != "alice" {
		t.Errorf("stored %+v", stored)
	}
	if text := h.want(200, "GET", "/clients/"+id, "").text + h.want(200, "GET", "/clients", "").text; strings.Contains(text, secret) ||
		strings.Contains(text, "sha256") || strings.Contains(text, stored.SecretHashes[0].String()) {
		t.Errorf("a secret or its hash is shown: %s", text)
	}

	// Two secrets work while one is being replaced, never three.
	second := h.want(200, "POST", "/clients/"+id+"/secret", "").body["client_secret"].(string)
	third := h.want(200, "POST", "/clients/"+id+"/secret", "").body["client_secret"].(string)
	stored, _ = h.Client(t.Context(), id)
	if want := []consent.Digest{keys.TokenDigest(third), keys.TokenDigest(second)}; !slices.Equal(stored.SecretHashes, want) {
		t.Errorf("after two renewals %d secrets work, want the last two", len(stored.SecretHashes))
	}

	for body, want := range map[string]string{
		`{"client_id":"` + id + `","client_name":"Other"}`: "There is a client",
		`{"client_name":"TraveI Agent"}`:                   "could take the name",
		`{"client_name":"File Agent"}`:                     "could take the name",
		`{"client_id":"file-agent","client_name":"New"}`:   "There is a client",
	} {
		if a := h.call("POST", "/clients", body); a.status != 409 || !strings.Contains(a.text, want) {
			t.Errorf("adding %s = %d %s, want 409 with %q", body, a.status, a.text, want)
		}
	}
	for _, r := range [][2]string{{"DELETE", "/clients/file-agent"}, {"POST", "/clients/file-agent/secret"}} {
		if a := h.call(r[0], r[1], ""); a.status != 409 || !strings.Contains(a.text, "ringback.yaml:7") {
			t.Errorf("%s %s = %d %s, want 409 with its line", r[0], r[1], a.status, a.text)
		}
	}
	for _, r := range [][2]string{{"GET", "/clients/x"}, {"DELETE", "/clients/x"}, {"POST", "/clients/x/secret"}} {
		if a := h.call(r[0], r[1], ""); a.status != 404 || a.body["next_step"] == nil {
			t.Errorf("%s %s = %d %s, want 404 with a next step", r[0], r[1], a.status, a.text)
		}
	}
	h.want(200, "DELETE", "/clients/"+id, "")
	h.want(404, "GET", "/clients/"+id, "")
}

// TestPages reads a list in small pages and gets every entry once.
func TestPages(t *testing.T) {
	t.Parallel()
	h := open(t)
	want := []string{"alice"}
	for i := range 7 {
		id := fmt.Sprintf("person-%d", i)
		h.want(201, "POST", "/people", `{"id":"`+id+`"}`)
		want = append(want, id)
	}
	var got []string
	after := ""
	for range 10 {
		a := h.want(200, "GET", "/people?limit=3&after="+after, "")
		got = append(got, a.items("id")...)
		if after, _ = a.body["next"].(string); after == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages = %v, want %v", got, want)
	}
	for _, q := range []string{"limit=0", "limit=1001", "limit=x", "limit=-1"} {
		if a := h.call("GET", "/people?"+q, ""); a.status != 400 {
			t.Errorf("?%s = %d, want 400", q, a.status)
		}
	}
}

func TestPeople(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.want(201, "POST", "/people", `{"id":"carol","name":"Carol","phone":"+12025550103","email":"carol@example.com","locale":"de","zoneinfo":"Europe/Berlin"}`)
	if text := h.want(200, "GET", "/people", "").text; strings.Contains(text, "2025550103") || strings.Contains(text, "carol@") {
		t.Errorf("a list shows numbers and addresses: %s", text)
	}
	if a := h.want(200, "GET", "/people/carol", ""); a.body["phone"] != "+12025550103" || a.body["open_requests"] != 0.0 || len(a.body["devices"].([]any)) == 0 {
		t.Errorf("carol = %s", a.text)
	}
	for body, want := range map[string]string{
		`{"id":"carol"}`:                       "There is a person carol",
		`{"id":"alice"}`:                       "There is a person alice",
		`{"id":"dave","phone":"+12025550103"}`: "belongs to another person",
		`{"id":"erin","phone":"+12025550101"}`: "belongs to another person",
	} {
		a := h.call("POST", "/people", body)
		if a.status != 409 || !strings.Contains(a.text, want) || strings.Contains(a.text, "20255501") {
			t.Errorf("adding %s = %d %s, want 409 with %q and no number", body, a.status, a.text, want)
		}
	}
	h.want(200, "PUT", "/people/carol/clients/file-agent", "")
	h.want(200, "PUT", "/people/carol/clients/file-agent", "") // again is the same
	if p, _ := h.Person(t.Context(), "carol"); !slices.Equal(p.Clients, []string{"file-agent"}) {
		t.Errorf("carol's clients = %v", p.Clients)
	}
	h.want(404, "PUT", "/people/carol/clients/nobody", "")
	h.want(409, "PUT", "/people/alice/clients/file-agent", "")
	h.want(200, "DELETE", "/people/carol/clients/file-agent", "")
	if p, _ := h.Person(t.Context(), "carol"); len(p.Clients) != 0 {
		t.Errorf("carol's clients = %v, want none", p.Clients)
	}
	if strings.Contains(h.logged(), "2025550103") || strings.Contains(h.logged(), "carol@") {
		t.Error("the log holds a number or an address")
	}
}

// TestErasure removes a person while requests wait.
func TestErasure(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.want(201, "POST", "/people", `{"id":"carol","phone":"+12025550103"}`)
	open := h.Asked("carol")
	h.Eventually("the open request", func() bool { return len(h.History(h.Pseudonym("carol")).Open) == 1 })
	h.want(409, "DELETE", "/people/alice", "")
	a := h.want(200, "DELETE", "/people/carol", "")
	if a.body["withdrawn"] != 1.0 {
		t.Errorf("removed %s, want one withdrawn", a.text)
	}
	h.want(404, "GET", "/people/carol", "")
	h.want(404, "DELETE", "/people/carol", "")
	h.want(404, "DELETE", "/people/nobody", "")
	// What was asked cannot be read any more; that the request ended can.
	if b, ok := h.Peek(open.ID); !ok || b.Decided != consent.Withdrawn {
		t.Errorf("Peek = %+v, %v, want withdrawn", b, ok)
	}
	if st, err := h.Get(t.Context(), open.ID); err == nil && st.Request.Approver == "carol" {
		t.Error("the erased person's request can still be read")
	}
	h.want(201, "POST", "/people", `{"id":"dave","phone":"+12025550103"}`)
}
