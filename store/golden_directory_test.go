package store

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
)

// goldenFar is the end of what must not age.
var goldenFar = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// goldenAlice has every member but the mark of the configuration file.
func goldenAlice() *consent.Person {
	return &consent.Person{
		ID: "alice", Name: "Alice <Liddell> & Söhne", Locale: "de-AT", Zoneinfo: "Europe/Vienna",
		Phone: "+12025550101", Email: "Alice@Example.com", Clients: []string{"agent", "https://agent.example/client?x=1"},
	}
}

// goldenAgent has every member but the mark of the configuration file.
func goldenAgent() *consent.Client {
	return &consent.Client{
		ID: "https://agent.example/client?x=1", Name: "Träger & Söhne <Agent>", Host: "agent.example",
		AuthMethod: consent.MethodPrivateKeyJWT, AuthAlg: "ES256", SecretHashes: []consent.Digest{{0: 1}, {0: 2}},
		JWKS: json.RawMessage(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a<b>&c","x":"AA","y":"BB"}]}`), JWKSURI: "https://agent.example/jwks",
		TLSSubjectDN: "CN=agent,O=Example", TLSSANDNS: "agent.example", TLSSANURI: "https://agent.example", TLSSANIP: "192.0.2.1", TLSSANEmail: "agent@example.com",
		CertificateBound: true, DPoPBound: true, AssertionAud: consent.AudCIBAFinal, Profile: consent.ProfileFAPI,
		Mode: consent.Push, NotificationEndpoint: "https://agent.example/notify", RequestAlg: "PS256", MustSign: true, UserCode: true, IDTokenAlg: "PS256",
		DeferredEndpoint: "https://agent.example/deferred",
		GrantTypes:       []string{consent.GrantTypeCIBA, consent.GrantTypeClientCredentials, consent.GrantTypeRefresh, consent.GrantTypeDeferred},
		Scope:            "openid calendar", DetailsTypes: []string{"payment_initiation"}, People: "list", PeopleList: []string{"alice", "bob"},
		Approver: "alice", DefaultResource: "https://api.example", Resources: []string{"https://other.example"}, MayEnumerate: true,
		Registrant: "acme", RegistrationToken: consent.Digest{0: 3}, FromDocument: true, CreatedAt: goldenNow,
	}
}

// goldenUserCode has every member.
func goldenUserCode() storedUserCode {
	return storedUserCode{
		V: 1, Code: []byte("\x00\x10\xff"), At: goldenNow.Truncate(time.Second),
		Guesses: []consent.CodeGuess{consent.GuessBy("agent", goldenNow)},
		Change:  &storedChange{ID: []byte("0123456789abcdef"), Until: goldenFar, Misses: []string{"first", "second"}, Done: true},
	}
}

// TestEntriesStay pins the plain form of everything in the directory.
func TestEntriesStay(t *testing.T) {
	t.Parallel()
	person, client := *goldenAlice(), *goldenAgent()
	person.FromFile, client.FromFile = true, true
	for _, row := range []struct {
		name string
		v    any
		want string
	}{
		{"person", &storedPerson{1, person}, goldenPersonText},
		{"person of little", &storedPerson{1, consent.Person{ID: "carol"}}, `{"v":1,"id":"carol"}`},
		{"client", &storedClient{1, client}, goldenClientText},
		{"client of little", &storedClient{1, consent.Client{ID: "bare"}}, `{"v":1,"client_id":"bare","backchannel_token_delivery_mode":""}`},
		{"device", &storedDevice{1, true, goldenNow, nil}, `{"v":1,"stopped":true,"at":"2026-12-01T10:00:00.123456789Z"}`},
		{"device with an entry", &storedDevice{1, false, goldenNow, []byte("sealed")}, `{"v":1,"stopped":false,"at":"2026-12-01T10:00:00.123456789Z","sealed":"c2VhbGVk"}`},
		{"own device", &ownDevice{"pager", "4711", "Kitchen", goldenNow, "operator"}, `{"channel":"pager","address":"4711","name":"Kitchen","enrolled":"2026-12-01T10:00:00.123456789Z","by":"operator"}`},
		{"device of little", &storedDevice{}, `{"v":0,"stopped":false,"at":"0001-01-01T00:00:00Z"}`},
		{"user code", func() any { u := goldenUserCode(); return &u }(), goldenUserCodeText},
		{"user code of little", &storedUserCode{V: 1, Change: &storedChange{ID: []byte("id"), Until: goldenFar}}, `{"v":1,"change":{"id":"aWQ=","until":"2200-01-01T00:00:00Z"}}`},
		{"user code of nothing", &storedUserCode{V: 1}, `{"v":1}`},
	} {
		got, err := json.Marshal(row.v)
		if err != nil || string(got) != row.want {
			t.Errorf("%s = %s\nwant %s", row.name, got, row.want)
		}
		read := reflect.New(reflect.TypeOf(row.v).Elem()).Interface()
		if err := json.Unmarshal([]byte(row.want), read); err != nil {
			t.Errorf("%s: %v", row.name, err)
		} else if diff := cmp.Diff(row.v, read, plainText); diff != "" {
			t.Errorf("%s is read otherwise (-want +got):\n%s", row.name, diff)
		}
	}
}

// plainText compares JSON that was escaped on its way with what it says.
var plainText = cmp.Comparer(func(a, b json.RawMessage) bool {
	var x, y any
	return bytes.Equal(a, b) || json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && cmp.Equal(x, y)
})

const (
	goldenPersonText   = `{"v":1,"id":"alice","name":"Alice \u003cLiddell\u003e \u0026 Söhne","locale":"de-AT","zoneinfo":"Europe/Vienna","phone":"+12025550101","email":"Alice@Example.com","clients":["agent","https://agent.example/client?x=1"],"from_file":true}`
	goldenClientText   = `{"v":1,"client_id":"https://agent.example/client?x=1","client_name":"Träger \u0026 Söhne \u003cAgent\u003e","verified_host":"agent.example","token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_signing_alg":"ES256","secret_sha256":["AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],"jwks":{"keys":[{"kty":"EC","crv":"P-256","kid":"a\u003cb\u003e\u0026c","x":"AA","y":"BB"}]},"jwks_uri":"https://agent.example/jwks","tls_client_auth_subject_dn":"CN=agent,O=Example","tls_client_auth_san_dns":"agent.example","tls_client_auth_san_uri":"https://agent.example","tls_client_auth_san_ip":"192.0.2.1","tls_client_auth_san_email":"agent@example.com","tls_client_certificate_bound_access_tokens":true,"dpop_bound_access_tokens":true,"assertion_aud":"ciba-final","profile":"fapi-ciba","backchannel_token_delivery_mode":"push","backchannel_client_notification_endpoint":"https://agent.example/notify","backchannel_authentication_request_signing_alg":"PS256","require_signed_request_object":true,"backchannel_user_code_parameter":true,"id_token_signed_response_alg":"PS256","deferred_client_notification_endpoint":"https://agent.example/deferred","grant_types":["urn:openid:params:grant-type:ciba","client_credentials","refresh_token","urn:ietf:params:oauth:grant-type:deferred"],"scope":"openid calendar","authorization_details_types":["payment_initiation"],"people":"list","people_list":["alice","bob"],"approver":"alice","default_resource":"https://api.example","resources":["https://other.example"],"may_enumerate":true,"registrant":"acme","registration_sha256":"AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","from_file":true,"from_document":true,"created_at":"2026-12-01T10:00:00.123456789Z"}`
	goldenUserCodeText = `{"v":1,"code":"ABD/","at":"2026-12-01T10:00:00Z","guesses":[{"p":"d4f0bc5a29de06b5","at":"2026-12-01T10:00:00.123456789Z"}],"change":{"id":"MDEyMzQ1Njc4OWFiY2RlZg==","until":"2200-01-01T00:00:00Z","misses":["first","second"],"done":true}}`
)

// TestPlacesStay pins where everything but facts is stored, and the bytes of it
// or what these are sealed for.
func TestPlacesStay(t *testing.T) {
	t.Parallel()
	s, ctx := openGolden(t, newGolden(t)), t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func(got kept, subject, data string) {
		t.Helper()
		if got.Subject != subject || string(got.Data) != data {
			t.Errorf("stored is %s: %q\nwant %s: %q", got.Subject, got.Data, subject, data)
		}
	}
	// sealed is a message with what it says in the clear.
	sealed := func(m kept, place string) kept {
		t.Helper()
		m.Data = []byte(openRaw(t, rawKey(t, s, alicePseudonym), place, m.Data))
		return m
	}
	const number = "cpohasdsjl3cqc2f"
	unmarked := func(text string) string { return strings.Replace(text, `,"from_file":true`, "", 1) }

	must(s.AddPerson(ctx, goldenAlice()))
	check(sealed(lastIn(t, s, "KV_ringback_PEOPLE"), "ringback.people."+alicePseudonym), "$KV.ringback_PEOPLE."+alicePseudonym, unmarked(goldenPersonText))
	check(lastIn(t, s, "KV_ringback_DEVICES"), "$KV.ringback_DEVICES.number."+number, alicePseudonym)
	key := lastIn(t, s, "ringback_DEK")
	check(kept{Subject: key.Subject}, "ringback.dek."+alicePseudonym, "")
	if n := len(rawKey(t, s, alicePseudonym)); n != 32 {
		t.Errorf("a data key has %d bytes", n)
	}

	must(s.AddClient(ctx, goldenAgent()))
	client := lastIn(t, s, "KV_ringback_CLIENTS")
	const clientToken = "aHR0cHM6Ly9hZ2VudC5leGFtcGxlL2NsaWVudD94PTE"
	plain, err := goldenVault(t).Unwrap(client.Data, "ringback.clients."+clientToken)
	must(err)
	check(kept{Subject: client.Subject, Data: plain}, "$KV.ringback_CLIENTS."+clientToken, unmarked(goldenClientText))

	must(s.StopDevice(ctx, "alice", number, true))
	check(lastIn(t, s, "KV_ringback_DEVICES"), "$KV.ringback_DEVICES."+alicePseudonym+"."+number, `{"v":1,"stopped":true,"at":"2026-12-01T10:00:00.123456789Z"}`)
	must(s.StopDevice(ctx, "alice", "console", true))
	check(kept{Subject: lastIn(t, s, "KV_ringback_DEVICES").Subject}, "$KV.ringback_DEVICES."+alicePseudonym+".console", "")

	must(s.changeUserCode(ctx, alicePseudonym, func(u *storedUserCode) error { *u = goldenUserCode(); return nil }))
	const code = "$KV.ringback_DEVICES.user-code." + alicePseudonym
	check(sealed(lastIn(t, s, "KV_ringback_DEVICES"), code), code, goldenUserCodeText)
	if id, err := s.OfferUserCode(ctx, "alice", goldenFar); err != nil || consent.NewPseudonym(id[:]) != alicePseudonym {
		t.Errorf("OfferUserCode = %x, %v, want an id that begins with the person's pseudonym", id, err)
	}

	must(s.SaveKeys(ctx, []byte("sealed"), 0))
	check(lastIn(t, s, "KV_ringback_KEYS"), "$KV.ringback_KEYS.ring", "sealed")

	must(s.Freeze(ctx, alicePseudonym, "registrant acme", goldenFar))
	freeze := lastIn(t, s, "ringback_FREEZE")
	check(freeze, "ringback.freeze."+alicePseudonym+".cmVnaXN0cmFudCBhY21l", "2200-01-01T00:00:00Z")
	id := goldenFull().Request.ID
	s.exclusive = false // as beside other processes: alone a store keeps slots in memory
	if mine, _, err := s.Slot(ctx, alicePseudonym, id, time.Minute); err != nil || !mine {
		t.Fatalf("Slot = %v, %v", mine, err)
	}
	s.exclusive = true
	slot := lastIn(t, s, "ringback_SLOT")
	check(slot, "ringback.slot."+alicePseudonym, "aaaqeayeaudaocajbifqydiob4 1796119260123")
	for ttl, want := range map[string]time.Duration{freeze.Header.Get("Nats-TTL"): goldenFar.Sub(goldenNow.Truncate(time.Second)), slot.Header.Get("Nats-TTL"): time.Minute} {
		if d, err := time.ParseDuration(ttl); err != nil || d != want {
			t.Errorf("a message lives for %q, want %v", ttl, want)
		}
	}

	if first, err := s.First(ctx, "message twilio SM0001"); err != nil || !first {
		t.Fatalf("First = %v, %v", first, err)
	}
	seen := lastIn(t, s, "ringback_SEEN")
	check(kept{Subject: seen.Subject}, "ringback.seen.q8Ql25PjG8pezomkW2Pw_FqKsyw1kzSh4YqVWZDdw8s", "")
	if len(seen.Data) != 16 {
		t.Errorf("a single use has the mark %x", seen.Data)
	}
	if _, err := s.Append(ctx, []byte(`{"v":1}`), 0); err != nil {
		t.Fatal(err)
	}
	check(lastIn(t, s, "ringback_AUDIT"), "ringback.audit", `{"v":1}`)
	must(s.PutEvidence(ctx, alicePseudonym, id, []byte("evidence")))
	const evidence = "ringback.evidence." + alicePseudonym + ".aaaqeayeaudaocajbifqydiob4"
	check(sealed(lastIn(t, s, "ringback_EVIDENCE"), evidence), evidence, "evidence")

	must(s.RemovePerson(ctx, "alice"))
	check(lastIn(t, s, "ringback_DEK"), "ringback.dek."+alicePseudonym, "")
}

// TestPlacesOnExternalServerStay is about what the embedded store keeps in
// memory or in a file.
func TestPlacesOnExternalServerStay(t *testing.T) {
	t.Parallel()
	s := newGround(t).open(t)
	if first, err := s.Once(t.Context(), "agent", "dpop\x00key\x00jti", time.Now().Add(time.Minute)); err != nil || !first {
		t.Fatalf("Once = %v, %v", first, err)
	}
	if m := lastIn(t, s, "ringback_JTI"); m.Subject != "ringback.jti.CJrkHaO_jazi-fmFD0CglkW-26yz_d9FO0fIuh-zO0g" || len(m.Data) != 0 {
		t.Errorf("a single use is %s: %x", m.Subject, m.Data)
	}
	var in instance
	if m := lastIn(t, s, "KV_ringback_INSTANCE"); m.Subject != "$KV.ringback_INSTANCE.instance" || json.Unmarshal(m.Data, &in) != nil || in.Unfinished {
		t.Errorf("the record of the instance is %s: %s", m.Subject, m.Data)
	}
}
