package ciba_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/ciba"
	"ringback/consent"
)

const treeCode = "tree-4711"

// chooses gives a person a user_code.
func (h *house) chooses(person string, code consent.Secret) {
	h.t.Helper()
	id, err := h.OfferUserCode(h.t.Context(), person, h.now().Add(time.Minute))
	if err == nil {
		err = h.ChooseUserCode(h.t.Context(), id, code)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// coded is a client that asks with a user_code.
func coded(id string, change ...func(*consent.Client)) consent.Client {
	return client(id, append(change, func(c *consent.Client) { c.UserCode = true })...)
}

// asks is one request for alice with a user_code, "" for none.
func (h *house) asks(client, code string, pairs ...string) *response {
	h.t.Helper()
	return h.post("/bc-authorize", client, params(append([]string{"scope", "openid", "login_hint", "alice", "user_code", code}, pairs...)...))
}

// TestUserCode: CIBA Core §7.1 and §13, user_code.
func TestUserCode(t *testing.T) {
	t.Parallel()
	h := open(t, coded("coded"), coded("linked", func(c *consent.Client) { c.People = "linked" }))
	h.chooses("alice", treeCode)
	before := h.facts()
	for _, tt := range []struct {
		name, client, code string
		pairs              []string
		want               ciba.Code
		says               string
	}{
		{"missing", "coded", "", nil, ciba.MissingUserCode, "user_code: missing"},
		{"wrong", "coded", "tree-4712", nil, ciba.InvalidUserCode, "user_code: "},
		{"in other letters", "coded", "TREE-4711", nil, ciba.InvalidUserCode, "user_code: "},
		{"with a space", "coded", treeCode + " ", nil, ciba.InvalidUserCode, "user_code: "},
		{"endless", "coded", strings.Repeat(treeCode, 1000), nil, ciba.InvalidUserCode, "user_code: "},
		{"right, of a person who has none", "coded", treeCode, []string{"login_hint", "bob"}, ciba.InvalidUserCode, "user_code: "},
		{"right, of nobody", "coded", treeCode, []string{"login_hint", "nobody"}, ciba.UnknownUserID, "hint"},
		{"right, of somebody not linked", "linked", treeCode, []string{"login_hint", "bob"}, ciba.UnknownUserID, "hint"},
		{"right, for nothing that can be asked", "coded", treeCode, []string{"scope", "openid admin"}, ciba.InvalidScope, "scope: "},
	} {
		h.refused(tt.name, h.asks(tt.client, tt.code, tt.pairs...), http.StatusBadRequest, tt.want, tt.says)
	}
	if res := h.asks("coded", treeCode, "user_code", ""); res.str("error") != string(ciba.MissingUserCode) {
		t.Errorf("an empty user_code: %s", res.raw)
	}
	if got := h.facts(); got != before {
		t.Errorf("what was refused left %d facts behind", got-before)
	}
	// Nobody learns who has a code.
	if a, b := h.asks("coded", "some-code"), h.asks("coded", "some-code", "login_hint", "bob"); a.raw != b.raw || a.status != b.status {
		t.Errorf("a wrong code is answered %d %s, nobody's %d %s", a.status, a.raw, b.status, b.raw)
	}
	if res := h.asks("coded", treeCode); res.status != http.StatusOK || res.str("auth_req_id") == "" {
		t.Errorf("the right code: %d %s", res.status, res.raw)
	}
	if res := h.asks("agent", "whatever"); res.status != http.StatusOK {
		t.Errorf("a client without the parameter: %d %s", res.status, res.raw)
	}
	h.chooses("alice", "other-0815")
	h.refused("the code before", h.asks("coded", treeCode), http.StatusBadRequest, ciba.InvalidUserCode, "user_code: ")
	if res := h.asks("coded", "other-0815"); res.status != http.StatusOK {
		t.Errorf("the new code: %d %s", res.status, res.raw)
	}
	for _, secret := range []string{treeCode, "tree-4712", "other-0815", "some-code"} {
		if strings.Contains(h.logged(), secret) {
			t.Errorf("the log has the user code %s", secret)
		}
	}
}

// TestUserCodeGuesses: a client that guesses is stopped, whoever it guesses
// for, and only that one; right codes are free.
func TestUserCodeGuesses(t *testing.T) {
	t.Parallel()
	registered := func(c *consent.Client) { c.Registrant = "shop" }
	h := open(t, coded("guesser"), coded("patient"), coded("first", registered), coded("second", registered))
	h.chooses("alice", treeCode)
	for range 2 * consent.PairGuesses {
		if res := h.asks("guesser", treeCode); res.status != http.StatusOK {
			t.Fatalf("a right code: %d %s", res.status, res.raw)
		}
	}
	for _, person := range []string{"alice", "bob"} { // one with a code, one without
		for i := range consent.PairGuesses {
			h.refused("a guess", h.asks("guesser", "guess-"+strconv.Itoa(i), "login_hint", person), http.StatusBadRequest, ciba.InvalidUserCode, "user_code: ")
		}
		res := h.asks("guesser", treeCode, "login_hint", person)
		h.refused("one guess too many for "+person, res, http.StatusForbidden, ciba.AccessDenied, "too many wrong user codes")
		if after, err := strconv.Atoi(res.header.Get("Retry-After")); err != nil || after < 1 || after > 600 {
			t.Errorf("Retry-After is %q", res.header.Get("Retry-After"))
		}
	}
	if res := h.asks("patient", treeCode); res.status != http.StatusOK {
		t.Errorf("another client: %d %s", res.status, res.raw)
	}
	// A new client_id is no new chance where it costs nothing.
	for i := range consent.PairGuesses {
		h.asks([]string{"first", "second"}[i%2], "guess-"+strconv.Itoa(i))
	}
	for _, id := range []string{"first", "second"} {
		h.refused(id, h.asks(id, treeCode), http.StatusForbidden, ciba.AccessDenied, "too many wrong user codes")
	}
	h.forward(consent.PairWindow)
	if res := h.asks("guesser", treeCode); res.status != http.StatusOK {
		t.Errorf("ten minutes later: %d %s", res.status, res.raw)
	}
}

// TestUserCodeGuessesAtOnce: no more are compared when they come at once.
func TestUserCodeGuessesAtOnce(t *testing.T) {
	t.Parallel()
	h := open(t, coded("coded"))
	h.chooses("alice", treeCode)
	const many = 40
	answers := make([]*response, many)
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() { answers[i] = h.asks("coded", "guess-"+strconv.Itoa(i)) })
	}
	all.Wait()
	compared := 0
	for _, res := range answers {
		switch res.str("error") {
		case string(ciba.InvalidUserCode):
			compared++
		case string(ciba.AccessDenied):
		default:
			t.Errorf("one of many guesses: %d %s", res.status, res.raw)
		}
	}
	if compared != consent.PairGuesses {
		t.Errorf("%d of %d guesses were compared, want %d", compared, many, consent.PairGuesses)
	}
}

// TestUserCodeSigned: of a signed request only the code inside counts (CIBA
// Core §7.1.1).
func TestUserCodeSigned(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ES256", "ec")
	h := open(t, keyed("coded", s, func(c *consent.Client) { c.UserCode, c.MustSign = true, true }))
	h.chooses("alice", treeCode)
	signed := func(code string) string {
		now := h.now()
		return s.sign(nil, claims{
			"iss": "coded", "aud": h.url, "jti": consent.NewID().String(), "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Minute).Unix(),
			"scope": "openid", "login_hint": "alice", "user_code": code,
		})
	}
	h.refused("a wrong code inside", h.as(s, "coded", "/bc-authorize", "request", signed("tree-4712")), http.StatusBadRequest, ciba.InvalidUserCode, "user_code: ")
	if res := h.as(s, "coded", "/bc-authorize", "request", signed("tree-4712"), "user_code", treeCode); res.status == http.StatusOK {
		t.Errorf("the right code beside the request: %d %s", res.status, res.raw)
	}
	if res := h.as(s, "coded", "/bc-authorize", "request", signed(treeCode)); res.status != http.StatusOK {
		t.Errorf("the right code inside: %d %s", res.status, res.raw)
	}
}

// TestUserCodeFrozen: a client that the person has stopped compares no code, so
// it learns nothing and leaves their guesses to others.
func TestUserCodeFrozen(t *testing.T) {
	t.Parallel()
	h := open(t, coded("stopped"), coded("coded"))
	h.chooses("alice", treeCode)
	if err := h.Freeze(t.Context(), h.Pseudonym("alice"), "stopped", h.now().Add(72*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for i := range consent.PersonGuesses {
		h.refused("a guess", h.asks("stopped", "guess-"+strconv.Itoa(i)), http.StatusForbidden, ciba.AccessDenied, "does not take requests")
		h.forward(consent.PairWindow)
	}
	h.refused("the right one", h.asks("stopped", treeCode), http.StatusForbidden, ciba.AccessDenied, "does not take requests")
	if res := h.asks("coded", treeCode); res.status != http.StatusOK {
		t.Errorf("another client: %d %s", res.status, res.raw)
	}
}
