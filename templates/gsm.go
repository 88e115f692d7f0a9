package templates

import (
	"strings"
	"unicode"
	"unicode/utf16"
)

// The GSM 7-bit default alphabet (3GPP TS 23.038 §6.2.1) and its extension,
// whose characters count twice.
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtra = "\f^{}\\[~]|€"
)

// Segments returns how many SMS a text takes, and whether it is written in
// the GSM 7-bit alphabet (160 characters in one, 153 in each of several) or in
// UCS-2 (70 and 67).
func Segments(text string) (n int, gsm bool) {
	units, one, several := 0, 160, 153
	gsm = true
	for _, r := range text {
		switch {
		case strings.ContainsRune(gsmBasic, r):
			units++
		case strings.ContainsRune(gsmExtra, r):
			units += 2
		default:
			gsm = false
		}
	}
	if !gsm {
		units, one, several = len(utf16.Encode([]rune(text))), 70, 67
	}
	if units <= one {
		return 1, gsm
	}
	return (units + several - 1) / several, gsm
}

// plainer are signs with a twin in the GSM alphabet.
var plainer = strings.NewReplacer("’", "'", "‘", "'", "“", `"`, "”", `"`, "„", `"`, "–", "-", "—", "-", "…", "...", "→", ">", "↵", "/", "⇥", " ")

// inline makes a value of an agent's fit to stand in a message: no link that
// a phone would make of it, nothing that could pass for a sentence of ours,
// and its own direction of writing.
func inline(value string) string {
	value = plainer.Replace(value)
	for _, scheme := range []string{"https://", "http://"} {
		value = strings.ReplaceAll(value, scheme, "")
	}
	value = strings.ReplaceAll(value, "://", " ")
	quoted := sentence(value)
	runes := []rune(value)
	var b strings.Builder
	for i, r := range runes {
		b.WriteRune(r)
		// "shop.example" would become a link, "shop. example" does not.
		if i > 0 && i+1 < len(runes) && (r == '.' || r == '@') && unicode.IsLetter(runes[i+1]) {
			b.WriteByte(' ')
		}
	}
	value = b.String()
	if quoted {
		value = `"` + strings.ReplaceAll(value, `"`, "'") + `"`
	}
	if strings.ContainsFunc(value, rightToLeft) {
		value = "\u2068" + value + "\u2069"
	}
	return value
}

// sentence reports whether a value could be read as words of ours: it has an
// end of a sentence in it, is long, or has one of the words that answer.
func sentence(value string) bool {
	if len([]rune(value)) > 40 || strings.ContainsAny(value, "?!:;\"") || strings.Contains(value, ". ") {
		return true
	}
	for _, word := range strings.FieldsFunc(strings.ToUpper(value), func(r rune) bool { return !unicode.IsLetter(r) }) {
		if _, ok := keywords[word]; ok || word == "REPLY" || word == "ANTWORT" {
			return true
		}
	}
	return false
}

func rightToLeft(r rune) bool {
	return unicode.In(r, unicode.Arabic, unicode.Hebrew, unicode.Syriac, unicode.Thaana, unicode.Nko, unicode.Adlam, unicode.Samaritan, unicode.Mandaic)
}
