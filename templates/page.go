package templates

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"time"
	"unicode/utf8"

	"ringback/consent"
	"ringback/details"
)

// State is which card a page shows.
type State string

const (
	Asking      State = "asking"      // undecided, can be answered here
	Allowed     State = "allowed"     // this page allowed it
	Refused     State = "refused"     // this page refused it
	Blocked     State = "blocked"     // refused as not expected; the agent is blocked
	Ended       State = "ended"       // its time was over before an answer
	Withdrawn   State = "withdrawn"   // the agent took it back
	Elsewhere   State = "elsewhere"   // answered before, here or on another device
	TooMany     State = "too_many"    // no guesses left
	NotFound    State = "not_found"   // bad or old link; no view
	Unavailable State = "unavailable" // we cannot save an answer just now; no view needed
)

// Problem is what was wrong with the form that was sent.
type Problem string

const (
	WrongCode    Problem = "wrong_code"    // code or number did not fit
	MissingCode  Problem = "missing_code"  // no well-formed reply code
	MissingMatch Problem = "missing_match" // no well-formed match_code
	NoAnswer     Problem = "no_answer"     // none of the buttons
	Stale        Problem = "stale"         // the CSRF token was missing or old
)

// Names of the form's fields, and the values of FieldAnswer.
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
	View       *View             // nil for NotFound and Unavailable
	Lang       string            // where there is no view; see [Language]
	CSRF       string            // token of the form
	Nonce      string            // of script-src, for a script that the page can do without; empty: no script
	NeedCode   bool              // ask for the reply code
	NeedMatch  bool              // ask for the match_code when allowing
	NeedPhr    bool              // allowing needs a passkey: offer refusing only
	Problem    Problem           // of the form just sent, empty if none
	TriesLeft  int               // beside WrongCode
	Smaller    []details.Smaller // what may be made smaller, where the asking door can carry a smaller yes
	BlockedFor time.Duration     // beside Blocked; 0: not said
}

//go:embed card.html
var cardSource string

//go:embed page.html
var pageSource string

//go:embed page.css
var stylesheet []byte

//go:embed mark.svg
var mark []byte

// Where pages look for [Stylesheet] and [Mark]. They add a query that changes
// with the content, so that both can be cached for long.
const (
	StylesheetPath = "/assets/page.css"
	MarkPath       = "/assets/mark.svg"
)

// Stylesheet is the one stylesheet, text/css.
func Stylesheet() []byte { return bytes.Clone(stylesheet) }

// Mark is the house's mark, image/svg+xml.
func Mark() []byte { return bytes.Clone(mark) }

func parseHTML() (*template.Template, error) {
	return template.New("").Option("missingkey=error").Parse(cardSource + pageSource + smallerSource + userCodeSource)
}

// versioned adds a query to a path that changes with the content.
func versioned(path string, content []byte) string {
	sum := sha256.Sum256(content)
	return path + "?v=" + hex.EncodeToString(sum[:4])
}

// cardData is what the fragment is made from.
type cardData struct {
	View    View
	Words   *words
	AskedBy details.Text
	Ends    string
}

// Card renders what the person is asked to agree to as a fragment of the
// page, and as evidence. The same request and person always give the same
// bytes.
func (s *Set) Card(v View) (template.HTML, consent.Presentation, error) {
	_, w := speak(v.Lang)
	var b bytes.Buffer
	err := s.html.ExecuteTemplate(&b, "card", cardData{
		View: v, Words: w,
		AskedBy: put(w.AskedBy, map[string]string{"agent": v.Agent}),
		Ends:    say(w.Ends, map[string]string{"time": v.Ends}),
	})
	if err != nil {
		return "", consent.Presentation{}, fmt.Errorf("rendering a card: %w", err)
	}
	return template.HTML(b.String()), consent.Presentation{
		AskedDigest: v.Asked, Channel: "page", Template: "page.card", TemplateDigest: s.digests[v.Lang],
		Locale: v.Lang, Rendered: b.String(),
	}, nil
}

// page is what the whole page is made from.
type page struct {
	PageData
	Lang, Title, Stylesheet, Icon, Ends                                                 string
	Words                                                                               *words
	Card                                                                                template.HTML // asking; else the rest
	Problem                                                                             details.Text
	MatchLabel                                                                          details.Text
	BadCode, BadMatch                                                                   bool
	Allow                                                                               details.Text
	Waiting                                                                             string
	Headline                                                                            string
	Done                                                                                []details.Text
	Text                                                                                details.Text
	Close                                                                               string
	FieldCSRF, FieldCode, FieldMatch, FieldAnswer, AnswerAllow, AnswerDeny, AnswerBlock string
}

// Page writes a whole page, text/html in UTF-8.
func (s *Set) Page(w io.Writer, d PageData) error {
	v := View{Lang: d.Lang}
	if d.View != nil {
		v = *d.View
	} else if d.State != NotFound && d.State != Unavailable {
		return fmt.Errorf("rendering a page: state %s needs a view", d.State)
	}
	lang, ws := speak(v.Lang)
	p := page{
		PageData: d, Lang: lang, Words: ws, Title: ws.Title,
		Stylesheet: versioned(StylesheetPath, stylesheet), Icon: versioned(MarkPath, mark),
		FieldCSRF: FieldCSRF, FieldCode: FieldCode, FieldMatch: FieldMatch, FieldAnswer: FieldAnswer,
		AnswerAllow: AnswerAllow, AnswerDeny: AnswerDeny, AnswerBlock: AnswerBlock,
	}
	values := map[string]string{
		"agent": v.Agent, "time": v.Ends, "tries": ws.tries(d.TriesLeft),
	}
	if d.State == Asking {
		if err := s.ask(&p, v, values); err != nil {
			return err
		}
	} else {
		p.result(v, values)
	}
	if err := s.html.ExecuteTemplate(w, "page", p); err != nil {
		return fmt.Errorf("rendering a page: %w", err)
	}
	return nil
}

// ask fills in the card that asks.
func (s *Set) ask(p *page, v View, values map[string]string) error {
	var err error
	if p.Card, _, err = s.Card(v); err != nil {
		return err
	}
	w := p.Words
	phrase := map[Problem]string{
		WrongCode: w.WrongCode, MissingCode: w.MissingCode, MissingMatch: w.MissingMatch, NoAnswer: w.NoAnswer, Stale: w.Stale,
		BadSmaller: less[p.Lang].Bad,
	}[p.PageData.Problem]
	if p.Problem = put(phrase, values); phrase != "" {
		p.Title = w.TitleError + p.Title
	}
	switch p.PageData.Problem {
	case WrongCode:
		p.BadCode, p.BadMatch = true, true
	case MissingCode:
		p.BadCode = true
	case MissingMatch:
		p.BadMatch = true
	}
	p.NeedMatch = p.NeedMatch && !p.NeedPhr
	p.MatchLabel = put(w.MatchLabel, values)
	if utf8.RuneCountInString(v.Agent) > shortName {
		p.MatchLabel = put(w.MatchShort, nil)
	}
	p.Allow = v.Allow
	if v.Waiting > 0 {
		p.Waiting = count(w.Waiting, v.Waiting)
	}
	return nil
}

// result fills in a card that says how it went.
func (p *page) result(v View, values map[string]string) {
	w := p.Words
	text := w.NotFound
	switch p.State {
	case Allowed:
		text, p.Close, p.Done = w.Allowed, w.CloseLine, v.done
	case Refused:
		text, p.Close, p.Done = w.Refused, w.CloseLine, v.done
	case Blocked:
		text, p.Close, p.Done = w.Blocked, w.CloseLine, v.done
		if p.BlockedFor <= 0 {
			text[1] = w.BlockedNow
		}
		values["time"] = w.lasting(p.BlockedFor)
	case Ended:
		text = w.Ended
	case Withdrawn:
		text, p.Close = w.Withdrawn, w.CloseLine
	case Elsewhere:
		text, p.Close = w.Elsewhere, w.CloseLine
	case TooMany:
		text = w.TooMany
	case Unavailable:
		text = w.Unavailable
	}
	p.Headline, p.Text = text[0], put(text[1], values)
	if p.State == Allowed && len(v.Renews) > 0 {
		p.Text = append(append(p.Text, details.Span{Text: " "}), v.Renews...)
	}
	p.Title = text[0]
}
