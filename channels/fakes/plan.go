package fakes

import "time"

// Failure is what a fake does instead of taking a message.
type Failure string

const (
	None          Failure = ""              // takes the message
	TooMany       Failure = "429"           // 429; RetryAfter says when, 0 leaves the header out
	ServerError   Failure = "500"           // 500 with the provider's own error body
	BadGateway    Failure = "502"           // 502 with a page of HTML, as something in front of the provider
	Unavailable   Failure = "503"           // 503; RetryAfter as above
	Unauthorized  Failure = "401"           // 401: wrong credentials
	Redirect      Failure = "307"           // 307 to another host
	Undeliverable Failure = "undeliverable" // 400: no such number
	OptedOut      Failure = "opted_out"     // 400: the recipient wrote STOP
	Hang          Failure = "hang"          // does not take it and never answers
	Late          Failure = "late"          // takes it, and answers after Delay
	Garbage       Failure = "garbage"       // takes it, and answers 200 with no JSON
	Truncated     Failure = "truncated"     // takes it, and breaks off in the middle of the answer
	Reset         Failure = "reset"         // takes it, and closes the connection without an answer
)

// Failures lists every failure.
var Failures = []Failure{
	TooMany, ServerError, BadGateway, Unavailable, Unauthorized, Redirect, Undeliverable, OptedOut, Hang, Late,
	Garbage, Truncated, Reset,
}

// Step says what to do with one message.
type Step struct {
	Failure    Failure       `json:"failure"`
	RetryAfter int           `json:"retry_after"` // seconds, for TooMany and Unavailable
	Delay      time.Duration `json:"delay"`       // nanoseconds, for Late
	// Callbacks are the status callbacks that follow a message that was taken,
	// in this order; nil: sent, delivered. An empty list: none.
	Callbacks []Callback `json:"callbacks"`
	Repeat    int        `json:"repeat"` // how often each callback is posted beyond the first
}

// Callback is one status callback.
type Callback struct {
	Status string `json:"status"` // "sent", "delivered", "undelivered", "failed"
	Code   int    `json:"code"`   // the provider's error code, 0: none
}

// plan is what to do with the next messages.
type plan struct {
	steps  []Step
	always Step
}

func (p *plan) next() Step {
	if len(p.steps) == 0 {
		return p.always
	}
	s := p.steps[0]
	p.steps = p.steps[1:]
	return s
}

// Plan says what to do with the next messages, one step each, after those
// planned before.
func (t *Twilio) Plan(steps ...Step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.plan.steps = append(t.plan.steps, steps...)
}

// Always says what to do with messages for which nothing is planned; the zero
// Step takes them. It also forgets the plan.
func (t *Twilio) Always(s Step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.plan = plan{always: s}
}
