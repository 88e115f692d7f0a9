package details

import (
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	t.Parallel()
	good := []string{
		"Travel Agent", "ACME GmbH & Co. KG", "L'Oréal", "Müller-Lüdenscheidt", "Банк Москвы", "Ελληνική Τράπεζα", "三菱UFJ銀行", "トヨタ Bank",
		"카카오 Pay", "بنك مصر", "בנק", "Agent 47", "3M", "Bücher.de", "İş Bankası", "Đông Á", "बैंक", "O’Neil", "a",
		strings.Repeat("x", 64),
	}
	for _, s := range good {
		if err := CheckName(s); err != nil {
			t.Errorf("CheckName(%q) = %v, want nil", s, err)
		}
	}
	bad := []string{
		"", " ", "  x", "x ", "a  b", "-", "...", strings.Repeat("x", 65),
		"Travel\u200bAgent", "Travel\u202eAgent", "Travel\u2066Agent", "Travel\u00a0Agent", "Travel\u2003Agent", "Travel\u3000Agent",
		"Travel\u00adAgent", "Travel\ufeffAgent", "Travel\u034fAgent", "Travel\u3164Agent", "Travel\u115fAgent", "Travel\u2800Agent",
		"Travel\ufe0fAgent", "Travel\u061cAgent", "Travel\u180eAgent", "Travel\u2060Agent", "Travel\u17b4Agent", "Travel\uffa0Agent",
		"Travel\nAgent", "Travel\tAgent", "Travel\x00Agent", "Travel\x7fAgent", "Travel\u0085Agent", "Travel\u2028Agent", "Travel\u2029Agent",
		"Travel\ue000Agent", "Travel\U000e0041Agent", "Travel\U000e0100Agent", "Travel\ufffdAgent", "Travel\u0378Agent", "Travel\xffAgent",
		"Cafe\u0301", "\u0301x", "x\u0335\u0336\u0337\u0338", // not NFC, a mark alone, too many marks
		"Pаypal", "Αmazon", "Gооgle", "Micrоsoft", "Аррlе", "Te5t\u0660", "٣3", // mixed scripts, mixed digits
		"ᏢayᏢal", "Ｐaypal", "𝐏𝐚𝐲𝐩𝐚𝐥", "ℙaypal", "①", "½", "ﬁnance", "ªgent",
		"Agent ✓", "Agent ✔", "Agent ✅", "Agent™", "🔒 Bank", "Agent <b>", "Agent \"x\"", "“Agent”", "Agent|Bank", "A=B", "{Agent}", "Agent*", "Agent_", "a@b", "a\\b",
		"Agent: allowed", "Agent; x", "Agent → Bank", "Agent…", "Agent•", "Agent?", "Agent#1", "$gent", "€uro",
	}
	for _, s := range bad {
		if err := CheckName(s); err == nil {
			t.Errorf("CheckName(%q) = nil, want an error", s)
		}
	}
}

func TestConfusable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"Travel Agent", "travel agent", true},
		{"Travel Agent", "TravelAgent", true},
		{"Travel Agent", "Travel-Agent.", true},
		{"Paypal", "PayPaI", true},
		{"Paypal", "Paypa1", true},
		{"Apple", "Аррӏе", true}, // Cyrillic
		{"OK", "ОК", true},       // Cyrillic
		{"HPE", "НРЕ", true},     // Cyrillic
		{"BETA", "ΒΕΤΑ", true},   // Greek
		{"Google", "G00gle", true},
		{"modern", "rnodern", true},
		{"wave", "vvave", true},
		{"Café", "Cafe", true},
		{"Bank", "Ｂank", true},
		{"Travel Agent", "Travel Agents", false},
		{"ACME", "ACNE", false},
		{"Alpha", "Beta", false},
		{"Банк", "Bank", false},
		{"三菱", "三井", false},
	} {
		if got := Confusable(tt.a, tt.b); got != tt.want {
			t.Errorf("Confusable(%q, %q) = %v, want %v (%q, %q)", tt.a, tt.b, got, tt.want, skeleton(tt.a), skeleton(tt.b))
		}
	}
}

func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"Travel Agent", "Pаypal", "x\u202ey", "三菱UFJ銀行", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if CheckName(s) != nil {
			return
		}
		for _, r := range s {
			if !visible(r) {
				t.Errorf("CheckName accepts %q with U+%04X", s, r)
			}
		}
		if !Confusable(s, s) || !Confusable(s, strings.ToUpper(strings.ToLower(s))) && isASCII(s) {
			t.Errorf("%q is not confusable with itself", s)
		}
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e })
}
