package details

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Ways of writing a value.
const (
	asText   = "text"
	asMoney  = "money"
	asIBAN   = "iban"
	asLeaves = "leaves"
)

// Ways of making a value smaller.
const (
	narrowLower  = "lower"
	narrowSubset = "subset"
)

var (
	typeForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/#?&=%+~-]{0,127}$`)
	langForm = regexp.MustCompile(`^[a-z]{2,3}(-[A-Z]{2})?$`)
)

// entry is a checked type.
type entry struct {
	Type
	schema   *jsonschema.Schema
	whole    map[string]any // the schema with the member "type"
	examples []json.RawMessage
	fields   map[string]*field
	as       map[string]string // path :: how it is shown
	words    map[string]*phrases
}

// newEntry checks t and returns everything that is wrong with it.
func newEntry(t Type) (*entry, []error) {
	e := &entry{Type: t, as: map[string]string{}, words: map[string]*phrases{}}
	var mistakes []error
	wrong := func(format string, args ...any) { mistakes = append(mistakes, fmt.Errorf(format, args...)) }
	if !typeForm.MatchString(t.Type) {
		wrong("type: give it a name of letters, digits and ._:/#?&=%%+~- (at most 128)")
	}
	if t.MinACR != "" && !slices.Contains(acrs, t.MinACR) {
		wrong("min_acr: %q is not known; use one of %s", t.MinACR, strings.Join(acrs, ", "))
	}
	t.Show = slices.Clone(t.Show)
	e.Show = t.Show
	for i, s := range t.Show {
		if s.As == "" {
			s.As = asText
		}
		if _, ok := e.as[s.Path]; ok {
			wrong("show: %s is there twice", s.Path)
		}
		e.as[s.Path] = s.As
		t.Show[i] = s
	}
	if t.Schema == nil {
		wrong("schema: is missing; give a JSON Schema of the object")
		return e, mistakes
	}
	raw, err := json.Marshal(t.Schema)
	if err != nil {
		wrong("schema: is no JSON: %v", err)
		return e, mistakes
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		wrong("schema: is no JSON: %v", err)
		return e, mistakes
	}
	if e.whole, err = withType(raw, t.Type); err == nil {
		e.schema, err = compile(e.whole)
	}
	if err != nil {
		wrong("schema: %v", err)
	}
	rd := &reader{root: doc, opaque: map[string]bool{}, fields: map[string]*field{}}
	for path, as := range e.as {
		rd.opaque[path] = as == asLeaves
	}
	rd.read("", []any{doc}, true, 0)
	for _, err := range rd.mistakes {
		wrong("schema: %w", err)
	}
	e.fields = rd.fields
	if e.fields[""].form != object {
		wrong("schema: must describe an object")
	}
	mistakes = append(mistakes, e.checkPaths(rd.order)...)
	for _, lang := range slices.Sorted(maps.Keys(t.Words)) {
		w, errs := e.newPhrases(lang, t.Words[lang])
		for _, err := range errs {
			wrong("words.%s: %w", lang, err)
		}
		e.words[lang] = w
	}
	if e.schema != nil {
		mistakes = append(mistakes, e.readExamples()...)
	}
	return e, append(mistakes, e.checkAbout()...)
}

// checkPaths checks show, free, silent and narrow, and that nothing is left
// out of the first three.
func (e *entry) checkPaths(order []string) []error {
	var mistakes []error
	wrong := func(format string, args ...any) { mistakes = append(mistakes, fmt.Errorf(format, args...)) }
	known := func(list, path string) *field {
		f, ok := e.fields[path]
		if !ok || path == "" {
			wrong("%s: the schema has no field %q", list, path)
			return nil
		}
		return f
	}
	owner := map[string]string{}
	claim := func(list, path string) {
		if other, ok := owner[path]; ok && other != list {
			wrong("%s: %s is in %s already", list, path, other)
		}
		owner[path] = list
	}
	for _, s := range e.Show {
		f := known("show", s.Path)
		if f == nil {
			continue
		}
		claim("show", s.Path)
		e.checkShown(s, f, wrong)
	}
	for _, path := range e.Free {
		f := known("free", path)
		claim("free", path)
		if f != nil && (f.form != scalar || !slices.Equal(f.types, []string{"string"}) || strings.Contains(path, "[]")) {
			wrong("free: %s must be a string outside of arrays", path)
		}
	}
	for _, path := range e.Silent {
		if !slices.ContainsFunc(e.Show, func(s Shown) bool { return s.As == asLeaves && covers(s.Path, path) }) {
			known("silent", path)
		}
		claim("silent", path)
	}
	for _, path := range slices.Sorted(maps.Keys(e.Narrow)) {
		f := known("narrow", path)
		if f == nil {
			continue
		}
		rule := e.Narrow[path]
		switch {
		case strings.Contains(path, "[]"):
			wrong("narrow: %s is inside an array, which cannot be narrowed", path)
		case rule != narrowLower && rule != narrowSubset:
			wrong("narrow: %s: %q is no rule; use lower or subset", path, rule)
		case rule == narrowSubset && f.form != scalars && f.form != array:
			wrong("narrow: %s: subset is for arrays", path)
		case rule == narrowLower && e.as[path] != asMoney:
			wrong("narrow: %s: lower is for what is shown as money", path)
		}
	}
	for _, path := range order {
		f := e.fields[path]
		// Elements are shown with their array, objects by their members, and
		// without words everything.
		if path == "" || strings.Contains(path, "[]") || f.form == object && len(f.members) > 0 ||
			len(e.Words) == 0 || e.holder(path) != "" {
			continue
		}
		wrong("%s: is neither shown nor silent; add it to show, free or silent", path)
	}
	return mistakes
}

// holder returns the path of show, free or silent that covers path, or "".
func (e *entry) holder(path string) string {
	for _, s := range e.Show {
		if covers(s.Path, path) {
			return s.Path
		}
	}
	for _, list := range [][]string{e.Free, e.Silent} {
		for _, p := range list {
			if covers(p, path) {
				return p
			}
		}
	}
	return ""
}

func (e *entry) checkShown(s Shown, f *field, wrong func(string, ...any)) {
	if strings.Contains(s.Path, "[]") {
		wrong("show: %s is inside an array; show the whole array as leaves", s.Path)
		return
	}
	switch s.As {
	case asLeaves:
	case asText:
		if f.form != scalar && f.form != scalars {
			wrong("show: %s is no simple value; show it as money or leaves, or show its members", s.Path)
		}
	case asIBAN:
		if f.form != scalar || !slices.Equal(f.types, []string{"string"}) {
			wrong("show: %s as iban must be a string", s.Path)
		}
	case asMoney:
		ok := f.form == object && slices.Equal(f.members, []string{memberAmount, memberCurrency})
		for _, m := range f.members {
			sub := e.fields[join(s.Path, m)]
			ok = ok && slices.Equal(sub.types, []string{"string"}) && (sub.required || !f.required)
		}
		if !ok {
			wrong("show: %s as money must be an object of exactly the strings amount and currency, both required", s.Path)
		}
	default:
		wrong("show: %s: %q is unknown; use text, money, iban or leaves", s.Path, s.As)
	}
}
