package consent

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"ringback/details"
)

// sortedAsked is the asked object as any JSON encoder and canonicaliser make it.
func sortedAsked(r *Request, granted json.RawMessage) ([]byte, error) {
	list := granted
	if list == nil {
		list = r.Details
	}
	if list == nil {
		list = json.RawMessage("[]")
	}
	return details.Canonical(map[string]any{
		"v": r.V, "issuer": r.Issuer, "request": r.ID.String(), "client_id": r.Client.ID, "client_name": r.Client.Name,
		"verified_host": r.Client.Host, "act": append([]Party{}, r.Actors...), "approver": string(r.Pseudonym), "resource": r.Resource,
		"scope": append([]string{}, r.Scope...), "authorization_details": list, "binding_message": r.BindingMessage, "acr": append([]string{}, r.ACR...),
		"expires_at": r.ExpiresAt.UTC().Format(time.RFC3339Nano), "grant": string(r.Grant), "grant_lifetime": r.GrantLifetime,
		"renewable": r.Renewable, "salt": r.Salt,
	})
}

// FuzzAskedObject: what is written in order is what sorting makes of it.
func FuzzAskedObject(f *testing.F) {
	f.Add("agent", "Travel Agent", "Hotel \"1\"\\ <b>", `[{"type":"x","b":1.50,"a":"\u20ac"}]`, []byte("salt"), int64(0), 300)
	f.Add("", "\u2028\x00\x1f\x7f/", "é€😀", "", []byte(nil), int64(1), -1)
	f.Fuzz(func(t *testing.T, client, name, message, list string, salt []byte, nano int64, life int) {
		for _, s := range []string{client, name, message} {
			if !utf8.ValidString(s) {
				t.Skip("not a string that a request can have")
			}
		}
		if list != "" && details.CheckJSON([]byte(list)) != nil {
			t.Skip("not what a request can have")
		}
		r := &Request{
			V: 1, ID: ID{1}, Issuer: "https://as.example", Client: Party{ID: client, Name: name, Host: message}, Pseudonym: Pseudonym(name),
			Scope: strings.Fields(message), ACR: strings.Fields(name), Resource: client, BindingMessage: message, Salt: append([]byte{}, salt...), // never nil
			ExpiresAt: time.Unix(0, nano), GrantLifetime: life, Renewable: life / 2, Grant: Grant(client),
		}
		if list != "" {
			r.Details = json.RawMessage(list)
		}
		if life%2 == 0 {
			r.Actors = []Party{{ID: client, Name: name, Group: message}, {ID: name}}
		}
		got, err := r.AskedObject(nil)
		want, wantErr := sortedAsked(r, nil)
		if (err != nil) != (wantErr != nil) || err == nil && !bytes.Equal(got, want) {
			t.Errorf("AskedObject = %s, %v\nwant %s, %v", got, err, want, wantErr)
		}
	})
}
