package workers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
)

var t0 = time.Date(2026, 11, 22, 14, 30, 0, 0, time.UTC)

func at(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }

// asked builds a state: a request of five minutes and then what happened.
func asked(facts ...func(*consent.State)) *consent.State {
	s := &consent.State{
		Request:  &consent.Request{AskedAt: t0, ExpiresAt: at(300), Mode: consent.Poll, ACR: []string{consent.ACRTap}},
		Outcomes: map[int]consent.Outcome{}, Receipts: map[int]consent.Receipt{}, Notified: map[int]consent.Notified{},
	}
	for _, f := range facts {
		f(s)
	}
	return s
}

func tried(sec float64, channel string) func(*consent.State) {
	return func(s *consent.State) {
		s.Tried = append(s.Tried, consent.Attempt{N: len(s.Tried) + 1, Channel: channel, Device: "d-" + channel, At: at(sec), CodeUntil: at(sec + 600)})
	}
}

func outcomeOf(sec float64, status consent.OutcomeStatus, retry int) func(*consent.State) {
	return func(s *consent.State) {
		n := len(s.Tried)
		s.Outcomes[n] = consent.Outcome{N: n, Status: status, RetryAfter: retry, At: at(sec)}
	}
}

func receipt(sec float64, delivered bool) func(*consent.State) {
	return func(s *consent.State) {
		s.Receipts[len(s.Tried)] = consent.Receipt{N: len(s.Tried), Delivered: delivered, At: at(sec)}
	}
}

func decided(sec float64, v consent.Verb) func(*consent.State) {
	return func(s *consent.State) { s.Decided = &consent.Decision{Verb: v, At: at(sec)} }
}

func settled(v consent.SettleVerb) func(*consent.State) {
	return func(s *consent.State) { s.Settled = &consent.Settlement{Verb: v} }
}

func ping(s *consent.State) { s.Request.Mode = consent.Ping }

func deferred(s *consent.State) {
	s.Request.Grant, s.Request.Mode = consent.GrantClientCredentials, consent.Ping
}

func push(s *consent.State) { s.Request.Mode = consent.Push }

func means(m consent.Means) func(*consent.State) {
	return func(s *consent.State) { s.Decided.Means = m }
}

func renewed(s *consent.State) { s.Renewals = append(s.Renewals, consent.Renewal{N: 1}) }

func revoked(s *consent.State) { s.Revoked = &consent.Revocation{} }

func long(s *consent.State) { s.Request.ExpiresAt = at(3600) }

func noticed(sec float64) func(*consent.State) {
	return func(s *consent.State) {
		s.Notices = append(s.Notices, consent.Notice{N: len(s.Notices) + 1, At: at(sec)})
	}
}

func answered(sec float64, done bool, delay int) func(*consent.State) {
	return func(s *consent.State) {
		n := len(s.Notices)
		s.Notified[n] = consent.Notified{N: n, Done: done, Delay: delay, At: at(sec)}
	}
}

func repeat(n int, f ...func(*consent.State)) func(*consent.State) {
	return func(s *consent.State) {
		for range n {
			for _, g := range f {
				g(s)
			}
		}
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	dev := func(ch string) consent.Device { return consent.Device{ID: "d-" + ch, Channel: ch, Address: "x"} }
	step := func(ch string) consent.RouteStep { return consent.RouteStep{Channel: ch} }
	two := &consent.Route{Steps: []consent.RouteStep{step("push"), step("sms")}, EscalateAfter: 30 * time.Second}
	one := &consent.Route{Steps: []consent.RouteStep{step("sms")}, EscalateAfter: 30 * time.Second}
	both := []consent.Device{dev("push"), dev("sms")}
	deliver := func(n int, ch string) Step { return Step{Do: Deliver, N: n, Route: step(ch), Device: dev(ch)} }
	wait := func(sec float64, why ...Cause) Step {
		return Step{Do: Wait, Until: at(sec), Why: append(why, Answer)[0]}
	}

	for _, tt := range []struct {
		name   string
		state  *consent.State
		route  *consent.Route
		person Person
		now    float64
		want   Step
	}{
		// Delivery.
		{"first attempt at once", asked(), two, Person{Devices: both}, 0, deliver(1, "push")},
		{"no route: wait for the end", asked(), nil, Person{Devices: both}, 0, wait(302, Unreachable)},
		{"no device: wait for the end", asked(), two, Person{}, 0, wait(302, Unreachable)},
		{"a channel without a device is passed over", asked(), two, Person{Devices: both[1:]}, 0, deliver(1, "sms")},
		{"a stopped device is passed over", asked(), two, Person{Devices: []consent.Device{{ID: "p", Channel: "push", Stopped: true}, dev("sms")}}, 0, deliver(1, "sms")},
		{"silent: wait in the inbox", asked(), two, Person{Devices: both, Silent: true}, 0, wait(302, Silent)},
		{"accepted: wait for the person", asked(tried(0, "push"), outcomeOf(1, consent.Accepted, 0)), two, Person{Devices: both}, 1, wait(30)},
		{"nobody answered: escalate", asked(tried(0, "push"), outcomeOf(1, consent.Accepted, 0)), two, Person{Devices: both}, 30, deliver(2, "sms")},
		{"unreachable: escalate at once", asked(tried(0, "push"), outcomeOf(1, consent.Unreachable, 0)), two, Person{Devices: both}, 1, deliver(2, "sms")},
		{"unreachable is for ever", asked(tried(0, "push"), outcomeOf(1, consent.Unreachable, 0), tried(1, "sms"), outcomeOf(2, consent.Refused, 0)), two, Person{Devices: both}, 3, deliver(3, "sms")},
		{"nobody reachable: wait for the end", asked(tried(0, "sms"), outcomeOf(1, consent.Unreachable, 0)), one, Person{Devices: both}, 1, wait(302, Unreachable)},
		{"in flight: leave it alone", asked(tried(0, "push")), two, Person{Devices: both}, 29, wait(30, Retry)},
		{"claimed but never concluded: escalate, never resend blindly", asked(tried(0, "push")), two, Person{Devices: both}, 30, deliver(2, "sms")},
		{"claimed but never concluded, only one channel: again after the escalation time", asked(tried(0, "sms")), one, Person{Devices: both}, 30, deliver(2, "sms")},
		{"unknown: as if claimed only", asked(tried(0, "sms"), outcomeOf(9, consent.Unknown, 0)), one, Person{Devices: both}, 10, wait(30, Retry)},
		{"refused: next channel at once", asked(tried(0, "push"), outcomeOf(1, consent.Refused, 60)), two, Person{Devices: both}, 1, deliver(2, "sms")},
		{"refused on the last channel: after the provider's delay", asked(tried(0, "sms"), outcomeOf(1, consent.Refused, 7)), one, Person{Devices: both}, 2, wait(8, Retry)},
		{"refused without a delay: one second", asked(tried(0, "sms"), outcomeOf(1, consent.Refused, 0)), one, Person{Devices: both}, 2, deliver(2, "sms")},
		{"refused twice: two seconds", asked(tried(0, "sms"), outcomeOf(1, consent.Refused, 0), tried(2, "sms"), outcomeOf(3, consent.Refused, 0)), one, Person{Devices: both}, 3, wait(5, Retry)},
		{"refused five times: 16 seconds", asked(repeat(5, tried(0, "sms"), outcomeOf(1, consent.Refused, 0))), one, Person{Devices: both}, 16, wait(17, Retry)},
		{"refused many times: a minute", asked(repeat(20, tried(0, "sms"), outcomeOf(1, consent.Refused, 0))), one, Person{Devices: both}, 60, wait(61, Retry)},
		{"refused many times: a minute has passed", asked(repeat(20, tried(0, "sms"), outcomeOf(1, consent.Refused, 0))), one, Person{Devices: both}, 61, deliver(21, "sms")},
		{"the provider's delay is longer", asked(repeat(20, tried(0, "sms"), outcomeOf(1, consent.Refused, 90))), one, Person{Devices: both}, 90, wait(91, Retry)},
		{"refused too often: wait for the end", asked(repeat(50, tried(0, "sms"), outcomeOf(1, consent.Refused, 0))), one, Person{Devices: both}, 100, wait(302, Spent)},
		{"refused, by a clock that was set back since", asked(tried(3600, "sms"), outcomeOf(3601, consent.Refused, 0)), one, Person{Devices: both}, 2, deliver(2, "sms")},
		{"asked, by a clock that was set back since", asked(func(s *consent.State) { s.Request.AskedAt, s.Request.ExpiresAt = at(3600), at(3900) }), one, Person{Devices: both}, 0, deliver(1, "sms")},
		{"delivered: wait", asked(tried(0, "push"), outcomeOf(1, consent.Accepted, 0), receipt(2, true)), two, Person{Devices: both}, 2, wait(30)},
		{"reported failed: next channel at once", asked(tried(0, "push"), outcomeOf(1, consent.Accepted, 0), receipt(2, false)), two, Person{Devices: both}, 2, deliver(2, "sms")},
		{"reported failed, only one channel: after the escalation time", asked(tried(0, "sms"), outcomeOf(1, consent.Accepted, 0), receipt(2, false)), one, Person{Devices: both}, 2, wait(30, Retry)},
		{"route through, code alive: wait for the end", asked(tried(0, "sms"), outcomeOf(1, consent.Accepted, 0)), one, Person{Devices: both}, 40, wait(302)},
		{"long request: renewed when its code has died", asked(long, tried(0, "sms"), outcomeOf(1, consent.Accepted, 0)), one, Person{Devices: both}, 600, deliver(2, "sms")},
		{"three notifications are enough", asked(long, repeat(3, tried(0, "sms"), outcomeOf(1, consent.Accepted, 0))), one, Person{Devices: both}, 700, wait(3602)},
		{"three unanswered notifications are enough", asked(long, repeat(3, tried(0, "sms"), outcomeOf(1, consent.Unknown, 0))), one, Person{Devices: both}, 700, wait(3602, Spent)},
		{"no attempt at the end", asked(), one, Person{Devices: both}, 300, wait(302, Late)},
		{"no attempt that could not be answered in time", asked(), one, Person{Devices: both}, 280, wait(302, Late)},
		{"a last attempt just before", asked(), one, Person{Devices: both}, 279, deliver(1, "sms")},
		{"of a short request: a third must be left", asked(func(s *consent.State) { s.Request.ExpiresAt = at(30) }), one, Person{Devices: both}, 20, wait(32, Late)},
		{"of a short request: just before", asked(func(s *consent.State) { s.Request.ExpiresAt = at(30) }), one, Person{Devices: both}, 19, deliver(1, "sms")},

		// Ends.
		{"past the end, polls first", asked(), two, Person{Devices: both}, 301, wait(302, Late)},
		{"past the end", asked(), two, Person{Devices: both}, 302, Step{Do: Expire}},
		{"denied", asked(decided(5, consent.Denied)), two, Person{}, 5, Step{Do: Done}},
		{"expired", asked(decided(302, consent.Expired)), two, Person{}, 303, Step{Do: Done}},
		{"approved: until it is too late", asked(decided(5, consent.Approved)), two, Person{}, 5, wait(302)},
		{"approved late: a minute to redeem", asked(decided(299, consent.Approved)), two, Person{}, 302, wait(361)},
		{"approved, nobody came", asked(decided(299, consent.Approved)), two, Person{}, 361, Step{Do: Lapse}},
		{"redeemed", asked(decided(5, consent.Approved), settled(consent.Redeemed)), two, Person{}, 6, Step{Do: Done}},

		// Notices.
		{"ping not before a second has passed", asked(ping, decided(0.1, consent.Denied)), two, Person{}, 0.2, wait(1)},
		{"ping", asked(ping, decided(5, consent.Denied)), two, Person{}, 5, Step{Do: Notify, N: 1}},
		{"ping on approval", asked(ping, decided(5, consent.Approved)), two, Person{}, 5, Step{Do: Notify, N: 1}},
		{"no ping for an expiry", asked(ping, decided(302, consent.Expired)), two, Person{}, 303, Step{Do: Done}},
		{"no ping to who withdrew", asked(ping, decided(2, consent.Withdrawn)), two, Person{}, 3, Step{Do: Done}},
		{"no ping once redeemed", asked(ping, decided(5, consent.Approved), settled(consent.Redeemed)), two, Person{}, 6, Step{Do: Done}},
		{"pinged", asked(ping, decided(5, consent.Denied), noticed(5), answered(6, true, 0)), two, Person{}, 6, Step{Do: Done}},
		{"ping refused for now", asked(ping, decided(5, consent.Denied), noticed(5), answered(6, false, 4)), two, Person{}, 7, wait(10, Retry)},
		{"ping again", asked(ping, decided(5, consent.Denied), noticed(5), answered(6, false, 4)), two, Person{}, 10, Step{Do: Notify, N: 2}},
		{"ping in flight", asked(ping, decided(5, consent.Denied), noticed(5)), two, Person{}, 6, wait(35, Retry)},
		{"ping of a process that died", asked(ping, decided(5, consent.Denied), noticed(5)), two, Person{}, 35, Step{Do: Notify, N: 2}},
		{"pings end", asked(ping, decided(5, consent.Denied), repeat(6, noticed(5), answered(6, false, 4))), two, Person{}, 60, Step{Do: Done}},
		{"push not before a second has passed", asked(push, decided(0.1, consent.Approved)), two, Person{}, 0.2, wait(1)},
		{"push on approval", asked(push, decided(5, consent.Approved)), two, Person{}, 5, Step{Do: Notify, N: 1}},
		{"push of a refusal", asked(push, decided(5, consent.Denied)), two, Person{}, 5, Step{Do: Notify, N: 1}},
		{"push of an expiry", asked(push, decided(302, consent.Expired)), two, Person{}, 303, Step{Do: Notify, N: 1}},
		{"push of what the operator withdrew", asked(push, decided(5, consent.Withdrawn), means(consent.ByAdmin)), two, Person{}, 5, Step{Do: Notify, N: 1}},
		{"no push to who withdrew", asked(push, decided(5, consent.Withdrawn), means(consent.ByClient)), two, Person{}, 5, Step{Do: Done}},
		{"no push to who took it back", asked(push, decided(5, consent.Approved), settled(consent.Cancelled)), two, Person{}, 5, Step{Do: Done}},
		{"push of what was settled before a crash", asked(push, decided(5, consent.Approved), noticed(5), settled(consent.Redeemed)), two, Person{}, 35, Step{Do: Notify, N: 2}},
		{"push again", asked(push, decided(5, consent.Approved), noticed(5), settled(consent.Redeemed), answered(6, false, 4)), two, Person{}, 10, Step{Do: Notify, N: 2}},
		{"pushed", asked(push, decided(5, consent.Approved), noticed(5), settled(consent.Redeemed), answered(6, true, 0)), two, Person{}, 6, Step{Do: Done}},
		{"pushes end", asked(push, decided(5, consent.Approved), settled(consent.Redeemed), repeat(6, noticed(5), answered(6, false, 4))), two, Person{}, 60, Step{Do: Done}},
		{"never pushed: until it is too late", asked(push, decided(5, consent.Approved), repeat(6, noticed(5), answered(6, false, 4))), two, Person{}, 60, wait(302)},
		{"never pushed, too late", asked(push, decided(5, consent.Approved), repeat(6, noticed(5), answered(6, false, 4))), two, Person{}, 302, Step{Do: Lapse}},
		{"push of a lapse", asked(push, decided(5, consent.Approved), settled(consent.Lapsed)), two, Person{}, 303, Step{Do: Notify, N: 1}},
		{"no push of what was renewed since", asked(push, decided(5, consent.Approved), noticed(5), settled(consent.Redeemed), answered(6, false, 4), renewed), two, Person{}, 10, Step{Do: Done}},
		{"no push of what was revoked", asked(push, decided(5, consent.Approved), noticed(5), settled(consent.Redeemed), answered(6, false, 4), revoked), two, Person{}, 10, Step{Do: Done}},
		{"approved and pinged: until it is too late", asked(ping, decided(5, consent.Approved), noticed(5), answered(6, true, 0)), two, Person{}, 7, wait(302)},

		// Callbacks of deferred answers (draft-ietf-oauth-deferred-token-response-01 §7 and §8.2).
		{"callback", asked(deferred, decided(5, consent.Approved)), two, Person{}, 5, Step{Do: Notify, N: 1}},
		{"callback not before a second has passed", asked(deferred, decided(0.1, consent.Denied)), two, Person{}, 0.2, wait(1)},
		{"no callback once cancelled", asked(deferred, decided(5, consent.Approved), settled(consent.Cancelled)), two, Person{}, 5, Step{Do: Done}},
		{"no callback to who withdrew", asked(deferred, decided(5, consent.Withdrawn)), two, Person{}, 5, Step{Do: Done}},
		{"no callback once the code has ended", asked(deferred, decided(299, consent.Denied), noticed(299), answered(299, false, 4)), two, Person{}, 303, Step{Do: Done}},
		{"no callback once the code has ended, though the approval lives", asked(deferred, decided(299, consent.Approved)), two, Person{}, 301, wait(361)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Next(tt.state, tt.person, tt.route, consent.DefaultLimits(), Providers{}, at(tt.now))
			if got.Do == Wait {
				got.Route, got.Awaits = consent.RouteStep{}, nil // only say whom it waits for
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Next() mismatch (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNextProviders: nothing is claimed on a channel that does not work, and
// whoever waited for it goes on the moment that it does.
func TestNextProviders(t *testing.T) {
	t.Parallel()
	dev := func(ch string) consent.Device { return consent.Device{ID: "d-" + ch, Channel: ch, Address: "x"} }
	step := func(ch string) consent.RouteStep { return consent.RouteStep{Channel: ch} }
	two := &consent.Route{Steps: []consent.RouteStep{step("push"), step("sms")}, EscalateAfter: 30 * time.Second}
	one := &consent.Route{Steps: []consent.RouteStep{step("sms")}, EscalateAfter: 30 * time.Second}
	person := Person{Devices: []consent.Device{dev("push"), dev("sms")}}
	deliver := func(n int, ch string) Step { return Step{Do: Deliver, N: n, Route: step(ch), Device: dev(ch)} }
	down := func(names ...string) Providers {
		p := Providers{Down: map[string]bool{}}
		for _, name := range names {
			p.Down[name] = true
		}
		return p
	}
	hold := func(ch ...string) Step {
		return Step{Do: Hold, Route: step(ch[0]), Until: at(302), Why: Channel, Awaits: ch}
	}
	retry := func(sec float64, ch ...string) Step {
		return Step{Do: Wait, Route: step(ch[0]), Until: at(sec), Why: Retry, Awaits: ch}
	}
	back := func(ch string, sec float64) Providers {
		return Providers{Back: map[string]time.Time{ch: at(sec)}}
	}
	clock := Providers{Clock: true}
	refused := repeat(10, tried(0, "sms"), outcomeOf(1, consent.Refused, 0))
	for _, tt := range []struct {
		name      string
		state     *consent.State
		route     *consent.Route
		providers Providers
		now       float64
		want      Step
	}{
		{"the first is down: the next", asked(), two, down("push"), 0, deliver(1, "sms")},
		{"all are down: whichever works first", asked(), two, down("push", "sms"), 0, hold("push", "sms")},
		{"the only one is down", asked(), one, down("sms"), 0, hold("sms")},
		{"another one is down", asked(), one, down("push"), 0, deliver(1, "sms")},
		{"down when it is to be tried again", asked(refused), one, down("sms"), 61, hold("sms")},
		{"down, and its pause is not over", asked(refused), one, down("sms"), 30, retry(61, "sms")},
		{"works again: at once", asked(refused), one, back("sms", 20), 20, deliver(11, "sms")},
		{"worked again before it was refused", asked(refused), one, back("sms", 0.5), 20, retry(61, "sms")},
		{"refused, and the next is down: again after a pause, or when that works", asked(tried(0, "push"), outcomeOf(1, consent.Refused, 0)), two, down("sms"), 1, retry(2, "push", "sms")},
		{"refused, the next works again: that, at once", asked(tried(0, "push"), outcomeOf(1, consent.Refused, 60)), two, back("sms", 5), 5, deliver(2, "sms")},
		{"refused, and now both are down", asked(tried(0, "push"), outcomeOf(1, consent.Refused, 0)), two, down("push", "sms"), 2, hold("push", "sms")},
		{"both refused, and the last is down: the one before, after a pause", asked(tried(0, "push"), outcomeOf(0, consent.Refused, 0), tried(0, "sms"), outcomeOf(1, consent.Refused, 0)), two, down("sms"), 1, Step{Do: Wait, Route: step("push"), Until: at(3), Why: Retry, Awaits: []string{"sms"}}},
		{"both refused, and the last is down: the one before", asked(tried(0, "push"), outcomeOf(0, consent.Refused, 0), tried(0, "sms"), outcomeOf(1, consent.Refused, 0)), two, down("sms"), 3, deliver(3, "push")},
		{"both refused, and both are down", asked(tried(0, "push"), outcomeOf(0, consent.Refused, 0), tried(0, "sms"), outcomeOf(1, consent.Refused, 0)), two, down("push", "sms"), 3, hold("sms", "push")},
		{"refused after a prompt that nobody answered, and down: no second one of those", asked(tried(0, "push"), outcomeOf(0, consent.Accepted, 0), tried(30, "sms"), outcomeOf(31, consent.Refused, 0)), two, down("sms"), 32, hold("sms")},
		{"its pause ends too late, but the channel may work before", asked(refused, tried(240, "sms"), outcomeOf(241, consent.Refused, 0)), one, Providers{}, 242, retry(280, "sms")},
		{"its pause ends too late, and works again", asked(refused, tried(240, "sms"), outcomeOf(241, consent.Refused, 0)), one, back("sms", 250), 250, deliver(12, "sms")},
		{"its pause ends too late, and it is", asked(refused, tried(240, "sms"), outcomeOf(241, consent.Refused, 0)), one, Providers{}, 280, Step{Do: Wait, Until: at(302), Why: Late}},
		{"nobody answered, and the next is down", asked(tried(0, "push"), outcomeOf(1, consent.Accepted, 0)), two, down("sms"), 30, hold("sms")},
		{"down at the end", asked(), one, down("sms"), 290, Step{Do: Wait, Until: at(302), Why: Late}},

		// Somebody has set the clock back, and this is the first look since.
		{"clock: refused", asked(refused), one, clock, 20, deliver(11, "sms")},
		{"clock: nobody answered, for a time that nobody knows", asked(tried(0, "push"), outcomeOf(1, consent.Accepted, 0)), two, clock, 5, deliver(2, "sms")},
		{"clock: the last prompt may still be answered", asked(tried(0, "sms"), outcomeOf(1, consent.Accepted, 0)), one, clock, 5, Step{Do: Wait, Until: at(302)}},
		{"clock: in flight", asked(tried(0, "push")), two, clock, 5, Step{Do: Wait, Route: step("sms"), Until: at(30), Why: Retry}},
		{"clock: in flight since before", asked(tried(3600, "push")), two, Providers{}, 5, deliver(2, "sms")},
		{"clock: accepted, long before", asked(tried(3600, "push"), outcomeOf(3601, consent.Accepted, 0)), two, Providers{}, 5, deliver(2, "sms")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Next(tt.state, person, tt.route, consent.DefaultLimits(), tt.providers, at(tt.now))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Next() mismatch (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNextEnds follows Next from every kind of answer: whatever providers do,
// the request ends, and no device hears of it more often than allowed.
func TestNextEnds(t *testing.T) {
	t.Parallel()
	route := &consent.Route{Steps: []consent.RouteStep{{Channel: "push"}, {Channel: "sms"}}, EscalateAfter: 30 * time.Second}
	devices := []consent.Device{{ID: "d-push", Channel: "push"}, {ID: "d-sms", Channel: "sms"}}
	answers := []func(*consent.State, float64){
		func(s *consent.State, now float64) { outcomeOf(now, consent.Accepted, 0)(s) },
		func(s *consent.State, now float64) { outcomeOf(now, consent.Refused, 3)(s) },
		func(s *consent.State, now float64) { outcomeOf(now, consent.Unreachable, 0)(s) },
		func(s *consent.State, now float64) { outcomeOf(now, consent.Unknown, 0)(s) },
		func(*consent.State, float64) {}, // the process died
		func(s *consent.State, now float64) { outcomeOf(now, consent.Accepted, 0)(s); receipt(now+1, false)(s) },
	}
	const depth = 4 // the first attempts' answers, in every combination
	total := 1
	for range depth {
		total *= len(answers)
	}
	for run := range total {
		s, now, sent := asked(long), 0.0, 0
		rest := run
		for range 200 {
			step := Next(s, Person{Devices: devices}, route, consent.DefaultLimits(), Providers{}, at(now))
			switch step.Do {
			case Wait:
				if !step.Until.After(at(now)) {
					t.Fatalf("run %d: waits until %v at %v", run, step.Until, at(now))
				}
				now = step.Until.Sub(t0).Seconds()
				continue
			case Deliver:
				if step.N != len(s.Tried)+1 {
					t.Fatalf("run %d: attempt %d after %d", run, step.N, len(s.Tried))
				}
				tried(now, step.Route.Channel)(s)
				answers[rest%len(answers)](s, now)
				rest /= len(answers)
				if o := s.Outcomes[step.N].Status; o != consent.Refused && o != consent.Unreachable {
					sent++
				}
				continue
			case Expire:
			default:
				t.Fatalf("run %d: %s of a pending request", run, step.Do)
			}
			break
		}
		if now < 3602 {
			t.Errorf("run %d: ended at %v", run, now)
		}
		if sent > 3 {
			t.Errorf("run %d: %d notifications", run, sent)
		}
	}
}
