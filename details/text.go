package details

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds of text that people are shown.
const (
	maxText  = 256 // characters of one shown value
	maxFree  = 160 // characters of the agent's own words
	maxName  = 64  // characters of a display name
	maxMarks = 3   // combining marks on one letter
)

// blank are characters that count as letters, marks or symbols but show as
// nothing.
var blank = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x034f, 0x034f, 1}, {0x115f, 0x1160, 1}, {0x17b4, 0x17b5, 1}, {0x180b, 0x180f, 1},
		{0x2800, 0x2800, 1}, {0x3164, 0x3164, 1}, {0xfe00, 0xfe0f, 1}, {0xffa0, 0xffa0, 1},
		{0xfffc, 0xfffd, 1},
	},
	R32: []unicode.Range32{
		{0x13441, 0x13446, 1}, {0x16fe4, 0x16fe4, 1}, {0x1d159, 0x1d159, 1}, {0xe0100, 0xe01ef, 1},
	},
}

// CheckText reports why s cannot be shown to a person as it is: it is not
// NFC, or has a control, invisible, bidirectional-control, private or
// unassigned character, a space other than U+0020, spaces at its ends, or too
// many marks on a letter. Lines allows line breaks and tabs, which are shown
// as signs. Nil: what is shown is what is there.
func CheckText(s string, lines bool) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("must be valid UTF-8")
	}
	if !norm.NFC.IsNormalString(s) {
		return fmt.Errorf("must be in Unicode normalisation form C")
	}
	if strings.TrimSpace(s) != s && !lines {
		return fmt.Errorf("must not begin or end with a space")
	}
	marks, first := 0, true
	for _, r := range s {
		if unicode.Is(unicode.M, r) {
			if marks++; marks > maxMarks || first {
				return fmt.Errorf("must not have a combining mark (U+%04X) there", r)
			}
		} else {
			marks = 0
		}
		first = false
		if lines && (r == '\n' || r == '\t' || r == '\r') {
			continue
		}
		if !visible(r) {
			return fmt.Errorf("must not contain the control, invisible or unassigned character U+%04X", r)
		}
	}
	return nil
}

// visible reports whether r shows as something, or is a plain space.
func visible(r rune) bool {
	return r == ' ' ||
		unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S) &&
			!unicode.In(r, blank, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
