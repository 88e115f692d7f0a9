package details

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Smaller is a value of a request that the person may make smaller: an amount
// to lower (Choices is nil), or a list to leave things out of.
type Smaller struct {
	Label    string   // what the value is
	Value    string   // as asked, in words
	Currency string   // of an amount
	Choices  []string // of a list: its elements in words, two or more
	index    int      // of the element of authorization_details
	path     string
}

// Smaller lists what the person may make smaller in the list, in the words of
// lang, in a fixed order.
func (l List) Smaller(lang string) []Smaller {
	var out []Smaller
	for i, d := range l {
		e, ok := d.reg.types[d.Type]
		if !ok {
			continue
		}
		name, p := e.phrasesFor(lang)
		for _, path := range slices.Sorted(maps.Keys(e.Narrow)) {
			v, ok := lookup(d.Value, path)
			if !ok {
				continue
			}
			s := Smaller{Label: path, index: i, path: path}
			if p != nil {
				s.Label, s.Value = p.labels[path], e.write(p, name, path, v)
			}
			if e.Narrow[path] == narrowLower {
				s.Currency, _ = member(v, memberCurrency).(string)
				out = append(out, s)
				continue
			}
			list, _ := v.([]any)
			for _, sub := range list {
				said := leafValue(sub)
				if p != nil {
					said = p.say(path, name, sub)
				}
				s.Choices = append(s.Choices, said)
			}
			if len(s.Choices) > 1 {
				out = append(out, s)
			}
		}
	}
	return out
}

// typed is an amount as people write it: digits with a point or comma.
var typed = regexp.MustCompile(`^([0-9]{1,15})(?:[.,]([0-9]{1,8}))?$`)

// Reduce returns the list with values made smaller. The keys of lower and
// without are positions in what Smaller returned: lower holds amounts as
// people write them ("12.50", "12,5"), without the positions of choices to
// leave out. Errors are *FieldError; whether the result is smaller is for
// Narrow to say.
func (l List) Reduce(lower map[int]string, without map[int][]int) (List, error) {
	places := l.Smaller("en")
	out := slices.Clone(l)
	set := func(s Smaller, v any) error {
		d := &out[s.index]
		d.Value, _ = replace(d.Value, s.path, v).(map[string]any)
		raw, err := Canonical(d.Value)
		if err != nil {
			return fmt.Errorf("encoding a smaller value: %w", err)
		}
		d.raw = raw
		return nil
	}
	for _, at := range slices.Sorted(maps.Keys(lower)) {
		if at < 0 || at >= len(places) || places[at].Choices != nil {
			return nil, &FieldError{Index: -1, Reason: "has no amount there to lower"}
		}
		s := places[at]
		from, _ := lookup(out[s.index].Value, s.path)
		value, ok := amountOf(lower[at], from)
		if !ok {
			return nil, &FieldError{Index: s.index, Path: s.path, Reason: "must be an amount in digits"}
		}
		if err := set(s, replace(from, memberAmount, value)); err != nil {
			return nil, err
		}
	}
	for _, at := range slices.Sorted(maps.Keys(without)) {
		if at < 0 || at >= len(places) || places[at].Choices == nil {
			return nil, &FieldError{Index: -1, Reason: "has no list there to cut down"}
		}
		s := places[at]
		from, _ := lookup(out[s.index].Value, s.path)
		list, _ := from.([]any)
		rest := []any{}
		for i, v := range list {
			if !slices.Contains(without[at], i) {
				rest = append(rest, v)
			}
		}
		if len(rest) == 0 {
			return nil, &FieldError{Index: s.index, Path: s.path, Reason: "must keep at least one"}
		}
		if err := set(s, rest); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// amountOf reads what a person typed instead of the amount asked, in the form
// of the latter. More decimals than the currency has are refused, so that a
// thousand written with a point does not become one.
func amountOf(s string, asked any) (string, bool) {
	m := typed.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return "", false
	}
	currency, _ := member(asked, memberCurrency).(string)
	before, _ := member(asked, memberAmount).(string)
	_, cents, _ := strings.Cut(before, ".")
	digits, ok := minorDigits[currency]
	if !ok {
		digits = 2
	}
	if len(m[2]) > max(digits, len(cents)) {
		return "", false
	}
	whole := strings.TrimLeft(m[1], "0")
	if whole == "" {
		whole = "0"
	}
	after := m[2]
	for len(after) < len(cents) {
		after += "0"
	}
	if after != "" {
		whole += "." + after
	}
	return whole, decimalForm.MatchString(whole)
}
