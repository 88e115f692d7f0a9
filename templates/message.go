package templates

import (
	"fmt"

	"ringback/channels/content"
	"ringback/consent"
)

// Ask is what varies between messages about one request.
type Ask struct {
	Channel string // that carries it, for evidence
	Code    string // reply code, 6 digits
	Link    string // approval page; needed unless Reply
	Reply   bool   // the route counts answers by message
	Match   bool   // allowing needs the match_code, so the page
}

// Message is a rendered message that asks.
type Message struct {
	Content content.Content
	// Reply says that the message offers to answer by message: only then may an
	// answer by message count. It is false although asked for when the request
	// is too long to be shown whole, or has no words.
	Reply        bool
	Presentation consent.Presentation // codes and links left blank
}

// renderers make messages, one for each kind.
var renderers = map[content.Kind]func(*Set, View, Ask) (Message, error){
	content.KindText: (*Set).text,
}

// Message renders the message that asks, for a channel of that kind.
func (s *Set) Message(kind content.Kind, v View, a Ask) (Message, error) {
	render, ok := renderers[kind]
	if !ok {
		return Message{}, fmt.Errorf("rendering a message: no words are made for channels of kind %q", kind)
	}
	m, err := render(s, v, a)
	m.Presentation.Channel = a.Channel
	return m, err
}
