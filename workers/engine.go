package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"ringback/channels"
	"ringback/consent"
	"ringback/keys"
	"ringback/templates"
)

// Notifier tells a client that its request was answered. The door that took
// the request implements it.
type Notifier interface {
	// Notify makes attempt n and says how it went; it never blocks longer
	// than ctx.
	Notify(ctx context.Context, s *consent.State, n int) consent.Notified
}

// Stopper remembers that an address takes no more messages.
type Stopper interface {
	// StopDevice marks or unmarks a person's device.
	StopDevice(ctx context.Context, person, device string, stopped bool) error
}

// Config is what an Engine needs. Every field is required unless it says
// otherwise.
type Config struct {
	Store     consent.Store
	Directory consent.Directory
	Devices   Stopper
	Handles   *keys.Handles
	Templates *templates.Set
	Channels  map[string]channels.Channel
	Notifiers map[consent.Door]Notifier
	Policy    func() *consent.Policy        // the policy in force
	Types     func(details []byte) []string // types of stored authorization_details, for routes
	PublicURL string                        // where approvers come in; no trailing slash
	Workers   int                           // requests looked at at once; default 64. Calls to the outside have rooms of their own
	Grace     time.Duration                 // for steps in flight when stopping; default 10 s
	Now       func() time.Time
	Log       *slog.Logger
}

const (
	// sendsMost is how many messages of a channel are on their way to its
	// provider at once, sendsEach how many of one client's: a provider that
	// answers slowly for one client's people must not hold up the others.
	sendsMost = 128
	sendsEach = 48
	// noticesMost and noticesEach are the same for clients that are told.
	noticesMost = 512
	noticesEach = 4
	// lookEvery is the longest sleep: a clock that was set, or a machine that
	// slept, delays nothing by more than that.
	lookEvery = time.Second
)

// Engine carries out steps. Feed it every fact through OnEvent, then Run it.
type Engine struct {
	cfg      Config
	queue    *queue
	turns    *turns
	breakers map[string]*breaker // by channel
	sends    map[string]*lane    // by channel
	notices  *lane
	ends     *ends

	running   atomic.Bool
	stopping  atomic.Bool
	panics    atomic.Int64
	announced time.Duration // how much later the next request of the past is due

	mu    sync.Mutex
	fails map[consent.ID]int // failures of the house in a row
}

// New returns an engine that does nothing until Run.
func New(cfg Config) *Engine {
	if cfg.Workers == 0 {
		cfg.Workers = 64
	}
	if cfg.Grace == 0 {
		cfg.Grace = 10 * time.Second
	}
	e := &Engine{
		cfg: cfg, queue: newQueue(), turns: newTurns(), notices: newLane(noticesMost, noticesEach), ends: newEnds(),
		breakers: make(map[string]*breaker), sends: make(map[string]*lane), fails: make(map[consent.ID]int),
	}
	for name := range cfg.Channels {
		e.breakers[name], e.sends[name] = newBreaker(), newLane(sendsMost, sendsEach)
	}
	return e
}

// othersDelay is how much longer a process leaves a fact to the process that
// wrote it. It differs by process and request, so that takers queue up.
func othersDelay(id consent.ID) time.Duration {
	return 2*time.Second + time.Duration(id[0])*8*time.Millisecond
}

// catchUp spreads the requests of the past over time, so that a restart with
// very many does not hold up new ones.
const catchUp = 100 * time.Microsecond

// OnEvent takes a fact's arrival as a wake-up. It never blocks. What arrives
// before Run is the past: it is looked at as soon as possible.
func (e *Engine) OnEvent(ev consent.Event) {
	now := e.cfg.Now()
	if !e.running.Load() {
		e.announced += catchUp
		e.queue.add(ev.ID, now.Add(e.announced))
		return
	}
	if ev.Local && e.ends.wrote(ev) {
		return // it was followed up when it was written
	}
	if ev.Kind == consent.FactDecided && !ev.Local { // by then the other process has given the slot back
		e.wakeNext(ev.Pseudonym, now.Add(time.Second))
	}
	switch ev.Kind {
	case consent.FactAsked, consent.FactDecided, consent.FactReceipt:
		at := now
		if !ev.Local {
			at = now.Add(othersDelay(ev.ID))
		}
		e.queue.add(ev.ID, at)
		if ev.Kind == consent.FactAsked && !ev.Local {
			e.queue.mark(ev.ID, func(it *item) { it.foreign = true })
		}
	case consent.FactTried, consent.FactOutcome, consent.FactNotified, consent.FactNotice:
		if !ev.Local { // our own are followed up by the worker that wrote them
			e.queue.add(ev.ID, now.Add(othersDelay(ev.ID)))
		}
	}
}

// Run works until ctx ends, then lets the steps in flight finish within the
// grace. It returns when they have ended. No attempt begins after ctx ended.
func (e *Engine) Run(ctx context.Context) {
	e.running.Store(true)
	work := make(chan consent.ID)
	steps, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		e.stopping.Store(true)
		time.AfterFunc(e.cfg.Grace, cancel)
	})
	defer stop()
	var wg sync.WaitGroup
	for range e.cfg.Workers {
		wg.Go(func() {
			for id := range work {
				e.look(steps, id)
			}
		})
	}
	wg.Go(func() { e.endAll(ctx, steps) })
	wg.Go(func() { e.watch(ctx) })
	e.dispatch(ctx, work)
	close(work)
	wg.Wait()
	for _, l := range e.sends {
		l.close(steps)
	}
	e.notices.close(steps)
}

// dispatch hands out what is due until ctx ends.
func (e *Engine) dispatch(ctx context.Context, work chan<- consent.ID) {
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	for {
		now := e.cfg.Now()
		due, ok, next := e.queue.take(now)
		if ok {
			if at, over := e.over(due, now); over {
				e.ends.add(due.id, at)
				continue
			}
			select {
			case work <- due.id:
				continue
			case <-ctx.Done():
				return
			}
		}
		wait := lookEvery
		if !next.IsZero() {
			wait = min(wait, next.Sub(now))
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-e.queue.wake:
		}
	}
}

// watch does until ctx ends what no fact and no due time calls for: it lets a
// request try each channel that is down, forgets whose turn it was, and notices
// that somebody set the clock back.
func (e *Engine) watch(ctx context.Context) {
	tick := time.NewTicker(probeEvery / 4)
	defer tick.Stop()
	last := e.cfg.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := e.cfg.Now()
		if back := now.Sub(last) - now.Round(0).Sub(last.Round(0)); back > skew {
			e.queue.shift(-back)
		}
		last = now
		for _, b := range e.breakers {
			if id, ok := b.tick(now); ok {
				e.queue.add(id, now)
			}
		}
		e.turns.sweep(now)
	}
}

// look carries out what the request needs until it has to wait, or until a call
// to the outside goes on with it.
func (e *Engine) look(ctx context.Context, id consent.ID) {
	e.guard(ctx, id, func() {
		if r, later := e.advance(ctx, id); !later {
			e.rest(ctx, id, r)
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
	if errors.Is(r.err, consent.ErrNotFound) {
		r = result{} // aged out, or its person was erased
	}
	if r.err == nil {
		e.mu.Lock()
		delete(e.fails, id)
		e.mu.Unlock()
		e.queue.done(id, r.until, r.why)
		return
	}
	e.fail(ctx, id, r.err)
}

// fail gives back a request whose step failed in the house. Meanwhile it holds up
// nobody.
func (e *Engine) fail(ctx context.Context, id consent.ID, err error) {
	if b, known := e.cfg.Store.Peek(id); known {
		e.turns.leave(b.Pseudonym, id)
		e.wakeNext(b.Pseudonym, e.cfg.Now())
	}
	e.mu.Lock()
	e.fails[id]++
	delay := time.Second << min(e.fails[id]-1, 5)
	e.mu.Unlock()
	e.cfg.Log.WarnContext(ctx, "step failed, will look again", slog.String("req", id.String()), slog.Any("err", err))
	e.queue.done(id, e.cfg.Now().Add(delay), Retry)
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
func (e *Engine) advance(ctx context.Context, id consent.ID) (r result, later bool) {
	for {
		s, err := e.cfg.Store.Get(ctx, id)
		if err != nil {
			return result{err: err}, false
		}
		if err := e.release(ctx, s); err != nil {
			return result{err: err}, false
		}
		pol := e.cfg.Policy()
		person, err := e.person(ctx, s, pol)
		if err != nil {
			return result{err: err}, false
		}
		step := Next(s, person, e.route(s, pol), pol.Limits, e.providers(id), e.cfg.Now())
		e.line(s, step)
		switch step.Do {
		case Done:
			return result{}, false
		case Wait, Hold:
			return result{until: step.Until, why: step.Why}, false
		case Deliver:
			r, later, err = e.deliver(ctx, s, step)
		case Notify:
			e.notify(ctx, s, step)
			return result{}, true
		case Expire, Lapse:
			err = e.end(ctx, s)
		}
		if later || r != (result{}) {
			return r, later
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

// line takes a request out of the lines that it does not stand in any more.
func (e *Engine) line(s *consent.State, step Step) {
	req := s.Request
	if step.Do != Deliver {
		e.turns.leave(req.Pseudonym, req.ID)
	}
	waits := step.Route.Channel
	for name, b := range e.breakers {
		if name == waits && step.Do != Deliver {
			b.hold(req.ID, holding{lost: refusedOn(s, name), ready: step.Do == Hold})
		} else if name != waits {
			b.forget(req.ID)
		}
	}
}

// refusedOn counts the attempts that a channel's provider refused.
func refusedOn(s *consent.State, channel string) (n int) {
	for _, a := range s.Tried {
		if a.Channel == channel && s.Outcomes[a.N].Status == consent.Refused {
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
	p := Person{Devices: devices}
	if len(devices) > 0 && pol.Limits != nil && len(s.Tried) == 0 {
		p.Silent = pol.Silent(s.Request.Client.Counted(), e.cfg.Store.History(s.Request.Pseudonym), e.cfg.Now())
	}
	return p, nil
}

func (e *Engine) route(s *consent.State, pol *consent.Policy) *consent.Route {
	return pol.RouteFor(s.Request, func() []string { return e.cfg.Types(s.Request.Details) })
}
