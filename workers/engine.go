package workers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
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
	Workers   int                           // steps at once; default 64
	Grace     time.Duration                 // for steps in flight when stopping; default 10 s
	Now       func() time.Time
	Log       *slog.Logger
}

// Engine carries out steps. Feed it every fact through OnEvent, then Run it.
type Engine struct {
	cfg   Config
	queue *queue

	running   atomic.Bool
	announced time.Duration // how much later the next request of the past is due

	mu      sync.Mutex
	waiting map[consent.Pseudonym]map[consent.ID]bool // requests that wait for their person's slot
	fails   map[consent.ID]int                        // failures of the house in a row
}

// New returns an engine that does nothing until Run.
func New(cfg Config) *Engine {
	if cfg.Workers == 0 {
		cfg.Workers = 64
	}
	if cfg.Grace == 0 {
		cfg.Grace = 10 * time.Second
	}
	return &Engine{
		cfg: cfg, queue: newQueue(),
		waiting: make(map[consent.Pseudonym]map[consent.ID]bool), fails: make(map[consent.ID]int),
	}
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
	if ev.Kind == consent.FactDecided && !ev.Local { // by then the other process has given the slot back
		e.wakeNext(ev.Pseudonym, ev.ID, now.Add(time.Second))
	}
	switch ev.Kind {
	case consent.FactAsked, consent.FactDecided, consent.FactReceipt:
		at := now
		if !ev.Local {
			at = now.Add(othersDelay(ev.ID))
		}
		e.queue.add(ev.ID, at)
	case consent.FactTried, consent.FactOutcome, consent.FactNotified, consent.FactNotice:
		if !ev.Local { // our own are followed up by the worker that wrote them
			e.queue.add(ev.ID, now.Add(othersDelay(ev.ID)))
		}
	}
}

// wakeNext lets the requests look again that waited for this person's slot.
func (e *Engine) wakeNext(p consent.Pseudonym, decided consent.ID, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id := range e.waiting[p] {
		if id != decided {
			e.queue.add(id, now)
		}
	}
	delete(e.waiting, p)
}

// Backlog is the number of requests that the engine has in mind.
func (e *Engine) Backlog() int { return e.queue.len() }

// Run works until ctx ends, then lets the steps in flight finish within the
// grace. It returns when they have ended.
func (e *Engine) Run(ctx context.Context) {
	e.running.Store(true)
	work := make(chan consent.ID)
	steps, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(e.cfg.Grace, cancel) })
	defer stop()
	var wg sync.WaitGroup
	for range e.cfg.Workers {
		wg.Go(func() {
			for id := range work {
				e.queue.done(id, e.look(steps, id))
			}
		})
	}
	e.dispatch(ctx, work)
	close(work)
	wg.Wait()
}

// dispatch hands out what is due until ctx ends.
func (e *Engine) dispatch(ctx context.Context, work chan<- consent.ID) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		id, ok, next := e.queue.take(e.cfg.Now())
		if ok {
			select {
			case work <- id:
				continue
			case <-ctx.Done():
				return
			}
		}
		wait := time.Hour
		if !next.IsZero() {
			wait = next.Sub(e.cfg.Now())
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

// look carries out what the request needs until it has to wait. It returns
// when to look again, zero for never.
func (e *Engine) look(ctx context.Context, id consent.ID) time.Time {
	now := e.cfg.Now()
	until, err := e.advance(ctx, id)
	if errors.Is(err, consent.ErrNotFound) {
		until, err = time.Time{}, nil // aged out, or its person was erased
	}
	if err == nil {
		e.mu.Lock()
		delete(e.fails, id)
		e.mu.Unlock()
		return until
	}
	e.mu.Lock()
	e.fails[id]++
	delay := time.Second << min(e.fails[id]-1, 5)
	e.mu.Unlock()
	e.cfg.Log.WarnContext(ctx, "step failed, will look again", slog.String("req", id.String()), slog.Any("err", err), slog.Duration("took", e.cfg.Now().Sub(now)))
	return now.Add(delay)
}

// advance reads the request and takes steps until one says wait or done.
func (e *Engine) advance(ctx context.Context, id consent.ID) (time.Time, error) {
	for {
		s, err := e.cfg.Store.Get(ctx, id)
		if err != nil {
			return time.Time{}, err
		}
		if err := e.release(ctx, s); err != nil {
			return time.Time{}, err
		}
		pol := e.cfg.Policy()
		person, err := e.person(ctx, s, pol)
		if err != nil {
			return time.Time{}, err
		}
		step := Next(s, person, e.route(s, pol), pol.Limits, e.cfg.Now())
		switch step.Do {
		case Done:
			return time.Time{}, nil
		case Wait:
			return step.Until, nil
		case Deliver:
			var wait time.Time
			if wait, err = e.deliver(ctx, s, step); !wait.IsZero() {
				return wait, err
			}
		case Notify:
			err = e.notify(ctx, s, step)
		case Expire:
			err = e.expire(ctx, s)
		case Lapse:
			err = e.lapse(ctx, s)
		}
		// A lost claim means that somebody did it: look at what they wrote.
		if err != nil && !errors.Is(err, consent.ErrClaimed) && !errors.Is(err, consent.ErrDecided) && !errors.Is(err, consent.ErrSettled) {
			return time.Time{}, err
		}
	}
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

// release gives the person's slot back once the request is decided, and lets
// the next one of that person ring.
func (e *Engine) release(ctx context.Context, s *consent.State) error {
	if s.Decided == nil {
		return nil
	}
	if len(s.Tried) > 0 {
		if err := e.cfg.Store.Release(ctx, s.Request.Pseudonym, s.Request.ID); err != nil {
			return fmt.Errorf("releasing the slot: %w", err)
		}
	}
	e.wakeNext(s.Request.Pseudonym, s.Request.ID, e.cfg.Now())
	return nil
}

func (e *Engine) expire(ctx context.Context, s *consent.State) error {
	d, err := consent.Expire(s, rand.Text(), e.cfg.Now())
	if err != nil {
		return err
	}
	_, err = e.cfg.Store.Decide(ctx, s.Request.ID, d)
	return err
}

func (e *Engine) lapse(ctx context.Context, s *consent.State) error {
	_, err := e.cfg.Store.Settle(ctx, s.Request.ID, consent.Settlement{
		V: consent.Version, Verb: consent.Lapsed, GrantedDigest: s.Decided.GrantedDigest, At: e.cfg.Now(), Nonce: rand.Text(),
	})
	return err
}

func (e *Engine) notify(ctx context.Context, s *consent.State, step Step) error {
	n, ok := e.cfg.Notifiers[s.Request.Door]
	if !ok {
		return errors.New("notifying the client: no room answers for door " + string(s.Request.Door))
	}
	id := s.Request.ID
	if err := e.cfg.Store.Claim(ctx, id, consent.Notice{V: consent.Version, N: step.N, At: e.cfg.Now()}); err != nil {
		return err
	}
	answer := n.Notify(ctx, s, step.N)
	level := slog.LevelInfo
	if !answer.Done {
		level = slog.LevelWarn
	}
	answer.V, answer.N, answer.At = consent.Version, step.N, e.cfg.Now()
	answer.Done = answer.Done || step.N >= maxNotices // then it is given up
	e.cfg.Log.LogAttrs(ctx, level, "client notified", slog.String("req", id.String()), slog.String("client", s.Request.Client.ID), slog.Int("attempt", step.N), slog.String("code", answer.Code))
	return e.cfg.Store.Notified(ctx, id, answer)
}
