package ciba_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/ciba"
	"ringback/consent"
)

// allow lets clients be known by their documents below example.com.
func (h *house) allow(change ...func(*consent.Documents)) {
	d := &consent.Documents{Hosts: []string{"*.example.com"}, People: "any", Scope: "openid calendar", DefaultResource: resource}
	for _, f := range change {
		f(d)
	}
	h.change(func(p *consent.Policy) { p.Documents = d })
}

// metadata puts a client's document at a path and returns its client_id.
func (e *elsewhere) metadata(path string, s *signer, change map[string]any, header ...string) string {
	m := map[string]any{"client_id": e.url(path), "client_name": "Travel agent", "jwks": jwks(s)}
	for name, v := range change {
		if m[name] = v; v == nil {
			delete(m, name)
		}
	}
	return e.say(path, m, header...)
}

// TestMetadataClient: a client that nobody registered goes the whole way, known
// by its document (draft-ietf-oauth-client-id-metadata-document).
func TestMetadataClient(t *testing.T) {
	t.Parallel()
	e := newElsewhere(t)
	key := newSigner(t, "ES256", "k")
	h := reaching(t, e.cfg)
	h.allow()
	var pinged atomic.Value
	endpoint := e.set("/cb", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		pinged.Store(r.Header.Get("Authorization") + " " + string(body))
	})
	id := e.metadata("/client.json", key, map[string]any{"backchannel_token_delivery_mode": "ping", "backchannel_client_notification_endpoint": endpoint}, "Content-Type", "application/oauth+json; charset=utf-8")
	res := h.as(key, id, "/bc-authorize", "scope", "openid calendar", "login_hint", "alice", "client_notification_token", pingToken)
	if res.status != http.StatusOK {
		t.Fatalf("asking: %d %s", res.status, res.raw)
	}
	st := h.pending()
	if diff := cmp.Diff(consent.Party{ID: id, Name: "Travel agent", Host: "agent.example.com", Group: "host agent.example.com"}, st.Request.Client); diff != "" || st.Request.Mode != consent.Ping {
		t.Errorf("asked by %s in mode %s", diff, st.Request.Mode)
	}
	h.decide(st.Request.ID, consent.Approved)
	if out := h.door.Notify(t.Context(), h.state(st.Request.ID), 1); !out.Done || out.Code != "200" {
		t.Errorf("Notify = %+v", out)
	}
	if want := "Bearer " + pingToken + ` {"auth_req_id":"` + res.str("auth_req_id") + `"}`; pinged.Load() != want {
		t.Errorf("pinged %v, want %s", pinged.Load(), want)
	}
	poll := []string{"grant_type", ciba.GrantCIBA, "auth_req_id", res.str("auth_req_id")}
	h.refused("another one's poll", h.post("/token", "agent", params(poll...)), http.StatusBadRequest, ciba.InvalidGrant, "")
	tok := h.as(key, id, "/token", poll...)
	if tok.status != http.StatusOK {
		t.Fatalf("redeeming: %d %s", tok.status, tok.raw)
	}
	if got := h.as(key, id, "/introspect", "token", tok.str("access_token")); got.body["client_id"] != id || got.body["active"] != true {
		t.Errorf("introspection: %s", got.raw)
	}
	if e.times("/client.json") != 1 {
		t.Errorf("the document was fetched %d times", e.times("/client.json"))
	}
	if res := h.send(http.MethodGet, "/.well-known/oauth-authorization-server", ""); res.body["client_id_metadata_document_supported"] != true {
		t.Errorf("the metadata does not say so: %s", res.raw)
	}
}

// TestMetadataClientPolicy: nobody is let in by a document whom policy does not
// let in, and a host that it does not name is not called.
func TestMetadataClientPolicy(t *testing.T) {
	t.Parallel()
	e := newElsewhere(t)
	key := newSigner(t, "ES256", "k")
	id := e.metadata("/client.json", key, nil)
	entered := e.metadata("/entered.json", key, nil)
	own := e.metadata("/own.json", newSigner(t, "ES256", "k"), nil)
	linked := "https://other.example.com:" + e.port + "/linked.json"
	e.metadata("/linked.json", key, map[string]any{"client_id": linked})
	h := reaching(t, e.cfg,
		client(entered, func(c *consent.Client) {
			c.Name, c.SecretHashes, c.GrantTypes, c.Mode, c.People, c.PeopleList, c.FromDocument = "", nil, nil, "", "list", []string{"bob"}, true
		}),
		keyed(own, key), client(e.url("/secret.json")))
	if err := h.AddPerson(t.Context(), &consent.Person{ID: "carol", Phone: "+12025550103", Clients: []string{linked}}); err != nil {
		t.Fatal(err)
	}
	ask := func(id, person, scope string) *response {
		t.Helper()
		return h.as(key, id, "/bc-authorize", "scope", scope, "login_hint", person)
	}
	unknown := func(name, id string) {
		t.Helper()
		h.refused(name, ask(id, "alice", "openid"), http.StatusUnauthorized, ciba.InvalidClient, "unknown client, wrong secret, or an authentication method")
	}
	unknown("where there are none", id)
	if e.times("/client.json") != 0 {
		t.Error("a document was fetched where there are none")
	}
	h.allow(func(d *consent.Documents) { d.Hosts = []string{"example.com", "*.agent.example.com", "agent.example"} })
	unknown("on a host that is not named", id)
	for name, bad := range map[string]string{
		"without TLS": strings.Replace(id, "https", "http", 1), "with a fragment": id + "#x", "with dots": strings.Replace(id, "/client", "/./client", 1), "with a user": strings.Replace(id, "//", "//x@", 1),
		"in capitals": strings.Replace(id, "agent", "Agent", 1), "without a path": "https://agent.example.com:" + e.port, "at another port": "https://agent.example.com:1/x", "by address": "https://127.0.0.1:" + e.port + "/client.json",
		"huge": id + "?" + strings.Repeat("x", 512),
	} {
		h.allow()
		unknown(name, bad)
	}
	if e.times("/client.json") != 0 {
		t.Error("a document was fetched that policy does not name")
	}

	if res := ask(id, "alice", "openid calendar"); res.status != http.StatusOK {
		t.Errorf("what everybody may: %d %s", res.status, res.raw)
	}
	h.refused("a scope beyond", ask(id, "alice", "openid payments"), http.StatusBadRequest, ciba.InvalidScope, "")
	if res := ask(entered, "bob", "openid payments"); res.status != http.StatusOK {
		t.Errorf("what the entry says: %d %s", res.status, res.raw)
	}
	h.refused("beyond the entry", ask(entered, "alice", "openid"), http.StatusBadRequest, ciba.UnknownUserID, "")
	if res := ask(own, "alice", "openid"); res.status != http.StatusOK || e.times("/own.json") != 0 {
		t.Errorf("an entry with its own keys: %d %s, %d fetches", res.status, res.raw, e.times("/own.json"))
	}
	h.allow(func(d *consent.Documents) { d.People = "" })
	h.refused("a person who did not link it", ask(linked, "alice", "openid"), http.StatusBadRequest, ciba.UnknownUserID, "")
	if res := ask(linked, "carol", "openid"); res.status != http.StatusOK {
		t.Errorf("a person who did: %d %s", res.status, res.raw)
	}
	// An entry is the operator's word, so it stands without the rest.
	h.change(func(p *consent.Policy) { p.Documents = nil })
	if res := ask(entered, "bob", "openid"); res.status != http.StatusOK {
		t.Errorf("an entry alone: %d %s", res.status, res.raw)
	}
	unknown("after policy changed", id)
	h.refused("with a secret", h.post("/bc-authorize", id, params("scope", "openid", "login_hint", "alice")), http.StatusUnauthorized, ciba.InvalidClient, "")
	if res := h.post("/bc-authorize", e.url("/secret.json"), params("scope", "openid", "login_hint", "alice")); res.status != http.StatusOK || e.times("/secret.json") != 0 {
		t.Errorf("an entry with a secret: %d %s", res.status, res.raw)
	}
}

// TestMetadataClientChanges: a document counts as long as it says, within
// bounds; taken back it is over, out of reach it is not.
func TestMetadataClientChanges(t *testing.T) {
	t.Parallel()
	e := newElsewhere(t)
	key, next := newSigner(t, "ES256", "first"), newSigner(t, "ES256", "second")
	id := e.metadata("/c", key, nil, "Cache-Control", "no-store")
	h := reaching(t, e.cfg)
	h.allow()
	ask := func(s *signer) *response { return h.as(s, id, "/revoke", "token", "x") }
	asked := func(want int) {
		t.Helper()
		if got := e.times("/c"); got != want {
			t.Fatalf("fetched %d times, want %d", got, want)
		}
	}
	for range 3 {
		if res := ask(key); res.status != http.StatusOK {
			t.Fatalf("%d %s", res.status, res.raw)
		}
	}
	asked(1)
	h.forward(5 * time.Minute)
	ask(key)
	asked(2)
	// Its keys are replaced inside it.
	e.metadata("/c", next, nil, "Cache-Control", "max-age=864000")
	h.forward(time.Minute)
	if res := ask(next); res.status != http.StatusOK {
		t.Errorf("its new key: %d %s", res.status, res.raw)
	}
	asked(3)
	if res := ask(key); res.status != http.StatusUnauthorized {
		t.Errorf("its old key: %d %s", res.status, res.raw)
	}
	asked(3)
	h.forward(24*time.Hour - time.Minute)
	ask(next)
	asked(3)
	h.forward(time.Minute)
	ask(next)
	asked(4)
	e.fail("/c", http.StatusServiceUnavailable)
	h.forward(time.Hour)
	ask(key) // a kid that is not there any more
	asked(5)
	if res := ask(next); res.status != http.StatusOK {
		t.Errorf("while its server is down: %d %s", res.status, res.raw)
	}
	e.fail("/c", http.StatusNotFound)
	h.forward(time.Minute)
	h.refused("taken back", ask(key), http.StatusUnauthorized, ciba.InvalidClient, "client_id: the document there is refused by rule status (")
	h.refused("taken back, its key", ask(next), http.StatusUnauthorized, ciba.InvalidClient, "refused by rule status (")
	asked(6)
	e.metadata("/c", next, nil)
	h.refused("and back at once", ask(next), http.StatusUnauthorized, ciba.InvalidClient, "refused by rule status (")
	if h.forward(30 * time.Second); ask(next).status != http.StatusOK {
		t.Error("it is there again, but does not count")
	}
	asked(7)
}

// TestMetadataClientRules: what is wrong with a document is said by rule, to the
// client and in one line of the log.
func TestMetadataClientRules(t *testing.T) {
	t.Parallel()
	e := newElsewhere(t)
	key := newSigner(t, "ES256", "k")
	pages := map[string]string{}
	for name, address := range e.bad("/doc", []byte(`{"client_id":"`+canary+`"}`)) {
		if strings.HasPrefix(address, "https://agent.") || strings.HasPrefix(name, "address") || strings.HasPrefix(name, "unreachable") {
			pages[name] = address
		}
	}
	private := newSigner(t, "ES256", "p").jwk(map[string]any{"d": b64(make([]byte, 32))})
	for name, change := range map[string]map[string]any{
		"client_id: of somebody else":         {"client_id": "https://bank.example/client.json"},
		"client_id: of another path":          {"client_id": e.url("/good")},
		"secret: one in it":                   {"client_secret": canary},
		"auth_method: basic":                  {"token_endpoint_auth_method": "client_secret_basic"},
		"auth_method: none":                   {"token_endpoint_auth_method": "none"},
		"keys: private":                       {"jwks": map[string]any{"keys": []any{private}}},
		"keys: none":                          {"jwks": nil},
		"jwks_uri: elsewhere":                 {"jwks": nil, "jwks_uri": "https://" + canary + ".example/jwks"},
		"grant_types: none of ours":           {"grant_types": []string{"implicit"}},
		"delivery_mode: unknown":              {"backchannel_token_delivery_mode": canary},
		"endpoint: elsewhere":                 {"backchannel_client_notification_endpoint": "https://victim.example/" + canary},
		"algorithm: none":                     {"token_endpoint_auth_signing_alg": "none"},
		"too_large: 5 KB and something":       {"padding": strings.Repeat("x", 5<<10)},
		"syntax: a member in another case":    {"JWKS": "x"},
		"syntax: a text where a list must be": {"grant_types": canary},
	} {
		pages[name] = e.metadata("/doc/"+slug(name), key, change)
	}
	twice := e.url("/doc/twice")
	pages["syntax: client_id twice"] = e.say("/doc/twice", []byte(`{"client_id":"https://bank.example/","client_id":"`+twice+`","jwks":`+string(jwks(key))+`}`))
	h := reaching(t, e.cfg)
	h.allow()
	before := h.facts()
	var all sync.WaitGroup
	for name, id := range pages {
		rule, _, _ := strings.Cut(name, ":")
		assertion := params(append(key.assertion(h, id), "scope", "openid", "login_hint", "alice")...).Encode()
		all.Go(func() {
			for range 2 {
				res, err := h.try(t.Context(), http.MethodPost, "/bc-authorize", assertion)
				if err != nil {
					t.Error(err)
					return
				}
				h.unfetched(name, res, id, "client_id: the document there is refused by rule "+rule+" (")
			}
		})
	}
	all.Wait()
	if got := h.facts(); got != before {
		t.Errorf("refused requests left %d facts", got-before)
	}
	if e.times("/doc/good") != 0 {
		t.Error("a redirect was followed")
	}
}

// TestMetadataClientRebinding: a name server that answers by turns with an
// address that may be called and one inside gets nobody inside.
func TestMetadataClientRebinding(t *testing.T) {
	t.Parallel()
	e := newElsewhere(t)
	var inner, outer atomic.Int64
	at := func(address string, hits *atomic.Int64) string {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusNotFound)
		}))
		srv.Listener.Close()
		srv.Listener = l
		srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				hits.Add(1)
			}
		}
		srv.StartTLS()
		t.Cleanup(srv.Close)
		_, port, _ := net.SplitHostPort(l.Addr().String())
		return port
	}
	port := at("127.0.0.2:0", &outer)
	at("127.0.0.1:"+port, &inner)
	var turn atomic.Int64
	inside, outside := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	e.names.Answer = func(string) []netip.Addr {
		return [][]netip.Addr{{inside}, {inside}, {outside}, {inside, outside}}[turn.Add(1)%4]
	}
	cfg := e.cfg
	cfg.Allow = []string{"127.0.0.2/32"}
	h := reaching(t, cfg)
	h.allow()
	key := newSigner(t, "ES256", "k")
	for i := range 100 {
		id := fmt.Sprintf("https://rebind.example.com:%s/%d", port, i)
		h.refused("a name that changes", h.as(key, id, "/revoke", "token", "x"), http.StatusUnauthorized, ciba.InvalidClient, "refused by rule")
	}
	if inner.Load() != 0 {
		t.Errorf("the server inside was reached %d times", inner.Load())
	}
	if outer.Load() == 0 || !strings.Contains(h.logged(), "rule port") {
		t.Errorf("%d reached the server outside; the test shows nothing", outer.Load())
	}
}
