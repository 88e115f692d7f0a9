package details

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// maxElements bounds how much one request may ask for.
const maxElements = 10

// List is an authorization_details array, parsed once: it says everything that
// somebody needs to know of it.
type List []Detail

// Detail is one element of it. Make it with [Registry.Parse] or
// [Registry.Read]; do not change it.
type Detail struct {
	Type  string         // the member "type"
	Value map[string]any // the whole object; numbers are json.Number
	raw   []byte         // canonical form
	reg   *Registry      // that read it
}

// Canonical returns the list as a JSON array in the form of RFC 8785.
func (l List) Canonical() json.RawMessage {
	out := []byte{'['}
	for i, d := range l {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, d.raw...)
	}
	return append(out, ']')
}

// Types lists the types in the list, in order, each once.
func (l List) Types() []string {
	var out []string
	for _, d := range l {
		if !slices.Contains(out, d.Type) {
			out = append(out, d.Type)
		}
	}
	return out
}

// MinACR is the strongest [Registry.MinACR] of the types in the list, "" for a
// list without any.
func (l List) MinACR() string {
	least := ""
	for _, d := range l {
		least = stronger(least, d.reg.MinACR(d.Type))
	}
	return least
}

// Parse reads authorization_details as an agent sent it: strict JSON, known
// types only, valid against their schemas, fit to be shown. Errors are
// *FieldError.
func (r *Registry) Parse(raw []byte) (List, error) {
	l, err := read(raw, r)
	if err != nil {
		return nil, err
	}
	if len(l) == 0 {
		return nil, &FieldError{Index: -1, Reason: "must have at least one element; leave the parameter out to ask for nothing"}
	}
	for i, d := range l {
		if err := r.validate(d); err != nil {
			err.Index = i
			return nil, err
		}
	}
	return l, nil
}

// Read parses details that were validated and stored earlier; none is an
// empty list. Types that are no longer known are kept.
func (r *Registry) Read(stored json.RawMessage) (List, error) {
	if len(stored) == 0 {
		return nil, nil
	}
	return read(stored, r)
}

// read decodes a list of objects that have a type. An empty array is an empty
// list.
func read(raw []byte, reg *Registry) (List, error) {
	whole := func(format string, args ...any) error {
		return &FieldError{Index: -1, Reason: fmt.Sprintf(format, args...)}
	}
	if err := CheckJSON(raw); err != nil {
		return nil, whole("must be a JSON array of objects: %v", err)
	}
	canonical, err := Canonical(json.RawMessage(raw))
	if err != nil {
		return nil, whole("must be a JSON array of objects")
	}
	before, err := decodeTree(raw)
	if err != nil {
		return nil, whole("must be a JSON array of objects: %v", err)
	}
	after, err := decodeTree(canonical)
	if err != nil {
		return nil, whole("must be a JSON array of objects: %v", err)
	}
	if n, ok := changedNumber(before, after); ok {
		return nil, whole("the number %s does not fit a double; write it as a string", clip(n, 40))
	}
	elements, ok := after.([]any)
	var raws []json.RawMessage
	if !ok || json.Unmarshal(canonical, &raws) != nil {
		return nil, whole("must be a JSON array of objects")
	}
	if len(elements) > maxElements {
		return nil, whole("must not have more than %d elements", maxElements)
	}
	l := make(List, 0, len(elements))
	for i, e := range elements {
		value, ok := e.(map[string]any)
		if !ok {
			return nil, &FieldError{Index: i, Reason: "must be an object"}
		}
		typ, ok := value["type"].(string)
		if !ok || typ == "" {
			return nil, &FieldError{Index: i, Path: "type", Reason: "is missing; it must be a string"}
		}
		l = append(l, Detail{Type: typ, Value: value, raw: raws[i], reg: reg})
	}
	return l, nil
}

// Canonical returns v as JSON in the form of RFC 8785, the only form that is
// ever hashed. A number beyond what a double holds becomes the largest one;
// what agents send is refused before if that would change it.
func Canonical(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding for a digest: %w", err)
	}
	if err := (*jsontext.Value)(&raw).Canonicalize(); err != nil {
		return nil, fmt.Errorf("canonicalising for a digest: %w", err)
	}
	return raw, nil
}

// changedNumber finds a number that is another one after canonicalisation:
// people would be shown something else than the agent meant.
func changedNumber(before, after any) (string, bool) {
	switch b := before.(type) {
	case json.Number:
		a, ok := after.(json.Number)
		if !ok || !sameNumber(b.String(), a.String()) {
			return b.String(), true
		}
	case []any:
		a, ok := after.([]any)
		for i := range b {
			if !ok || i >= len(a) {
				return "", true
			}
			if n, changed := changedNumber(b[i], a[i]); changed {
				return n, true
			}
		}
	case map[string]any:
		a, _ := after.(map[string]any)
		for name := range b {
			if n, changed := changedNumber(b[name], a[name]); changed {
				return n, true
			}
		}
	}
	return "", false
}

func sameNumber(a, b string) bool {
	_, exponent, ok := strings.Cut(strings.ToLower(a), "e")
	if e, err := strconv.Atoi(exponent); ok && (err != nil || e > 400 || e < -400) || len(a) > 64 {
		return false // also keeps the exact comparison cheap
	}
	x, ok1 := new(big.Rat).SetString(a)
	y, ok2 := new(big.Rat).SetString(b)
	return ok1 && ok2 && x.Cmp(y) == 0
}

// validate reports the first thing that is wrong with one element.
func (r *Registry) validate(d Detail) *FieldError {
	e, ok := r.types[d.Type]
	if !ok {
		return &FieldError{Path: "type", Reason: fmt.Sprintf("%q is not supported; use one of %s", clip(d.Type, 64), strings.Join(r.Names(), ", "))}
	}
	return e.validate(d)
}

func (e *entry) validate(d Detail) *FieldError {
	if err := e.schema.Validate(d.Value); err != nil {
		var invalid *jsonschema.ValidationError
		if !errors.As(err, &invalid) {
			return &FieldError{Reason: "does not fit its schema"}
		}
		return e.fieldError(invalid, d.Value)
	}
	for _, path := range slices.Sorted(maps.Keys(e.as)) {
		if at, ok := lookup(d.Value, path); ok && e.as[path] == asMoney {
			if err := checkMoney(path, at); err != nil {
				return err
			}
		}
	}
	return e.checkTexts("", d.Value)
}

func checkMoney(path string, v any) *FieldError {
	m, _ := v.(map[string]any)
	value, _ := m[memberAmount].(string)
	currency, _ := m[memberCurrency].(string)
	if n, ok := decimal(value); !ok || n.Sign() <= 0 {
		return &FieldError{Path: join(path, memberAmount), Reason: "must be a string with a decimal number above zero and a point, such as 50.00"}
	}
	if !currencyForm.MatchString(currency) {
		return &FieldError{Path: join(path, memberCurrency), Reason: "must be an ISO 4217 code of three capital letters, such as EUR"}
	}
	return nil
}

// checkTexts checks every string and member name that a person may be shown.
func (e *entry) checkTexts(path string, v any) *FieldError {
	switch v := v.(type) {
	case string:
		lines, longest := e.under(path, asLeaves) || len(e.Words) == 0, maxText
		switch {
		case slices.Contains(e.Free, pattern(path)):
			longest = maxFree
		case lines:
			longest = MaxJSON
		}
		if n := utf8.RuneCountInString(v); n > longest {
			return &FieldError{Path: path, Reason: fmt.Sprintf("must not be longer than %d characters", longest)}
		}
		if err := CheckText(v, lines); err != nil {
			return &FieldError{Path: path, Reason: err.Error()}
		}
	case []any:
		for i, sub := range v {
			if err := e.checkTexts(fmt.Sprintf("%s[%d]", path, i), sub); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if err := CheckText(name, false); err != nil || name == "" || utf8.RuneCountInString(name) > maxName {
				return &FieldError{Path: path, Reason: fmt.Sprintf("must have members with names of 1 to %d visible characters", maxName)}
			}
			if err := e.checkTexts(join(path, name), v[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// under reports whether path is below something shown in the way of as.
func (e *entry) under(path, as string) bool {
	for p, way := range e.as {
		if way == as && covers(p, path) {
			return true
		}
	}
	return false
}

// pattern replaces the indices in a path by "[]".
func pattern(path string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(path, "[")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		_, path, _ = strings.Cut(rest, "]")
		b.WriteString("[]")
	}
}

// lookup returns what is at a path without arrays in it.
func lookup(v any, path string) (any, bool) {
	for _, name := range strings.Split(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[name]; !ok {
			return nil, false
		}
	}
	return v, true
}

// fieldError turns what the validator found first into words.
func (e *entry) fieldError(v *jsonschema.ValidationError, value any) *FieldError {
	for len(v.Causes) > 0 {
		v = v.Causes[0]
	}
	path := ""
	at := value
	for _, step := range v.InstanceLocation {
		if list, ok := at.([]any); ok {
			i, _ := strconv.Atoi(step)
			path += "[" + step + "]"
			if at = nil; i < len(list) {
				at = list[i]
			}
			continue
		}
		path = join(path, step)
		m, _ := at.(map[string]any)
		at = m[step]
	}
	about := ""
	members := "none"
	if f := e.fields[pattern(path)]; f != nil {
		about = f.about
		if len(f.members) > 0 {
			members = strings.Join(f.members, ", ")
		}
	}
	out := &FieldError{Path: path}
	switch k := v.ErrorKind.(type) {
	case *kind.Required:
		slices.Sort(k.Missing)
		out.Path = join(path, k.Missing[0])
		out.Reason = "is missing"
		if f := e.fields[pattern(out.Path)]; f != nil && f.about != "" {
			out.Reason += "; it must be " + f.about
		}
		return out
	case *kind.AdditionalProperties:
		slices.Sort(k.Properties)
		out.Path = join(path, k.Properties[0])
		out.Reason = "is not known here; known members: " + members
		return out
	case *kind.Type:
		out.Reason = "must be of type " + strings.Join(k.Want, " or ") + ", not " + k.Got
	case *kind.MinLength:
		out.Reason = fmt.Sprintf("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		out.Reason = fmt.Sprintf("must have at most %d characters", k.Want)
	case *kind.MinItems:
		out.Reason = fmt.Sprintf("must have at least %d elements", k.Want)
	case *kind.MaxItems:
		out.Reason = fmt.Sprintf("must have at most %d elements", k.Want)
	case *kind.UniqueItems:
		out.Reason = fmt.Sprintf("must not have the same element twice (%d and %d)", k.Duplicates[0], k.Duplicates[1])
	case *kind.Pattern:
		out.Reason = "must match " + k.Want
	default:
		out.Reason = "does not fit its schema: " + k.LocalizedString(message.NewPrinter(language.English))
	}
	if about != "" {
		out.Reason = "must be " + about
	}
	return out
}
