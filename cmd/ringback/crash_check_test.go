//go:build e2e

package main

import (
	"fmt"
	"sort"
	"time"
)

// crashed is what a load saw from outside while the service was killed again
// and again, and what the service says in the end. The checker knows nothing
// else.
type crashed struct {
	Asked    map[string]time.Time // auth_req_id :: when a 200 was read
	Decided  map[string]string    // auth_req_id :: the decision that was acknowledged, "approved" or "denied"
	Tokens   map[string][]string  // auth_req_id :: access tokens that were read
	Sent     []carried            // what the provider was asked to carry
	Final    map[string]outcome   // auth_req_id :: how it stands after the last start
	Escalate time.Duration        // escalation time of the route
	Slack    time.Duration        // for a restart in between
	Limit    int                  // notifications per request
	Looked   time.Time            // when Final was read
}

// carried is one message that the provider was asked to carry.
type carried struct {
	AuthReqID string
	Attempt   int
}

// outcome is how a request stands in the end.
type outcome struct {
	Status     string
	AskedAt    time.Time
	ExpiresAt  time.Time
	Deliveries []attempted
}

// attempted is one delivery as it was stored.
type attempted struct {
	N       int
	At      time.Time
	Outcome string // "" if none was stored
}

// check lists every promise that was broken.
func (c *crashed) check() []string {
	var out []string
	broken := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	for id := range c.Asked {
		if _, ok := c.Final[id]; !ok {
			broken("%s: acknowledged, but lost", id)
		}
	}
	for id, verb := range c.Decided {
		got := c.Final[id].Status
		switch {
		case verb == "denied" && got != "denied":
			broken("%s: denial acknowledged, but it is %q", id, got)
		case verb == "approved" && got != "approved" && got != "redeemed" && got != "expired":
			broken("%s: approval acknowledged, but it is %q", id, got)
		}
	}
	for id, tokens := range c.Tokens {
		different := map[string]bool{}
		for _, t := range tokens {
			different[t] = true
		}
		if len(different) > 1 {
			broken("%s: %d different tokens", id, len(different))
		}
		if got := c.Final[id].Status; got != "redeemed" {
			broken("%s: a token was handed out, but it is %q", id, got)
		}
	}
	carriedAs := map[carried]int{}
	for _, s := range c.Sent {
		carriedAs[s]++
	}
	for s, n := range carriedAs {
		if n > 1 {
			broken("%s: attempt %d was sent %d times", s.AuthReqID, s.Attempt, n)
		}
		if s.Attempt < 1 || s.Attempt > len(c.Final[s.AuthReqID].Deliveries) {
			broken("%s: attempt %d was sent without having been claimed", s.AuthReqID, s.Attempt)
		}
	}
	for id, f := range c.Final {
		out = append(out, c.checkEscalation(id, f)...)
	}
	sort.Strings(out)
	return out
}

// checkEscalation: a request without an accepted outcome gets its next
// attempt within the escalation time, until its limit is reached or it ends.
func (c *crashed) checkEscalation(id string, f outcome) (out []string) {
	if f.Status != "pending" {
		return nil
	}
	due, why := f.AskedAt, "its first attempt"
	sent := 0
	for i, a := range f.Deliveries {
		if a.N != i+1 {
			return append(out, fmt.Sprintf("%s: attempt %d is missing", id, i+1))
		}
		if late := a.At.Sub(due); late > c.Slack {
			out = append(out, fmt.Sprintf("%s: %s came %s late", id, why, late))
		}
		if a.Outcome == "accepted" {
			return out
		}
		if a.Outcome != "refused" && a.Outcome != "unreachable" {
			sent++
		}
		due, why = a.At.Add(c.Escalate), fmt.Sprintf("the attempt after %d", a.N)
	}
	if late := c.Looked.Sub(due); sent < c.Limit && late > c.Slack && due.Before(f.ExpiresAt) {
		out = append(out, fmt.Sprintf("%s: %s never came, %s after it was due", id, why, late))
	}
	return out
}
