package config

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxConfig bounds the configuration file.
const maxConfig = 16 << 20

// reader turns YAML nodes into values and collects every mistake on its way.
type reader struct {
	getenv   func(string) string
	readFile func(string) ([]byte, error)
	mistakes []Mistake
}

func (r *reader) wrong(line int, where, format string, args ...any) {
	what := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
	r.mistakes = append(r.mistakes, Mistake{Line: line, Where: where, What: what})
}

// sorted returns the mistakes in order of line, those without one last.
func (r *reader) sorted() []Mistake {
	sort.SliceStable(r.mistakes, func(i, j int) bool {
		a, b := r.mistakes[i].Line, r.mistakes[j].Line
		return a != 0 && (b == 0 || a < b)
	})
	return r.mistakes
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// document parses data to its only document's root; nil when it is empty.
func (r *reader) document(data []byte) *yaml.Node {
	if len(data) > maxConfig {
		r.wrong(0, "", "the file has more than %d MiB: add people and clients with the commands instead", maxConfig>>20)
		return nil
	}
	if !utf8.Valid(data) {
		r.wrong(0, "", "the file is not UTF-8: save it as UTF-8")
		return nil
	}
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		m := yamlLine.FindStringSubmatch(err.Error())
		line := 0
		if m != nil {
			line, _ = strconv.Atoi(m[1])
		}
		r.wrong(line, "", "this is not YAML: %s", yamlLine.ReplaceAllString(err.Error(), ""))
		return nil
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		r.wrong(more.Line, "", "the file has more than one document: remove everything from the second `---` on")
		return nil
	}
	if len(doc.Content) != 1 {
		return nil
	}
	root := doc.Content[0]
	r.walk("", root)
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil
	}
	return root
}

// walk reports what no part of the file may hold: aliases, so that one line
// means one thing and no document unfolds to more than its own size, and keys
// that stand twice.
func (r *reader) walk(path string, n *yaml.Node) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		r.wrong(n.Line, path, "anchors and aliases are not read: write the value out")
		*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line}
		return
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for i, e := range n.Content {
			r.walk(fmt.Sprintf("%s[%d]", path, i), e)
		}
	case yaml.MappingNode:
		first := map[string]int{}
		kept := n.Content[:0]
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			where := join(path, k.Value)
			switch line := first[k.Value]; {
			case k.Kind != yaml.ScalarNode:
				r.wrong(k.Line, path, "a key must be one word")
			case k.Tag == "!!merge":
				r.wrong(k.Line, path, "merge keys are not read: write the values out")
			case line != 0:
				r.wrong(k.Line, where, "this key stands twice, first in line %d: remove one", line)
			default:
				first[k.Value] = k.Line
				r.walk(where, v)
				kept = append(kept, k, v)
			}
		}
		n.Content = kept
	}
}

// section is a mapping whose keys are known.
type section struct {
	r      *reader
	path   string
	line   int
	fields map[string]*yaml.Node
}

// section reads n as a mapping with the keys named and no others. It never
// returns nil: what could not be read is simply absent.
func (r *reader) section(path string, n *yaml.Node, keys ...string) *section {
	s := &section{r: r, path: path, fields: map[string]*yaml.Node{}}
	if n == nil {
		return s
	}
	s.line = n.Line
	if n.Kind != yaml.MappingNode {
		if n.Tag != "!!null" {
			r.wrong(n.Line, path, "expected a mapping with %s", Quoted(keys))
		}
		return s
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if !slices.Contains(keys, k.Value) {
			r.wrong(k.Line, join(path, k.Value), "unknown key%s", Suggest(k.Value, keys))
			continue
		}
		s.fields[k.Value] = v
	}
	return s
}

func (s *section) has(key string) bool {
	n := s.fields[key]
	return n != nil && n.Tag != "!!null"
}

// at is where key stands, or the section's own line.
func (s *section) at(key string) int {
	if n := s.fields[key]; n != nil {
		return n.Line
	}
	return s.line
}

func (s *section) wrong(key, format string, args ...any) {
	s.r.wrong(s.at(key), join(s.path, key), format, args...)
}

// need reports a key that is missing, with an example.
func (s *section) need(key, example string) bool {
	if s.has(key) {
		return true
	}
	s.r.wrong(s.line, join(s.path, key), "missing: add `%s: %s`", key, example)
	return false
}

// text returns a scalar as it is written, "" if absent.
func (s *section) text(key string) string {
	if !s.has(key) {
		return ""
	}
	n := s.fields[key]
	if n.Kind != yaml.ScalarNode {
		s.wrong(key, "expected one value, not a list or mapping")
		return ""
	}
	return n.Value
}

// oneOf returns one of the words allowed, the first of them if absent.
func (s *section) oneOf(key string, allowed ...string) string {
	v := s.text(key)
	if v == "" {
		return allowed[0]
	}
	if !slices.Contains(allowed, v) {
		s.wrong(key, "unknown value %q%s", v, Suggest(v, allowed))
		return allowed[0]
	}
	return v
}

// yes returns a boolean, fallback if absent.
func (s *section) yes(key string, fallback bool) bool {
	switch v := s.text(key); v {
	case "":
		return fallback
	case "true":
		return true
	case "false":
		return false
	default:
		s.wrong(key, "%q is neither true nor false: write one of them", v)
		return fallback
	}
}

// count returns a whole number between low and high, fallback if absent.
func (s *section) count(key string, fallback, low, high int) int {
	v := s.text(key)
	if v == "" {
		return fallback
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		s.wrong(key, "%q is not a whole number from %d to %d", v, low, high)
		return fallback
	}
	return n
}

// span returns a duration between low and high, fallback if absent.
func (s *section) span(key string, fallback, low, high time.Duration) time.Duration {
	v := s.text(key)
	if v == "" {
		return fallback
	}
	d, err := time.ParseDuration(v)
	switch {
	case err != nil:
		s.wrong(key, "%q is not a duration: write a number with a unit, such as 30s, 5m or 24h", v)
	case d < low || d > high:
		s.wrong(key, "%s is out of range: from %s to %s", v, brief(low), brief(high))
	default:
		return d
	}
	return fallback
}

// item is one element of a list.
type item struct {
	path string
	node *yaml.Node
}

// list returns the elements under key.
func (s *section) list(key string) []item {
	if !s.has(key) {
		return nil
	}
	n := s.fields[key]
	if n.Kind != yaml.SequenceNode {
		s.wrong(key, "expected a list: write `%s: [ … ]`", key)
		return nil
	}
	var out []item
	for i, e := range n.Content {
		out = append(out, item{fmt.Sprintf("%s[%d]", join(s.path, key), i), e})
	}
	return out
}

// texts returns a list of scalars.
func (s *section) texts(key string) []string {
	var out []string
	for _, e := range s.list(key) {
		if e.node.Kind != yaml.ScalarNode || e.node.Tag == "!!null" {
			s.r.wrong(e.node.Line, e.path, "expected one value")
			continue
		}
		out = append(out, e.node.Value)
	}
	return out
}

// secret returns what the reference under key refers to. A secret never
// stands in the file, and no message repeats one.
func (s *section) secret(key string) string {
	if !s.has(key) {
		return ""
	}
	return s.r.secret(join(s.path, key), s.fields[key])
}

func (r *reader) secret(where string, n *yaml.Node) string {
	if n.Kind != yaml.MappingNode {
		r.wrong(n.Line, where, "a secret never stands in the file: write {env: NAME} or {file: PATH}, and change this one if it was real")
		return ""
	}
	ref := r.section(where, n, "env", "file")
	switch env, file := ref.text("env"), ref.text("file"); {
	case env != "" && file != "":
		r.wrong(n.Line, where, "both env and file are given: keep one")
	case env != "":
		v := r.getenv(env)
		if v == "" {
			r.wrong(n.Line, where, "the environment variable %s is not set: export it before the start", env)
		}
		return v
	case file != "":
		data, err := r.readFile(file)
		if err != nil {
			r.wrong(n.Line, where, "reading the secret: %v", err)
			return ""
		}
		v := strings.TrimRight(string(data), "\r\n")
		if v == "" || len(v) > 4096 {
			r.wrong(n.Line, where, "%s must hold the secret on one line and nothing else", file)
			return ""
		}
		return v
	case len(n.Content) == 0:
		r.wrong(n.Line, where, "empty: write {env: NAME} or {file: PATH}")
	}
	return ""
}

// words returns texts by language.
func (s *section) words(key string) map[string]string {
	n := s.fields[key]
	if !s.has(key) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		s.wrong(key, "expected texts by language: write {en: \"…\", de: \"…\"}")
		return nil
	}
	var langs []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		langs = append(langs, n.Content[i].Value)
	}
	in := s.r.section(join(s.path, key), n, langs...)
	out := map[string]string{}
	for lang := range in.fields {
		if !isLanguage(lang) {
			in.wrong(lang, "%q is not a language tag: write en, de or pt-BR", lang)
			continue
		}
		if out[lang] = in.text(lang); out[lang] == "" {
			in.wrong(lang, "empty: write the words")
		}
	}
	return out
}

// brief is a duration without parts that are zero: 48h and not 48h0m0s.
func brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
