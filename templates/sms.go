package templates

import (
	"errors"
	"strings"

	"ringback/consent"
	"ringback/details"
)

// Bounds of messages.
const (
	maxSegments = 3  // of what is shown whole in a message
	longName    = 64 // characters of an agent's name
	shortName   = 20 // characters that an agent's name is cut to when that saves a segment
)

// SMS is what varies between messages about one request.
type SMS struct {
	Code  string // reply code, 6 digits
	Link  string // approval page; needed unless Reply
	Reply bool   // the route counts answers by message
	Match bool   // allowing needs the match_code, so the page
}

// Message is a rendered SMS.
type Message struct {
	Text string
	// Reply says that the text offers to answer by message: only then may an
	// answer by message count. It is false although asked for when the request
	// is too long to be shown whole, or has no words.
	Reply        bool
	Presentation consent.Presentation // codes and links left blank
}

// What stands in evidence for codes and links.
const (
	blankCode = "······"
	blankLink = "{link}"
)

// SMS renders the message that asks: in one segment where it fits, never with
// an amount, a payee or a code cut short, and never with the agent's own
// words. What does not fit into three segments is left to the page.
func (s *Set) SMS(v View, m SMS) (Message, error) {
	_, w := speak(v.Lang)
	if !sixDigits(m.Code) {
		return Message{}, errors.New("rendering a message: the code has not 6 digits")
	}
	d := draft{view: v, words: w, answer: w.ByLink, template: "sms.link"}
	switch {
	case m.Match && m.Reply && !v.long:
		d.answer, d.template = w.RefuseReply+w.ByMatch, "sms.match.reply"
	case m.Match:
		d.answer, d.template = w.RefusePage+w.ByMatch, "sms.match"
	case m.Reply && !v.long:
		d.answer, d.template = w.ByReply, "sms.reply"
	}
	replies := m.Reply && !v.long
	d.asks = w.Asks
	if len(v.Own) > 0 {
		d.asks = w.AsksOwn
	}
	d.asks += v.again
	if n, _ := Segments(d.text(m.Code, m.Link)); v.long || n > maxSegments {
		d.asks = w.AsksOnPage
		if replies {
			replies, d.answer, d.template = false, w.ByLink, "sms.link"
			if m.Match {
				d.answer, d.template = w.RefusePage+w.ByMatch, "sms.match"
			}
		}
	}
	if m.Link == "" && strings.Contains(d.answer, "{link}") {
		return Message{}, errors.New("rendering a message: it needs a link, because the answer cannot be given by message")
	}
	d.fit(m)
	text := d.text(m.Code, m.Link)
	return Message{Text: text, Reply: replies, Presentation: consent.Presentation{
		AskedDigest: v.Asked, Channel: "sms", Template: d.template, TemplateDigest: s.digests[v.Lang],
		Locale: v.Lang, Rendered: d.text(blankCode, blankLink),
	}}, nil
}

// draft is a message with what can still be shortened.
type draft struct {
	view     View
	words    *words
	template string
	asks     string
	answer   string
	cut      bool // the agent's name is cut
	noEnd    bool // the end of the request is left out
}

// text puts the message together.
func (d *draft) text(code, link string) string {
	agent := cutTo(d.view.Agent, longName)
	if d.cut {
		agent = cutTo(agent, shortName)
	}
	agent = inline(agent)
	host := d.view.Host
	if host == "" {
		host = d.words.Unchecked
	}
	values := map[string]string{
		"agent": agent, "host": host, "what": plain(d.view.sms), "code": code, "link": link, "time": d.view.Ends,
	}
	text := say(d.asks+d.answer, values)
	if !d.noEnd {
		text += say(d.words.SMSEnds, values)
	}
	return text
}

// fit shortens the message as far as that saves segments.
func (d *draft) fit(m SMS) {
	best := *d
	least, _ := Segments(d.text(m.Code, m.Link))
	for _, try := range []struct{ cut, noEnd bool }{{true, false}, {false, true}, {true, true}} {
		d.cut, d.noEnd = try.cut, try.noEnd
		if n, _ := Segments(d.text(m.Code, m.Link)); n < least {
			best, least = *d, n
		}
	}
	*d = best
}

// plain joins what is asked, agents' values made fit.
func plain(texts []details.Text) string {
	var out []string
	for _, t := range texts {
		var b strings.Builder
		for _, span := range t {
			if span.Path != "" && !span.Money {
				b.WriteString(inline(span.Text))
			} else {
				b.WriteString(plainer.Replace(span.Text))
			}
		}
		out = append(out, b.String())
	}
	return strings.Join(out, "; ")
}

// cutTo shortens s to n characters.
func cutTo(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return strings.TrimSpace(string(runes[:n-2])) + ".."
}

// Answer is what we say to a person's message.
type Answer string

const (
	AnswerAllowed   Answer = "allowed"   // needs a View
	AnswerRefused   Answer = "refused"   // needs a View
	AnswerWrong     Answer = "wrong"     // a wrong code; needs the tries left
	AnswerTooMany   Answer = "too_many"  // no guesses left
	AnswerEnded     Answer = "ended"     // nothing is open any more
	AnswerLate      Answer = "late"      // its time was over; needs a View
	AnswerAmbiguous Answer = "ambiguous" // a bare NO while several are open
	AnswerNotHere   Answer = "not_here"  // this one is allowed on its page only
	AnswerStopped   Answer = "stopped"
	AnswerStarted   Answer = "started"
	AnswerHelp      Answer = "help"
	AnswerNothing   Answer = "nothing" // not understood
)

// Say returns the text for an answer in lang. v may be nil where the answer
// needs none.
func (s *Set) Say(a Answer, lang string, v *View, triesLeft int) string {
	if v != nil {
		lang = v.Lang
	} else {
		v = &View{}
	}
	if a == AnswerWrong && triesLeft <= 0 {
		a = AnswerTooMany
	}
	_, w := speak(lang)
	phrase := map[Answer]string{
		AnswerAllowed: w.SaidAllowed + v.again, AnswerRefused: w.SaidRefused, AnswerWrong: w.SaidWrong, AnswerTooMany: w.SaidTooMany,
		AnswerEnded: w.SaidEnded, AnswerLate: w.Ended[1], AnswerAmbiguous: w.SaidAmbiguous, AnswerNotHere: w.SaidNotHere, AnswerStopped: w.SaidStopped,
		AnswerStarted: w.SaidStarted, AnswerHelp: w.SaidHelp, AnswerNothing: w.SaidNothing,
	}[a]
	return say(phrase, map[string]string{"done": plain(v.done), "agent": inline(v.Agent), "time": v.Ends, "tries": w.tries(triesLeft)})
}
