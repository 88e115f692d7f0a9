package ciba

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// maxWait is the longest that a poll is held open.
const maxWait = 25 * time.Second

// waitOf returns how long the caller wants its poll to be held: the preference
// "wait" of RFC 7240 §4.3 in seconds, at most maxWait; 0 when it does not say
// or says something else. The first of several counts (RFC 7240 §2).
func waitOf(prefer []string) time.Duration {
	for _, line := range prefer {
		for line != "" {
			var one string
			one, line = cutPreference(line)
			one, _, _ = strings.Cut(one, ";") // parameters of a preference
			name, value, _ := strings.Cut(one, "=")
			if !strings.EqualFold(strings.Trim(name, " \t"), "wait") {
				continue
			}
			n, ok := digits(strings.Trim(value, " \t"))
			if !ok {
				return 0
			}
			return min(time.Duration(n)*time.Second, maxWait)
		}
	}
	return 0
}

// cutPreference splits at the first comma outside of a quoted string.
func cutPreference(line string) (one, rest string) {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case !quoted && c == ',':
			return line[:i], line[i+1:]
		}
	}
	return line, ""
}

// digits reads a decimal number without sign; what does not fit becomes a
// large number.
func digits(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), len(s) <= 64 && (err == nil || errors.Is(err, strconv.ErrRange))
}
