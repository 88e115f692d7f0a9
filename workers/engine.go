package workers

import (
	"context"
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
	// Host is where Notify calls, "" where it calls nobody.
	Host(ctx context.Context, s *consent.State) string
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
	// noticesMost and noticesEach are the same for clients that are told, and
	// noticesThere how many of them one host gets at once.
	noticesMost  = 512
	noticesEach  = 4
	noticesThere = 16
	// lookEvery is the longest sleep: a clock that was set, or a machine that
	// slept, delays nothing by more than that.
	lookEvery = time.Second
	// clockStep is how far the clock may be set back without notice.
	clockStep = time.Second
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
	recalls  bool // some channel can take messages back

	running   atomic.Bool
	stop      <-chan struct{} // closed when nothing may begin any more
	panics    atomic.Int64
	announced time.Duration // how much later the next request of the past is due

	mu    sync.Mutex
	fails map[consent.ID]int // failures of the house in a row
	back  map[consent.ID]int // up to which attempt messages were taken back
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
		cfg: cfg, queue: newQueue(), turns: newTurns(), notices: newLane(noticesMost, noticesEach, noticesThere), ends: newEnds(),
		breakers: make(map[string]*breaker), sends: make(map[string]*lane), fails: make(map[consent.ID]int), back: make(map[consent.ID]int),
		recalls: withdraws(cfg.Channels),
	}
	for name := range cfg.Channels {
		e.breakers[name], e.sends[name] = newBreaker(), newLane(sendsMost, sendsEach, sendsMost)
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
	e.stop = ctx.Done()
	work := make(chan item)
	steps, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(e.cfg.Grace, cancel) })
	defer stop()
	var wg sync.WaitGroup
	for range e.cfg.Workers {
		wg.Go(func() {
			for due := range work {
				e.look(steps, due)
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

// stopping reports whether nothing may begin any more.
func (e *Engine) stopping() bool {
	select {
	case <-e.stop:
		return true
	default:
		return false
	}
}

// dispatch hands out what is due until ctx ends.
func (e *Engine) dispatch(ctx context.Context, work chan<- item) {
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	for {
		now := e.cfg.Now()
		due, ok, next := e.queue.take(now)
		if ok {
			if e.ending(due, now) {
				continue
			}
			select {
			case work <- due:
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
// that somebody has set the clock back.
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
		if back := max(0, now.Sub(last)) - now.Round(0).Sub(last.Round(0)); back > clockStep {
			e.queue.rush(now)
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
