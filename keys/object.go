package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

const (
	// maxDepth bounds the nesting of an object.
	maxDepth = 16
	// fewNames is how many members of an object are compared one by one.
	fewNames = 16
)

var (
	errObject = errors.New("not one JSON object")
	errDeep   = fmt.Errorf("nested deeper than %d", maxDepth)
)

// checkObject refuses what encoding/json would read in more than one way:
// repeated members, members that differ in case only, invalid UTF-8, text
// after the object, deep nesting.
func checkObject(data []byte) error { return readObject(data, nil) }

// readObject is checkObject that hands the members of the outermost object to
// take: the name decoded, the value as it is written. An error of take ends
// the reading.
func readObject(data []byte, take func(name, value []byte) error) error {
	if len(data) == 0 || data[0] != '{' || data[len(data)-1] != '}' || !utf8.Valid(data) || !json.Valid(data) {
		return errObject
	}
	w := walk{data: data}
	return w.object(0, take)
}

// walk goes through JSON that is known to be valid.
type walk struct {
	data []byte
	at   int // the next byte
}

// object reads from one brace to the other.
func (w *walk) object(depth int, take func(name, value []byte) error) error {
	if depth == maxDepth {
		return errDeep
	}
	var seen names
	for w.at++; w.more(); {
		name, err := decodeText(w.text())
		if err != nil {
			return err
		}
		if !seen.add(name) {
			return errors.New("a member is there twice")
		}
		w.space()
		w.at++ // the colon
		w.space()
		start := w.at
		if err := w.value(depth + 1); err != nil {
			return err
		}
		if take == nil {
			continue
		}
		if err := take(name, w.data[start:w.at]); err != nil {
			return err
		}
	}
	return nil
}

// list reads from one bracket to the other.
func (w *walk) list(depth int) error {
	if depth == maxDepth {
		return errDeep
	}
	for w.at++; w.more(); {
		if err := w.value(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

// more goes to the next element, or behind the brace or bracket that ends
// them.
func (w *walk) more() bool {
	w.space()
	switch w.data[w.at] {
	case '}', ']':
		w.at++
		return false
	case ',':
		w.at++
		w.space()
	}
	return true
}

// value reads any value.
func (w *walk) value(depth int) error {
	switch w.data[w.at] {
	case '{':
		return w.object(depth, nil)
	case '[':
		return w.list(depth)
	case '"':
		w.text()
	default: // a number, true, false, null
		for w.at < len(w.data) && !endsValue(w.data[w.at]) {
			w.at++
		}
	}
	return nil
}

func endsValue(c byte) bool {
	return c == ',' || c == ']' || c == '}' || c == ' ' || c == '\t' || c == '\r' || c == '\n'
}

// text reads a string and returns it with its quotation marks.
func (w *walk) text() []byte {
	start := w.at
	for w.at++; w.data[w.at] != '"'; w.at++ {
		if w.data[w.at] == '\\' {
			w.at++
		}
	}
	w.at++
	return w.data[start:w.at]
}

func (w *walk) space() {
	for w.at < len(w.data) && (w.data[w.at] == ' ' || w.data[w.at] == '\t' || w.data[w.at] == '\r' || w.data[w.at] == '\n') {
		w.at++
	}
}

// names are the members of one object: a few in an array, more in a set.
type names struct {
	few  [fewNames][]byte
	n    int             // how many of few there are
	many map[string]bool // folded; nil as long as few holds them
}

// add reports whether encoding/json takes name for none that is there.
func (s *names) add(name []byte) bool {
	if s.many == nil {
		for _, other := range s.few[:s.n] {
			if bytes.EqualFold(name, other) {
				return false
			}
		}
		if s.n < fewNames {
			s.few[s.n] = name
			s.n++
			return true
		}
		s.many = make(map[string]bool, 2*fewNames)
		for _, other := range s.few {
			s.many[fold(other)] = true
		}
	}
	folded := fold(name)
	if s.many[folded] {
		return false
	}
	s.many[folded] = true
	return true
}

// decodeText returns what a JSON string says.
func decodeText(text []byte) ([]byte, error) {
	if len(text) < 2 || text[0] != '"' {
		return nil, errors.New("not a string")
	}
	if bytes.IndexByte(text, '\\') < 0 {
		return text[1 : len(text)-1], nil
	}
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, errObject
	}
	return []byte(s), nil
}

// fold maps names that encoding/json takes for the same one to one string.
func fold(name []byte) string {
	return string(bytes.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, name))
}
