package details

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// described decodes the metadata of a registry.
func described(t testing.TB, r *Registry) map[string]metadata {
	t.Helper()
	var out map[string]metadata
	if err := json.Unmarshal(r.Metadata(), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestMetadata: what agents read is enough to make an element that Parse takes.
func TestMetadata(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "testdata/vehicle.yaml")
	all := described(t, r)
	if len(all) != len(r.Names()) {
		t.Errorf("metadata of %d types, want %d", len(all), len(r.Names()))
	}
	for name, want := range map[string]string{
		"payment_initiation": "People are asked: Pay {instructedAmount} to {creditorName}? Leaves your account today. Cannot be undone.",
		"data_access":        "People are asked: Give access to your data: {datatypes}?",
		"tool_call":          "People are asked: Run the tool {tool}? Runs once, with exactly these arguments.",
		"vehicle_unlock":     "People are asked: Unlock {vehicle}[ for {minutes} minutes]? {deposit} is held until the car is back.",
	} {
		m := all[name]
		if m.Description != want {
			t.Errorf("%s: description %q, want %q", name, m.Description, want)
		}
		if m.Schema["$schema"] != dialect || cmp.Diff(map[string]any{"const": name}, m.Schema["properties"].(map[string]any)["type"]) != "" {
			t.Errorf("%s: schema %v", name, m.Schema)
		}
		for _, raw := range m.Examples {
			if l := mustParse(t, r, "["+string(raw)+"]"); l[0].Type != name {
				t.Errorf("%s: an example is a %s", name, l[0].Type)
			}
		}
		if shipped := name != "vehicle_unlock"; shipped && (m.Version == "" || len(m.Examples) == 0) {
			t.Errorf("%s: no version or no example", name)
		}
	}
	about := Type{Type: "a", Version: "2", DocumentationURI: "https://docs.example/a", Schema: map[string]any{
		"type": "object", "additionalProperties": false, "description": "what it is"}, Examples: []map[string]any{{}, {"type": "a"}}}
	r, err := New([]Type{about})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(r.Metadata(), &got); err != nil {
		t.Fatal(err)
	}
	const want = `{"version":"2","description":"what it is","documentation_uri":"https://docs.example/a",` +
		`"schema":{"$schema":"` + dialect + `","additionalProperties":false,"description":"what it is","properties":{"type":{"const":"a"}},"required":["type"],"type":"object"},` +
		`"examples":[{"type":"a"},{"type":"a"}]}`
	if diff := cmp.Diff(want, string(got["a"])); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if about.Schema["properties"] != nil {
		t.Error("the given schema was changed")
	}
}

// TestSchemaWithType: the schema that agents read takes the elements that are
// taken, and no others, however the given one is put together.
func TestSchemaWithType(t *testing.T) {
	t.Parallel()
	const ok = `{"type":"t","a":"x"}`
	for _, tt := range []struct {
		name, schema string
		more         string // a further element that is taken
		refused      string
	}{
		{"plain", `{"type":"object","additionalProperties":false,"required":["a"],"properties":{"a":{"type":"string"}}}`, ok, `{"type":"t"}`},
		{"its own type", `{"type":"object","additionalProperties":false,"properties":{"type":{"type":"string","description":"d"},"a":{"type":"string"}}}`, `{"type":"t"}`, `{"type":"t","a":1}`},
		{"its own const", `{"type":"object","additionalProperties":false,"required":["type"],"properties":{"type":{"const":"t"},"a":{"type":"string"}}}`, `{"type":"t"}`, `{"type":"t","b":"x"}`},
		{"a reference", `{"$ref":"#/$defs/d","$defs":{"d":{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string"}}}}}`, ok, `{"type":"t","b":"x"}`},
		{"references that follow references", `{"$ref":"#/$defs/c","$defs":{"c":{"$ref":"#/$defs/d"},"d":{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string"}}}}}`, ok, `{"type":"t","a":1}`},
		{"the reference also describes a member", `{"$ref":"#/$defs/d","$defs":{"d":{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string"},"in":{"$ref":"#/$defs/e"}}},` +
			`"e":{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string"}}}},"allOf":[{"anyOf":[{"required":["a"]},{"$ref":"#/$defs/e"}]}]}`, `{"type":"t","a":"x","in":{"a":"y"}}`, `{"type":"t","a":"x","in":{"type":"t"}}`},
		{"parts", `{"allOf":[{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string"}}}]}`, ok, `{"type":"t","b":"x"}`},
		{"branches", `{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string"},"b":{"type":"string"}},"oneOf":[{"additionalProperties":false,"properties":{"a":true}},{"additionalProperties":false,"required":["b"],"properties":{"b":true}}]}`,
			`{"type":"t","b":"x"}`, `{"type":"t","a":"x","b":"x"}`},
		{"conditions", `{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string"},"b":{"type":"string"}},"if":{"required":["b"]},"then":{"unevaluatedProperties":false,"properties":{"b":true}},"dependentSchemas":{"a":{"additionalProperties":{"type":"integer"},"properties":{"a":true}}}}`,
			`{"type":"t","b":"x"}`, `{"type":"t","a":"x","b":"x"}`},
		{"none of that", `{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string"}},"not":{"additionalProperties":false,"properties":{"c":true}}}`, ok, `{"type":"t"}`},
	} {
		var schema map[string]any
		if err := json.Unmarshal([]byte(tt.schema), &schema); err != nil {
			t.Fatal(err)
		}
		r, err := New([]Type{{Type: "t", Schema: schema}})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		// As an agent's maker would use it: with a validator of its own.
		published, err := jsonschema.UnmarshalJSON(strings.NewReader(string(mustEncode(t, described(t, r)["t"].Schema))))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource("https://as.example/t", published); err != nil {
			t.Fatal(err)
		}
		theirs := c.MustCompile("https://as.example/t")
		for element, want := range map[string]bool{
			ok: true, tt.more: true, tt.refused: false,
			`{"a":"x"}`: false, `{"type":"other","a":"x"}`: false, `{"type":"t","a":"x","z":1}`: false, `{"type":null,"a":"x"}`: false,
		} {
			v, err := jsonschema.UnmarshalJSON(strings.NewReader(element))
			if err != nil {
				t.Fatal(err)
			}
			if err := theirs.Validate(v); (err == nil) != want {
				t.Errorf("%s: the published schema says %v of %s", tt.name, err, element)
			}
			if _, err := r.Parse([]byte("[" + element + "]")); (err == nil) != want {
				t.Errorf("%s: Parse says %v of %s", tt.name, err, element)
			}
		}
	}
}

func mustEncode(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestMetadataMistakes: what is published is checked as strictly as what
// agents send, and the report names the member.
func TestMetadataMistakes(t *testing.T) {
	t.Parallel()
	const booking = `
- type: booking
  schema:
    type: object
    additionalProperties: false
    required: [room, price]
    properties:
      room: {type: string, maxLength: 8}
      price: {type: object, additionalProperties: false, required: [amount, currency], properties: {amount: {type: string}, currency: {type: string}}}
  show: [{path: room}, {path: price, as: money}]
  words: {en: {headline: "Book {room}?", labels: {room: Room, price: Price}, sms: "BOOK {room}"}}
`
	const good = `{room: r, price: {amount: "1.00", currency: EUR}}`
	for _, tt := range []struct{ name, add, want string }{
		{"good", "  examples: [" + good + "]", ""},
		{"none", "  examples: []", ""},
		{"missing", `  examples: [` + good + `, {room: r}]`, "examples[1].price: is missing"},
		{"several", `  examples: [{room: r}, ` + good + `, {room: 5, price: {amount: "1.00", currency: EUR}}]`, "examples[0].price: is missing|examples[2].room: must be of type string, not number"},
		{"unknown member", `  examples: [{x: 1, room: r, price: {amount: "1.00", currency: EUR}}]`, "examples[0].x: is not known here; known members: price, room"},
		{"another type", `  examples: [{type: tool_call, room: r, price: {amount: "1.00", currency: EUR}}]`, "examples[0].type: must be 'booking', or be left out"},
		{"a type that is no text", `  examples: [{type: {}, room: r}]`, "examples[0].type: must be 'booking', or be left out"},
		{"beyond the schema: no amount", `  examples: [{room: r, price: {amount: "0", currency: EUR}}]`, "examples[0].price.amount: must be a string with a decimal number above zero and a point, such as 50.00"},
		{"beyond the schema: invisible", `  examples: [{room: "a\u202eb", price: {amount: "1", currency: EUR}}]`, "examples[0].room: must not contain the control, invisible or unassigned character U+202E"},
		{"number that is no JSON", `  examples: [{room: .nan, price: {amount: "1", currency: EUR}}]`, "examples[0]: must be what JSON can hold"},
		{"number too large", `  examples: [{room: 18446744073709551615, price: {amount: "1", currency: EUR}}]`, "examples[0]: the number 18446744073709551615 does not fit a double"},
		{"null", `  examples: [null]`, "examples[0].price: is missing"},
		{"too many", "  examples: [" + strings.Repeat(good+", ", 10) + good + "]", "examples: has 11, at most 10 are published; remove some"},
		{"version", `  version: "` + strings.Repeat("1", 33) + `"`, "version: write at most 32 visible characters"},
		{"invisible version", `  version: "1\u200b"`, "version: write at most 32 visible characters"},
		{"documentation", `  documentation_uri: docs/booking`, `documentation_uri: "docs/booking" is no https URL`},
		{"documentation in the clear", `  documentation_uri: http://docs.example`, "documentation_uri: "},
		{"documentation that is script", `  documentation_uri: "javascript:alert(1)"`, "documentation_uri: "},
		{"documentation with a password", `  documentation_uri: "https://a:b@docs.example"`, "documentation_uri: "},
		{"more examples of a built-in type", "- type: tool_call\n  examples: [{server: a, tool: b}]", `details type "tool_call": is built in; only its min_acr and words can be set`},
		{"another version of a built-in type", "- type: tool_call\n  version: '2'", `details type "tool_call": is built in`},
		{"schema for another type", `
- type: other
  schema: {type: object, additionalProperties: false, properties: {type: {const: booking}}}`, `schema: type: its const is not "other"; leave the member out, it is known`},
		{"schema in a circle", `
- type: round
  schema: {type: object, additionalProperties: false, allOf: [{$ref: "#/$defs/a"}], $defs: {a: {allOf: [{$ref: "#/$defs/a"}, {$ref: "#/$defs/a"}]}}}`, "schema: its top has more than 64 references, or goes round in a circle; write them out"},
	} {
		_, err := New(readTypes(t, []byte(booking+tt.add)))
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: New accepted it", tt.name)
			continue
		}
		for _, want := range strings.Split(tt.want, "|") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: New = %v, want %s", tt.name, err, want)
			}
		}
	}
}
