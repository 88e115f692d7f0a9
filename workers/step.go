package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"ringback/consent"
)

// look carries out what the request needs until it has to wait, or until a call
// to the outside goes on with it.
func (e *Engine) look(ctx context.Context, due item) {
	e.guard(ctx, due.id, func() {
		if r, later := e.advance(ctx, due); !later {
			e.rest(ctx, due.id, r)
		}
	})
}

// result is where a request stands after a step.
type result struct {
	until time.Time // when to look again; zero: never
	why   Cause
	err   error
}

// rest gives a request back to the queue.
func (e *Engine) rest(ctx context.Context, id consent.ID, r result) {
	if errors.Is(r.err, consent.ErrNotFound) { // aged out, or its person was erased
		e.stepAside(ctx, "", id, false)
		r = result{}
	}
	if r.err != nil {
		e.fail(ctx, id, r.err)
		return
	}
	e.mu.Lock()
	delete(e.fails, id)
	if r.until.IsZero() {
		delete(e.back, id)
	}
	e.mu.Unlock()
	e.queue.done(id, r.until, r.why)
}

// fail gives back a request whose step failed in the house. Meanwhile it holds up
// nobody.
func (e *Engine) fail(ctx context.Context, id consent.ID, err error) {
	b, _ := e.cfg.Store.Peek(id)
	e.stepAside(ctx, b.Pseudonym, id, e.turns.yield(b.Pseudonym, id, func(since time.Time) bool { return !b.TriedAt.Before(since) }))
	e.mu.Lock()
	e.fails[id]++
	delay := time.Second << min(e.fails[id]-1, 5)
	e.mu.Unlock()
	e.cfg.Log.WarnContext(ctx, "step failed, will look again", slog.String("req", id.String()), slog.Any("err", err))
	e.queue.done(id, e.cfg.Now().Add(delay), Retry)
}

// stepAside takes a request out of all lines. slot says that it may have the
// person's.
func (e *Engine) stepAside(ctx context.Context, p consent.Pseudonym, id consent.ID, slot bool) {
	for _, b := range e.breakers {
		b.forget(id)
	}
	if err := e.giveWay(ctx, p, id, slot); err != nil {
		e.cfg.Log.WarnContext(ctx, "slot not given back, it ends by itself", slog.String("req", id.String()), slog.Any("err", err))
	}
}

// guard runs a step, which gives the request back. A panic ends that step and
// nothing else.
func (e *Engine) guard(ctx context.Context, id consent.ID, step func()) {
	if err := e.shield(step); err != nil {
		e.fail(ctx, id, err)
	}
}

// shield makes an error of a panic.
func (e *Engine) shield(step func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			e.panics.Add(1)
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	step()
	return nil
}

// advance reads the request and takes steps until one says wait or done. later
// says that a call to the outside goes on with it.
func (e *Engine) advance(ctx context.Context, due item) (r result, later bool) {
	for {
		s, err := e.cfg.Store.Get(ctx, due.id)
		if err != nil {
			return result{err: err}, false
		}
		if err := e.release(ctx, s); err != nil {
			return result{err: err}, false
		}
		if !due.foreign {
			e.withdraw(ctx, s)
		}
		prov := e.providers(due.id)
		prov.Clock = due.clock
		step, err := e.next(ctx, s, prov)
		if err != nil {
			return result{err: err}, false
		}
		if !e.line(ctx, s, step, prov) {
			continue
		}
		switch step.Do {
		case Done:
			return result{}, false
		case Wait, Hold:
			return result{until: step.Until, why: step.Why}, false
		case Deliver:
			e.deliver(ctx, s, step)
			return result{}, true
		case Notify:
			e.notify(ctx, s, step)
			return result{}, true
		case Expire, Lapse:
			err = e.end(ctx, s)
		}
		if err != nil && !overtaken(err) {
			return result{err: err}, false
		}
	}
}

// overtaken reports whether somebody else did it: then what they wrote is looked
// at.
func overtaken(err error) bool {
	return errors.Is(err, consent.ErrClaimed) || errors.Is(err, consent.ErrDecided) || errors.Is(err, consent.ErrSettled)
}

// next is what the request needs, as this process sees it.
func (e *Engine) next(ctx context.Context, s *consent.State, prov Providers) (Step, error) {
	pol := e.cfg.Policy()
	person, err := e.person(ctx, s, pol)
	if err != nil {
		return Step{}, err
	}
	return Next(s, person, e.route(s, pol), pol.Limits, prov, e.cfg.Now()), nil
}

// enoughRoom is how long a call may have waited for room without another look.
const enoughRoom = time.Second

// still returns the request, whose step waited for room since then, if that is
// what it still needs, else nil.
func (e *Engine) still(ctx context.Context, s *consent.State, step Step, since time.Time) (*consent.State, error) {
	if e.cfg.Now().Sub(since) < enoughRoom {
		return s, nil
	}
	s, err := e.cfg.Store.Get(ctx, s.Request.ID)
	if err != nil {
		return nil, err
	}
	now, err := e.next(ctx, s, e.providers(s.Request.ID))
	if err != nil || now.Do != step.Do || now.N != step.N || now.Route != step.Route || now.Device.ID != step.Device.ID {
		return nil, err
	}
	return s, nil
}

// line takes a request out of the lines that it does not stand in any more, and
// lets it stand in those of the channels that it waits for. False: one of them
// has come back meanwhile.
func (e *Engine) line(ctx context.Context, s *consent.State, step Step, prov Providers) (stands bool) {
	req := s.Request
	if step.Do != Deliver {
		e.stepBack(ctx, s)
	}
	stands = true
	for name, b := range e.breakers {
		switch {
		case slices.Contains(step.Awaits, name):
			lost := lostOn(s, name)
			stands = b.hold(req.ID, holding{lost: lost, ready: step.Do == Hold || lost == 0}, prov.Back[name]) && stands
		case step.Do != Deliver || name != step.Route.Channel:
			b.forget(req.ID)
		}
	}
	return stands
}

// lostOn counts the attempts that a channel's provider refused or did not answer.
func lostOn(s *consent.State, channel string) (n int) {
	for _, a := range s.Tried {
		if o := s.Outcomes[a.N].Status; a.Channel == channel && (o == consent.Refused || o == consent.Unknown) {
			n++
		}
	}
	return n
}

// providers is what this process knows of the channels, as one request may see
// it: the one that probes a channel finds it working.
func (e *Engine) providers(id consent.ID) (p Providers) {
	for name, b := range e.breakers {
		down, back := b.isDown(id)
		if down {
			if p.Down == nil {
				p.Down = make(map[string]bool)
			}
			p.Down[name] = true
		}
		if !back.IsZero() {
			if p.Back == nil {
				p.Back = make(map[string]time.Time)
			}
			p.Back[name] = back
		}
	}
	return p
}

func (e *Engine) person(ctx context.Context, s *consent.State, pol *consent.Policy) (Person, error) {
	if s.Decided != nil {
		return Person{}, nil
	}
	devices, err := e.cfg.Directory.Devices(ctx, s.Request.Approver)
	if err != nil && !errors.Is(err, consent.ErrNotFound) {
		return Person{}, err
	}
	unknown := func(d consent.Device) bool { return e.cfg.Channels[d.Channel] == nil }
	if slices.ContainsFunc(devices, unknown) { // what is not configured reaches nothing
		devices = slices.DeleteFunc(slices.Clone(devices), unknown)
	}
	p := Person{Devices: devices}
	if len(devices) > 0 && pol.Limits != nil && len(s.Tried) == 0 {
		p.Silent = pol.Silent(s.Request.Client.Counted(), e.cfg.Store.History(s.Request.Pseudonym), e.cfg.Now())
	}
	return p, nil
}

func (e *Engine) route(s *consent.State, pol *consent.Policy) *consent.Route {
	return pol.RouteFor(s.Request, func() []string { return e.cfg.Types(s.Request.Details) })
}
