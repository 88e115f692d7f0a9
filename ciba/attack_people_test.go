package ciba_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"ringback/ciba"
	"ringback/consent"
)

// hintsFor are the ways to name a person.
func (h *house) hintsFor(id, phone, email string) map[string]string {
	return map[string]string{
		"id": id, "phone": phone, "email": email, "email in capitals": strings.ToUpper(email),
		"iss_sub":      fmt.Sprintf(`{"format":"iss_sub","iss":%q,"sub":%q}`, h.url, id),
		"opaque":       fmt.Sprintf(`{"format":"opaque","id":%q}`, id),
		"phone_number": fmt.Sprintf(`{"format":"phone_number","phone_number":%q}`, phone),
		"email object": fmt.Sprintf(`{"format":"email","email":%q}`, email),
	}
}

// crowd are people of all kinds: linked to "close", or not; with a number, a
// stopped number, or none.
func crowd(n int) (list []consent.Person) {
	for i := range n {
		p := consent.Person{ID: fmt.Sprintf("known-%05d", i), Email: fmt.Sprintf("known-%05d@example.com", i)}
		if i%3 > 0 {
			p.Phone = consent.Phone(fmt.Sprintf("+1303%07d", i))
		}
		if i%2 == 0 {
			p.Clients = []string{"close"}
		}
		list = append(list, p)
	}
	return list
}

// TestWhomAClientMayName: a client reaches those people that were given to it,
// by whatever hint, and nobody else: a phone number or an address alone lets
// nobody in (FAPI-CIBA §7.2).
func TestWhomAClientMayName(t *testing.T) {
	t.Parallel()
	h := open(t)
	if err := h.SetFile([]consent.Client{
		client("any"), client("default", func(c *consent.Client) { c.People = "" }), client("close", func(c *consent.Client) { c.People = "linked" }),
		client("listed", func(c *consent.Client) { c.People, c.PeopleList = "list", []string{"bob"} }),
	}, []consent.Person{
		{ID: "alice", Phone: "+12025550101", Email: "alice@example.com", Clients: []string{"close"}},
		{ID: "bob", Phone: "+12025550102", Email: "bob@example.com"},
	}, nil); err != nil {
		t.Fatal(err)
	}
	may := map[string][]string{"any": {"alice", "bob"}, "close": {"alice"}, "listed": {"bob"}, "default": nil}
	for who, allowed := range may {
		for _, person := range []string{"alice", "bob", "carol"} {
			phone := map[string]string{"alice": "+12025550101", "bob": "+12025550102", "carol": "+12025550103"}[person]
			for form, hint := range h.hintsFor(person, phone, person+"@example.com") {
				before := h.facts()
				res := h.directAs(who, "/bc-authorize", asking("login_hint", hint))
				want := strings.Contains(strings.Join(allowed, " "), person)
				if want && res.status != http.StatusOK || !want && !says(http.StatusBadRequest, ciba.UnknownUserID)(res) {
					t.Errorf("%s names %s by %s: %d %s", who, person, form, res.status, res.raw)
				}
				if stored := h.facts() - before; stored != map[bool]int{true: 1}[want] {
					t.Errorf("%s names %s by %s: %d facts were stored", who, person, form, stored)
				}
			}
		}
	}
}

// TestNobodyLearnsWhoIsKnown: without credentials nobody learns anything; a
// client learns nothing about people whom it may not name, and about those
// that it may name not how they are reached. Answers are compared byte by
// byte, header by header.
func TestNobodyLearnsWhoIsKnown(t *testing.T) {
	t.Parallel()
	h := open(t)
	people := crowd(manyHints)
	if err := h.SetFile([]consent.Client{
		client("any"), client("close", func(c *consent.Client) { c.People = "linked" }),
		client("counting", func(c *consent.Client) { c.MayEnumerate = true }),
	}, people, nil); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(people); i += 7 {
		if err := h.stop(people[i].ID); err != nil {
			t.Fatal(err)
		}
	}
	var took [2][]float64
	rnd := rand.New(rand.NewPCG(11, 0))
	ask := func(who string, form url.Values) *response {
		if who == "" {
			return h.direct("/bc-authorize", form)
		}
		return h.directAs(who, "/bc-authorize", form)
	}
	var nobody, stranger *response
	for i := range people {
		known, unknown := people[i], consent.Person{ID: fmt.Sprintf("spare-%05d", i), Email: fmt.Sprintf("spare-%05d@example.com", i), Phone: consent.Phone(fmt.Sprintf("+1304%07d", i))}
		if known.Phone == "" {
			known.Phone = unknown.Phone
		}
		forms := []string{"id", "phone", "email", "iss_sub", "opaque", "phone_number", "email object"}
		form := forms[i%len(forms)]
		hints := [2]string{h.hintsFor(known.ID, string(known.Phone), known.Email)[form], h.hintsFor(unknown.ID, string(unknown.Phone), unknown.Email)[form]}
		first := rnd.IntN(2)
		for _, k := range []int{first, 1 - first} {
			// Without credentials, and with the wrong ones.
			res := ask("", asking("login_hint", hints[k], "client_id", "any"))
			if nobody == nil {
				nobody = res
			}
			if !same(nobody, res) || res.status != http.StatusUnauthorized {
				t.Fatalf("without credentials, by %s: %d %v %s", form, res.status, res.header, res.raw)
			}
			if i%2 == 0 {
				continue // linked to "close"
			}
			began := time.Now()
			res = ask("close", asking("login_hint", hints[k]))
			took[k] = append(took[k], float64(time.Since(began)))
			if stranger == nil {
				stranger = res
			}
			if !same(stranger, res) || !says(http.StatusBadRequest, ciba.UnknownUserID)(res) {
				t.Fatalf("of somebody not linked, by %s: %d %v %s", form, res.status, res.header, res.raw)
			}
		}
	}
	// For how long is not asserted: it depends on what else the machine does.
	t.Logf("Welch's t of the time for %d people who are not linked and %d who do not exist: %.2f", len(took[0]), len(took[1]), welch(took[0], took[1]))

	// Whom it may name: with a number, with a stopped one, with none.
	var first *response
	for _, who := range []string{"any", "counting"} {
		for i := range min(len(people), 60) {
			res := ask(who, asking("login_hint", people[i].ID))
			if res.status != http.StatusOK {
				t.Fatalf("asking: %d %s", res.status, res.raw)
			}
			handle := res.str("auth_req_id")
			res.raw = strings.Replace(res.raw, handle, "", 1)
			if first == nil {
				first = res
			}
			if !same(first, res) {
				t.Errorf("%s can tell how people are reached: %v %s", who, res.header, res.raw)
			}
		}
	}
}

// stop is what a STOP to the sender does.
func (h *house) stop(person string) error {
	devices, err := h.Devices(h.t.Context(), person)
	if err != nil {
		return err
	}
	for _, d := range devices {
		if err := h.StopDevice(h.t.Context(), person, d.ID, true); err != nil {
			return err
		}
	}
	return nil
}

// welch is the statistic that tells two means apart.
func welch(a, b []float64) float64 {
	mean := func(x []float64) (m, v float64) {
		for _, f := range x {
			m += f
		}
		m /= float64(len(x))
		for _, f := range x {
			v += (f - m) * (f - m)
		}
		return m, v / float64(len(x)-1) / float64(len(x))
	}
	ma, va := mean(a)
	mb, vb := mean(b)
	return (ma - mb) / math.Sqrt(va+vb)
}

// TestLookAlikes: of two requests that look alike, one by an attacker, a yes
// to either says nothing about the other, and a second identical one of the
// same client is refused where policy wants that.
func TestLookAlikes(t *testing.T) {
	t.Parallel()
	h := open(t)
	rnd := rand.New(rand.NewPCG(13, 0))
	for range manyPairs {
		clients := [2]string{"agent", "other"}
		var handles [2]string
		for i, who := range clients {
			handles[i] = h.askedDirectly(who, "binding_message", "W4SCT", "authorization_details", payment)
		}
		chosen := rnd.IntN(2)
		rest := 1 - chosen
		verb := []consent.Verb{consent.Approved, consent.Denied}[rnd.IntN(2)]
		h.decide(h.idOf(handles[chosen]), verb)
		if got := h.state(h.idOf(handles[rest])).Status(); got != consent.StatusPending {
			t.Fatalf("the other request is %s", got)
		}
		if res := h.directAs(clients[rest], "/token", collecting(handles[rest])); !says(http.StatusBadRequest, ciba.AuthorizationPending)(res) {
			t.Fatalf("the other client's own: %d %s", res.status, res.raw)
		}
		if res := h.directAs(clients[rest], "/token", collecting(handles[chosen])); !says(http.StatusBadRequest, ciba.InvalidGrant)(res) {
			t.Fatalf("the other client's try: %d %s", res.status, res.raw)
		}
		want := says(http.StatusBadRequest, ciba.AccessDenied)
		if verb == consent.Approved {
			want = answered(http.StatusOK)
		}
		if res := h.directAs(clients[chosen], "/token", collecting(handles[chosen])); !want(res) {
			t.Fatalf("%s: %d %s", verb, res.status, res.raw)
		}
		h.decide(h.idOf(handles[rest]), consent.Denied)
	}
	p := *h.policy.Load()
	p.Dedupe = true
	h.policy.Store(&p)
	again := func(who string, pairs ...string) *response {
		return h.directAs(who, "/bc-authorize", asking(append([]string{"authorization_details", payment}, pairs...)...))
	}
	for _, who := range []string{"agent", "other"} { // one client's is no matter of another's
		if res := again(who); res.status != http.StatusOK {
			t.Errorf("%s: %d %s", who, res.status, res.raw)
		}
		for _, spelled := range []string{payment, " " + payment, strings.ReplaceAll(payment, ":", " : ")} {
			h.refused("the same again", again(who, "authorization_details", spelled), http.StatusBadRequest, ciba.InvalidRequest, "identical")
		}
	}
}
