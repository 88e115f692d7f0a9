// Package fakes holds fake providers as real HTTP servers: they take what the
// channels send, keep it, answer as the provider would, call back with correct
// signatures, and fail on demand. Tests, the demo, `ringback serve --dev` and
// `ringback fakes` use them.
//
// Start with [NewTwilio]. It is an http.Handler; [Twilio.Serve] runs it on a
// listener of its own, together with its callbacks. What it received is in its
// [Inbox], what it should do wrong is said by [Twilio.Plan], and
// [Twilio.Reply] is a person who writes back.
package fakes

import (
	"context"
	"regexp"
	"slices"
	"sync"
	"time"
)

// MaxKept is how many messages, and how many webhooks, a fake keeps.
const MaxKept = 1000

// Entry is one message that a fake provider carried.
type Entry struct {
	Channel string    `json:"channel"`
	From    string    `json:"from"`
	To      string    `json:"to"`
	Text    string    `json:"text"`
	Links   []string  `json:"links"` // every URL in Text; never nil
	At      time.Time `json:"at"`
	ID      string    `json:"id"`           // the provider's id of the message
	In      bool      `json:"in,omitempty"` // written by the person, not by the service
}

var link = regexp.MustCompile(`https?://[^\s<>"]+[^\s<>".,;:!?)]`)

// Inbox is what a fake carried, oldest first, at most the last MaxKept.
type Inbox struct {
	mu      sync.Mutex
	entries []Entry
	subs    map[chan Entry]bool
}

// add keeps e and hands it to subscribers. One that does not keep up loses
// its oldest.
func (b *Inbox) add(e Entry) {
	e.Links = append([]string{}, link.FindAllString(e.Text, -1)...)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.entries) == MaxKept {
		b.entries = slices.Delete(b.entries, 0, 1)
	}
	b.entries = append(b.entries, e)
	for sub := range b.subs {
		for done := false; !done; {
			select {
			case sub <- e:
				done = true
			default:
				select {
				case <-sub:
				default:
				}
			}
		}
	}
}

// All returns every message kept, newest last.
func (b *Inbox) All() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.entries)
}

// Sent returns what the service sent to a number, newest last; "" is every
// number.
func (b *Inbox) Sent(to string) []Entry {
	return b.where(func(e Entry) bool { return !e.In && (to == "" || e.To == to) })
}

// Thread returns what was sent to and written by a number, newest last.
func (b *Inbox) Thread(number string) []Entry {
	return b.where(func(e Entry) bool { return e.To == number && !e.In || e.From == number && e.In })
}

func (b *Inbox) where(keep func(Entry) bool) []Entry {
	return slices.DeleteFunc(b.All(), func(e Entry) bool { return !keep(e) })
}

// Subscribe returns a channel of the messages from now on, and what ends it.
func (b *Inbox) Subscribe() (<-chan Entry, func()) {
	ch := make(chan Entry, MaxKept)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subs == nil {
		b.subs = map[chan Entry]bool{}
	}
	b.subs[ch] = true
	return ch, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.subs, ch)
	}
}

// Wait returns the first message, kept or still to come, for which match is
// true, or ctx's error.
func (b *Inbox) Wait(ctx context.Context, match func(Entry) bool) (Entry, error) {
	ch, cancel := b.Subscribe()
	defer cancel()
	for _, e := range b.All() {
		if match(e) {
			return e, nil
		}
	}
	for {
		select {
		case e := <-ch:
			if match(e) {
				return e, nil
			}
		case <-ctx.Done():
			return Entry{}, ctx.Err()
		}
	}
}
