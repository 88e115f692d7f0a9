package details

import (
	"math/big"
	"regexp"
	"strings"
)

// Members of an object shown as money.
const (
	memberAmount   = "amount"
	memberCurrency = "currency"
)

var (
	decimalForm  = regexp.MustCompile(`^(0|[1-9][0-9]{0,14})(\.[0-9]{1,8})?$`)
	currencyForm = regexp.MustCompile(`^[A-Z]{3}$`)
)

// minorDigits is how many decimals amounts of a currency are written with
// (ISO 4217) where it is not two.
var minorDigits = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0,
	"UGX": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
}

// decimal reads an amount: digits with a point, no sign, no exponent, nothing
// in front of the first digit.
func decimal(s string) (*big.Rat, bool) {
	if !decimalForm.MatchString(s) {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

// amount writes a valid decimal in the way of lang, with at least the
// currency's decimals and never fewer than were asked: "12,500.00",
// "12.500,00".
func amount(value, currency, lang string) string {
	whole, cents, _ := strings.Cut(value, ".")
	digits, ok := minorDigits[currency]
	if !ok {
		digits = 2
	}
	for len(cents) < digits {
		cents += "0"
	}
	group, point := ",", "."
	if base(lang) == "de" {
		group, point = ".", ","
	}
	var b strings.Builder
	for i, d := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteString(group)
		}
		b.WriteRune(d)
	}
	if cents != "" {
		b.WriteString(point + cents)
	}
	return b.String()
}

// base is the language of a BCP 47 tag, lower case.
func base(lang string) string {
	first, _, _ := strings.Cut(strings.ReplaceAll(lang, "_", "-"), "-")
	return strings.ToLower(first)
}
