package details

import (
	"errors"
	"fmt"
	"slices"
)

// dialect is the JSON Schema that schemas are written in unless they say so.
const dialect = "https://json-schema.org/draft/2020-12/schema"

// maxInlined bounds how many references of a schema's top are written out.
const maxInlined = 64

// withType returns the schema with the member "type": required, and nothing
// but the type's name. It is what elements are validated against, and what
// agents read.
func withType(schema []byte, typ string) (map[string]any, error) {
	doc, err := decodeTree(schema)
	if err != nil {
		return nil, err
	}
	root, ok := doc.(map[string]any)
	if !ok {
		return nil, errors.New("must be an object")
	}
	w := &widener{reader{root: copied(doc)}, maxInlined}
	if err := w.widen(root); err != nil {
		return nil, err
	}
	if root["properties"] == nil {
		root["properties"] = map[string]any{}
	}
	if props, ok := root["properties"].(map[string]any); ok {
		own, _ := props["type"].(map[string]any)
		if own == nil {
			own = map[string]any{}
		}
		if c, ok := own["const"]; ok && c != typ {
			return nil, fmt.Errorf("type: its const is not %q; leave the member out, it is known", typ)
		}
		own["const"] = typ
		props["type"] = own
	}
	if root["required"] == nil {
		root["required"] = []any{}
	}
	if required, ok := root["required"].([]any); ok && !slices.Contains(stringsOf(required), "type") {
		root["required"] = append([]any{"type"}, required...)
	}
	if root["$schema"] == nil {
		root["$schema"] = dialect
	}
	return root, nil
}

// widener makes room for the member "type" in schemas that know all members.
type widener struct {
	reader     // of the schema as it was given
	left   int // references that may still be written out
}

// widen allows the member "type" in n and in every schema of the same object.
// What n refers to is copied, because it may also describe another object.
func (w *widener) widen(n map[string]any) error {
	if ref, ok := n["$ref"].(string); ok {
		if target, found := w.lookup(ref); found {
			if w.left--; w.left < 0 {
				return fmt.Errorf("its top has more than %d references, or goes round in a circle; write them out", maxInlined)
			}
			all, _ := n["allOf"].([]any)
			n["allOf"] = append([]any{copied(target)}, all...)
			delete(n, "$ref")
		}
	}
	for _, name := range []string{"additionalProperties", "unevaluatedProperties"} {
		if others, ok := n[name]; !ok || others == true {
			continue
		}
		if n["properties"] == nil {
			n["properties"] = map[string]any{}
		}
		if props, ok := n["properties"].(map[string]any); ok && props["type"] == nil {
			props["type"] = map[string]any{}
		}
	}
	for _, name := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := n[name].([]any)
		for _, sub := range list {
			if err := w.widenAny(sub); err != nil {
				return err
			}
		}
	}
	for _, name := range []string{"if", "then", "else", "not"} {
		if err := w.widenAny(n[name]); err != nil {
			return err
		}
	}
	dependent, _ := n["dependentSchemas"].(map[string]any)
	for _, sub := range dependent {
		if err := w.widenAny(sub); err != nil {
			return err
		}
	}
	return nil
}

func (w *widener) widenAny(schema any) error {
	if n, ok := schema.(map[string]any); ok {
		return w.widen(n)
	}
	return nil
}

// copied returns a copy of JSON that shares nothing with it.
func copied(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, sub := range v {
			out[name] = copied(sub)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, sub := range v {
			out[i] = copied(sub)
		}
		return out
	}
	return v
}
