package workers

import (
	"fmt"
	"time"

	"ringback/consent"
)

// Stats is what the engine has to do, for metrics.
type Stats struct {
	Waiting  map[Cause]int // requests in mind, by what they wait for
	Due      time.Duration // for how long the first of those to be looked at has been due
	Ends     int           // requests whose end is to be written
	Behind   time.Duration // for how long the first of them has been due
	Channels map[string]ChannelStats
	Notices  Calls
	Panics   int64 // steps that ended in one
}

// ChannelStats is what the engine knows of one channel.
type ChannelStats struct {
	Calls
	Down bool // its provider does not work: one attempt a second, by requests that have lost none
	Held int  // requests that wait for it
}

// Calls are those to the outside.
type Calls struct {
	Busy    int // under way
	Waiting int // for others to end
}

// Stats returns what there is to do now.
func (e *Engine) Stats() Stats {
	now := e.cfg.Now()
	out := Stats{
		Waiting: make(map[Cause]int, len(causes)), Due: e.queue.behind(now), Channels: make(map[string]ChannelStats, len(e.breakers)), Panics: e.panics.Load(),
	}
	for cause, n := range e.queue.counts() {
		out.Waiting[Cause(cause)] = n
	}
	out.Ends, out.Behind = e.ends.behind(now)
	for name, b := range e.breakers {
		var c ChannelStats
		c.Busy, c.Waiting = e.sends[name].load()
		c.Down, _, _, c.Held = b.state()
		out.Channels[name] = c
	}
	out.Notices.Busy, out.Notices.Waiting = e.notices.load()
	return out
}

// Causes lists what requests wait for.
func Causes() []Cause {
	out := make([]Cause, len(causes))
	for i := range causes {
		out[i] = Cause(i)
	}
	return out
}

// Backlog is the number of requests that the engine has in mind.
func (e *Engine) Backlog() int { return e.queue.len() }

// Behind is for how long the first of the ends that are to be written has been
// due.
func (e *Engine) Behind() time.Duration {
	_, late := e.ends.behind(e.cfg.Now())
	return late
}

// Waits says in words why a request is not being delivered, "" where it is not
// known here, or nothing is in its way.
func (e *Engine) Waits(b consent.Brief) string {
	cause, known := e.queue.cause(b.ID)
	if !known || b.Decided != "" {
		return ""
	}
	switch cause {
	case Turn:
		return fmt.Sprintf("waiting behind %d", e.turns.before(b.Pseudonym, b.ID)+1)
	case Channel, Retry:
		for name, br := range e.breakers {
			if down, since, why, _ := br.state(); down && br.holds(b.ID) {
				return fmt.Sprintf("channel %s does not work since %s (%s)", name, since.UTC().Format(time.RFC3339), why)
			}
		}
		return "to be tried again"
	case Unreachable:
		return "no channel of its route reaches a device of the person"
	case Silent:
		return "the person has been asked too often by everybody: it does not ring"
	case Late:
		return "it ends too soon to be sent"
	case Spent:
		return "all its messages were sent or refused"
	}
	return ""
}

// Stuck reports whether a request waits for something that an operator can
// mend.
func (e *Engine) Stuck(id consent.ID) bool {
	cause, known := e.queue.cause(id)
	return known && (cause == Channel || cause == Retry || cause == Unreachable || cause == Spent)
}
