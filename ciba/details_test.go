package ciba_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/ciba"
	"ringback/consent"
)

const contacts = `{"type":"data_access","locations":["https://api.example"],"actions":["read","write"],"datatypes":["contacts","calendar"]}`

// requested are the claims of a signed request for details, which are JSON.
func (h *house) requested(client string, details any) claims {
	now := h.now()
	return claims{
		"iss": client, "aud": h.url, "jti": consent.NewID().String(), "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"scope": "openid", "login_hint": "alice", "authorization_details": details,
	}
}

// TestDetailsTypesMetadata: draft-ietf-oauth-rar-metadata-remediation-00 §5.
func TestDetailsTypesMetadata(t *testing.T) {
	t.Parallel()
	h := open(t)
	found := h.send(http.MethodGet, "/.well-known/oauth-authorization-server", "")
	path, ok := strings.CutPrefix(found.str("authorization_details_types_metadata_endpoint"), h.url)
	if !ok {
		t.Fatalf("authorization_details_types_metadata_endpoint: %s", found.raw)
	}
	res := h.send(http.MethodGet, path, "", "Authorization", "")
	if diff := cmp.Diff(string(h.reg.Metadata()), res.raw); res.status != http.StatusOK || diff != "" {
		t.Fatalf("GET %s: %d %s", path, res.status, diff)
	}
	tag := res.header.Get("ETag")
	if res.header.Get("Content-Type") != "application/json" || res.header.Get("Cache-Control") != "public, max-age=300" || len(tag) < 20 {
		t.Errorf("GET %s: header %v", path, res.header)
	}
	supported := []string{}
	for _, name := range found.body["authorization_details_types_supported"].([]any) {
		supported = append(supported, name.(string))
	}
	if diff := cmp.Diff(supported, slices.Sorted(maps.Keys(res.body))); diff != "" {
		t.Errorf("types (-supported +described):\n%s", diff)
	}
	for name, about := range res.body {
		members := about.(map[string]any)
		for member, v := range members {
			switch member {
			case "version", "description", "documentation_uri", "schema_uri":
				ok = v.(string) != ""
			case "schema":
				_, ok = v.(map[string]any)
			case "examples":
				_, ok = v.([]any)
			default:
				ok = false
			}
			if !ok {
				t.Errorf("%s: %s is %v", name, member, v)
			}
		}
		if members["schema"] == nil || members["schema_uri"] != nil {
			t.Errorf("%s: want schema, and no schema_uri beside it", name)
		}
		// What is an example can be asked for as it is.
		for _, example := range members["examples"].([]any) {
			raw, err := json.Marshal([]any{example})
			if err != nil {
				t.Fatal(err)
			}
			h.ask("agent", "authorization_details", string(raw))
		}
	}
	if res := h.send(http.MethodGet, path, "", "If-None-Match", tag); res.status != http.StatusNotModified || res.raw != "" {
		t.Errorf("unchanged: %d %s", res.status, res.raw)
	}
	if res := h.send(http.MethodHead, path, ""); res.status != http.StatusOK || res.raw != "" || res.header.Get("ETag") != tag {
		t.Errorf("HEAD: %d %v", res.status, res.header)
	}
	if res := h.send(http.MethodPost, path, `{}`); res.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", res.status)
	}
}

// TestDetailsFaults: whichever way authorization_details come, what is wrong
// with them is said in the same words, which name the field; and nothing is
// stored (RFC 9396 §5).
func TestDetailsFaults(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "ES256", "k")
	h := openSelf(t, keyed("signs", key), keyed("strict", key, func(c *consent.Client) { c.MustSign = true }))
	ways := map[string]func(details string) *response{
		"form": func(details string) *response {
			return h.post("/bc-authorize", "agent", params("scope", "openid", "login_hint", "alice", "authorization_details", details))
		},
		"form, at the address of certificates": func(details string) *response {
			return h.over(nil, "/bc-authorize", params("scope", "openid", "login_hint", "alice", "authorization_details", details), "Authorization", basic("agent", secret))
		},
		"signed as JSON": func(details string) *response {
			return h.as(key, "signs", "/bc-authorize", "request", key.sign(nil, h.requested("signs", json.RawMessage(details))))
		},
		"signed as text": func(details string) *response {
			return h.as(key, "strict", "/bc-authorize", "request", key.sign(nil, h.requested("strict", details)))
		},
	}
	before := h.facts()
	ways["client credentials"] = func(details string) *response {
		return h.own("self", "completion_mode", "deferred", "authorization_details", details)
	}
	for _, tt := range []struct{ name, details, says string }{
		{"a number", `5`, "authorization_details: must be a JSON array of objects"},
		{"null", `null`, "authorization_details: must be a JSON array of objects"},
		{"an object", payment[1 : len(payment)-1], "authorization_details: must be a JSON array of objects"},
		{"empty", `[]`, "authorization_details: must have at least one element; leave the parameter out to ask for nothing"},
		{"no object", `[5]`, "authorization_details[0]: must be an object"},
		{"no type", `[{}]`, "authorization_details[0].type: is missing; it must be a string"},
		{"unknown type", `[` + contacts + `,{"type":"x"}]`, "authorization_details[1].type: 'x' is not supported; use one of data_access, payment_initiation, tool_call"},
		{"type in another case", strings.Replace(payment, "payment_i", "Payment_I", 1), "authorization_details[0].type: "},
		{"a field is missing", strings.Replace(payment, `"creditorName":"ACME GmbH",`, "", 1), "authorization_details[0].creditorName: is missing; it must be the payee's name"},
		{"one field more", strings.Replace(payment, `"iban"`, `"bic":"X","iban"`, 1), "authorization_details[0].creditorAccount.bic: is not known here; known members: iban"},
		{"an amount that is a number", strings.Replace(payment, `"50.00"`, `50`, 1), "authorization_details[0].instructedAmount.amount: must be a string with a decimal number"},
		{"an amount of nothing", strings.Replace(payment, `"50.00"`, `"0.00"`, 1), "authorization_details[0].instructedAmount.amount: must be a string with a decimal number above zero"},
		{"in the second element", payment[:len(payment)-1] + `,` + strings.Replace(contacts, `"read"`, `5`, 1) + `]`, "authorization_details[1].actions[0]: "},
		{"a bidi control", strings.Replace(payment, "ACME", "AC\u202eME", 1), "authorization_details[0].creditorName: must not contain the control, invisible or unassigned character U+202E"},
		{"a number that no double holds", `[{"type":"tool_call","server":"a","tool":"b","arguments":{"n":9007199254740993}}]`, "authorization_details: the number 9007199254740993 does not fit a double; write it as a string"},
	} {
		for way, send := range ways {
			h.refused(tt.name+", "+way, send(tt.details), http.StatusBadRequest, ciba.InvalidDetails, tt.says)
		}
	}
	// What is no JSON, or has a member twice, is a fault of the whole in JSON.
	for name, details := range map[string]string{
		"member twice":        strings.Replace(payment, `"creditorName"`, `"creditorName":"Evil","creditorName"`, 1),
		"member in two cases": strings.Replace(payment, `"creditorName"`, `"creditorname":"Evil","creditorName"`, 1),
	} {
		for _, way := range []string{"form", "signed as text"} {
			h.refused(name+", "+way, ways[way](details), http.StatusBadRequest, ciba.InvalidDetails, "authorization_details: ")
		}
		h.refused(name+", signed as JSON", ways["signed as JSON"](details), http.StatusBadRequest, ciba.InvalidRequest, "request: ")
	}
	beside := h.as(key, "signs", "/bc-authorize", "request", key.sign(nil, h.requested("signs", json.RawMessage(payment))), "authorization_details", "["+contacts+"]")
	h.refused("beside a signed request", beside, http.StatusBadRequest, ciba.InvalidRequest, "authorization_details: must stand inside the signed request")
	if got := h.facts(); got != before {
		t.Errorf("refused requests left %d facts", got-before)
	}
	delete(ways, "client credentials") // whose answer is never a 200
	for way, send := range ways {
		if res := send(payment); res.status != http.StatusOK {
			t.Errorf("a good one, %s: %d %s", way, res.status, res.raw)
		}
	}
}

// TestTypesOfClient: authorization_details_types of the client (RFC 9396 §10)
// bounds what it may ask for, and the refusal names the element.
func TestTypesOfClient(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "ES256", "k")
	only := func(c *consent.Client) { c.DetailsTypes = []string{"data_access", "tool_call"} }
	h := open(t, client("narrow", only), keyed("narrow-k", key, only))
	before := h.facts()
	for _, tt := range []struct{ name, details, says string }{
		{"another type", payment, "authorization_details[0].type: payment_initiation is not a type that this client may ask for; its types are data_access, tool_call"},
		{"beside its own", "[" + contacts + "," + payment[1:], "authorization_details[1].type: payment_initiation"},
		{"unknown", `[{"type":"x"}]`, "authorization_details[0].type: 'x' is not supported"},
		{"in another case", strings.Replace("["+contacts+"]", "data_access", "Data_Access", 1), "authorization_details[0].type: "},
		{"with a space", strings.Replace("["+contacts+"]", "data_access", "data_access ", 1), "authorization_details[0].type: "},
	} {
		res := h.post("/bc-authorize", "narrow", params("scope", "openid", "login_hint", "alice", "authorization_details", tt.details))
		h.refused(tt.name, res, http.StatusBadRequest, ciba.InvalidDetails, tt.says)
		res = h.as(key, "narrow-k", "/bc-authorize", "request", key.sign(nil, h.requested("narrow-k", json.RawMessage(tt.details))))
		h.refused(tt.name+", signed", res, http.StatusBadRequest, ciba.InvalidDetails, tt.says)
	}
	if got := h.facts(); got != before {
		t.Errorf("refused requests left %d facts", got-before)
	}
	h.ask("narrow", "authorization_details", "["+contacts+"]")
	h.ask("agent", "authorization_details", payment) // without a list: every type
	if res := h.as(key, "narrow-k", "/bc-authorize", "request", key.sign(nil, h.requested("narrow-k", []any{json.RawMessage(contacts)}))); res.status != http.StatusOK {
		t.Errorf("its own type, signed: %d %s", res.status, res.raw)
	}
}

// TestSmallerDetails: the smaller yes is what token, response and introspection
// carry, also to the API, and the only thing; an ID token carries none
// (RFC 9396 §7, §9).
func TestSmallerDetails(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "ES256", "k")
	h := openSelf(t, keyed("signs", key))
	both := payment[:len(payment)-1] + "," + contacts + "]"
	for _, tt := range []struct {
		name, asked string
		old, new    []string // what the person makes smaller
	}{
		{"amount", payment, []string{`"50.00"`}, []string{`"12.50"`}},
		{"amount, written shorter", payment, []string{`"50.00"`}, []string{`"50"`}},
		{"list", "[" + contacts + "]", []string{`["read","write"]`}, []string{`["read"]`}},
		{"two lists", "[" + contacts + "]", []string{`"read",`, `,"calendar"`}, []string{"", ""}},
		{"amount and list", both, []string{`"50.00"`, `"contacts",`}, []string{`"0.01"`, ""}},
	} {
		less := tt.asked
		for i := range tt.old {
			less = strings.Replace(less, tt.old[i], tt.new[i], 1)
		}
		// Each way asks, and returns how the answer is fetched.
		for way, ask := range map[string]func() func() *response{
			"form": func() func() *response {
				id := h.ask("agent", "resource", "https://other.example", "authorization_details", tt.asked).str("auth_req_id")
				return func() *response { return h.poll("agent", id) }
			},
			"signed": func() func() *response {
				ack := h.as(key, "signs", "/bc-authorize", "request", key.sign(nil, h.requested("signs", json.RawMessage(tt.asked)).with("resource", "https://other.example")))
				return func() *response {
					return h.as(key, "signs", "/token", "grant_type", ciba.GrantCIBA, "auth_req_id", ack.str("auth_req_id"))
				}
			},
			"client credentials": func() func() *response {
				code := h.deferred("self", "resource", "https://other.example", "authorization_details", tt.asked).str("deferral_code")
				return func() *response { return h.collect("self", code) }
			},
		} {
			name := tt.name + ", " + way
			redeem := ask()
			request := h.pending().Request.ID
			h.decide(request, consent.Approved, func(e *consent.Evidence) { e.Granted = json.RawMessage(less) })
			res := redeem()
			if res.status != http.StatusOK {
				t.Fatalf("%s: redeeming: %d %s", name, res.status, res.raw)
			}
			access := h.verified(res.str("access_token"), "at+jwt")
			for where, got := range map[string]any{
				"response": res.body["authorization_details"], "token": access["authorization_details"],
				"introspection by the API": h.post("/introspect", "other", params("token", res.str("access_token"))).body["authorization_details"],
			} {
				if diff := cmp.Diff(unmarshal(t, less), got); diff != "" {
					t.Errorf("%s: %s: %s", name, where, diff)
				}
			}
			st := h.state(request)
			digest, err := st.Request.GrantedDigest(json.RawMessage(less))
			said := access["granted_digest"]
			if approval, ok := access["ringback_approval"].(map[string]any); ok {
				said = approval["granted_digest"]
			}
			if err != nil || said != digest.String() || st.Settled.GrantedDigest != digest || digest == st.Decided.AskedDigest {
				t.Errorf("%s: granted_digest %v, want %v (%v)", name, said, digest, err)
			}
			if way != "client credentials" {
				id := h.verified(res.str("id_token"), "JWT")
				if id["authorization_details"] != nil || id["granted_digest"] != nil {
					t.Errorf("%s: the ID token is %v", name, id)
				}
			}
			h.refused(name+", again", redeem(), http.StatusBadRequest, ciba.InvalidGrant, "")
		}
	}
}

// TestWiderDetails: no answer grants more than was asked, and one that tries
// leaves the request open.
func TestWiderDetails(t *testing.T) {
	t.Parallel()
	h := open(t)
	asked := payment[:len(payment)-1] + "," + contacts + "]"
	ack := h.ask("agent", "authorization_details", asked)
	st := h.pending()
	before := h.facts()
	for name, granted := range map[string]string{
		"a higher amount":       strings.Replace(asked, "50.00", "50.01", 1),
		"another currency":      strings.Replace(asked, "EUR", "KWD", 1),
		"another payee":         strings.Replace(asked, "ACME", "ACNE", 1),
		"another account":       strings.Replace(asked, "DE89370400440532013000", "DE02120300000000202051", 1),
		"one action more":       strings.Replace(asked, `"write"`, `"write","delete"`, 1),
		"another action":        strings.Replace(asked, `"write"`, `"delete"`, 1),
		"no action":             strings.Replace(asked, `"read","write"`, ``, 1),
		"one element":           payment,
		"one element more":      asked[:len(asked)-1] + "," + contacts + "]",
		"elements in turn":      "[" + contacts + "," + payment[1:],
		"one element twice":     "[" + contacts + "," + contacts + "]",
		"another type":          strings.Replace(asked, "data_access", "tool_call", 1),
		"a field more":          strings.Replace(asked, `"iban"`, `"bic":"X","iban"`, 1),
		"a field twice":         strings.Replace(asked, `"amount"`, `"amount":"1.00","amount"`, 1),
		"nothing":               `[]`,
		"null":                  `null`,
		"no JSON":               `[`,
		"an amount in exponent": strings.Replace(asked, `"50.00"`, `"1e1"`, 1),
	} {
		_, err := consent.Decide(st, consent.Evidence{
			Verb: consent.Approved, By: "alice", Means: consent.ByDev, ACR: consent.ACRTap, Nonce: "n", Granted: json.RawMessage(granted),
		}, h.reg, h.now())
		if err == nil || errors.Is(err, consent.ErrDecided) {
			t.Errorf("%s: Decide = %v, want that it is not smaller", name, err)
		}
	}
	h.refused("still open", h.poll("agent", ack.str("auth_req_id")), http.StatusBadRequest, ciba.AuthorizationPending, "")
	if got := h.facts(); got != before {
		t.Errorf("%d facts were stored", got-before)
	}
}
