package details

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// form is what may stand at a path, as far as showing goes.
type form string

const (
	scalar   form = "scalar"   // string, number, boolean or null
	scalars  form = "list"     // array of them
	array    form = "array"    // array of something else
	object   form = "object"   // closed object
	anything form = "anything" // not looked into: it is shown leaf by leaf
)

// maxFields bounds what one schema describes.
const maxFields = 400

// field is what a schema says about one path.
type field struct {
	form     form
	required bool     // and so is everything above it
	types    []string // JSON Schema types
	members  []string // of an object
	about    string   // description
}

// reader walks a schema and collects its fields and what is wrong with it.
// It looks only at what always applies (the schema, what it refers to,
// allOf): a branch can only allow less.
type reader struct {
	root     any
	opaque   map[string]bool // paths shown leaf by leaf
	fields   map[string]*field
	order    []string
	mistakes []error
}

func (rd *reader) wrong(path, format string, args ...any) {
	if path == "" {
		path = "the schema"
	}
	rd.mistakes = append(rd.mistakes, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
}

// read visits path, for which all the schemas apply.
func (rd *reader) read(path string, schemas []any, required bool, depth int) {
	f := &field{form: anything, required: required}
	rd.fields[path] = f
	rd.order = append(rd.order, path)
	var nodes []map[string]any
	for _, s := range schemas {
		rd.expand(path, s, 0, &nodes)
	}
	for _, n := range nodes {
		if d, ok := n["description"].(string); ok && f.about == "" {
			f.about = d
		}
	}
	if rd.opaque[path] {
		return
	}
	if len(rd.order) > maxFields {
		if len(rd.order) == maxFields+1 {
			rd.wrong("", "describes more than %d fields: show deep parts as leaves", maxFields)
		}
		return
	}
	if depth > MaxDepth {
		rd.wrong(path, "is nested more than %d deep: show it as leaves", MaxDepth)
		return
	}
	f.types = typesOf(nodes)
	isObject, isArray := slices.Contains(f.types, "object"), slices.Contains(f.types, "array")
	switch {
	case len(f.types) == 0:
		rd.wrong(path, "say its type (outside anyOf and oneOf), or show it as leaves")
	case isObject && isArray:
		rd.wrong(path, "cannot be an object and an array: show it as leaves")
	case isObject:
		f.form = object
		rd.readObject(path, f, nodes, depth)
	case isArray:
		rd.readArray(path, f, nodes, depth)
	default:
		f.form = scalar
	}
}

func (rd *reader) readObject(path string, f *field, nodes []map[string]any, depth int) {
	properties := map[string][]any{}
	required := map[string]bool{}
	closed := false
	for _, n := range nodes {
		props, _ := n["properties"].(map[string]any)
		for name, s := range props {
			properties[name] = append(properties[name], s)
		}
		for _, name := range stringsOf(n["required"]) {
			required[name] = true
		}
		if open, ok := n["additionalProperties"].(bool); ok && !open && n["patternProperties"] == nil {
			closed = true
		}
	}
	if !closed {
		rd.wrong(path, "set additionalProperties: false (without patternProperties), or show it as leaves")
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if path == "" && name == "type" {
			continue
		}
		if strings.ContainsAny(name, ".[]{}") || CheckText(name, false) != nil {
			rd.wrong(path, "the member %q cannot be named in a path: leave out . [ ] { } and invisible characters", name)
			continue
		}
		f.members = append(f.members, name)
		rd.read(join(path, name), properties[name], f.required && required[name], depth+1)
	}
}

func (rd *reader) readArray(path string, f *field, nodes []map[string]any, depth int) {
	var items []any
	for _, n := range nodes {
		if n["prefixItems"] != nil {
			rd.wrong(path, "prefixItems is not supported: use items, or show it as leaves")
		}
		if s, ok := n["items"]; ok {
			items = append(items, s)
		}
	}
	f.form = array
	if len(items) == 0 {
		rd.wrong(path, "say what its items are, or show it as leaves")
		return
	}
	rd.read(path+"[]", items, false, depth+1)
	if rd.fields[path+"[]"].form == scalar {
		f.form = scalars
	}
}

// expand appends s and every schema that always applies with it.
func (rd *reader) expand(path string, s any, refs int, into *[]map[string]any) {
	n, ok := s.(map[string]any)
	if !ok {
		return
	}
	*into = append(*into, n)
	if ref, ok := n["$ref"].(string); ok {
		target, found := rd.lookup(ref)
		if !found || refs > MaxDepth {
			rd.wrong(path, "$ref %q: only references that begin with #/ and end somewhere are supported", ref)
		} else {
			rd.expand(path, target, refs+1, into)
		}
	}
	all, _ := n["allOf"].([]any)
	for _, sub := range all {
		rd.expand(path, sub, refs+1, into)
	}
}

// lookup follows a JSON pointer within the schema.
func (rd *reader) lookup(ref string) (any, bool) {
	pointer, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return rd.root, ref == "#"
	}
	at := rd.root
	for _, step := range strings.Split(pointer, "/") {
		m, ok := at.(map[string]any)
		if !ok {
			return nil, false
		}
		if at, ok = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]; !ok {
			return nil, false
		}
	}
	return at, true
}

// typesOf is what the schemas agree on, none if none says a type.
func typesOf(nodes []map[string]any) []string {
	var types []string
	for _, n := range nodes {
		t := stringsOf(n["type"])
		if t == nil {
			values, _ := n["enum"].([]any)
			if c, ok := n["const"]; ok {
				values = append(values, c)
			}
			t = typesOfValues(values)
		}
		switch {
		case t == nil:
		case types == nil:
			types = t
		default:
			types = slices.DeleteFunc(slices.Clone(types), func(s string) bool {
				return !slices.Contains(t, s) && !(s == "integer" && slices.Contains(t, "number"))
			})
		}
	}
	return types
}

func typesOfValues(values []any) []string {
	var types []string
	for _, v := range values {
		switch v.(type) {
		case string:
			types = append(types, "string")
		case map[string]any:
			types = append(types, "object")
		case []any:
			types = append(types, "array")
		default:
			types = append(types, "number")
		}
	}
	return types
}

// stringsOf reads a JSON string or array of strings.
func stringsOf(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

// compile makes a validator of a JSON Schema that needs nothing from outside.
func compile(schema any) (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.UseLoader(nothing{})
	c.AssertFormat()
	c.DefaultDraft(jsonschema.Draft2020)
	const name = "details:schema"
	if err := c.AddResource(name, schema); err != nil {
		return nil, err
	}
	return c.Compile(name)
}

// nothing loads no schema, from no file and no address.
type nothing struct{}

func (nothing) Load(url string) (any, error) {
	return nil, errors.New("a schema cannot refer to another document")
}

// join appends a member's name to a path.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// covers reports whether path p stands for q or for something that holds it.
func covers(p, q string) bool {
	rest, ok := strings.CutPrefix(q, p)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
