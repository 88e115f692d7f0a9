package details

import (
	"cmp"
	"fmt"
	"strings"
)

// FieldError says which field of authorization_details is wrong and what is
// accepted. Its text fits an OAuth error_description (RFC 6749 §5.2).
type FieldError struct {
	Index  int    // element of the array, -1: the array itself
	Path   string // member, "" for the whole element
	Reason string // what is wrong and what is accepted
	list   string // what Index counts in; "": authorization_details
}

// Error names the field: "authorization_details[0].creditorName: is missing".
func (e *FieldError) Error() string {
	var b strings.Builder
	b.WriteString(cmp.Or(e.list, "authorization_details"))
	if e.Index >= 0 {
		fmt.Fprintf(&b, "[%d]", e.Index)
	}
	if e.Path != "" {
		b.WriteString("." + clip(e.Path, 80))
	}
	b.WriteString(": " + clip(e.Reason, 220))
	return describable(b.String())
}

// describable keeps to the characters of an error_description: %x20-21,
// %x23-5B and %x5D-7E.
func describable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r == '\\':
			return '/'
		case r < 0x20 || r > 0x7e:
			return '?'
		}
		return r
	}, s)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-3], "") + "..."
}
