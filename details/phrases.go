package details

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxHeadline is how many words a headline may have, a value counting as one.
const maxHeadline = 12

// phrases are the words of a type in one language, parsed.
type phrases struct {
	labels map[string]string
	values map[string]map[string]string

	headline, consequence, allow, sms, speech, done phrase
}

// phrase is words with places for values.
type phrase []part

// part is one piece of a phrase: words, the place of a value, or pieces that
// are left out together when a value among them is absent.
type part struct {
	words    string
	path     string
	optional phrase
}

// parsePhrase reads "words {path}[ words {path}]".
func parsePhrase(s string) (phrase, error) {
	var out phrase
	for s != "" {
		i := strings.IndexAny(s, "{}[]")
		if i < 0 {
			return append(out, part{words: s}), nil
		}
		if i > 0 {
			out = append(out, part{words: s[:i]})
		}
		end := map[byte]string{'{': "}", '[': "]"}[s[i]]
		if end == "" {
			return nil, fmt.Errorf("%q closes nothing", s[i:i+1])
		}
		inside, rest, ok := strings.Cut(s[i+1:], end)
		if !ok {
			return nil, fmt.Errorf("%q is not closed", s[i:i+1])
		}
		// A path may end in "[]" nowhere: arrays are shown whole.
		if end == "}" {
			if inside == "" || strings.ContainsAny(inside, "{[]") {
				return nil, fmt.Errorf("{%s} is no path", inside)
			}
			out = append(out, part{path: inside})
		} else {
			sub, err := parsePhrase(inside)
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(sub, func(p part) bool { return p.path != "" }) {
				return nil, fmt.Errorf("[%s] has no value in it, so it is never left out; drop the brackets", inside)
			}
			out = append(out, part{optional: sub})
		}
		s = rest
	}
	return out, nil
}

// newPhrases checks the words of one language.
func (e *entry) newPhrases(lang string, w Words) (*phrases, []error) {
	p := &phrases{labels: w.Labels, values: w.Values}
	var mistakes []error
	wrong := func(format string, args ...any) { mistakes = append(mistakes, fmt.Errorf(format, args...)) }
	if !langForm.MatchString(lang) {
		wrong(`%q is no language; write it like en or pt-BR`, lang)
	}
	for _, t := range []struct {
		name, text string
		into       *phrase
		needed     bool
		leaves     bool // values shown leaf by leaf may stand in it
	}{
		{"headline", w.Headline, &p.headline, true, false},
		{"consequence", w.Consequence, &p.consequence, false, false},
		{"allow", w.Allow, &p.allow, false, false},
		{"sms", w.SMS, &p.sms, true, true},
		{"speech", w.Speech, &p.speech, false, true},
		{"done", w.Done, &p.done, false, true},
	} {
		if t.needed && t.text == "" {
			wrong("%s: is missing", t.name)
		}
		if err := checkWords(t.text); err != nil {
			wrong("%s: %w", t.name, err)
		}
		parsed, err := parsePhrase(t.text)
		if err != nil {
			wrong("%s: %w", t.name, err)
			continue
		}
		*t.into = parsed
		for _, err := range e.checkPhrase(parsed, t.leaves, false) {
			wrong("%s: %w", t.name, err)
		}
	}
	if n := p.headline.wordCount(); n > maxHeadline {
		wrong("headline: has %d words, at most %d can be taken in", n, maxHeadline)
	}
	if len(p.done) == 0 {
		p.done = p.sms
	}
	mistakes = append(mistakes, e.checkLabels(p)...)
	return p, mistakes
}

// checkWords reports why words of the configuration cannot be shown. Words
// may begin or end with a space.
func checkWords(s string) error { return CheckText(strings.TrimSpace(s), false) }

// checkPhrase checks the values in a phrase.
func (e *entry) checkPhrase(p phrase, leaves, optional bool) []error {
	var mistakes []error
	for _, part := range p {
		switch {
		case part.optional != nil:
			mistakes = append(mistakes, e.checkPhrase(part.optional, leaves, true)...)
		case part.path == "":
		case e.as[part.path] == "":
			mistakes = append(mistakes, fmt.Errorf("{%s} is no path of show", part.path))
		case e.as[part.path] == asLeaves && !leaves:
			mistakes = append(mistakes, fmt.Errorf("{%s} is shown as leaves, which may be long; it can stand in sms, speech and done only", part.path))
		case !optional && e.fields[part.path] != nil && !e.fields[part.path].required:
			mistakes = append(mistakes, fmt.Errorf("{%s} may be absent; put it and the words around it in [ ]", part.path))
		}
	}
	return mistakes
}

// checkLabels checks that everything shown has a label, and nothing else, and
// that no two values are said alike.
func (e *entry) checkLabels(p *phrases) []error {
	var mistakes []error
	wrong := func(format string, args ...any) { mistakes = append(mistakes, fmt.Errorf(format, args...)) }
	shown := map[string]bool{}
	for _, s := range e.Show {
		shown[s.Path] = true
	}
	for _, path := range e.Free {
		shown[path] = true
	}
	for _, path := range slices.Sorted(maps.Keys(shown)) {
		if p.labels[path] == "" {
			wrong("labels: %s has none", path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(p.labels)) {
		if !shown[path] {
			wrong("labels: %s is neither in show nor in free", path)
		}
		if err := checkWords(p.labels[path]); err != nil {
			wrong("labels: %s: %w", path, err)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(p.values)) {
		if e.as[path] != asText {
			wrong("values: %s is not shown as text", path)
		}
		said := map[string]string{}
		for _, value := range slices.Sorted(maps.Keys(p.values[path])) {
			words := p.values[path][value]
			if err := checkWords(words); err != nil {
				wrong("values: %s: %s: %w", path, value, err)
			}
			if other, ok := said[fold(words)]; ok {
				wrong("values: %s: %s and %s are said alike", path, other, value)
			}
			said[fold(words)] = value
		}
	}
	return mistakes
}

// wordCount counts words, a value as one, with everything optional in it.
func (p phrase) wordCount() int { return len(strings.Fields(p.shape())) }

func (p phrase) shape() string {
	var b strings.Builder
	for _, part := range p {
		switch {
		case part.optional != nil:
			b.WriteString(part.optional.shape())
		case part.path != "":
			b.WriteString("x")
		default:
			b.WriteString(part.words)
		}
	}
	return b.String()
}
