package details

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

// shipped are the built-in types, in the form in which others are configured.
//
//go:embed shipped.yaml
var shipped []byte

// Shipped returns the built-in types: payment_initiation, data_access and
// tool_call. They are examples of how to write one.
func Shipped() ([]Type, error) {
	var types []Type
	dec := yaml.NewDecoder(bytes.NewReader(shipped))
	dec.KnownFields(true)
	if err := dec.Decode(&types); err != nil {
		return nil, fmt.Errorf("reading the built-in types: %w", err)
	}
	return types, nil
}

// Registry knows every configured type. It never changes and may be used
// concurrently.
type Registry struct {
	types    map[string]*entry
	metadata json.RawMessage
}

// New returns a registry of the built-in types and extra ones. An entry with
// the name of a built-in type and no schema replaces its min_acr and its words
// in the languages given. The error joins every mistake found.
func New(extra []Type) (*Registry, error) {
	types, err := Shipped()
	if err != nil {
		return nil, err
	}
	var mistakes []error
	builtin := len(types)
	seen := map[string]bool{}
	for _, t := range extra {
		if seen[t.Type] {
			mistakes = append(mistakes, fmt.Errorf("details type %q: is there twice; keep one", clip(t.Type, 64)))
			continue
		}
		seen[t.Type] = true
		at := slices.IndexFunc(types[:builtin], func(b Type) bool { return b.Type == t.Type })
		if at < 0 {
			types = append(types, t)
			continue
		}
		if t.Schema != nil || t.Show != nil || t.Free != nil || t.Silent != nil || t.Narrow != nil ||
			t.Version != "" || t.DocumentationURI != "" || t.Examples != nil {
			mistakes = append(mistakes, fmt.Errorf("details type %q: is built in; only its min_acr and words can be set, or give your type another name", t.Type))
			continue
		}
		types[at] = types[at].with(t)
	}
	r := &Registry{types: map[string]*entry{}}
	for _, t := range types {
		e, wrong := newEntry(t)
		for _, err := range wrong {
			mistakes = append(mistakes, fmt.Errorf("details type %q: %w", clip(t.Type, 64), err))
		}
		r.types[t.Type] = e
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	if r.metadata, err = r.describe(); err != nil {
		return nil, err
	}
	return r, nil
}

// with returns t with min_acr and words of o.
func (t Type) with(o Type) Type {
	if o.MinACR != "" {
		t.MinACR = o.MinACR
	}
	words := maps.Clone(t.Words)
	maps.Copy(words, o.Words)
	t.Words = words
	return t
}

// WithMinACR returns extra with the min_acr of every built-in type set to acr
// where extra does not set it: what a development run starts with.
func WithMinACR(extra []Type, acr string) ([]Type, error) {
	types, err := Shipped()
	if err != nil {
		return nil, err
	}
	out := slices.Clone(extra)
	for _, b := range types {
		at := slices.IndexFunc(out, func(t Type) bool { return t.Type == b.Type })
		switch {
		case at < 0:
			out = append(out, Type{Type: b.Type, MinACR: acr})
		case out[at].MinACR == "":
			out[at].MinACR = acr
		}
	}
	return out, nil
}

// Names lists the known types, sorted (authorization_details_types_supported,
// RFC 9396 §10).
func (r *Registry) Names() []string { return slices.Sorted(maps.Keys(r.types)) }

// Languages lists the languages in which the type has words, sorted; none for
// a type without words or an unknown one.
func (r *Registry) Languages(typ string) []string {
	e, ok := r.types[typ]
	if !ok {
		return nil
	}
	return slices.Sorted(maps.Keys(e.words))
}

// acrs are the known values of acr, weakest first.
var acrs = []string{"urn:ringback:acr:tap", "urn:ringback:acr:match", "phr"}

// unexplained is the least assurance for what we have no words for.
const unexplained = "urn:ringback:acr:match"

// MinACR is the least assurance that a type needs, "" for any. One without words,
// or that is not known (any more), needs urn:ringback:acr:match at least.
func (r *Registry) MinACR(typ string) string {
	switch e, ok := r.types[typ]; {
	case !ok:
		return unexplained
	case len(e.words) == 0:
		return stronger(unexplained, e.MinACR)
	default:
		return e.MinACR
	}
}

func stronger(a, b string) string {
	if slices.Index(acrs, b) > slices.Index(acrs, a) {
		return b
	}
	return a
}
