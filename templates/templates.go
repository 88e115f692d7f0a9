// Package templates is what an approver reads and hears: pages, messages and
// short replies, in the person's language.
package templates

import (
	"html/template"
	"io"
	"time"

	"ringback/consent"
	"ringback/details"
)

// Config of a [Set].
type Config struct {
	// Details says authorization_details in words. Required.
	Details *details.Registry
	// Scopes :: scope :: language :: what it lets the agent do ("read your
	// calendar"). Nil: no scope but openid has words.
	Scopes map[string]map[string]string
}

// Set renders everything. It never changes and may be used concurrently.
type Set struct{ cfg Config }

// New returns a Set.
func New(cfg Config) (*Set, error) { return &Set{cfg: cfg}, nil }

// View is one request in the words of one person. Make it with [Set.View].
type View struct {
	Lang    string         // of the words: "en" or "de"
	Asked   consent.Digest // asked_digest
	Agent   string         // display name of who asks
	Host    string         // its verified host, "" if none is known
	EndsAt  time.Time      // in the person's zone
	Waiting int            // further requests that wait
}

// View puts a request in words for person; waiting is how many other
// requests wait for them.
func (s *Set) View(req *consent.Request, person *consent.Person, waiting int) (View, error) {
	return View{}, nil
}

// SMS is what varies between messages about one request.
type SMS struct {
	Code  string // reply code, 6 digits
	Link  string // approval page
	Reply bool   // the route counts answers by message
	Match bool   // the answer needs the match_code, so the page
}

// Message is a rendered SMS.
type Message struct {
	Text string
	// Reply says that the text offers to answer by message: only then may an
	// answer by message approve. False although asked for when the request is
	// too long to be shown in a message, or needs the match_code.
	Reply        bool
	Presentation consent.Presentation // codes left blank
}

// SMS renders the message that asks.
func (s *Set) SMS(v View, m SMS) (Message, error) { return Message{}, nil }

// Card renders what the person is asked to agree to as a fragment of the
// page. The same view always gives the same bytes.
func (s *Set) Card(v View) (template.HTML, consent.Presentation, error) {
	return "", consent.Presentation{}, nil
}

// State is which card a page shows.
type State string

const (
	Asking      State = "asking"      // undecided, can be answered here
	Allowed     State = "allowed"     // this page allowed it
	Refused     State = "refused"     // this page refused it
	Blocked     State = "blocked"     // refused as not expected; the agent is blocked
	Ended       State = "ended"       // its time was over before an answer
	Withdrawn   State = "withdrawn"   // the agent took it back
	Elsewhere   State = "elsewhere"   // answered on another device or page
	TooMany     State = "too_many"    // no guesses left
	NotFound    State = "not_found"   // bad or old link; no view
	Unavailable State = "unavailable" // we cannot answer just now; no view
)

// Problem is what was wrong with the form that was sent.
type Problem string

const (
	WrongCode    Problem = "wrong_code"    // code or number did not fit
	MissingCode  Problem = "missing_code"  // no well-formed reply code
	MissingMatch Problem = "missing_match" // no well-formed match_code
	NoAnswer     Problem = "no_answer"     // no button's value
	Stale        Problem = "stale"         // the CSRF token was missing or old
)

// Names of the form's fields and the values of FieldAnswer.
const (
	FieldCSRF   = "csrf"
	FieldCode   = "code"
	FieldMatch  = "match_code"
	FieldAnswer = "answer"

	AnswerAllow = "allow"
	AnswerDeny  = "deny"
	AnswerBlock = "block"
)

// PageData is one page.
type PageData struct {
	State      State
	View       *View   // nil for NotFound and Unavailable
	Lang       string  // where there is no view; e.g. from Accept-Language
	CSRF       string  // token of the form
	Nonce      string  // of the Content-Security-Policy, for the optional script; empty: no script
	Stylesheet string  // its path; empty: StylesheetPath
	NeedCode   bool    // ask for the reply code
	NeedMatch  bool    // ask for the match_code when allowing
	NeedPhr    bool    // allowing needs a passkey: offer refusing only
	Problem    Problem // of the form just sent, empty if none
	TriesLeft  int     // beside WrongCode
}

// Page writes a whole page.
func (s *Set) Page(w io.Writer, p PageData) error { return nil }

// StylesheetPath is where pages look for [Stylesheet].
const StylesheetPath = "/assets/page.css"

// Stylesheet is the one stylesheet, text/css.
func Stylesheet() []byte { return nil }

// Check reports scopes and types without words in any of the languages.
func (s *Set) Check(languages []string) []error { return nil }
