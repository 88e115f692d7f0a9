package consent

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestIsUserCode(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{
		"": false, "abc": false, "abcd": true, "aaaa": false, "aabb": false, "abca": false, "abcab": false, "aAbB": true,
		"tree-4": true, "Pa$$wörd": false, "with space": false, "abcd ": false, "ab\tcd": false, "~!@#": true, "abcd\x7f": false,
		"1357": false, "13579": false, "135792": true, "123456": false, "345678": false, "890123": false, "987654": false, "210987": false,
		"111111": false, "112233": true, "121212": true, "123457": true, "1234567890": false, "12345a": true,
		strings.Repeat("abcd", 8): true, strings.Repeat("abcd", 8) + "e": false,
	} {
		if got := IsUserCode(code); got != want {
			t.Errorf("IsUserCode(%q) = %v, want %v", code, got, want)
		}
	}
}

// FuzzIsUserCode: what is accepted can be typed anywhere and is no row.
func FuzzIsUserCode(f *testing.F) {
	for _, s := range []string{"abcd", "123456", "654321", "135792", "a b c d", "ü", "\x00\x00\x00\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, code string) {
		if !IsUserCode(code) {
			return
		}
		if len(code) < MinUserCode || len(code) > MaxUserCode || strings.ContainsFunc(code, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("IsUserCode(%q) = true", code)
		}
		if strings.Count(code, code[:1]) == len(code) || strings.Contains("01234567890123456789", code) || strings.Contains("98765432109876543210", code) {
			t.Errorf("IsUserCode(%q) = true", code)
		}
	})
}

func TestAdmitGuess(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 13, 30, 0, 0, time.UTC)
	// made is n guesses of party, the newest so long ago, one second apart.
	made := func(party string, n int, ago time.Duration) []CodeGuess {
		var out []CodeGuess
		for i := range n {
			out = append(out, GuessBy(party, now.Add(-ago-time.Duration(n-1-i)*time.Second)))
		}
		return out
	}
	for _, tt := range []struct {
		name  string
		made  []CodeGuess
		count int           // guesses that count afterwards; 0: refused
		after time.Duration // how long it is refused
	}{
		{"the first", nil, 1, 0},
		{"the fifth", made("a", 4, 0), 5, 0},
		{"the sixth", made("a", 5, 0), 0, 10*time.Minute - 4*time.Second},
		{"the sixth, of another", made("b", 5, 0), 6, 0},
		{"the sixth, much later", made("a", 5, 10*time.Minute), 6, 0},
		{"the first of five just over", made("a", 5, 10*time.Minute-4*time.Second), 6, 0},
		{"the first of five almost over", made("a", 5, 10*time.Minute-5*time.Second), 0, time.Second},
		{"the twentieth of everybody", made("b", 19, time.Hour), 20, 0},
		{"the twenty-first of everybody", made("b", 20, time.Hour), 0, 23*time.Hour - 19*time.Second},
		{"the twenty-first within two days", made("b", 20, 24*time.Hour), 1, 0},
		{"both at once", append(made("b", 15, time.Hour), made("a", 5, 0)...), 0, 23*time.Hour - 14*time.Second},
	} {
		got, err := AdmitGuess(tt.made, GuessBy("a", now))
		var refusal *Refusal
		switch {
		case tt.count == 0:
			if !errors.As(err, &refusal) || refusal.Reason != ReasonUserCode || refusal.Until.Sub(now) != tt.after || got != nil {
				t.Errorf("%s: AdmitGuess = %v, %v, want a refusal for %v", tt.name, got, err, tt.after)
			}
		case err != nil || len(got) != tt.count || !got[len(got)-1].Equal(GuessBy("a", now)):
			t.Errorf("%s: AdmitGuess = %v, %v, want %d", tt.name, got, err, tt.count)
		}
	}
}
