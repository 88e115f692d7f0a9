package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a payload.
const maxDepth = 16

var errObject = errors.New("payload is not one JSON object")

// checkObject refuses what encoding/json would read in more than one way:
// repeated members, members that differ in case only, invalid UTF-8, text
// after the object, deep nesting.
func checkObject(data []byte) error {
	if !utf8.Valid(data) || len(data) == 0 || data[0] != '{' {
		return errObject
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := checkValue(dec, 0); err != nil {
		return err
	}
	if dec.InputOffset() != int64(len(data)) {
		return errObject
	}
	return nil
}

func checkValue(dec *json.Decoder, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return errObject
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth == maxDepth {
		return fmt.Errorf("payload is nested deeper than %d", maxDepth)
	}
	var seen map[string]bool
	if delim == '{' {
		seen = make(map[string]bool)
	}
	for dec.More() {
		if seen != nil {
			name, err := dec.Token()
			if err != nil {
				return errObject
			}
			folded := fold(name.(string))
			if seen[folded] {
				return errors.New("payload repeats a member")
			}
			seen[folded] = true
		}
		if err := checkValue(dec, depth+1); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil { // the closing bracket
		return errObject
	}
	return nil
}

// fold maps names that encoding/json takes for the same one to one string.
func fold(name string) string {
	return string(bytes.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, []byte(name)))
}
