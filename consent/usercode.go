package consent

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// Length of a user_code, in characters.
const (
	MinUserCode = 4
	MaxUserCode = 32

	// digitsOnly is the least length of a code of nothing but digits.
	digitsOnly = 6
)

// Wrong user_codes that are compared. Right ones do not count.
const (
	PairGuesses   = 5  // of one client (or its group) for one person in PairWindow
	PersonGuesses = 20 // of everybody for one person in PersonWindow
	PairWindow    = 10 * time.Minute
	PersonWindow  = 24 * time.Hour
)

// IsUserCode reports whether a person may choose code as the user_code that
// agents must give (CIBA Core §7.1): 4 to 32 printable ASCII characters
// without spaces, at least 4 different ones; of digits alone at least 6,
// neither all the same nor a row up or down.
func IsUserCode(code string) bool {
	if len(code) < MinUserCode || len(code) > MaxUserCode {
		return false
	}
	different := map[byte]bool{}
	for i := range len(code) {
		if code[i] <= ' ' || code[i] > '~' {
			return false
		}
		different[code[i]] = true
	}
	if strings.Trim(code, "0123456789") != "" {
		return len(different) >= 4
	}
	return len(code) >= digitsOnly && len(different) > 1 && !isRow(code, 1) && !isRow(code, 9)
}

// isRow reports whether each digit is step above the one before it, 0 coming
// after 9.
func isRow(digits string, step byte) bool {
	for i := 1; i < len(digits); i++ {
		if (digits[i-1]-'0'+step)%10 != digits[i]-'0' {
			return false
		}
	}
	return true
}

// CodeGuess is a user_code that was given for a person, and was wrong or is
// still being compared.
type CodeGuess struct {
	Party string    `json:"p"` // tag of the client or group, see GuessBy
	At    time.Time `json:"at"`
}

// GuessBy is a guess of party, a client id or group.
func GuessBy(party string, now time.Time) CodeGuess {
	sum := sha256.Sum256([]byte(party))
	return CodeGuess{hex.EncodeToString(sum[:8]), now.UTC().Round(0)}
}

// Equal reports whether two guesses are the same one.
func (g CodeGuess) Equal(other CodeGuess) bool { return g.Party == other.Party && g.At.Equal(other.At) }

// AdmitGuess returns the guesses that count once g is made: those of the last
// day, oldest first, and g. A *Refusal when g is one too many.
func AdmitGuess(made []CodeGuess, g CodeGuess) ([]CodeGuess, error) {
	var count, pair []CodeGuess
	for _, m := range made {
		if g.At.Sub(m.At) >= PersonWindow {
			continue
		}
		count = append(count, m)
		if m.Party == g.Party && g.At.Sub(m.At) < PairWindow {
			pair = append(pair, m)
		}
	}
	var until time.Time
	if n := len(count); n >= PersonGuesses {
		until = count[n-PersonGuesses].At.Add(PersonWindow)
	}
	if n := len(pair); n >= PairGuesses {
		if end := pair[n-PairGuesses].At.Add(PairWindow); end.After(until) {
			until = end
		}
	}
	if !until.IsZero() {
		return nil, &Refusal{ReasonUserCode, until}
	}
	return append(count, g), nil
}

// CodeChange is a person's chance to choose a user_code: a message with a link
// and a code went to them.
type CodeChange struct {
	Person Pseudonym
	Until  time.Time
	Misses int  // guesses at the message's code that are used up
	Done   bool // a code was chosen
}
