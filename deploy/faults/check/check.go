// Package check judges a service by what the outside saw of it: whether every
// acknowledgement was kept. It imports no room of the service, and believes it
// nothing that it can read for itself.
//
// A [Case] has all that is known; [Case.Judge] says which promises were broken.
package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ringback/deploy/faults/journal"
)

// Kind is what became of something that was promised.
type Kind string

const (
	Lost        Kind = "lost"            // acknowledged, and gone
	Doubled     Kind = "doubled"         // done twice that is done once
	Dropped     Kind = "dropped"         // an answer was taken and had no effect
	Unsealed    Kind = "unsealed"        // not in the audit chain, or not as it was
	Undelivered Kind = "never delivered" // nobody was asked or told, or too late
	Other       Kind = "otherwise"       // another promise
)

// Kinds lists them as tables have them.
var Kinds = []Kind{Lost, Doubled, Dropped, Unsealed, Undelivered, Other}

// Violation is one broken promise.
type Violation struct {
	Kind Kind   `json:"kind"`
	What string `json:"what"`
}

// Final is how a request stands in the end, as the service says.
type Final struct {
	Status     string // "pending", "approved", "redeemed", …
	Verb       string // of the decision, "" if there is none
	Settled    string // "redeemed", "cancelled", "lapsed", "" if it is not
	AskedAt    time.Time
	ExpiresAt  time.Time
	DecidedAt  time.Time
	Deliveries []Delivery
	Notices    []time.Time // when pings were claimed
}

// Delivery is one attempt as it is stored.
type Delivery struct {
	N         int
	At        time.Time
	Outcome   string // "" if none is stored
	Reported  bool   // the provider's later word is stored
	Delivered bool   // and what it was
}

// Rules are what was promised about time.
type Rules struct {
	Escalate time.Duration // to the next channel; 0: deliveries are not judged
	Slack    time.Duration // for a restart in between
	Limit    int           // messages a request
}

// Case is everything that is known in the end.
type Case struct {
	Seen   journal.Book
	Final  map[journal.ID]Final
	Looked time.Time // when Final was read
	Sealed *Export   // nil: sealing is not judged
	Before *Export   // what was sealed earlier, and has to be still; nil: nothing
	Rules  Rules
}

// Judge lists every promise that was broken.
func (c *Case) Judge() []Violation {
	var f findings
	for id, a := range c.Seen.Asked {
		c.request(&f, id, a)
	}
	for _, a := range c.Seen.Answers {
		c.answer(&f, a)
	}
	c.messages(&f)
	for _, r := range c.Seen.Receipts {
		c.receipt(&f, r)
	}
	if c.Rules.Escalate > 0 {
		for id, final := range c.Final {
			c.deliveries(&f, id, final)
		}
	}
	if c.Sealed != nil {
		c.sealing(&f)
		if c.Before != nil {
			c.since(&f)
		}
	}
	slices.SortFunc(f.all, func(a, b Violation) int {
		if d := slices.Index(Kinds, a.Kind) - slices.Index(Kinds, b.Kind); d != 0 {
			return d
		}
		return strings.Compare(a.What, b.What)
	})
	return f.all
}

// Acknowledged is the number of promises: requests, decisions, answers and
// receipts that were taken, tokens.
func (c *Case) Acknowledged() int {
	n := len(c.Seen.Asked) + len(c.Seen.Receipts)
	for _, a := range c.Seen.Asked {
		if a.Said != "" {
			n++
		}
		if len(a.Tokens) > 0 {
			n++
		}
	}
	for _, a := range c.Seen.Answers {
		if _, ok := a.Taken(); ok {
			n++
		}
	}
	return n
}

// findings gathers violations.
type findings struct{ all []Violation }

func (f *findings) add(k Kind, id journal.ID, format string, args ...any) {
	f.all = append(f.all, Violation{k, string(id) + ": " + fmt.Sprintf(format, args...)})
}

// request holds what an agent was told against how the request stands.
func (c *Case) request(f *findings, id journal.ID, a *journal.Asked) {
	final, known := c.Final[id]
	if !known {
		f.add(Lost, id, "it was acknowledged, and is unknown")
		return
	}
	withdrawn := a.Said == journal.Withdrawn && (final.Settled == "cancelled" || final.Status == "revoked")
	if a.Said != "" && final.Verb != a.Said && !withdrawn {
		f.add(Lost, id, "it was acknowledged as %s, and is %q", a.Said, final.Status)
	}
	if len(a.Tokens) > 0 && final.Settled != "redeemed" {
		f.add(Lost, id, "a token was handed out, and it is %q", final.Status)
	}
	if n := different(a.Tokens); n > 1 {
		f.add(Doubled, id, "%d different tokens", n)
	}
	ends := map[string][]string{"access_denied": {"denied", "withdrawn", "cancelled"}, "expired_token": {"expired"}}
	if want := ends[a.Error]; want != nil && !slices.Contains(want, final.Status) {
		f.add(Lost, id, "its agent was told %s, and it is %q", a.Error, final.Status)
	}
	if a.Pings > len(final.Notices) {
		f.add(Doubled, id, "%d pings came, and %d were claimed", a.Pings, len(final.Notices))
	}
	told := final.Verb == journal.Approved || final.Verb == journal.Denied
	if a.Pinged && told && a.Pings == 0 && final.Settled == "" && c.Looked.After(final.pingDue().Add(c.Rules.Slack)) {
		f.add(Undelivered, id, "it is %s, and its agent was not pinged", final.Verb)
	}
}

const (
	// pingAfter is how long after it was asked a request's agent is pinged at the
	// soonest.
	pingAfter = time.Second
	// pingAgain is when a ping counts as not made whose process died over it.
	pingAgain = 30 * time.Second
)

// pingDue is when the agent of a request that was decided has to have been pinged.
func (f Final) pingDue() time.Time {
	due := f.AskedAt.Add(pingAfter)
	if f.DecidedAt.After(due) {
		due = f.DecidedAt
	}
	for _, at := range f.Notices {
		due = at.Add(pingAgain)
	}
	return due
}

func different(texts []string) int {
	seen := map[string]bool{}
	for _, t := range texts {
		seen[t] = true
	}
	return len(seen)
}

// answer: what the provider was told is taken has its effect, unless the person
// was told that it has none.
func (c *Case) answer(f *findings, a *journal.Answer) {
	post, taken := a.Taken()
	final := c.Final[a.ID]
	switch said := saying(a, counts...); {
	case len(a.Posts) == 0:
	case !taken:
		f.add(Dropped, a.ID, "an answer (%s) was sent %d times and never taken, the last time with status %d", a.Verb, len(a.Posts), a.Posts[len(a.Posts)-1].Status)
	case final.Verb == a.Verb:
	case said != nil:
		f.add(Lost, a.ID, "the person was told %q, and it is %q", said.Said, final.Status)
	case final.Verb != "" && saying(a, "No request is waiting", "This request ended") != nil:
	case c.replaced(a):
	default:
		f.add(Dropped, a.ID, "an answer (%s) was taken, and it is %q: the person was told %q", a.Verb, final.Status, post.Said)
	}
}

// saying returns the post to which the person was told something that begins so.
func saying(a *journal.Answer, begins ...string) *journal.Post {
	for i, p := range a.Posts {
		if p.Status/100 == 2 && slices.ContainsFunc(begins, func(b string) bool { return strings.HasPrefix(p.Said, b) }) {
			return &a.Posts[i]
		}
	}
	return nil
}

// replaced reports whether the person was told that the code does not fit, when a
// newer message with another one had been carried, or did as they were told then
// and answered again.
func (c *Case) replaced(a *journal.Answer) bool {
	told := saying(a, "That code does not fit")
	return told != nil && (slices.ContainsFunc(c.Seen.Messages, func(m journal.Message) bool {
		return m.ID == a.ID && m.N > a.N && m.Carried && m.At.Before(told.At)
	}) || slices.ContainsFunc(c.Seen.Answers, func(b *journal.Answer) bool {
		return b.ID == a.ID && b.N > a.N && b.Verb == c.Final[a.ID].Verb && saying(b, counts...) != nil
	}))
}

// counts are the beginnings of what a person is told whose answer counts.
var counts = []string{"Allowed: ", "Not allowed. "}

// receipt: the provider's later word on a message is kept.
func (c *Case) receipt(f *findings, r journal.Receipt) {
	final := c.Final[r.ID]
	if r.N < 1 || r.N > len(final.Deliveries) {
		return // messages says so
	}
	if d := final.Deliveries[r.N-1]; !d.Reported || d.Delivered != r.Delivered {
		f.add(Dropped, r.ID, "the provider's word on attempt %d was taken, and is not kept", r.N)
	}
}

// messages: an attempt is sent once, after it was claimed.
func (c *Case) messages(f *findings) {
	type attempt struct {
		id journal.ID
		n  int
	}
	sent := map[attempt]int{}
	for _, m := range c.Seen.Messages {
		sent[attempt{m.ID, m.N}]++
	}
	for a, n := range sent {
		if n > 1 {
			f.add(Doubled, a.id, "attempt %d was sent %d times", a.n, n)
		}
		if a.n < 1 || a.n > len(c.Final[a.id].Deliveries) {
			f.add(Doubled, a.id, "attempt %d was sent without having been claimed", a.n)
		}
	}
}

// deliveries: a request that waits for its person gets the next attempt within
// the escalation time after one that was not accepted, until it has had as many
// as it may.
func (c *Case) deliveries(f *findings, id journal.ID, final Final) {
	for i, d := range final.Deliveries {
		if d.N != i+1 {
			f.add(Lost, id, "attempt %d is missing", i+1)
			return
		}
	}
	if final.Verb != "" {
		return
	}
	due, why, sent := final.AskedAt, "its first attempt", 0
	for _, d := range final.Deliveries {
		if late := d.At.Sub(due); late > c.Rules.Slack {
			f.add(Undelivered, id, "%s came %v late", why, late.Round(time.Millisecond))
		}
		if d.Outcome == "accepted" {
			return
		}
		if d.Outcome != "refused" && d.Outcome != "unreachable" {
			sent++
		}
		due, why = d.At.Add(c.Rules.Escalate), fmt.Sprintf("the attempt after %d", d.N)
	}
	if late := c.Looked.Sub(due); sent < c.Rules.Limit && late > c.Rules.Slack && due.Before(final.ExpiresAt) {
		f.add(Undelivered, id, "%s never came, %v after it was due", why, late.Round(time.Millisecond))
	}
}
