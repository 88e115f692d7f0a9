package templates

import (
	"errors"
	"strings"

	"ringback/channels/content"
	"ringback/consent"
	"ringback/details"
)

// Bounds of messages.
const (
	maxSegments = 3  // of what is shown whole in a message
	longName    = 64 // characters of an agent's name
	shortName   = 20 // characters that an agent's name is cut to when that saves a segment
)

// What stands in evidence for codes and links.
const (
	blankCode = "······"
	blankLink = "{link}"
)

// text renders a text message that asks: in one segment where it fits, never with
// an amount, a payee or a code cut short, and never with the agent's own
// words. What does not fit into three segments is left to the page.
func (s *Set) text(v View, m Ask) (Message, error) {
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
	return Message{Content: content.Text{Body: d.text(m.Code, m.Link), Link: m.Link}, Reply: replies, Presentation: consent.Presentation{
		AskedDigest: v.Asked, Template: d.template, TemplateDigest: s.digests[v.Lang],
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
func (d *draft) fit(m Ask) {
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
