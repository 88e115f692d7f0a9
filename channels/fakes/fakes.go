// Package fakes holds fake providers as real HTTP servers: they take what the
// channels send, keep it, answer as the provider would, call back with correct
// signatures, and fail on demand. Tests, the demo, `ringback serve --dev` and
// `ringback fakes` use them.
package fakes

import "time"

// MaxKept is how many messages an Inbox keeps.
const MaxKept = 1000

// Entry is one message that a fake provider received.
type Entry struct {
	Channel string    `json:"channel"`
	From    string    `json:"from"`
	To      string    `json:"to"`
	Text    string    `json:"text"`
	Links   []string  `json:"links"`
	At      time.Time `json:"at"`
	ID      string    `json:"id"`           // the provider's id of the message
	In      bool      `json:"in,omitempty"` // written by the person, not by the service
}
