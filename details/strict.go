package details

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of JSON that others send.
const (
	MaxJSON  = 16 << 10 // bytes
	MaxDepth = 16       // of objects and arrays in one another
)

// CheckJSON reports why data is not one strict JSON value: at most 16 KiB,
// valid UTF-8 without lone surrogates, no member twice in an object (also not
// in another case, which encoding/json would take for the same), at most 16
// deep, nothing after it.
func CheckJSON(data []byte) error { return CheckLongJSON(data, MaxJSON) }

// CheckLongJSON is CheckJSON for another number of bytes.
func CheckLongJSON(data []byte, most int) error {
	if len(data) > most {
		return fmt.Errorf("longer than %d bytes", most)
	}
	if !utf8.Valid(data) {
		return errors.New("not valid UTF-8")
	}
	if err := checkSurrogates(data); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := checkValue(dec, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("there is something after the JSON value")
	}
	return nil
}

// checkValue reads one value from dec.
func checkValue(dec *json.Decoder, depth int) error {
	tok, err := dec.Token()
	if err != nil {
		return notJSON(err)
	}
	open, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	if depth++; depth > MaxDepth {
		return fmt.Errorf("nested more than %d deep", MaxDepth)
	}
	names := map[string]string{}
	for dec.More() {
		if open == '{' {
			tok, err := dec.Token()
			if err != nil {
				return notJSON(err)
			}
			name, _ := tok.(string)
			switch twin, ok := names[fold(name)]; {
			case ok && twin == name:
				return fmt.Errorf("the member %q appears twice", clip(name, 64))
			case ok:
				return fmt.Errorf("the members %q and %q differ only in case", clip(twin, 64), clip(name, 64))
			}
			names[fold(name)] = name
		}
		if err := checkValue(dec, depth); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return notJSON(err)
	}
	return nil
}

func notJSON(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("not JSON: it ends too early")
	}
	return errors.New("not JSON")
}

// checkSurrogates refuses \ud800…\udfff that form no pair: decoders replace
// them silently, so two texts would become one.
func checkSurrogates(data []byte) error {
	lone := errors.New(`contains half of a surrogate pair (\ud800 to \udfff)`)
	unit := func(i int) (uint64, bool) {
		if i+6 > len(data) || data[i] != '\\' || data[i+1] != 'u' {
			return 0, false
		}
		u, err := strconv.ParseUint(string(data[i+2:i+6]), 16, 32)
		return u, err == nil
	}
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		if u, ok := unit(i); ok && u >= 0xd800 && u <= 0xdfff {
			low, ok := unit(i + 6)
			if u >= 0xdc00 || !ok || low < 0xdc00 || low > 0xdfff {
				return lone
			}
			i += 6
		}
		i++ // what is escaped
	}
	return nil
}

// fold maps names that encoding/json takes for the same member to one string.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		low := r
		for o := unicode.SimpleFold(r); o != r; o = unicode.SimpleFold(o) {
			low = min(low, o)
		}
		return low
	}, s)
}

// DecodeStrict is json.Unmarshal after [CheckJSON] that also refuses members
// that match a field of v only in another case. Unknown members are ignored.
func DecodeStrict(data []byte, v any) error {
	if err := CheckJSON(data); err != nil {
		return err
	}
	tree, err := decodeTree(data)
	if err != nil {
		return err
	}
	if err := checkMembers(tree, reflect.TypeOf(v)); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			return fmt.Errorf("the member %q must not be a JSON %s", wrong.Field, wrong.Value)
		}
		return fmt.Errorf("decoding JSON: %w", err)
	}
	return nil
}

// decodeTree decodes any JSON, numbers as json.Number.
func decodeTree(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, notJSON(err)
	}
	return tree, nil
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// checkMembers compares the members in tree with the fields of t, where t has
// fields of its own.
func checkMembers(tree any, t reflect.Type) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || reflect.PointerTo(t).Implements(jsonUnmarshaler) || reflect.PointerTo(t).Implements(textUnmarshaler) {
		return nil
	}
	switch value := tree.(type) {
	case []any:
		if t.Kind() != reflect.Slice && t.Kind() != reflect.Array {
			return nil
		}
		for _, v := range value {
			if err := checkMembers(v, t.Elem()); err != nil {
				return err
			}
		}
	case map[string]any:
		if t.Kind() == reflect.Map {
			for _, v := range value {
				if err := checkMembers(v, t.Elem()); err != nil {
					return err
				}
			}
		}
		if t.Kind() != reflect.Struct {
			return nil
		}
		fields := map[string]reflect.Type{}
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				name = f.Name
			}
			if f.IsExported() && !f.Anonymous && f.Tag.Get("json") != "-" {
				fields[name] = f.Type
			}
		}
		folded := map[string]string{}
		for name := range fields {
			folded[fold(name)] = name
		}
		for name, v := range value {
			if f, ok := fields[name]; ok {
				if err := checkMembers(v, f); err != nil {
					return err
				}
			} else if known, ok := folded[fold(name)]; ok {
				return fmt.Errorf("write the member %q as %q", clip(name, 64), known)
			}
		}
	}
	return nil
}
