package details

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// namePunctuation is what display names may have beside letters, marks,
// digits and spaces: nothing that looks like a sign of approval, a quotation
// or an end of a label.
const namePunctuation = "-'’.,&+()/!·–"

// mixtures are the scripts that may stand together in one name (UTS 39,
// Highly Restrictive); every script may stand alone.
var mixtures = [][]string{
	{"Latin", "Han", "Hiragana", "Katakana"},
	{"Latin", "Han", "Bopomofo"},
	{"Latin", "Han", "Hangul"},
}

// CheckName reports why name cannot be the display name of a client or a
// person: 1–64 characters, NFC, nothing invisible, letters of one script (or
// of a mixture that is usual, such as Japanese), digits of one kind, and at
// least one letter or digit.
func CheckName(name string) error {
	if n := utf8.RuneCountInString(name); n == 0 || n > maxName {
		return fmt.Errorf("a name must have 1 to %d characters", maxName)
	}
	if err := CheckText(name, false); err != nil {
		return fmt.Errorf("a name %w", err)
	}
	if !norm.NFKC.IsNormalString(name) {
		return fmt.Errorf("a name must not use styled letters or digits (it must be in Unicode normalisation form KC)")
	}
	if strings.Contains(name, "  ") {
		return fmt.Errorf("a name must not have two spaces in a row")
	}
	scripts := map[string]bool{}
	zeros := map[rune]bool{}
	some := false
	for _, r := range name {
		switch {
		case unicode.IsLetter(r), unicode.Is(unicode.M, r):
			script := scriptOf(r)
			if script == "" {
				return fmt.Errorf("a name must not contain U+%04X", r)
			}
			scripts[script] = true
			some = true
		case unicode.Is(unicode.Nd, r):
			zeros[zeroOf(r)] = true
			some = true
		case r == ' ' || strings.ContainsRune(namePunctuation, r):
		default:
			return fmt.Errorf("a name must not contain U+%04X: letters, digits, spaces and %s only", r, namePunctuation)
		}
	}
	delete(scripts, "Common")
	delete(scripts, "Inherited")
	switch {
	case !some:
		return fmt.Errorf("a name must have a letter or a digit")
	case len(zeros) > 1:
		return fmt.Errorf("a name must not mix digits of several scripts")
	case !together(scripts):
		return fmt.Errorf("a name must not mix letters of several scripts")
	}
	return nil
}

// scriptOf names the script of a letter or mark.
func scriptOf(r rune) string {
	for _, common := range []string{"Latin", "Common", "Inherited"} {
		if unicode.Is(unicode.Scripts[common], r) {
			return common
		}
	}
	for name, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return name
		}
	}
	return ""
}

// zeroOf returns the zero of the decimal digits that r belongs to; they come
// in runs of ten, the first a multiple of sixteen or six beyond one.
func zeroOf(r rune) rune {
	zero := r
	for unicode.Is(unicode.Nd, zero-1) && r-zero < 9 {
		zero--
	}
	return zero
}

// together reports whether the scripts may stand in one name.
func together(scripts map[string]bool) bool {
	if len(scripts) <= 1 {
		return true
	}
	for _, mix := range mixtures {
		n := 0
		for _, s := range mix {
			if scripts[s] {
				n++
			}
		}
		if n == len(scripts) {
			return true
		}
	}
	return false
}

// lookalikes maps letters to the Latin letter or digit that they look like,
// after lower-casing. It knows Greek, Cyrillic, Armenian and a few Latin ones;
// it is no full table of confusables.
var lookalikes = map[rune]string{
	'0': "o", '1': "l", '|': "l", 'i': "l", '5': "s", '!': "l",
	'ı': "l", 'ſ': "f", 'ɑ': "a", 'ɡ': "g", 'ɩ': "l", 'ʟ': "l", 'ø': "o", 'ł': "l", 'đ': "d", 'ħ': "h", 'ŧ': "t", 'ß': "b", 'æ': "ae", 'œ': "oe",
	'а': "a", 'в': "b", 'г': "r", 'е': "e", 'ё': "e", 'з': "3", 'и': "n", 'й': "n", 'і': "l", 'ї': "l", 'ӏ': "l", 'ј': "j", 'к': "k", 'м': "m",
	'н': "h", 'о': "o", 'п': "n", 'р': "p", 'с': "c", 'т': "t", 'у': "y", 'ү': "y", 'х': "x", 'ь': "b", 'ѕ': "s", 'ԁ': "d", 'ԛ': "q", 'ԝ': "w",
	'һ': "h", 'ґ': "r", 'є': "e", 'э': "e", 'ѵ': "v", 'ѡ': "w",
	'α': "a", 'β': "b", 'γ': "y", 'ε': "e", 'ζ': "z", 'η': "n", 'ι': "l", 'κ': "k", 'μ': "m", 'ν': "v", 'ο': "o", 'π': "n", 'ρ': "p", 'σ': "o",
	'ς': "c", 'τ': "t", 'υ': "u", 'χ': "x", 'ω': "w", 'ϲ': "c", 'ϳ': "j",
	'օ': "o", 'ս': "u", 'հ': "h", 'ո': "n", 'ց': "g", 'զ': "q", 'յ': "j", 'ք': "p", 'ա': "w",
}

// Confusable reports whether two names look alike: equal but for case,
// spaces, punctuation and accents, and letters and digits that look the same.
func Confusable(a, b string) bool { return skeleton(a) == skeleton(b) }

// skeleton maps names that look alike to one string.
func skeleton(name string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(name) {
		// Capitals that look like another letter's capital, not its small form.
		switch r {
		case 'Η', 'Н':
			r = 'h'
		case 'Ι', 'І', 'Ӏ', 'I':
			r = 'l'
		case 'Ν':
			r = 'n'
		case 'Ρ', 'Р':
			r = 'p'
		case 'Υ', 'У', 'Ү':
			r = 'y'
		case 'Β', 'В':
			r = 'b'
		case 'Χ', 'Х':
			r = 'x'
		}
		r = unicode.ToLower(r)
		if s, ok := lookalikes[r]; ok {
			b.WriteString(s)
		} else if unicode.IsLetter(r) || unicode.IsDigit(r) {
			b.WriteRune(r)
		}
	}
	return strings.NewReplacer("rn", "m", "vv", "w", "cl", "d").Replace(b.String())
}
