package consent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrLost says that something is gone which was acknowledged. Nothing is served
// until an operator has chosen what follows; the error around it is a
// *LostError.
var ErrLost = errors.New("acknowledged facts are lost")

// Loss is a range of messages of one stream that are gone, or are not what was
// acknowledged.
type Loss struct {
	Stream string `json:"stream"`         // its name without prefix: one of the following, "DEK", "KV_PEOPLE", …
	From   uint64 `json:"from,omitempty"` // first sequence; 0: not known
	To     uint64 `json:"to,omitempty"`   // last one; 0: not known
	Why    string `json:"why"`
}

// Streams of a [Loss] from which something follows for others than the store.
const (
	LostFacts    = "CONSENT"
	LostChain    = "AUDIT"
	LostEvidence = "EVIDENCE"
	LostKeys     = "DEK" // data keys of people
	LostAll      = "all" // an older copy of everything is there
)

// Concerns reports whether something of these streams is among the losses.
func Concerns(losses []Loss, streams ...string) bool {
	return slices.ContainsFunc(losses, func(l Loss) bool { return l.Stream == LostAll || slices.Contains(streams, l.Stream) })
}

// String names the range.
func (l Loss) String() string {
	switch {
	case l.From == 0:
		return fmt.Sprintf("%s: %s", l.Stream, l.Why)
	case l.To == 0:
		return fmt.Sprintf("%s from %d on: %s", l.Stream, l.From, l.Why)
	case l.From == l.To:
		return fmt.Sprintf("%s %d: %s", l.Stream, l.From, l.Why)
	}
	return fmt.Sprintf("%s %d to %d: %s", l.Stream, l.From, l.To, l.Why)
}

// LostError is an ErrLost.
type LostError struct {
	Where    string   // the store
	Losses   []Loss   // what is gone
	Requests []string // of which requests, as far as the sealed chain tells; the first ones
	More     int      // requests beyond those
}

// Error says what is gone and what can be done.
func (e *LostError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "opening %s: %v: ", e.Where, ErrLost)
	for i, l := range e.Losses {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(l.String())
	}
	if len(e.Requests) > 0 {
		fmt.Fprintf(&b, "; of requests %s", strings.Join(e.Requests, ", "))
		if e.More > 0 {
			fmt.Fprintf(&b, " and %d more", e.More)
		}
	}
	b.WriteString(". Nothing is served, so that nothing is allowed twice. Restore the whole store from a newer backup; or run `ringback repair`, which seals what is lost and ends what it may have allowed")
	return b.String()
}

// Unwrap makes it an ErrLost and an ErrUnavailable.
func (e *LostError) Unwrap() []error { return []error{ErrLost, ErrUnavailable} }
