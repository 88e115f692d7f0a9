package details

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzCheckText(f *testing.F) {
	for _, s := range []string{"plain", " x", "a\u0301\u0301", "\u202e", "\n", "\xff", "\u2800"} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, s string, lines bool) {
		if CheckText(s, lines) != nil {
			return
		}
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\x1b\u200b\u202e\u2066") || !lines && strings.ContainsAny(s, "\n\r\t") {
			t.Errorf("CheckText(%q, %v) lets it pass", s, lines)
		}
	})
}

// FuzzReduce is a form of a person's: whatever comes out of it is either
// refused, or is what was asked or less.
func FuzzReduce(f *testing.F) {
	r := newRegistry(f, "")
	var asked []List
	for _, s := range []string{payment, access, call} {
		l, err := r.Parse([]byte(s))
		if err != nil {
			f.Fatal(err)
		}
		asked = append(asked, l)
	}
	for _, s := range []string{"49.99", "12,5", "0", "00001", "1.000", " 3 ", "-1", "1e3", "50.00", "999999999999999999"} {
		f.Add(uint(0), 0, s, 0, 1)
	}
	f.Add(uint(1), 0, "", 1, 0)
	f.Fuzz(func(t *testing.T, which uint, at int, amount string, list, without int) {
		l := asked[which%uint(len(asked))]
		lower, drop := map[int]string{}, map[int][]int{}
		if amount != "" {
			lower[at] = amount
		}
		if without >= 0 {
			drop[list] = []int{without}
		}
		out, err := l.Reduce(lower, drop)
		if err != nil {
			return
		}
		if l.Narrow(out) != nil {
			return // more, or the form of an amount that is none
		}
		again, err := r.Parse(out.Canonical())
		if err != nil {
			t.Fatalf("Reduce(%v, %v) = %s, which cannot be asked for: %v", lower, drop, out.Canonical(), err)
		}
		if string(again.Canonical()) != string(out.Canonical()) {
			t.Errorf("Reduce(%v, %v) = %s, read again as %s", lower, drop, out.Canonical(), again.Canonical())
		}
	})
}

// FuzzNewEntry is a type out of a configuration file.
func FuzzNewEntry(f *testing.F) {
	for _, s := range []string{
		`{"type":"a","schema":{"type":"object","additionalProperties":false,"properties":{"b":{"type":"string"}}},"show":[{"path":"b"}]}`,
		`{"type":"a","version":"1","schema":{"type":"object","additionalProperties":false,"properties":{"b":{"type":"string"}}},"examples":[{"b":"c"},{"type":"a"}]}`,
		`{"type":"a","schema":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}`, `{"type":"a","schema":{"properties":{"type":{"const":{}}},"required":5,"if":[{}]}}`,
		`{"type":"a","schema":{"$ref":"#"}}`, `{"type":"a","schema":{"allOf":[{"$ref":"#/$defs/x"}],"$defs":{"x":{"items":{"$ref":"#/$defs/x"}}}}}`,
		`{"type":"a","words":{"en":{"headline":"{b}[?"}}}`, `{"type":"payment_initiation","min_acr":"x"}`, `{"narrow":{"a":"lower"}}`,
		`{"type":"a","schema":{"pattern":"(a+)+$","type":"http://x","$schema":"http://127.0.0.1:9/x"}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var typ Type
		if json.Unmarshal(data, &typ) != nil {
			return
		}
		var err error
		e, mistakes := newEntry(typ)
		if len(mistakes) > 0 {
			return
		}
		r := &Registry{types: map[string]*entry{typ.Type: e}}
		_, _ = r.Parse([]byte(`[{"type":"a","b":"c"}]`))
		if r.metadata, err = r.describe(); err != nil {
			t.Fatal(err)
		}
		for _, example := range described(t, r)[typ.Type].Examples {
			if _, err := r.Parse([]byte("[" + string(example) + "]")); err != nil && len(example) < MaxJSON/2 {
				t.Errorf("Parse of the example %s: %v", example, err)
			}
		}
	})
}
