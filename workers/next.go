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
	Wait    Action = "wait"    // look again at Until, or when a fact arrives
	Done    Action = "done"    // nothing will ever be to do again
)

// Step is the outcome of [Next].
type Step struct {
	Do     Action
	N      int               // number of the attempt or notice to claim
	Route  consent.RouteStep // Deliver: which channel
	Device consent.Device    // Deliver: which device
	Until  time.Time         // Wait
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

	maxRefusals = 5 // attempts in a row that providers refused
	maxNotices  = 6
)

// Next says what a request needs now. It is pure: all that it looks at are
// its arguments, so that any process comes to the same answer.
func Next(s *consent.State, p Person, route *consent.Route, lim *consent.Limits, now time.Time) Step {
	if s.Decided == nil {
		if end := s.Request.ExpiresAt.Add(expiryDelay); !now.Before(end) {
			return Step{Do: Expire}
		}
		return nextDelivery(s, p, route, lim, now)
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
		if at := s.Request.AskedAt.Add(noticeDelay); now.Before(at) {
			return Step{Do: Wait, Until: at}
		}
		return Step{Do: Notify, N: 1}
	}
	last := s.Notices[n-1]
	at := last.At.Add(claimTimeout)
	if a, ok := s.Notified[last.N]; ok {
		if a.Done {
			return Step{Do: Done}
		}
		at = a.At.Add(time.Duration(a.Delay) * time.Second)
	}
	switch {
	case last.N >= maxNotices:
		return Step{Do: Done}
	case now.Before(at):
		return Step{Do: Wait, Until: at}
	default:
		return Step{Do: Notify, N: last.N + 1}
	}
}

// nextDelivery walks the route. The schedule: every channel of the route that
// reaches a device, in order, EscalateAfter apart; at once when the channel
// before cannot reach its device; a refused attempt is tried again after the
// provider's delay, or 1, 2, 4, 8 s; when the route is through and nothing was
// accepted, or every code has died, it begins again. Accepted and unknown
// attempts count against the limit of notifications.
func nextDelivery(s *consent.State, p Person, route *consent.Route, lim *consent.Limits, now time.Time) Step {
	end := Step{Do: Wait, Until: s.Request.ExpiresAt.Add(expiryDelay)}
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
	if len(choices) == 0 {
		return end
	}
	if p.Silent {
		return end
	}
	w := walk{state: s, route: route, limit: consent.DefaultLimits().Notifications}
	if lim != nil {
		w.limit = lim.Notifications
	}
	w.read()
	if w.sent >= w.limit || w.refusals >= maxRefusals {
		return end
	}
	step, at := w.choose(choices)
	switch {
	case !later(at, now).Before(s.Request.ExpiresAt):
		return end
	case now.Before(at):
		return Step{Do: Wait, Until: at}
	}
	step.N = len(s.Tried) + 1
	return step
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
	limit int

	sent     int  // attempts that reached or may have reached somebody
	refusals int  // refused attempts at the end of the history
	accepted bool // a provider took one, and did not report it failed
}

func (w *walk) read() {
	for _, a := range w.state.Tried {
		o, ok := w.state.Outcomes[a.N]
		if ok && o.Status == consent.Refused {
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

// choose returns the next delivery and the time from which it is due.
func (w *walk) choose(choices []choice) (Step, time.Time) {
	n := len(w.state.Tried)
	if n == 0 {
		return choices[0].Step, w.state.Request.AskedAt
	}
	last := w.state.Tried[n-1]
	escalate := last.At.Add(w.route.EscalateAfter)
	at, refused := escalate, false
	o := w.state.Outcomes[last.N]
	switch receipt, reported := w.state.Receipts[last.N]; {
	case o.Status == consent.Unreachable:
		at = o.At
	case o.Status == consent.Refused:
		at, refused = o.At, true
	case reported && !receipt.Delivered:
		at = receipt.At
	}
	pos := slices.IndexFunc(w.route.Steps, func(r consent.RouteStep) bool { return r.Channel == last.Channel })
	for _, c := range choices {
		if c.pos > pos {
			return c.Step, at
		}
	}
	for _, c := range choices { // the last channel: its provider is asked again
		if c.pos == pos && refused {
			return c.Step, at.Add(max(time.Duration(o.RetryAfter)*time.Second, time.Second<<min(w.refusals-1, 3)))
		}
	}
	at = later(at, escalate)
	if w.accepted {
		at = later(at, last.CodeUntil)
	}
	return choices[0].Step, at
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
