package ciba

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ringback/consent"
)

// FuzzClientMetadata registers anything: it is refused in an error's form, or
// it says what clients may say and nothing else, and is shown as it was read.
func FuzzClientMetadata(f *testing.F) {
	for _, s := range []string{
		`{"client_name":"A","grant_types":["x"],"jwks":{"keys":[]},"dpop_bound_access_tokens":true}`,
		`{"client_id":"a","client_secret":"b","people":"any","approver":"alice","secret_sha256":["AAAA"],"Client_Name":"B"}`,
		`{"client_name":null,"response_types":[],"redirect_uris":["https://a.example/"],"subject_type":"public"}`,
		`{"grant_types":"x"}`, `{"jwks":5,"scope":["a"]}`, `null`, `[]`, `{"a":1,"a":2}`, `{"a":"\ud800"}`, "{", "",
	} {
		f.Add([]byte(s))
	}
	s := new(Server)
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := parseMetadata(body)
		var c *consent.Client
		if err == nil {
			c, err = m.client()
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code != InvalidClientMetadata && e.Code != InvalidRedirectURI {
				t.Errorf("%q: %v", body, err)
			}
			return
		}
		raw, err := json.Marshal(c)
		if err != nil {
			t.Fatalf("%q is read and cannot be written: %v", body, err)
		}
		var written clientMetadata
		if err := json.Unmarshal(raw, &written); err != nil {
			t.Fatal(err)
		}
		for _, name := range sayable {
			delete(written, name)
		}
		delete(written, "client_id")
		if len(written) > 0 || c.ID != "" {
			t.Errorf("%q sets %v", body, written)
		}
		shown, err := json.Marshal(s.information(c, "", ""))
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseMetadata(shown)
		if err != nil && len(shown) < MaxBody {
			t.Fatalf("%q is shown as %q: %v", body, shown, err)
		}
		if err == nil {
			if twin, err := again.client(); err != nil {
				t.Errorf("%q is shown as %q: %v", body, shown, err)
			} else if diff := cmp.Diff(c, twin, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%q is shown as %q: %s", body, shown, diff)
			}
		}
	})
}
