// Package content is what channels carry to a person's device: a type for each
// kind of message. templates makes it for a channel, the channel sends it, and
// who stands in between does not look into it.
//
// A new kind is a type here, its renderer in templates, and a channel that
// sends it.
package content

// Kind says what a channel sends.
type Kind string

// KindText is the kind of [Text].
const KindText Kind = "text"

// Content is a message of one kind.
type Content interface {
	// Kind is that of the type.
	Kind() Kind
}

// Text is a message of words alone.
type Text struct {
	Body string // all that the device shows
	Link string // the page, when Body contains it
}

// Kind implements [Content].
func (Text) Kind() Kind { return KindText }
