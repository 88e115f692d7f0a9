package details

import (
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Object writes one JSON object in canonical form (RFC 8785), whose members are
// added in the order of their names. Names are plain ASCII.
type Object struct {
	out []byte
	err error
}

// name begins a member.
func (o *Object) name(name string) {
	if len(o.out) == 0 {
		o.out = append(o.out, '{')
	} else {
		o.out = append(o.out, ',')
	}
	o.out = append(o.out, '"')
	o.out = append(o.out, name...)
	o.out = append(o.out, '"', ':')
}

// quote writes a string.
func (o *Object) quote(s string) {
	out, err := jsontext.AppendQuote(o.out, s)
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("encoding for a digest: %w", err)
	}
	o.out = out
}

// Text adds a string.
func (o *Object) Text(name, value string) {
	o.name(name)
	o.quote(value)
}

// Number adds an integer.
func (o *Object) Number(name string, value int) {
	o.name(name)
	o.out = strconv.AppendInt(o.out, int64(value), 10)
}

// Strings adds a list of strings.
func (o *Object) Strings(name string, list []string) {
	o.name(name)
	o.out = append(o.out, '[')
	for i, s := range list {
		if i > 0 {
			o.out = append(o.out, ',')
		}
		o.quote(s)
	}
	o.out = append(o.out, ']')
}

// Value adds any other value, or an empty list in its place.
func (o *Object) Value(name string, v any, empty bool) {
	o.name(name)
	if empty {
		o.out = append(o.out, "[]"...)
		return
	}
	raw, err := Canonical(v)
	if err != nil && o.err == nil {
		o.err = err
	}
	o.out = append(o.out, raw...)
}

// End returns the object.
func (o *Object) End() ([]byte, error) {
	if o.err != nil {
		return nil, o.err
	}
	return append(o.out, '}'), nil
}
