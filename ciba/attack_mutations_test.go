package ciba_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"ringback/ciba"
	"ringback/consent"
)

var mutations = flag.Int("mutations", manyMutations, "how many changed tokens of each kind are tried")

// perGenuine is how many mutants one genuine token has. It lives as long.
const perGenuine = 300

// mutator makes tokens that nobody signed out of ones that somebody did.
type mutator struct {
	rnd    *rand.Rand
	thief  map[string]*signer // by algorithm: keys of the attacker
	others []string           // genuine tokens of other kinds
	public []byte             // the genuine signer's public key
}

func newMutator(t testing.TB, seed uint64, public any) *mutator {
	t.Helper()
	m := &mutator{rnd: rand.New(rand.NewPCG(seed, 0)), thief: map[string]*signer{}}
	for _, alg := range []string{"ES256", "PS256", "EdDSA"} {
		m.thief[alg] = newSigner(t, alg, "thief")
	}
	var err error
	if m.public, err = x509.MarshalPKIXPublicKey(public); err != nil {
		t.Fatal(err)
	}
	return m
}

// next returns a mutant of a token that the signer's algorithm made.
func (m *mutator) next(token, alg string) string {
	for {
		if out := m.change(token, alg); out != token && out != "" {
			return out
		}
	}
}

func (m *mutator) change(token, alg string) string {
	head, rest, _ := strings.Cut(token, ".")
	body, tail, _ := strings.Cut(rest, ".")
	switch m.rnd.IntN(12) {
	case 0: // the payload says something else
		return head + "." + m.member(body) + "." + tail
	case 1: // the header says something else
		return m.member(head) + "." + body + "." + tail
	case 2: // signed by somebody else
		if alg == "PS256" && m.rnd.IntN(20) > 0 {
			alg = "ES256" // making RSA signatures takes long
		}
		text := head + "." + m.member(body)
		return text + "." + b64(m.thief[alg].raw([]byte(text)))
	case 3: // a MAC whose secret is the public key, or none at all
		head = m.header(head, "alg", pick(m.rnd, "HS256", "none", "None", "nOnE", ""))
		text := head + "." + m.member(body)
		mac := hmac.New(sha256.New, m.public)
		mac.Write([]byte(text))
		return text + "." + pick(m.rnd, "", b64(mac.Sum(nil)), tail)
	case 4: // with parts of others
		parts := strings.Split(m.others[m.rnd.IntN(len(m.others))], ".")
		return pick(m.rnd, head, parts[0]) + "." + pick(m.rnd, body, parts[1]) + "." + pick(m.rnd, tail, parts[2])
	case 5: // other bytes under the same base64 length
		raw, _ := base64.RawURLEncoding.DecodeString(tail)
		if len(raw) == 0 {
			return ""
		}
		raw[m.rnd.IntN(len(raw))] ^= byte(1 + m.rnd.IntN(255))
		return head + "." + body + "." + b64(raw)
	}
	return m.edit(token)
}

// edit changes one to four places of the text. What a form cannot carry is
// left out: it would never reach the check.
func (m *mutator) edit(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n~"
	b := []byte(token)
	for range 1 + m.rnd.IntN(4) {
		i := m.rnd.IntN(len(b))
		switch c := alphabet[m.rnd.IntN(len(alphabet))]; m.rnd.IntN(4) {
		case 0:
			b = append(b[:i], b[i+1:]...)
		case 1:
			b = append(b[:i], append([]byte{c}, b[i:]...)...)
		default:
			b[i] = c
		}
	}
	return string(b)
}

// member changes one member of a base64url JSON object, adds one, or repeats
// one in the same case or another.
func (m *mutator) member(part string) string {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	var object map[string]json.RawMessage
	if err != nil || json.Unmarshal(raw, &object) != nil || len(object) == 0 {
		return part
	}
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	name := names[m.rnd.IntN(len(names))]
	value := pick(m.rnd, `"other"`, `"agent"`, `"bob"`, `null`, `0`, `4102444800`, `["`+name+`"]`, `{}`, `true`, `"`+strings.Repeat("x", 300)+`"`)
	switch m.rnd.IntN(5) {
	case 0:
		delete(object, name)
		out, _ := json.Marshal(object)
		return b64(out)
	case 1: // a second time, first or last
		again := pick(m.rnd, name, strings.ToUpper(name), strings.ToUpper(name[:1])+name[1:])
		if m.rnd.IntN(2) == 0 {
			return b64([]byte(fmt.Sprintf("{%q:%s,%s", again, value, raw[1:])))
		}
		return b64([]byte(fmt.Sprintf("%s,%q:%s}", raw[:len(raw)-1], again, value)))
	case 2:
		name = pick(m.rnd, "jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "kid", "typ", "scope", "sub", "cnf", "authorization_details")
	}
	object[name] = json.RawMessage(value)
	out, _ := json.Marshal(object)
	return b64(out)
}

// header sets one member of a header.
func (m *mutator) header(part, name, value string) string {
	raw, _ := base64.RawURLEncoding.DecodeString(part)
	object := map[string]any{}
	_ = json.Unmarshal(raw, &object)
	object[name] = value
	out, _ := json.Marshal(object)
	return b64(out)
}

func pick[T any](rnd *rand.Rand, list ...T) T { return list[rnd.IntN(len(list))] }

// attempt is one kind of token under attack.
type attempt struct {
	genuine func(round int) (token, alg string)
	others  func() []string
	public  any
	send    func(token string, i int) *response
	refused func(*response) bool // what every mutant must get
	taken   func(*response) bool // what the genuine one gets in the end
	leaves  int                  // how many facts the genuine ones of a round leave
}

// mutate tries mutants of genuine tokens, each genuine one after its mutants.
func (h *house) mutate(seed uint64, a attempt) {
	m := newMutator(h.t, seed, a.public)
	before, rounds := h.facts(), 0
	for left := *mutations; left > 0; left -= perGenuine {
		token, alg := a.genuine(rounds)
		m.others = a.others()
		for i := range min(left, perGenuine) {
			bad := m.next(token, alg)
			if res := a.send(bad, i); !a.refused(res) {
				h.t.Fatalf("a mutant is answered %d %s:\n%s\nmade of\n%s", res.status, res.raw, bad, token)
			}
		}
		if res := a.send(token, 0); !a.taken(res) {
			h.t.Fatalf("the genuine token is answered %d %s: the mutants show nothing", res.status, res.raw)
		}
		h.forgetLog(token)
		rounds++
	}
	if got := h.facts() - before; got != rounds*a.leaves {
		h.t.Errorf("%d facts were stored in %d rounds, want %d", got, rounds, rounds*a.leaves)
	}
}

func answered(status int) func(*response) bool {
	return func(res *response) bool { return res.status == status }
}

func says(status int, code ciba.Code) func(*response) bool {
	return func(res *response) bool { return res.status == status && res.str("error") == string(code) }
}

// keyring is one key of a client for each algorithm.
type keyring [3]*signer

func newKeyring(t testing.TB) (k keyring) {
	for i, alg := range []string{"ES256", "PS256", "EdDSA"} {
		k[i] = newSigner(t, alg, "own-"+alg)
	}
	return k
}

func (k keyring) of(round int) *signer { return k[round%len(k)] }

func (k keyring) register(c *consent.Client) { c.JWKS = jwks(k[:]...) }

// TestMutatedAssertions: no client assertion opens anything that its client
// did not sign just so (RFC 7523 §3, RFC 8725 §3).
func TestMutatedAssertions(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	h := open(t, client("keyed", k.register, func(c *consent.Client) { c.AuthMethod, c.SecretHashes = "private_key_jwt", nil }))
	paths := []string{"/revoke", "/introspect", "/bc-authorize", "/token", "/oauth/token"}
	h.mutate(1, attempt{
		genuine: func(round int) (string, string) {
			return k.of(round).sign(nil, h.asserted("keyed")), k.of(round).alg
		},
		others: func() []string {
			return []string{k[0].sign(nil, h.signedRequest("keyed")), k[0].proof(h, "POST", h.url+"/revoke"), k[1].sign(nil, h.asserted("other"))}
		},
		public: k[1].key.Public(),
		send: func(token string, i int) *response {
			v := asking("token", "x", "client_assertion", token, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_id", []string{"", "keyed"}[i%2])
			return h.direct(paths[i%len(paths)], v)
		},
		refused: says(http.StatusUnauthorized, ciba.InvalidClient),
		taken:   answered(http.StatusOK),
	})
}

// signedRequest are the claims of a good signed request.
func (h *house) signedRequest(client string) claims {
	now := h.now()
	return claims{
		"iss": client, "aud": h.url, "jti": consent.NewID().String(), "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"scope": "openid", "login_hint": "alice",
	}
}

// TestMutatedRequests: nobody is asked anything that the client did not sign
// just so (CIBA Core §7.1.1).
func TestMutatedRequests(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	h := open(t, client("signing", k.register, func(c *consent.Client) { c.MustSign = true }))
	h.mutate(2, attempt{
		genuine: func(round int) (string, string) {
			return k.of(round).sign(nil, h.signedRequest("signing")), k.of(round).alg
		},
		others: func() []string {
			return []string{k[0].sign(nil, h.asserted("signing")), k[0].proof(h, "POST", h.url+"/bc-authorize"), k[2].sign(nil, h.signedRequest("other"))}
		},
		public: k[1].key.Public(),
		send: func(token string, _ int) *response {
			return h.directAs("signing", "/bc-authorize", params("request", token))
		},
		refused: says(http.StatusBadRequest, ciba.InvalidRequest),
		taken:   answered(http.StatusOK),
		leaves:  1,
	})
}

// TestMutatedProofs: no DPoP proof counts that its key did not sign just so
// (RFC 9449 §4.3).
func TestMutatedProofs(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	h := open(t)
	h.mutate(3, attempt{
		genuine: func(round int) (string, string) {
			return k.of(round).proof(h, "POST", h.url+"/revoke"), k.of(round).alg
		},
		others: func() []string {
			return []string{k[0].sign(nil, h.asserted("agent")), k[1].sign(nil, h.signedRequest("agent")), k[2].proof(h, "POST", h.url+"/token")}
		},
		public: k[1].key.Public(),
		send: func(token string, _ int) *response {
			return h.directAs("agent", "/revoke", params("token", "x"), "DPoP", token)
		},
		refused: says(http.StatusBadRequest, ciba.InvalidDPoPProof),
		taken:   answered(http.StatusOK),
	})
}

// tokenKey is the public key that our tokens are signed with.
func (h *house) tokenKey() *ecdsa.PublicKey {
	h.t.Helper()
	var set struct{ Keys []struct{ X, Y string } }
	if err := json.Unmarshal(h.ring.JWKS(), &set); err != nil {
		h.t.Fatal(err)
	}
	point := []byte{4}
	for _, half := range []string{set.Keys[0].X, set.Keys[0].Y} {
		raw, err := base64.RawURLEncoding.DecodeString(half)
		if err != nil {
			h.t.Fatal(err)
		}
		point = append(point, raw...)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		h.t.Fatal(err)
	}
	return key
}

// TestMutatedAccessTokens: what we did not sign just so is never active, and
// revokes nothing (RFC 7662 §2.2, RFC 9068 §4).
func TestMutatedAccessTokens(t *testing.T) {
	t.Parallel()
	h := open(t)
	var id string
	h.mutate(4, attempt{
		genuine: func(int) (string, string) {
			res, _, _ := h.granted("agent", nil)
			id = res.str("id_token")
			return res.str("access_token"), "ES256"
		},
		others: func() []string { return []string{id} },
		public: h.tokenKey(),
		send: func(token string, i int) *response {
			if i%4 == 1 {
				h.directAs("agent", "/revoke", params("token", token)) // answered alike, whatever it is
			}
			return h.directAs("agent", "/introspect", params("token", token))
		},
		refused: func(res *response) bool {
			return res.status == http.StatusOK && len(res.body) == 1 && res.body["active"] == false
		},
		taken:  func(res *response) bool { return res.body["active"] == true },
		leaves: 3, // asked, decided, settled
	})
}

// TestMutatedHints: an ID token names nobody that we did not sign it for just
// so (CIBA Core §7.1).
func TestMutatedHints(t *testing.T) {
	t.Parallel()
	h := open(t)
	var access string
	h.mutate(5, attempt{
		genuine: func(int) (string, string) {
			res, _, _ := h.granted("agent", nil)
			access = res.str("access_token")
			return res.str("id_token"), "ES256"
		},
		others: func() []string { return []string{access} },
		public: h.tokenKey(),
		send: func(token string, _ int) *response {
			return h.directAs("agent", "/bc-authorize", params("scope", "openid", "id_token_hint", token))
		},
		refused: says(http.StatusBadRequest, ciba.InvalidRequest),
		taken: func(res *response) bool {
			if res.status != http.StatusOK {
				return false
			}
			h.decide(h.idOf(res.str("auth_req_id")), consent.Denied) // alice has one open request at a time here
			return true
		},
		leaves: 5,
	})
}

// TestMutatedHintTokens: a hint names nobody that its trusted issuer did not
// sign just so (CIBA Core §7.1).
func TestMutatedHintTokens(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	h := open(t)
	h.trust(hintIssuer, consent.HintIssuer{JWKS: jwks(k[:]...)})
	h.mutate(6, attempt{
		genuine: func(round int) (string, string) { return k.of(round).sign(nil, h.hinted()), k.of(round).alg },
		others: func() []string {
			return []string{k[0].sign(nil, h.asserted("agent")), k[1].sign(nil, h.signedRequest("agent")), k[2].sign(nil, h.hinted("aud", "https://other.example"))}
		},
		public: k[1].key.Public(),
		send: func(token string, _ int) *response {
			return h.directAs("agent", "/bc-authorize", params("scope", "openid", "login_hint_token", token))
		},
		refused: says(http.StatusBadRequest, ciba.InvalidRequest),
		taken:   answered(http.StatusOK),
		leaves:  1,
	})
}
