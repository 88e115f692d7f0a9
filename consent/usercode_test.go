package consent

import (
	"errors"
	"math/rand/v2"
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

// TestGuessesStayWithinBounds lets three clients guess for days: whatever they
// do, no more counts in any window than may, a refusal names the time from
// which the next one is taken, and what was refused uses nothing up.
func TestGuessesStayWithinBounds(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(6, 0))
	now := time.Date(2026, 11, 22, 13, 30, 0, 0, time.UTC)
	var made, all []CodeGuess
	refused := 0
	for range 5000 {
		now = now.Add(time.Duration(r.Int64N(int64(4 * time.Minute))))
		party := string(rune('a' + r.IntN(3)))
		next, err := AdmitGuess(made, GuessBy(party, now))
		if err == nil {
			made, all = next, append(all, GuessBy(party, now))
			continue
		}
		refused++
		var refusal *Refusal
		if !errors.As(err, &refusal) || !refusal.Until.After(now) || next != nil {
			t.Fatalf("AdmitGuess = %v, %v", next, err)
		}
		if _, err := AdmitGuess(made, GuessBy(party, refusal.Until.Add(-1))); err == nil {
			t.Fatalf("refused until %v, but taken a moment earlier", refusal.Until)
		}
		if _, err := AdmitGuess(made, GuessBy(party, refusal.Until)); err != nil {
			t.Fatalf("refused until %v, and then: %v", refusal.Until, err)
		}
	}
	for i, g := range all {
		var person, pair int
		for _, other := range all[:i+1] {
			if g.At.Sub(other.At) < PersonWindow {
				person++
			}
			if other.Party == g.Party && g.At.Sub(other.At) < PairWindow {
				pair++
			}
		}
		if person > 20 || pair > 5 {
			t.Fatalf("guess %d is number %d within a day and %d of its client within ten minutes", i, person, pair)
		}
	}
	if len(all) < 100 || refused < 100 {
		t.Errorf("%d guesses, %d refused: this tests nothing", len(all), refused)
	}
	if PairGuesses != 5 || PersonGuesses != 20 || PairWindow != 10*time.Minute || PersonWindow != 24*time.Hour || MinUserCode != 4 || MaxUserCode != 32 {
		t.Error("the bounds of guessing are others than documents promise")
	}
}

// TestGuessNamesNobody: what is kept of a guess does not say whose it was.
func TestGuessNamesNobody(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 13, 30, 0, 1, time.FixedZone("", 3600))
	g := GuessBy("https://agent.example", at)
	if strings.Contains(g.Party, "agent") || len(g.Party) != 16 {
		t.Errorf("GuessBy = %+v", g)
	}
	for _, tt := range []struct {
		name  string
		other CodeGuess
		want  bool
	}{
		{"itself", g, true},
		{"the same in another time zone", GuessBy("https://agent.example", at.UTC()), true},
		{"another time", GuessBy("https://agent.example", at.Add(1)), false},
		{"another client", GuessBy("https://agent.example/", at), false},
	} {
		if got := g.Equal(tt.other); got != tt.want {
			t.Errorf("%s: Equal = %v", tt.name, got)
		}
	}
}
