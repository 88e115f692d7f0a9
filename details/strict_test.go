package details

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestCheckJSON(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in, want string // want: in the error, "" for none
	}{
		{"object", `{"a":1,"b":[true,null,"x"]}`, ""},
		{"scalar", ` "x" `, ""},
		{"same name in another object", `{"a":{"a":1},"b":{"a":2}}`, ""},
		{"pair of surrogates", `"\ud83d\ude00"`, ""},
		{"escaped backslash before u", `"\\ud800"`, ""},
		{"16 deep", strings.Repeat("[", 16) + strings.Repeat("]", 16), ""},
		{"17 deep", strings.Repeat("[", 17) + strings.Repeat("]", 17), "more than 16 deep"},
		{"very deep", strings.Repeat("[", 8000), "more than 16 deep"},
		{"twice", `{"a":1,"a":1}`, `"a" appears twice`},
		{"twice by escape", `{"a":1,"\u0061":1}`, `"a" appears twice`},
		{"twice inside", `[{"x":{"a":1,"b":2,"a":1}}]`, `"a" appears twice`},
		{"another case", `{"scope":"read","SCOPE":"admin"}`, `differ only in case`},
		{"kelvin sign", `{"k":1,"\u212a":2}`, `differ only in case`},
		{"long s", `{"scope":1,"\u017fcope":2}`, `differ only in case`},
		{"nothing", "", "ends too early"},
		{"cut off", `{"a":`, "ends too early"},
		{"after it", `{} {}`, "after the JSON value"},
		{"bracket after it", `{}]`, "after the JSON value"},
		{"comma", `{"a":1,}`, "not JSON"},
		{"no UTF-8", "\"\xff\"", "not valid UTF-8"},
		{"lone high surrogate", `"\ud800"`, "surrogate"},
		{"lone low surrogate", `"\udc00"`, "surrogate"},
		{"two high surrogates", `"\ud800\ud800"`, "surrogate"},
		{"high surrogate, letter", `"\ud800\u0041"`, "surrogate"},
		{"too long", `"` + strings.Repeat("x", MaxJSON) + `"`, "longer than 16384 bytes"},
	} {
		err := CheckJSON([]byte(tt.in))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: CheckJSON = %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestDecodeStrict(t *testing.T) {
	t.Parallel()
	type inner struct {
		Amount string `json:"amount"`
	}
	type target struct {
		Scope string            `json:"scope"`
		Inner *inner            `json:"inner"`
		List  []inner           `json:"list"`
		Any   map[string]any    `json:"any"`
		Text  map[string]string `json:"text"`
		Raw   json.RawMessage   `json:"raw"`
		Plain string
	}
	for _, tt := range []struct {
		in, want string
	}{
		{`{"scope":"read","inner":{"amount":"1"},"list":[{"amount":"2"}],"Plain":"p","unknown":1}`, ""},
		{`{"any":{"SCOPE":1},"text":{"Amount":"x"},"raw":{"AMOUNT":1}}`, ""},
		{`{"Scope":"admin"}`, `write the member "Scope" as "scope"`},
		{`{"inner":{"AMOUNT":"1"}}`, `write the member "AMOUNT" as "amount"`},
		{`{"list":[{"amount":"1"},{"Amount":"1"}]}`, `write the member "Amount" as "amount"`},
		{`{"plain":"p"}`, `write the member "plain" as "Plain"`},
		{`{"scope":1}`, `the member "scope" must not be a JSON number`},
		{`{"scope":"a","scope":"b"}`, "appears twice"},
	} {
		var v target
		err := DecodeStrict([]byte(tt.in), &v)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("DecodeStrict(%s) = %v, want %q", tt.in, err, tt.want)
		}
	}
}

func FuzzCheckJSON(f *testing.F) {
	for _, s := range []string{`{"a":1,"A":2}`, payment, `"\ud800\u"`, `[[[[`, "\xff", `{"k":1,"K":2}`, `1e5`, `\`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := CheckJSON(data)
		if err == nil && !json.Valid(data) {
			t.Errorf("CheckJSON(%q) accepts what is not JSON", data)
		}
		var v struct {
			Scope string `json:"scope"`
		}
		if DecodeStrict(data, &v) == nil && err != nil {
			t.Errorf("DecodeStrict(%q) accepts what CheckJSON refuses: %v", data, err)
		}
	})
}
