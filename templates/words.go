package templates

import (
	"strconv"
	"strings"
	"time"

	"ringback/details"
)

// words are our own words in one language; "{name}" stands for a value.
type words struct {
	// Page, asking.
	Title       string // of the browser's tab
	TitleError  string // before Title when the form was wrong
	Kicker      string // above the question
	KickerDone  string // above what became of it
	AskedBy     string // {agent}
	Checked     string // beside a verified host, for screen readers
	Unchecked   string // instead of a verified host
	OwnName     string // {agent}: of a token that is the agent's own, not the person's
	AgentSays   string
	Quotes      [2]string // around the agent's own words
	Unexplained string
	Beware      string // under Unexplained
	Many        string // {agent}, {n}: headline of several requests in one
	Scope       string // {agent}, {scope}: headline of one scope
	Scopes      string // {agent}: headline of several scopes
	OpenID      string // scope openid, when nothing else is asked
	BareScope   string // {scope}: a scope without words
	Resource    string // label
	Through     string // label of the chain of actors
	Lasts       string // {time}: consequence of what has none of its own
	Renews      string // {agent}, {time}: what else a yes allows, instead of Lasts
	CodeLabel   string
	MatchLabel  string // {agent}
	MatchShort  string // instead of MatchLabel for long names
	Deny        string
	Allow       string
	AllowMany   string // {n}
	NotMe       string
	Passkey     string    // instead of the button that allows
	Ends        string    // {time}
	Waiting     [2]string // one, {n}

	// Page, what was wrong with the form.
	WrongCode    string // {tries}
	MissingCode  string
	MissingMatch string // {agent}
	NoAnswer     string
	Stale        string
	Tries        string // {n}
	LastTry      string

	// Page, other cards: headline and text.
	Allowed     [2]string // {done}, {agent}
	Refused     [2]string // {agent}
	Blocked     [2]string // {agent}, {time}
	BlockedNow  string    // {agent}: Blocked without a time
	Ended       [2]string // {agent}, {time}
	Withdrawn   [2]string // {agent}
	Elsewhere   [2]string
	TooMany     [2]string // {agent}, {time}
	NotFound    [2]string
	Unavailable [2]string
	CloseLine   string

	// Messages: {agent}, {host}, {what}, {code}, {link}, {time}.
	Asks        string // the beginning
	AsksOwn     string // the beginning where the agent asks for itself
	AsksOnPage  string // the beginning of what is too long for a message
	RenewsSMS   string // {time}: after Asks, and after SaidAllowed
	ByReply     string // how to answer by message
	ByLink      string // how to answer on the page
	RefuseReply string // before ByMatch: how to refuse by message
	RefusePage  string // before ByMatch: how to refuse on the page
	ByMatch     string // how to answer on the page with the match_code
	SMSEnds     string

	// Short answers to messages.
	SaidAllowed   string // {done}
	SaidRefused   string // {agent}
	SaidWrong     string // {tries}
	SaidTooMany   string
	SaidEnded     string
	SaidAmbiguous string
	SaidNotHere   string
	SaidStopped   string
	SaidStarted   string
	SaidHelp      string
	SaidNothing   string

	// Numbers and times.
	Seconds, Minutes, Hours [2]string // one, {n}
	Date                    string    // of time.Format, before a time on another day
}

// languages are the languages that we speak. The first is the one for people
// who speak none of them.
var languages = []string{"en", "de"}

var catalogue = map[string]words{"en": english, "de": german}

// speak returns the language for a BCP 47 tag and its words.
func speak(tag string) (string, *words) {
	base, _, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(tag, "_", "-")), "-")
	w, ok := catalogue[base]
	if !ok {
		base = languages[0]
		w = catalogue[base]
	}
	return base, &w
}

// Language returns the language of ours that a request's Accept-Language
// names first, for pages without a [View].
func Language(accept string) string {
	for _, part := range strings.Split(accept, ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		base, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if _, ok := catalogue[base]; ok {
			return base
		}
	}
	return languages[0]
}

// put puts values into a phrase and keeps them apart from our words.
func put(phrase string, values map[string]string) details.Text {
	var out details.Text
	for phrase != "" {
		before, rest, ok := strings.Cut(phrase, "{")
		if before != "" {
			out = append(out, details.Span{Text: before})
		}
		if !ok {
			break
		}
		name, after, _ := strings.Cut(rest, "}")
		out = append(out, details.Span{Text: values[name], Path: name})
		phrase = after
	}
	return out
}

// say is put for plain text.
func say(phrase string, values map[string]string) string { return put(phrase, values).String() }

// count writes a number of things: phrases[0] for one, else phrases[1].
func count(phrases [2]string, n int) string {
	if n == 1 {
		return phrases[0]
	}
	return say(phrases[1], map[string]string{"n": strconv.Itoa(n)})
}

// lasting writes a duration in the largest unit that fits.
func (w *words) lasting(d time.Duration) string {
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return count(w.Hours, int(d/time.Hour))
	case d >= time.Minute && d%time.Minute == 0:
		return count(w.Minutes, int(d/time.Minute))
	default:
		return count(w.Seconds, int(d/time.Second))
	}
}

// tries says how many guesses are left.
func (w *words) tries(n int) string {
	if n == 1 {
		return w.LastTry
	}
	return say(w.Tries, map[string]string{"n": strconv.Itoa(n)})
}
