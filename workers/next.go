package workers

import (
	"slices"
	"time"

	"ringback/consent"
)

// Action is what the engine does next for one request.
type Action string

const (
	Deliver Action = "deliver" // claim an attempt and reach a device
	Notify  Action = "notify"  // claim a notice and tell the client
	Expire  Action = "expire"  // write that nobody answered in time
	Lapse   Action = "lapse"   // write that nobody came for the approval in time
	Hold    Action = "hold"    // look again when a channel works again, at Until at the latest
	Wait    Action = "wait"    // look again at Until, or when a fact arrives
	Done    Action = "done"    // nothing will ever be to do again
)

// Step is the outcome of [Next].
type Step struct {
	Do     Action
	N      int               // number of the attempt or notice to claim
	Route  consent.RouteStep // Deliver, Hold, Wait: which channel, or which is next
	Device consent.Device    // Deliver: which device
	Until  time.Time         // Hold, Wait
	Why    Cause             // Hold, Wait
	Awaits []string          // Hold, Wait: it goes on when one of these channels works again
}

// Cause is what a request waits for.
type Cause uint8

const (
	Answer      Cause = iota // the person, or the client that comes for the answer
	Turn                     // the person's other prompts
	Channel                  // a channel whose provider does not work
	Retry                    // the time to try again, or the next channel's
	Unreachable              // no route reaches a device of the person
	Silent                   // the person has been asked too often by everybody
	Late                     // nothing: it ends too soon for a message
	Spent                    // nothing: all its messages have been sent or refused
	Ending                   // its end to be written
)

var causes = [...]string{
	Answer: "answer", Turn: "turn", Channel: "channel", Retry: "retry", Unreachable: "unreachable", Silent: "silent", Late: "late", Spent: "spent",
	Ending: "ending",
}

// String is the name that operators see.
func (c Cause) String() string { return causes[c] }

// Providers is what this process knows of the channels. The zero value says
// that all work.
type Providers struct {
	Down  map[string]bool      // nothing is claimed on these
	Back  map[string]time.Time // since when a channel works that did not
	Clock bool                 // somebody has set the clock back: a fact's time does not say how long ago it was
}

// Person is what Next needs to know of the approver.
type Person struct {
	Devices []consent.Device
	Silent  bool // over the person-wide budget: do not ring
}

// How long the engine leaves things to whoever is nearer to them.
const (
	// expiryDelay lets a poll write the expiry first; the engine does it for
	// the notices' sake.
	expiryDelay = 2 * time.Second
	// noticeDelay keeps a ping from overtaking the acknowledgement.
	noticeDelay = time.Second
	// claimTimeout is when a claimed notice without an answer is given up:
	// its process has died.
	claimTimeout = 30 * time.Second
	// codeLife is how long a code and a ticket live after their attempt.
	codeLife = 10 * time.Minute
	// maxPause is the longest pause after an attempt that was refused.
	maxPause = time.Minute
	// leastLeft is what must be left of a request when it is sent, or a third
	// of its lifetime where that is less: who reads later than that is too late.
	leastLeft = 20 * time.Second
	// skew is how far a fact's time may lie ahead. What lies further ahead was
	// written before somebody set the clock back, and delays nothing.
	skew = 5 * time.Second

	maxRefused = 50 // attempts of a request that providers refused
	maxNotices = 6
)

// after is the time so long after t, a fact's.
func after(t time.Time, d time.Duration, now time.Time) time.Time {
	if t.After(now.Add(skew)) {
		return now
	}
	return t.Add(d)
}

// Next says what a request needs now. It is pure: all that it looks at are
// its arguments, so that any process comes to the same answer.
func Next(s *consent.State, p Person, route *consent.Route, lim *consent.Limits, prov Providers, now time.Time) Step {
	if s.Decided == nil {
		if end := s.Request.ExpiresAt.Add(expiryDelay); !now.Before(end) {
			return Step{Do: Expire}
		}
		return nextDelivery(s, p, route, lim, prov, now)
	}
	if s.Decided.Verb == consent.Approved && s.Settled == nil {
		if end := s.RedeemUntil().Add(expiryDelay); !now.Before(end) {
			return Step{Do: Lapse}
		} else if step := nextNotice(s, now); step.Do == Wait && step.Until.Before(end) || step.Do == Notify {
			return step
		} else {
			return Step{Do: Wait, Until: end}
		}
	}
	return nextNotice(s, now)
}

// hears reports whether there is something that the client is still to be told.
func hears(s *consent.State) bool {
	v, settled := s.Decided.Verb, s.Settled != nil
	switch s.Request.Mode {
	case consent.Ping: // the rest it learns when it polls (CIBA Core §10.2)
		return !settled && (v == consent.Approved || v == consent.Denied)
	case consent.Push: // nothing else tells it (CIBA Core §10.3), but for what it did itself
		itself := v == consent.Withdrawn && s.Decided.Means == consent.ByClient || settled && s.Settled.Verb == consent.Cancelled
		return !itself && s.Revoked == nil && len(s.Renewals) == 0
	}
	return false
}

// nextNotice decides about the client's notification.
func nextNotice(s *consent.State, now time.Time) Step {
	if !hears(s) {
		return Step{Do: Done}
	}
	// A callback never follows the end of its deferral code
	// (draft-ietf-oauth-deferred-token-response-01 §7).
	if s.Request.Grant == consent.GrantClientCredentials && !now.Before(s.Request.ExpiresAt) {
		return Step{Do: Done}
	}
	n := len(s.Notices)
	if n == 0 {
		if at := after(s.Request.AskedAt, noticeDelay, now); now.Before(at) {
			return Step{Do: Wait, Until: at}
		}
		return Step{Do: Notify, N: 1}
	}
	last := s.Notices[n-1]
	at := after(last.At, claimTimeout, now)
	if a, ok := s.Notified[last.N]; ok {
		if a.Done {
			return Step{Do: Done}
		}
		at = after(a.At, time.Duration(a.Delay)*time.Second, now)
	}
	switch {
	case last.N >= maxNotices:
		return Step{Do: Done}
	case now.Before(at):
		return Step{Do: Wait, Until: at, Why: Retry}
	default:
		return Step{Do: Notify, N: last.N + 1}
	}
}

// nextDelivery walks the route. The schedule: every channel of the route that
// reaches a device, in order, EscalateAfter apart; at once when the channel
// before cannot reach its device, or does not work; a refused attempt is tried
// again after the provider's delay, or 1, 2, 4 … 60 s, and at once when its
// channel works again; when the route is through and nothing was accepted, or
// every code has died, it begins again. Accepted and unknown attempts count
// against the limit of notifications.
func nextDelivery(s *consent.State, p Person, route *consent.Route, lim *consent.Limits, prov Providers, now time.Time) Step {
	end := func(why Cause) Step {
		return Step{Do: Wait, Until: s.Request.ExpiresAt.Add(expiryDelay), Why: why}
	}
	gone := map[string]bool{} // devices that cannot be reached
	for _, a := range s.Tried {
		if s.Outcomes[a.N].Status == consent.Unreachable {
			gone[a.Device] = true
		}
	}
	var choices []choice
	if route != nil {
		for i, r := range route.Steps {
			for _, d := range p.Devices {
				if d.Channel == r.Channel && !d.Stopped && !gone[d.ID] {
					choices = append(choices, choice{i, Step{Do: Deliver, Route: r, Device: d}})
					break
				}
			}
		}
	}
	w := walk{state: s, route: route, prov: prov, now: now, limit: consent.DefaultLimits().Notifications}
	if lim != nil {
		w.limit = lim.Notifications
	}
	w.read()
	switch {
	case w.sent >= w.limit || w.refused >= maxRefused:
		return end(w.spent())
	case len(choices) == 0:
		return end(Unreachable)
	case p.Silent:
		return end(Silent)
	}
	step, at := w.choose(choices)
	last := lastCall(s.Request)
	switch {
	case !now.Before(last) || w.awaits == nil && !at.Before(last):
		return end(w.spent())
	case now.Before(at):
		if last.Before(at) {
			at = last
		}
		why := Retry
		if w.accepted {
			why = Answer
		}
		return Step{Do: Wait, Route: step.Route, Until: at, Why: why, Awaits: w.awaits}
	case step.Do == Hold:
		step.Until, step.Why = end(Channel).Until, Channel
		return step
	}
	step.N = len(s.Tried) + 1
	return step
}

// lastCall is the time from which on a request is not sent any more.
func lastCall(req *consent.Request) time.Time {
	return req.ExpiresAt.Add(-min(leastLeft, req.ExpiresAt.Sub(req.AskedAt)/3))
}

// choice is a step of the route that reaches a device.
type choice struct {
	pos int // in the route
	Step
}

// walk is the history of deliveries as nextDelivery sees it.
type walk struct {
	state *consent.State
	route *consent.Route
	prov  Providers
	now   time.Time
	limit int

	sent     int  // attempts that reached or may have reached somebody
	refused  int  // attempts that a provider refused
	refusals int  // of them those at the end of the history
	accepted bool // a provider took one, and did not report it failed

	awaits []string // channels that let it go on at once when they work again
}

func (w *walk) read() {
	for _, a := range w.state.Tried {
		o, ok := w.state.Outcomes[a.N]
		if ok && o.Status == consent.Refused {
			w.refused++
			w.refusals++
			continue
		}
		w.refusals = 0
		if ok && o.Status == consent.Unreachable {
			continue
		}
		w.sent++
		if r, reported := w.state.Receipts[a.N]; ok && o.Status == consent.Accepted && !(reported && !r.Delivered) {
			w.accepted = true
		}
	}
}

// spent is why nothing more is sent.
func (w *walk) spent() Cause {
	switch {
	case w.accepted:
		return Answer
	case w.sent >= w.limit || w.refused >= maxRefused:
		return Spent
	}
	return Late
}

// choose returns the next delivery and the time from which it is due.
func (w *walk) choose(choices []choice) (Step, time.Time) {
	n := len(w.state.Tried)
	if n == 0 {
		return w.working(choices), time.Time{}
	}
	last := w.state.Tried[n-1]
	o, concluded := w.state.Outcomes[last.N]
	since := func(t time.Time, d time.Duration) time.Time {
		if w.prov.Clock && concluded {
			return w.now
		}
		return after(t, d, w.now)
	}
	escalate := since(last.At, w.route.EscalateAfter)
	at, refused := escalate, false
	switch receipt, reported := w.state.Receipts[last.N]; {
	case o.Status == consent.Unreachable:
		at = since(o.At, 0)
	case o.Status == consent.Refused:
		at, refused = since(o.At, 0), true
	case reported && !receipt.Delivered:
		at = since(receipt.At, 0)
	}
	pos := slices.IndexFunc(w.route.Steps, func(r consent.RouteStep) bool { return r.Channel == last.Channel })
	further := slices.DeleteFunc(slices.Clone(choices), func(c choice) bool { return c.pos <= pos })
	again := slices.IndexFunc(choices, func(c choice) bool { return c.pos == pos })
	switch {
	case len(further) > 0 && (again < 0 || !refused || w.working(further).Do == Deliver):
		return w.working(further), at
	case again >= 0 && refused: // its provider is asked again, or if it is down another one that was asked before
		pause := max(time.Duration(o.RetryAfter)*time.Second, min(time.Second<<min(w.refusals-1, 6), maxPause))
		at = since(o.At, pause)
		if o.At.Before(w.prov.Back[last.Channel]) {
			at = w.now
		}
		w.awaits = []string{last.Channel}
		for _, c := range further { // they are all down
			w.awaits = append(w.awaits, c.Route.Channel)
		}
		asked := choices[again:]
		if w.sent == 0 {
			asked = slices.Concat(asked, choices[:again])
		}
		return w.working(asked), at
	}
	at = later(at, escalate)
	if w.accepted {
		at = later(at, last.CodeUntil)
	}
	return w.working(choices), at
}

// working returns the first step whose channel works, else one that is held until
// one does.
func (w *walk) working(choices []choice) Step {
	var awaits []string
	for _, c := range choices {
		if !w.prov.Down[c.Route.Channel] {
			return c.Step
		}
		awaits = append(awaits, c.Route.Channel)
	}
	return Step{Do: Hold, Route: choices[0].Route, Awaits: awaits}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
