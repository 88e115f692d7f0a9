// Package details is the registry of authorization_details types (RFC 9396):
// what a request of each type may contain, how it is put in words for the
// person who is asked, and what that person may make smaller.
//
// Start with [New]. [Registry.Parse] reads what an agent sent,
// [Registry.Read] what was stored, [Registry.Explain] says it in words and
// [Registry.Narrow] compares a smaller yes with what was asked. A type is
// configuration alone: nothing in the program knows a type by its name.
// [Registry.Metadata] tells agents what there is.
//
// The package renders nothing: pages and messages are made by templates.
package details

// Type describes one type of authorization_details. Paths name members by
// their names joined with dots ("creditorAccount.iban"); "[]" stands for each
// element of an array ("items[].name"). A path covers everything below it.
type Type struct {
	// Type is the value of the member "type".
	Type string `yaml:"type" json:"type"`
	// Schema is a JSON Schema (2020-12) of the whole object, for anybody to
	// read. The member "type" need not be described. Every object in it says
	// additionalProperties: false, except below paths shown as leaves.
	Schema map[string]any `yaml:"schema,omitempty" json:"schema,omitempty"`
	// Version of the definition, at most 32 characters, as agents read it;
	// empty: none. Nothing compares it.
	Version string `yaml:"version,omitempty" json:"version,omitempty"`
	// DocumentationURI is an https URL where agents' makers read about the
	// type; empty: none.
	DocumentationURI string `yaml:"documentation_uri,omitempty" json:"documentation_uri,omitempty"`
	// Examples are objects that an agent may send, at most 10, for anybody to
	// read. The member "type" may be left out.
	Examples []map[string]any `yaml:"examples,omitempty" json:"examples,omitempty"`
	// Show lists what the person sees, in this order.
	Show []Shown `yaml:"show,omitempty" json:"show,omitempty"`
	// Free lists paths that hold the agent's own words: shown, but boxed and
	// marked as not checked, and never sent in a message.
	Free []string `yaml:"free,omitempty" json:"free,omitempty"`
	// Silent lists paths that are not shown.
	Silent []string `yaml:"silent,omitempty" json:"silent,omitempty"`
	// Narrow says what a person may make smaller: path :: "lower" (an amount)
	// or "subset" (an array).
	Narrow map[string]string `yaml:"narrow,omitempty" json:"narrow,omitempty"`
	// MinACR is the least assurance an approval needs; empty: what policy says.
	MinACR string `yaml:"min_acr,omitempty" json:"min_acr,omitempty"`
	// Words by language ("en", "de"). A type without words is shown leaf by
	// leaf and needs at least urn:ringback:acr:match.
	Words map[string]Words `yaml:"words,omitempty" json:"words,omitempty"`
}

// Shown is one fact that the person sees.
type Shown struct {
	// Path of the value.
	Path string `yaml:"path" json:"path"`
	// As is how it is written: "text" (default: scalars, lists of scalars),
	// "money" (an object of amount, a decimal as a string, and currency),
	// "iban", or "leaves" (anything, leaf by leaf).
	As string `yaml:"as,omitempty" json:"as,omitempty"`
}

// Words say a type in one language. "{path}" stands for the value of a shown
// path; a part in square brackets is left out when a value in it is absent,
// and must be there for values that need not be given.
type Words struct {
	// Headline is the question, at most 12 words before values are put in.
	Headline string `yaml:"headline" json:"headline"`
	// Labels :: shown or free path :: what stands beside its value.
	Labels map[string]string `yaml:"labels" json:"labels"`
	// Values :: path :: value :: how the value is said; others stay as they are.
	Values map[string]map[string]string `yaml:"values,omitempty" json:"values,omitempty"`
	// Consequence says what happens on yes, and whether it can be undone.
	Consequence string `yaml:"consequence,omitempty" json:"consequence,omitempty"`
	// Allow is on the button that allows; empty: "Allow" in the language.
	Allow string `yaml:"allow,omitempty" json:"allow,omitempty"`
	// SMS follows "asks to" (de: "möchte") in a message. What it leaves out is not seen by
	// those who answer by message.
	SMS string `yaml:"sms" json:"sms"`
	// Speech follows "asks to" (de: "möchte") on a call.
	Speech string `yaml:"speech,omitempty" json:"speech,omitempty"`
	// Done follows "Allowed:" when it is over; empty: the words of SMS.
	Done string `yaml:"done,omitempty" json:"done,omitempty"`
}
