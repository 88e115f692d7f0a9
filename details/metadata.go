package details

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// metadata is what agents read about a type
// (draft-ietf-oauth-rar-metadata-remediation-00 §5).
type metadata struct {
	Version          string            `json:"version,omitempty"`
	Description      string            `json:"description,omitempty"`
	DocumentationURI string            `json:"documentation_uri,omitempty"`
	Schema           map[string]any    `json:"schema"`
	Examples         []json.RawMessage `json:"examples,omitempty"`
}

// Metadata is the JSON object type :: version, description, documentation_uri,
// schema, examples (draft-ietf-oauth-rar-metadata-remediation-00 §5). The
// schema is the one that Parse validates against; Parse also checks that
// amounts are amounts and that texts can be shown. The description is the
// question that people read, in English, with members' names in braces. Do not
// change what is returned.
func (r *Registry) Metadata() json.RawMessage { return r.metadata }

func (r *Registry) describe() (json.RawMessage, error) {
	out := map[string]metadata{}
	for name, e := range r.types {
		out[name] = metadata{e.Version, e.description(), e.DocumentationURI, e.whole, e.examples}
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("describing the types: %w", err)
	}
	return raw, nil
}

// description is what people are asked, or what the schema says of itself.
func (e *entry) description() string {
	for _, lang := range slices.Sorted(maps.Keys(e.Words)) {
		if w := e.Words[lang]; base(lang) == "en" {
			return strings.TrimSpace("People are asked: " + w.Headline + " " + w.Consequence)
		}
	}
	return e.fields[""].about
}

// maxVersion bounds the characters of a version.
const maxVersion = 32

// checkAbout checks version and documentation_uri.
func (e *entry) checkAbout() []error {
	var mistakes []error
	if err := CheckText(e.Version, false); err != nil || utf8.RuneCountInString(e.Version) > maxVersion {
		mistakes = append(mistakes, fmt.Errorf("version: write at most %d visible characters, such as 1.0", maxVersion))
	}
	u, err := url.Parse(e.DocumentationURI)
	if e.DocumentationURI != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil) {
		mistakes = append(mistakes, fmt.Errorf("documentation_uri: %q is no https URL; write one, or leave it out", clip(e.DocumentationURI, 80)))
	}
	return mistakes
}

// readExamples checks the examples as if an agent had sent them.
func (e *entry) readExamples() []error {
	var mistakes []error
	if len(e.Examples) > maxElements {
		return []error{fmt.Errorf("examples: has %d, at most %d are published; remove some", len(e.Examples), maxElements)}
	}
	for i, given := range e.Examples {
		d, err := e.readExample(given)
		if err != nil {
			err.Index, err.list = i, "examples"
			mistakes = append(mistakes, err)
			continue
		}
		e.examples = append(e.examples, d.raw)
	}
	return mistakes
}

func (e *entry) readExample(given map[string]any) (Detail, *FieldError) {
	whole := map[string]any{"type": e.Type.Type}
	maps.Copy(whole, given)
	if whole["type"] != e.Type.Type {
		return Detail{}, &FieldError{Path: "type", Reason: fmt.Sprintf("must be %q, or be left out", clip(e.Type.Type, 64))}
	}
	raw, err := json.Marshal([]any{whole})
	if err != nil {
		return Detail{}, &FieldError{Reason: "must be what JSON can hold: " + err.Error()}
	}
	l, err := read(raw, nil)
	if err != nil {
		return Detail{}, &FieldError{Reason: strings.TrimPrefix(err.Error(), "authorization_details: ")}
	}
	return l[0], e.validate(l[0])
}
