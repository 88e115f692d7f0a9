package templates

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Keyword is what a person wrote in answer to a message.
type Keyword string

const (
	Yes   Keyword = "yes"
	No    Keyword = "no"
	Stop  Keyword = "stop"  // no more messages; decides nothing
	Start Keyword = "start" // messages again
	Help  Keyword = "help"
	Other Keyword = "" // anything else: decides nothing
)

// Reply is a message of a person, read.
type Reply struct {
	Keyword Keyword
	Code    string // 6 digits, or "" if none were given
}

// keywords are the words that answer, in all our languages at once. The stop
// words are those that providers and operators act on.
var keywords = map[string]Keyword{
	"YES": Yes, "JA": Yes,
	"NO": No, "NEIN": No,
	"STOP": Stop, "STOPP": Stop, "STOPALL": Stop, "UNSUBSCRIBE": Stop, "CANCEL": Stop, "END": Stop, "QUIT": Stop,
	"REVOKE": Stop, "OPTOUT": Stop, "ARRET": Stop, "ABMELDEN": Stop,
	"START": Start, "UNSTOP": Start, "OPTIN": Start,
	"HELP": Help, "INFO": Help, "HILFE": Help,
}

// ReadReply reads an incoming message in any of our languages ("YES 482913",
// "nein 482 913", "STOP"). A message says yes or no only if it says nothing
// else; one that begins with a stop word stops. A yes without a well-formed
// code, or with more than that, is Other.
func ReadReply(body string) Reply {
	if len(body) > 1600 {
		return Reply{}
	}
	// Accents off, styled letters and digits to plain ones.
	plain := strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Mn, r):
			return -1
		case unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToUpper(r)
		case r == '-':
			return -1 // opt-out, 482-913
		}
		return ' '
	}, norm.NFKD.String(body))
	letters, digits := strings.TrimSpace(plain), ""
	if i := strings.IndexFunc(letters, unicode.IsDigit); i >= 0 {
		letters, digits = letters[:i], letters[i:]
	}
	said := strings.Fields(letters)
	if len(said) == 0 {
		return Reply{}
	}
	if k := keywords[said[0]]; k == Stop {
		return Reply{Keyword: Stop}
	}
	keyword, ok := keywords[strings.Join(said, "")]
	if !ok {
		return Reply{}
	}
	code := strings.Join(strings.Fields(digits), "")
	switch keyword {
	case Yes, No:
		if code == "" && keyword == No {
			return Reply{Keyword: No}
		}
		if !sixDigits(code) {
			return Reply{}
		}
		return Reply{Keyword: keyword, Code: code}
	case Stop:
		return Reply{Keyword: Stop}
	}
	if code != "" {
		return Reply{}
	}
	return Reply{Keyword: keyword}
}

func sixDigits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return len(s) == 6
}
