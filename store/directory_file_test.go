package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
)

func TestCheckEntries(t *testing.T) {
	t.Parallel()
	client := func(change func(*consent.Client)) []consent.Client {
		c := pollClient("agent")
		change(c)
		return []consent.Client{*c}
	}
	person := func(change func(*consent.Person)) []consent.Person {
		p := alice()
		change(p)
		return []consent.Person{*p}
	}
	rows := []struct {
		name    string
		clients []consent.Client
		people  []consent.Person
		want    string // part of the only mistake; empty: none
	}{
		{"good", client(func(*consent.Client) {}), person(func(*consent.Person) {}), ""},
		{"only an id", []consent.Client{{ID: "a"}}, []consent.Person{{ID: "a"}}, ""},
		{"no id", nil, person(func(p *consent.Person) { p.ID = "" }), "needs an id"},
		{"id like an email", nil, person(func(p *consent.Person) { p.ID = "a@b" }), "needs an id"},
		{"id like a phone", nil, person(func(p *consent.Person) { p.ID = "+1" }), "needs an id"},
		{"id like JSON", nil, person(func(p *consent.Person) { p.ID = "{}" }), "needs an id"},
		{"id with a space", nil, person(func(p *consent.Person) { p.ID = "a b" }), "needs an id"},
		{"id not ASCII", nil, person(func(p *consent.Person) { p.ID = "å" }), "needs an id"},
		{"long id", nil, person(func(p *consent.Person) { p.ID = strings.Repeat("x", 256) }), "needs an id"},
		{"name with a control character", nil, person(func(p *consent.Person) { p.Name = "a\u202eb" }), "needs a name"},
		{"name not UTF-8", nil, person(func(p *consent.Person) { p.Name = "\xff" }), "needs a name"},
		{"national phone", nil, person(func(p *consent.Person) { p.Phone = "0151123456" }), "needs its phone"},
		{"phone with spaces", nil, person(func(p *consent.Person) { p.Phone = "+49 151 123456" }), "needs its phone"},
		{"short phone", nil, person(func(p *consent.Person) { p.Phone = "+491" }), "needs its phone"},
		{"email without host", nil, person(func(p *consent.Person) { p.Email = "a@" }), "needs its email"},
		{"email with two ats", nil, person(func(p *consent.Person) { p.Email = "a@b@c" }), "needs its email"},
		{"locale", nil, person(func(p *consent.Person) { p.Locale = "English please" }), "needs its locale"},
		{"zone", nil, person(func(p *consent.Person) { p.Zoneinfo = "Mars/Olympus" }), "needs its zoneinfo"},
		{"zone of the machine", nil, person(func(p *consent.Person) { p.Zoneinfo = "Local" }), "needs its zoneinfo"},
		{"zone that is a path", nil, person(func(p *consent.Person) { p.Zoneinfo = "../../etc/passwd" }), "needs its zoneinfo"},
		{"linked to nothing", nil, person(func(p *consent.Person) { p.Clients = []string{""} }), "needs its clients"},
		{"person twice", nil, []consent.Person{{ID: "a"}, {ID: "a"}}, "twice"},
		{"phone twice", nil, []consent.Person{{ID: "a", Phone: "+12025550101"}, {ID: "b", Phone: "+12025550101"}}, `"a" has it`},
		{"client twice", []consent.Client{{ID: "a"}, {ID: "a"}}, nil, "twice"},
		{"no client_id", client(func(c *consent.Client) { c.ID = "" }), nil, "needs a client_id"},
		{"client_id with a line", client(func(c *consent.Client) { c.ID = "a\nb" }), nil, "needs a client_id"},
		{"auth method", client(func(c *consent.Client) { c.AuthMethod = "none" }), nil, "token_endpoint_auth_method"},
		{"three secrets", client(func(c *consent.Client) { c.SecretHashes = make([]consent.Digest, 3) }), nil, "two secrets"},
		{"mode", client(func(c *consent.Client) { c.Mode = "pull" }), nil, "delivery_mode"},
		{"ping to nowhere", client(func(c *consent.Client) { c.Mode = consent.Ping }), nil, "notification_endpoint"},
		{"ping to a path", client(func(c *consent.Client) { c.Mode, c.NotificationEndpoint = consent.Ping, "/ping" }), nil, "notification_endpoint"},
		{"ping", client(func(c *consent.Client) { c.Mode, c.NotificationEndpoint = consent.Ping, "https://a.example/ping" }), nil, ""},
		{"people", client(func(c *consent.Client) { c.People = "all" }), nil, "people"},
		{"resource with fragment", client(func(c *consent.Client) { c.Resources = []string{"https://a.example/#x"} }), nil, "resources"},
		{"relative resource", client(func(c *consent.Client) { c.DefaultResource = "api" }), nil, "resources"},
		{"resource that is a URN", client(func(c *consent.Client) { c.DefaultResource = "urn:example:api" }), nil, ""},
	}
	for _, row := range rows {
		got := CheckEntries(row.clients, row.people)
		if row.want == "" && len(got) > 0 || row.want != "" && (len(got) != 1 || !strings.Contains(got[0].Error(), row.want)) {
			t.Errorf("%s: CheckEntries = %v, want %q", row.name, got, row.want)
		}
		for _, err := range got {
			if !errors.Is(err, consent.ErrInvalid) && !errors.Is(err, consent.ErrTaken) {
				t.Errorf("%s: %v is neither ErrInvalid nor ErrTaken", row.name, err)
			}
			if strings.Contains(err.Error(), "2025550101") {
				t.Errorf("%s: the error tells the number: %v", row.name, err)
			}
		}
	}
}

func FuzzCheckEntries(f *testing.F) {
	f.Add("alice", "+12025550101", "a@b.example", "en", "UTC", "https://a.example")
	f.Add("", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, id, phone, email, locale, zone, url string) {
		p := consent.Person{ID: id, Name: email, Phone: consent.Phone(phone), Email: email, Locale: locale, Zoneinfo: zone, Clients: []string{url}}
		c := consent.Client{ID: id, Name: locale, Mode: consent.Ping, NotificationEndpoint: url, Resources: []string{zone}, DefaultResource: url}
		CheckEntries([]consent.Client{c}, []consent.Person{p})
		if back, err := untoken(token(id)); err != nil || back != id {
			t.Errorf("untoken(token(%q)) = %q, %v", id, back, err)
		}
		if strings.ContainsAny(token(id), ".*> \t\r\n") {
			t.Errorf("token(%q) = %q is no token of a subject", id, token(id))
		}
	})
}

func TestFile(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	stored := alice()
	stored.Name = "Stored"
	if err := s.AddPerson(ctx, stored); err != nil {
		t.Fatal(err)
	}
	if err := s.AddClient(ctx, pollClient("agent")); err != nil {
		t.Fatal(err)
	}
	where := func(kind, id string) string { return kind + " " + id + " at ringback.yaml:41" }
	inFile := pollClient("agent")
	inFile.Name = "File"
	fileAlice := alice()
	fileAlice.Name = "File"
	if err := s.SetFile([]consent.Client{*inFile}, []consent.Person{*fileAlice, {ID: "dora"}, {ID: "eve", Clients: []string{"agent"}}}, where); err != nil {
		t.Fatalf("SetFile: %v", err)
	}

	// The file comes first.
	c, _ := s.Client(ctx, "agent")
	p, _ := s.Person(ctx, "alice-7f3a")
	byPhone, err := s.Find(ctx, consent.HintPhone, "+12025550101")
	if c.Name != "File" || p.Name != "File" || !c.FromFile || !p.FromFile || err != nil || byPhone.Name != "File" {
		t.Errorf("Client, Person, Find = %v, %v, %v (%v), want those of the file", c, p, byPhone, err)
	}

	// Its entries are read-only here, and the refusal says where to change them.
	refusals := map[string]error{
		"ChangeClient": s.ChangeClient(ctx, "agent", func(*consent.Client) error { return nil }),
		"RemoveClient": s.RemoveClient(ctx, "agent"),
		"RemovePerson": s.RemovePerson(ctx, "alice-7f3a"),
		"LinkPerson":   s.LinkPerson(ctx, "dora", "agent"),
		"UnlinkPerson": s.UnlinkPerson(ctx, "eve", "agent"),
	}
	for name, err := range refusals {
		if !errors.Is(err, consent.ErrReadOnly) || !strings.Contains(fmt.Sprint(err), "ringback.yaml:41") {
			t.Errorf("%s = %v, want ErrReadOnly with the line", name, err)
		}
	}
	if err := errors.Join(s.LinkPerson(ctx, "eve", "agent"), s.UnlinkPerson(ctx, "dora", "agent")); err != nil {
		t.Errorf("a link that is as the file has it: %v", err)
	}
	for what, err := range map[string]error{
		"AddClient(of the file)": s.AddClient(ctx, pollClient("agent")), "AddPerson(of both)": s.AddPerson(ctx, alice()),
		"AddPerson(of the file)": s.AddPerson(ctx, &consent.Person{ID: "dora"}),
	} {
		if !errors.Is(err, consent.ErrExists) {
			t.Errorf("%s = %v, want ErrExists", what, err)
		}
	}
	if err := s.AddPerson(ctx, &consent.Person{ID: "thief", Phone: "+12025550101"}); !errors.Is(err, consent.ErrTaken) {
		t.Errorf("AddPerson with a number of the file = %v, want ErrTaken", err)
	}

	// A file with mistakes changes nothing and all of them are told.
	err = s.SetFile([]consent.Client{{ID: ""}}, []consent.Person{{ID: "x", Phone: "1"}, {ID: "y", Email: "@"}}, nil)
	for _, part := range []string{"client_id", "phone", "email"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("SetFile with mistakes = %v, want one about %s", err, part)
		}
	}
	if p, _ := s.Person(ctx, "alice-7f3a"); p.Name != "File" {
		t.Errorf("after a refused file: %v", p)
	}
	err = s.SetFile(nil, []consent.Person{{ID: "thief", Phone: "+12025550101"}}, nil)
	if !errors.Is(err, consent.ErrTaken) || !strings.Contains(err.Error(), "alice-7f3a") {
		t.Errorf("SetFile with a stored person's number = %v, want ErrTaken naming the owner", err)
	}

	// What the file no longer has is as it was stored.
	if err := s.SetFile(nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	p, _ = s.Person(ctx, "alice-7f3a")
	if p.Name != "Stored" || p.FromFile {
		t.Errorf("Person without the file = %v, want the stored one", p)
	}
	if _, err := s.Person(ctx, "dora"); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("Person(gone from the file) = %v, want ErrNotFound", err)
	}
}

// TestNumberOfTwoFiles is two processes that have read different files: what
// goes out to the number could be answered by either.
func TestNumberOfTwoFiles(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	a, b, ctx := g.open(t), g.open(t), t.Context()
	if err := a.SetFile(nil, []consent.Person{{ID: "one", Phone: "+12025550101"}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.AddPerson(ctx, &consent.Person{ID: "two", Phone: "+12025550101"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stored person", func() bool {
		_, err := a.Person(ctx, "two")
		return err == nil
	})
	if p, err := a.Find(ctx, consent.HintPhone, "+12025550101"); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("Find = %v, %v, want ErrNotFound", p, err)
	}
	for _, id := range []string{"one", "two"} {
		if devices, err := a.Devices(ctx, id); err != nil || len(devices) != 1 || devices[0].Channel != "console" {
			t.Errorf("Devices(%s) = %v, %v, want console alone", id, devices, err)
		}
	}
}

func TestListsAreStable(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	var want []string
	var file []consent.Person
	for i := range 60 {
		id := fmt.Sprintf("p%02d", i)
		want = append(want, id)
		if i%3 == 0 {
			file = append(file, consent.Person{ID: id})
			continue
		}
		if err := s.AddPerson(ctx, &consent.Person{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetFile([]consent.Client{*pollClient("b"), *pollClient("a")}, file, nil); err != nil {
		t.Fatal(err)
	}
	// While the pages are read, entries come and go around them.
	var got []string
	for after, i := "", 0; ; i++ {
		list, next, err := s.People(ctx, after, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list {
			got = append(got, p.ID)
		}
		if next == "" {
			break
		}
		after = next
		if err := s.AddPerson(ctx, &consent.Person{ID: fmt.Sprintf("a%02d", i)}); err != nil {
			t.Fatal(err)
		}
		if err := s.RemovePerson(ctx, []string{"p01", "p50", "p02", "p04", "p05", "p07", "p08", "p10", "p11"}[i]); err != nil {
			t.Fatal(err)
		}
	}
	want = slices.DeleteFunc(want, func(id string) bool { return id == "p50" })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("People (-want +got):\n%s", diff)
	}
	clients, next, err := s.Clients(ctx, "", 1)
	if err != nil || len(clients) != 1 || clients[0].ID != "a" || next != "a" {
		t.Errorf("Clients = %v, %q, %v", clients, next, err)
	}
	if clients, next, err = s.Clients(ctx, next, 0); err != nil || len(clients) != 1 || clients[0].ID != "b" || next != "" {
		t.Errorf("Clients = %v, %q, %v", clients, next, err)
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	many := map[string]int{}
	for i := range 500 {
		many[fmt.Sprintf("%03d", i)] = i
	}
	few := map[string]int{"007": 1, "0075": 2, "999": 3}
	var got []string
	for after := ""; ; {
		ids, next := page(after, 13, keysOf(many), keysOf(few))
		got = append(got, ids...)
		if after = next; next == "" {
			break
		}
	}
	if len(got) != 502 || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != 502 {
		t.Errorf("pages hold %d ids, sorted %v", len(got), slices.IsSorted(got))
	}
	if ids, next := page("", 5); len(ids) != 0 || next != "" {
		t.Errorf("page of nothing = %v, %q", ids, next)
	}
}
