package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"ringback/consent"
	"ringback/details"
)

// readDetails reads the types of authorization_details and makes the registry.
func (c *Config) readDetails(r *reader, top *section) {
	before := len(r.mistakes)
	seen := map[string]bool{}
	for _, e := range top.list("details") {
		s := r.section(e.path, e.node, "type", "schema", "show", "free", "silent", "narrow", "min_acr", "words",
			"version", "documentation_uri", "examples")
		if !s.need("type", "booking") {
			continue
		}
		t := details.Type{Type: s.text("type")}
		if seen[t.Type] {
			s.wrong("type", "the type %s stands twice: remove one", t.Type)
		}
		seen[t.Type] = true
		c.acr(s, "min_acr")
		checkShape(r, s)
		if len(r.mistakes) > before {
			continue
		}
		if s.has("schema") {
			c.readSchema(r, s)
		}
		if err := e.node.Decode(&t); err != nil {
			r.wrong(s.line, e.path, "%s", strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), "\n", " "))
			continue
		}
		if _, err := details.New([]details.Type{t}); err != nil {
			for _, err := range flatten(err) {
				line := s.line
				if field := new(details.FieldError); errors.As(err, &field) {
					line = lineAt(s.fields["examples"], fmt.Sprintf("[%d].%s", field.Index, field.Path))
				}
				r.wrong(line, e.path, "%v", err)
			}
			continue
		}
		c.Types = append(c.Types, t)
		c.lines["type/"+t.Type] = s.line
	}
	if len(r.mistakes) > before {
		c.Types = nil
	}
	var err error
	if c.Dev {
		if c.Types, err = details.WithMinACR(c.Types, consent.ACRTap); err != nil {
			r.wrong(0, "details", "%v", err)
		}
	}
	if c.Registry, err = details.New(c.Types); err != nil {
		for _, err := range flatten(err) {
			r.wrong(top.at("details"), "details", "%v", err)
		}
	}
}

// checkShape reports unknown keys below the parts that have known ones.
func checkShape(r *reader, t *section) {
	for _, e := range t.list("show") {
		if e.node.Kind == yaml.MappingNode {
			r.section(e.path, e.node, "path", "as").need("path", "instructedAmount")
		}
	}
	for _, e := range t.list("examples") {
		if e.node.Kind != yaml.MappingNode {
			r.wrong(e.node.Line, e.path, "expected an object as an agent would send it: write {room: Blue, nights: 2}")
		}
		checkJSONValues(r, e.path, e.node)
	}
	words := t.fields["words"]
	if words == nil || words.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(words.Content); i += 2 {
		lang := words.Content[i]
		path := join(t.path, "words."+lang.Value)
		if !isLanguage(lang.Value) {
			r.wrong(lang.Line, path, "%q is not a language tag: write en, de or pt-BR", lang.Value)
		}
		r.section(path, words.Content[i+1], "headline", "labels", "values", "consequence", "allow", "sms", "speech", "done")
	}
}

// checkJSONValues reports what YAML reads as something that JSON has not.
func checkJSONValues(r *reader, path string, n *yaml.Node) {
	switch tag := n.ShortTag(); {
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			checkJSONValues(r, join(path, n.Content[i].Value), n.Content[i+1])
		}
	case n.Kind == yaml.SequenceNode:
		for i, e := range n.Content {
			checkJSONValues(r, fmt.Sprintf("%s[%d]", path, i), e)
		}
	case tag == "!!timestamp" || tag == "!!binary":
		r.wrong(n.Line, path, "JSON has no %s: put it in quotes", strings.TrimPrefix(tag, "!!"))
	}
}

// lineAt is the line of what a path such as [0].price.amount leads to, as far
// as it is there.
func lineAt(n *yaml.Node, path string) int {
	for step := range strings.FieldsFuncSeq(path, func(r rune) bool { return strings.ContainsRune(".[]", r) }) {
		var next *yaml.Node
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == step {
					next = n.Content[i+1]
				}
			}
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
				next = n.Content[i]
			}
		}
		if next == nil {
			break
		}
		n = next
	}
	return n.Line
}

// readSchema puts the content of a schema file in the place of {file: PATH}.
func (c *Config) readSchema(r *reader, t *section) {
	n := t.fields["schema"]
	if n.Kind != yaml.MappingNode || len(n.Content) != 2 || n.Content[0].Value != "file" || n.Content[1].Kind != yaml.ScalarNode {
		return
	}
	data, err := r.readFile(n.Content[1].Value)
	if err != nil {
		t.wrong("schema", "%v", err)
		return
	}
	if err := details.CheckJSON(data); err != nil {
		t.wrong("schema", "%s: %v", n.Content[1].Value, err)
		return
	}
	var v map[string]any
	if err := json.Unmarshal(data, &v); err != nil {
		t.wrong("schema", "%s is not a JSON Schema: it must be an object", n.Content[1].Value)
		return
	}
	var sub yaml.Node
	if err := sub.Encode(v); err != nil {
		t.wrong("schema", "%v", err)
		return
	}
	line := n.Line
	*n = sub
	n.Line = line
}

// languages lists the languages that people of the file read, and English.
func (c *Config) languages() []string {
	out := []string{"en"}
	for i := range c.Approvers {
		base, _, _ := strings.Cut(c.Approvers[i].Locale, "-")
		if base = strings.ToLower(base); base != "" && !slices.Contains(out, base) {
			out = append(out, base)
		}
	}
	return out
}

// reachable notes types that nobody could ever approve.
func (c *Config) reachable() {
	for _, name := range c.Registry.Names() {
		acr := c.Registry.MinACR(name)
		if consent.Rank(acr) > consent.Rank(c.Policy.Reach) {
			c.Notes = append(c.Notes, fmt.Sprintf("requests of the type %s are refused: they need the assurance %s and no configured channel reaches it; where you can answer for less, add {type: %s, min_acr: …} under details", name, acr, name))
		}
	}
}

// flatten lists the errors that were joined.
func flatten(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range many.Unwrap() {
			out = append(out, flatten(e)...)
		}
		return out
	}
	return []error{err}
}
