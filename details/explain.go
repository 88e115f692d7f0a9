package details

import "strings"

// Explanation is a list of details in one language.
type Explanation struct {
	Items []Item // one per element, in order
}

// Item is one element in words.
type Item struct {
	Type        string
	Lang        string // language of the words
	Explained   bool   // false: the type has no words; Facts are its leaves
	Headline    Text
	Consequence Text
	Allow       Text // empty: the page's own word
	SMS         Text
	Speech      Text
	Done        Text
	Facts       []Fact
	Free        []Fact // the agent's own words
}

// Fact is one labelled value.
type Fact struct {
	Path   string
	Label  string
	Value  string
	Leaves []Leaf // instead of Value, for what is shown leaf by leaf
}

// Leaf is one value inside something that is shown leaf by leaf.
type Leaf struct{ Path, Value string }

// Text is words with values in them. Values come from the agent.
type Text []Span

// Span is a piece of text. Path names the value it is, empty for our words.
type Span struct {
	Text  string
	Path  string
	Money bool
}

// String joins the pieces.
func (t Text) String() string {
	var b strings.Builder
	for _, s := range t {
		b.WriteString(s.Text)
	}
	return b.String()
}

// Explain says the list in lang, or in English where a type lacks that
// language.
func (r *Registry) Explain(l List, lang string) Explanation { return Explanation{} }

// Languages lists the languages in which the type has words.
func (r *Registry) Languages(typ string) []string { return nil }
