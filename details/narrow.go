package details

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
)

// Narrow reports why granted is not the same as the list, which was asked for, or
// a smaller version of it, or nil: as many elements in the same order, valid, amounts that may be
// lowered not above and more than zero in the same currency, arrays that may
// be cut down not empty and without anything new, and everything else byte
// for byte equal. Errors are *FieldError.
func (l List) Narrow(granted List) error {
	if len(l) != len(granted) {
		return &FieldError{Index: -1, Reason: fmt.Sprintf("must have %d elements as asked, not %d", len(l), len(granted))}
	}
	for i := range l {
		if err := l[i].narrow(granted[i]); err != nil {
			err.Index = i
			return err
		}
	}
	return nil
}

func (d Detail) narrow(granted Detail) *FieldError {
	if bytes.Equal(d.raw, granted.raw) {
		return nil
	}
	if d.Type != granted.Type {
		return &FieldError{Path: "type", Reason: "must be as asked"}
	}
	if err := d.reg.validate(granted); err != nil {
		return err
	}
	// With every smaller value put back, nothing may differ.
	e := d.reg.types[d.Type]
	restored := any(granted.Value)
	for _, path := range slices.Sorted(maps.Keys(e.Narrow)) {
		from, ok1 := lookup(d.Value, path)
		to, ok2 := lookup(granted.Value, path)
		if !ok1 || !ok2 {
			continue
		}
		if e.Narrow[path] == narrowLower {
			path = join(path, memberAmount)
			from, to = member(from, memberAmount), member(to, memberAmount)
			if !lower(from, to) {
				return &FieldError{Path: path, Reason: "must be above zero and not above what was asked"}
			}
		} else if !subset(from, to) {
			return &FieldError{Path: path, Reason: "must be some of what was asked, and not empty"}
		}
		restored = replace(restored, path, from)
	}
	raw, err := Canonical(restored)
	if err != nil || !bytes.Equal(raw, d.raw) {
		return &FieldError{Reason: "must be as asked where it cannot be made smaller"}
	}
	return nil
}

// lower reports whether 0 < to ≤ from.
func lower(from, to any) bool {
	a, _ := from.(string)
	b, _ := to.(string)
	x, ok1 := decimal(a)
	y, ok2 := decimal(b)
	return ok1 && ok2 && y.Sign() > 0 && y.Cmp(x) <= 0
}

// subset reports whether to is a non-empty selection of from, nothing twice.
func subset(from, to any) bool {
	all, ok1 := from.([]any)
	some, ok2 := to.([]any)
	left := map[string]int{}
	for _, v := range all {
		raw, err := Canonical(v)
		ok1 = ok1 && err == nil
		left[string(raw)]++
	}
	for _, v := range some {
		raw, err := Canonical(v)
		if left[string(raw)]--; err != nil || left[string(raw)] < 0 {
			return false
		}
	}
	return ok1 && ok2 && len(some) > 0
}

func member(v any, name string) any {
	m, _ := v.(map[string]any)
	return m[name]
}

// replace returns v with to at path, which exists; v is left as it is.
func replace(v any, path string, to any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := maps.Clone(m)
	for name, sub := range m {
		switch {
		case path == name:
			out[name] = to
		case covers(name, path):
			out[name] = replace(sub, path[len(name)+1:], to)
		}
	}
	return out
}
