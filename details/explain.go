package details

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Explanation is a list of details in one language.
type Explanation struct {
	Items []Item // one per element, in order
}

// Item is one element in words.
type Item struct {
	Type        string
	Lang        string // language of the words; "" when there are none
	Explained   bool   // false: the type has no words; Facts are its leaves
	Headline    Text
	Consequence Text
	Allow       Text // empty: the page's own word
	SMS         Text
	Speech      Text
	Done        Text
	Facts       []Fact // in the order of show
	Free        []Fact // the agent's own words
}

// Fact is one labelled value.
type Fact struct {
	Path   string
	Label  string // empty for the leaves of a type without words
	Value  string
	Money  bool
	Leaves []Leaf // instead of Value, for what is shown leaf by leaf
}

// Leaf is one value inside something that is shown leaf by leaf. Line breaks
// and tabs in it are shown as signs.
type Leaf struct {
	Path  string // below the fact's path: "to[0].name"
	Value string
}

// Text is words with values in them. Values come from the agent.
type Text []Span

// Span is a piece of text. Path names the value it is, empty for our words.
type Span struct {
	Text  string
	Path  string
	Money bool
}

// String joins the pieces.
func (t Text) String() string {
	var b strings.Builder
	for _, s := range t {
		b.WriteString(s.Text)
	}
	return b.String()
}

// Explain says the list in lang; where a type lacks it, in its base language,
// in English, or in the first language the type has.
func (l List) Explain(lang string) Explanation {
	var out Explanation
	for _, d := range l {
		out.Items = append(out.Items, d.explain(lang))
	}
	return out
}

func (d Detail) explain(lang string) Item {
	e, ok := d.reg.types[d.Type]
	if !ok {
		e = &entry{}
	}
	it := Item{Type: d.Type}
	name, p := e.phrasesFor(lang)
	if p == nil {
		rest := maps.Clone(d.Value)
		delete(rest, "type")
		it.Facts = []Fact{{Leaves: e.leaves(rest, "", "")}}
		return it
	}
	it.Lang, it.Explained = name, true
	for _, s := range e.Show {
		v, ok := lookup(d.Value, s.Path)
		if !ok {
			continue
		}
		f := Fact{Path: s.Path, Label: p.labels[s.Path], Money: s.As == asMoney}
		if s.As == asLeaves {
			f.Leaves = e.leaves(v, s.Path, s.Path)
		} else {
			f.Value = e.write(p, name, s.Path, v)
		}
		it.Facts = append(it.Facts, f)
	}
	for _, path := range e.Free {
		if v, ok := lookup(d.Value, path); ok {
			s, _ := v.(string)
			it.Free = append(it.Free, Fact{Path: path, Label: p.labels[path], Value: s})
		}
	}
	fill := func(ph phrase) Text {
		t, _ := e.fill(p, name, ph, d.Value)
		return t
	}
	it.Headline, it.Consequence, it.Allow = fill(p.headline), fill(p.consequence), fill(p.allow)
	it.SMS, it.Speech, it.Done = fill(p.sms), fill(p.speech), fill(p.done)
	return it
}

// phrasesFor picks the language.
func (e *entry) phrasesFor(lang string) (string, *phrases) {
	for _, l := range append([]string{lang, base(lang), "en"}, slices.Sorted(maps.Keys(e.words))...) {
		if p, ok := e.words[l]; ok {
			return l, p
		}
	}
	return "", nil
}

// fill puts values into a phrase; false: a value in it is absent.
func (e *entry) fill(p *phrases, lang string, ph phrase, value map[string]any) (Text, bool) {
	var out Text
	whole := true
	for _, part := range ph {
		switch {
		case part.optional != nil:
			if t, ok := e.fill(p, lang, part.optional, value); ok {
				out = append(out, t...)
			}
		case part.path == "":
			out = append(out, Span{Text: part.words})
		default:
			v, ok := lookup(value, part.path)
			if !ok {
				whole = false
				continue
			}
			out = append(out, Span{Text: e.write(p, lang, part.path, v), Path: part.path, Money: e.as[part.path] == asMoney})
		}
	}
	return out, whole
}

// write says the value at a shown path.
func (e *entry) write(p *phrases, lang, path string, v any) string {
	switch e.as[path] {
	case asMoney:
		value, _ := member(v, memberAmount).(string)
		currency, _ := member(v, memberCurrency).(string)
		return amount(value, currency, lang) + " " + currency
	case asIBAN:
		s, _ := v.(string)
		return inFours(s)
	case asLeaves:
		var out []string
		for _, l := range e.leaves(v, path, path) {
			if l.Path == "" {
				out = append(out, l.Value)
			} else {
				out = append(out, l.Path+"="+l.Value)
			}
		}
		return strings.Join(out, ", ")
	}
	if list, ok := v.([]any); ok {
		var out []string
		for _, sub := range list {
			said := p.say(path, lang, sub)
			if strings.Contains(said, ",") { // would look like two
				said = `"` + said + `"`
			}
			out = append(out, said)
		}
		if len(out) == 0 {
			return "–"
		}
		return strings.Join(out, ", ")
	}
	return p.say(path, lang, v)
}

// say writes one scalar.
func (p *phrases) say(path, lang string, v any) string {
	plain := leafValue(v)
	if words, ok := p.values[path][plain]; ok {
		return words
	}
	if yes, ok := v.(bool); ok {
		return map[bool]map[bool]string{true: {true: "ja", false: "nein"}, false: {true: "yes", false: "no"}}[base(lang) == "de"][yes]
	}
	return plain
}

// leaves lists what is in v, sorted by member names, but for silent paths.
func (e *entry) leaves(v any, path, top string) []Leaf {
	if slices.Contains(e.Silent, pattern(path)) {
		return nil
	}
	var out []Leaf
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			out = append(out, e.leaves(v[name], join(path, name), top)...)
		}
		if len(v) > 0 {
			return out
		}
	case []any:
		for i, sub := range v {
			out = append(out, e.leaves(sub, fmt.Sprintf("%s[%d]", path, i), top)...)
		}
		if len(v) > 0 {
			return out
		}
	}
	return []Leaf{{Path: strings.TrimPrefix(strings.TrimPrefix(path, top), "."), Value: leafValue(v)}}
}

// signs stand for what would make one line look like several.
var signs = strings.NewReplacer("\r\n", " ↵ ", "\n", " ↵ ", "\r", " ↵ ", "\t", " ⇥ ")

// leafValue writes a value without anything in it: strings as they are, others
// as in JSON.
func leafValue(v any) string {
	switch v := v.(type) {
	case string:
		if v == "" {
			return `""`
		}
		return signs.Replace(v)
	case json.Number:
		return v.String()
	case bool:
		return fmt.Sprint(v)
	case map[string]any:
		return "{}"
	case []any:
		return "[]"
	}
	return "null"
}

// inFours writes an account number in groups of four.
func inFours(s string) string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}
