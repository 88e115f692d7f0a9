package details

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "testdata/vehicle.yaml")
	with := func(old, new string) string {
		if !strings.Contains(payment, old) {
			t.Fatalf("no %q in the sample", old)
		}
		return strings.Replace(payment, old, new, 1)
	}
	for _, tt := range []struct {
		name, raw, want string
	}{
		{"payment", payment, ""},
		{"access", access, ""},
		{"call", call, ""},
		{"configured", unlock, ""},
		{"no reference", with(`,
	"remittanceInformationUnstructured":"Hotel deposit"`, ""), ""},
		{"no arguments", `[{"type":"tool_call","server":"a","tool":"b"}]`, ""},
		{"no array", `{"type":"tool_call"}`, "authorization_details: must be a JSON array of objects"},
		{"nothing in it", `[]`, "authorization_details: must have at least one element; leave the parameter out to ask for nothing"},
		{"a string in it", `["x"]`, "authorization_details[0]: must be an object"},
		{"no type", `[{}]`, "authorization_details[0].type: is missing; it must be a string"},
		{"type no string", `[{"type":1}]`, "authorization_details[0].type: is missing; it must be a string"},
		{"unknown type", `[{"type":"wire"}]`, "authorization_details[0].type: 'wire' is not supported; use one of data_access, payment_initiation, tool_call, vehicle_unlock"},
		{"second element", payment[:len(payment)-1] + `,{"type":"tool_call","server":"a"}]`, "authorization_details[1].tool: is missing; it must be the tool's name, a string of 1 to 100 characters"},
		{"amount a number", with(`"50.00"`, `50.00`), "authorization_details[0].instructedAmount.amount: must be a string with a decimal number above zero and a point, such as 50.00"},
		{"amount with a comma", with(`"50.00"`, `"50,00"`), "authorization_details[0].instructedAmount.amount: must be a string with a decimal number above zero and a point, such as 50.00"},
		{"amount zero", with(`"50.00"`, `"0.00"`), "authorization_details[0].instructedAmount.amount: must be a string with a decimal number above zero and a point, such as 50.00"},
		{"amount negative", with(`"50.00"`, `"-1"`), "authorization_details[0].instructedAmount.amount: must be a string with a decimal number above zero and a point, such as 50.00"},
		{"amount with exponent", with(`"50.00"`, `"1e3"`), "authorization_details[0].instructedAmount.amount: must be a string with a decimal number above zero and a point, such as 50.00"},
		{"amount in other digits", with(`"50.00"`, `"５0"`), "authorization_details[0].instructedAmount.amount: must be a string with a decimal number above zero and a point, such as 50.00"},
		{"currency small", with(`"EUR"`, `"eur"`), "authorization_details[0].instructedAmount.currency: must be an ISO 4217 code of three capital letters, such as EUR"},
		{"unknown member", with(`"creditorName"`, `"urgent":true,"creditorName"`), "authorization_details[0].urgent: is not known here; known members: creditorAccount, creditorName, instructedAmount, remittanceInformationUnstructured"},
		{"unknown member inside", with(`"iban"`, `"bic":"X","iban"`), "authorization_details[0].creditorAccount.bic: is not known here; known members: iban"},
		{"member in another case", with(`"creditorName"`, `"CreditorName":"Evil","creditorName"`), "authorization_details: must be a JSON array of objects: the members 'CreditorName' and 'creditorName' differ only in case"},
		{"missing member", with(`"creditorName":"ACME GmbH",`, ""), "authorization_details[0].creditorName: is missing; it must be the payee's name, a string of 1 to 70 characters"},
		{"long name", with("ACME GmbH", strings.Repeat("x", 71)), "authorization_details[0].creditorName: must be the payee's name, a string of 1 to 70 characters"},
		{"bidi", with("ACME GmbH", "ACME \u202eHbmG"), "authorization_details[0].creditorName: must not contain the control, invisible or unassigned character U+202E"},
		{"escaped zero width", with("ACME GmbH", `AC\u200bME`), "authorization_details[0].creditorName: must not contain the control, invisible or unassigned character U+200B"},
		{"line break", with("ACME GmbH", `ACME\nGmbH`), "authorization_details[0].creditorName: must not contain the control, invisible or unassigned character U+000A"},
		{"not NFC", with("ACME GmbH", "Cafe\u0301"), "authorization_details[0].creditorName: must be in Unicode normalisation form C"},
		{"marks", with("ACME GmbH", "x\u0335\u0336\u0337\u0338"), "authorization_details[0].creditorName: must not have a combining mark (U+0338) there"},
		{"spaces around", with("ACME GmbH", "ACME "), "authorization_details[0].creditorName: must not begin or end with a space"},
		{"reference too long", with("Hotel deposit", strings.Repeat("x", 141)), "authorization_details[0].remittanceInformationUnstructured: must be a string of 1 to 140 characters"},
		{"free too long", strings.Replace(unlock, "from the agent", strings.Repeat("x", 161), 1), "authorization_details[0].note: must not be longer than 160 characters"},
		{"same twice", strings.Replace(access, `"write"`, `"read"`, 1), "authorization_details[0].actions: must be an array of 1 to 20 different actions, each a string of at most 64 characters"},
		{"empty array", strings.Replace(access, `"contacts","calendar"`, "", 1), "authorization_details[0].datatypes: must be an array of 1 to 20 different kinds of data, each a string of at most 64 characters"},
		{"not in enum", strings.Replace(unlock, "boot", "roof", 1), "authorization_details[0].doors[1]: does not fit its schema: value must be one of 'driver', 'passenger', 'boot'"},
		{"bidi in a leaf", strings.Replace(call, "Hi", "H\u2066i", 1), "authorization_details[0].arguments.body: must not contain the control, invisible or unassigned character U+2066"},
		{"bidi in a leaf's name", strings.Replace(call, "urgent", "ur\u202egent", 1), "authorization_details[0].arguments: must have members with names of 1 to 64 visible characters"},
		{"large number", strings.Replace(call, `"n":3`, `"n":9007199254740993`, 1), "authorization_details: the number 9007199254740993 does not fit a double; write it as a string"},
		{"huge exponent", strings.Replace(call, `"n":3`, `"n":1e-999999999`, 1), "authorization_details: the number 1e-999999999 does not fit a double; write it as a string"},
		{"infinite", strings.Replace(call, `"n":3`, `"n":1e999`, 1), "authorization_details: the number 1e999 does not fit a double; write it as a string"},
		{"too many", "[" + strings.Repeat(payment[1:len(payment)-1]+",", 10) + payment[1:], "authorization_details: must not have more than 10 elements"},
	} {
		l, err := r.Parse([]byte(tt.raw))
		if tt.want != "" {
			var field *FieldError
			if !errors.As(err, &field) || err.Error() != tt.want {
				t.Errorf("%s: Parse = %v, want %s", tt.name, err, tt.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: Parse: %v", tt.name, err)
			continue
		}
		again, err := r.Read(l.Canonical())
		if err != nil {
			t.Errorf("%s: Read: %v", tt.name, err)
		}
		if diff := cmp.Diff(string(l.Canonical()), string(again.Canonical())); diff != "" {
			t.Errorf("%s: canonical form changes when read again:\n%s", tt.name, diff)
		}
	}
}

// Whatever an agent sends, the error must fit an OAuth error_description.
func checkDescription(t *testing.T, err error) {
	t.Helper()
	for _, r := range err.Error() {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			t.Errorf("%q cannot stand in an error_description", err)
			return
		}
	}
}

// TestCanonicalVectors holds the form against the examples of RFC 8785 §3.2.
func TestCanonicalVectors(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001], "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}`:                             `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
		`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`: "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}",
		`[1e999]`:              `[1.7976931348623157e+308]`, // Parse refuses it
		"{\"<&>\":\"\u2028\"}": "{\"<&>\":\"\u2028\"}",
	} {
		if got, err := Canonical(json.RawMessage(in)); err != nil || string(got) != want {
			t.Errorf("Canonical(%s) = %s, %v, want %s", in, got, err, want)
		}
	}
	for _, bad := range []string{`{"a":1,"a":2}`, "\"\xff\"", `"\ud800"`, `{`} {
		if got, err := Canonical(json.RawMessage(bad)); err == nil {
			t.Errorf("Canonical(%q) = %s, want an error", bad, got)
		}
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	a := mustParse(t, r, `[{"type":"tool_call","tool":"t","server":"s","arguments":{"b":1.0,"a":"\u00e9<"}}]`)
	b := mustParse(t, r, ` [ {"arguments":{"a":"é\u003c","b":1},"server":"s", "tool":"t","type":"tool_call"} ]`)
	want := `[{"arguments":{"a":"é<","b":1},"server":"s","tool":"t","type":"tool_call"}]`
	for _, l := range []List{a, b} {
		if got := string(l.Canonical()); got != want {
			t.Errorf("Canonical = %s, want %s", got, want)
		}
	}
	if got := string(List(nil).Canonical()); got != "[]" {
		t.Errorf("Canonical of nothing = %s, want []", got)
	}
}

func FuzzParse(f *testing.F) {
	r := newRegistry(f, "testdata/vehicle.yaml")
	for _, s := range []string{payment, access, call, unlock, `[]`, `[{"type":"tool_call"}]`, `[{"type":"\u202e"}]`, `[{"type":"tool_call","server":"a","tool":"b","arguments":{"a[0].b":[[1]]}}]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := r.Parse(data)
		if err != nil {
			var field *FieldError
			if !errors.As(err, &field) {
				t.Errorf("Parse(%q) = %T, want *FieldError", data, err)
			}
			checkDescription(t, err)
			return
		}
		if err := CheckJSON(l.Canonical()); err != nil && len(l.Canonical()) <= MaxJSON {
			t.Errorf("Canonical of %q: %v", data, err)
		}
		if err := l.Narrow(l); err != nil {
			t.Errorf("Narrow(%s, same) = %v", data, err)
		}
		for _, lang := range []string{"en", "de", "xx", ""} {
			checkShown(t, l, l.Explain(lang))
		}
	})
}

// checkShown looks for every value of the list in its explanation.
func checkShown(t *testing.T, l List, ex Explanation) {
	t.Helper()
	for i, d := range l {
		seen := fmt.Sprint(ex.Items[i].Facts, ex.Items[i].Free)
		for _, s := range stringsIn(d.Value) {
			if d.Type == "tool_call" && s != d.Type && !strings.Contains(seen, s) {
				t.Errorf("%q is not shown in %s", s, seen)
			}
		}
	}
}

func stringsIn(v any) []string {
	var out []string
	switch v := v.(type) {
	case string:
		if !strings.ContainsAny(v, "\r\n\t") {
			out = append(out, v)
		}
	case json.Number:
		out = append(out, v.String())
	case []any:
		for _, sub := range v {
			out = append(out, stringsIn(sub)...)
		}
	case map[string]any:
		for name, sub := range v {
			if name != "type" {
				out = append(out, stringsIn(sub)...)
			}
		}
	}
	return out
}
