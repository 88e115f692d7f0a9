package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"ringback/consent"
)

const (
	// batchFrom is the number of waiting writes from which one atomic batch,
	// synced once, is cheaper than single writes, each synced by itself.
	// Where the server stages batches in memory it is batchFromStaged.
	batchFrom       = 48
	batchFromStaged = 10
	// batchRest is the number of ticks without batches after the server has
	// refused one.
	batchRest = 30
	// batchTo bounds a batch; the server takes a thousand.
	batchTo = 500
	// lateTo bounds the writes that nobody waits for in one batch: it takes the
	// server a few milliseconds, and others wait for its end.
	lateTo = 256
	// commitTick is the committer's unit of time.
	commitTick = time.Second
	// ackTicks is how long an acknowledgement may take before the write is
	// repeated. The repetition is harmless: a subject takes one message.
	ackTicks = 4
	// writeTicks bounds a write with its repetitions.
	writeTicks = 15
)

// errSecond is returned for a write whose subject has a message already; it
// may be our own from an attempt whose acknowledgement was lost.
var errSecond = errors.New("the subject has a message")

// write is one fact on its way to the stream.
type write struct {
	subject string
	header  string
	payload []byte
	queued  time.Time
	since   uint64 // tick of its first flight, 0 before
	late    bool   // nobody waits for it: it goes after all others
	fact    *draft // what it says, of a fact
	done    chan struct{}
	seq     uint64 // of the stored fact, once done without err
	err     error
}

func newWrite(subject, header string, payload []byte) *write {
	return &write{subject: subject, header: header, payload: payload, done: make(chan struct{})}
}

// committer stands before a stream with one replica, which syncs every
// message by itself, and gathers what waits into batches that are synced
// once. A write is answered by its own acknowledgement only.
type committer struct {
	nc       *nats.Conn
	reader   *reader
	head     *head
	stream   string // its name without prefix, for head
	onCommit func(int, time.Duration)
	onFact   func(*draft, uint64) // called in order for every fact that is durable, before its writer is answered
	from     int                  // waiting writes from which a batch is made
	fate     fate
	inbox    string
	acks     chan *nats.Msg
	wake     chan struct{}

	mu     sync.Mutex
	queue  []*write
	later  []*write            // those that nobody waits for
	under  map[string][]*write // subject :: writes of it; the first is queued or under way, the others wait for its fate
	closed bool
	broken error // why nothing will be acknowledged any more
	idle   *sync.Cond

	// Only run touches these.
	flights map[string]*flight
	last    uint64
	ticks   uint64
	held    []*write // to be queued again with the next tick
	rest    uint64   // no batches up to this tick
	single  int      // writes under way one by one
	batched bool     // a batch is under way
}

func newCommitter(nc *nats.Conn, stream string, h *head, r *reader, onCommit func(int, time.Duration)) (*committer, error) {
	c := &committer{
		nc: nc, stream: stream, head: h, reader: r, onCommit: onCommit, from: batchFrom,
		inbox: nc.NewInbox() + ".", acks: make(chan *nats.Msg, 4096), wake: make(chan struct{}, 1),
		under: make(map[string][]*write), flights: make(map[string]*flight), ticks: 1,
	}
	c.idle = sync.NewCond(&c.mu)
	if _, err := nc.ChanSubscribe(c.inbox+"*", c.acks); err != nil {
		return nil, fmt.Errorf("subscribing to acknowledgements: %w", err)
	}
	return c, nil
}

// write stores one message and returns its sequence. It returns errSecond
// when the subject has one, consent.ErrUnavailable when the store could not
// be reached in time. When ctx ends first the write may still happen.
func (c *committer) write(ctx context.Context, w *write) (uint64, error) {
	if err := c.submit(w); err != nil {
		return 0, err
	}
	return c.wait(ctx, w)
}

// submit begins writes, which end in any order.
func (c *committer) submit(writes ...*write) error {
	if err := c.head.health.gone(); err != nil {
		return err
	}
	now := time.Now()
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return fmt.Errorf("writing while stopping: %w", consent.ErrUnavailable)
	}
	for _, w := range writes {
		w.queued = now
		c.enqueue(w)
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return nil
}

// wait returns what became of a write that has begun, see write.
func (c *committer) wait(ctx context.Context, w *write) (uint64, error) {
	select {
	case <-w.done:
		return w.seq, w.err
	case <-ctx.Done():
		return 0, fmt.Errorf("writing a fact: %w", ctx.Err())
	}
}

// enqueue lets w wait, behind another write of its subject if there is one:
// a loser must not take its whole batch with it. c.mu is held.
func (c *committer) enqueue(w *write) {
	same := c.under[w.subject]
	c.under[w.subject] = append(same, w)
	switch {
	case len(same) > 0:
	case w.late:
		c.later = append(c.later, w)
	default:
		c.queue = append(c.queue, w)
	}
}

// drain refuses new writes and waits until those under way have ended.
func (c *committer) drain(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.idle.Broadcast()
	})
	defer stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for len(c.under) > 0 {
		if ctx.Err() != nil {
			return fmt.Errorf("finishing writes: %w", ctx.Err())
		}
		c.idle.Wait()
	}
	return nil
}

// run sends what waits and hears acknowledgements until ctx ends.
func (c *committer) run(ctx context.Context) {
	tick := time.NewTicker(commitTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			c.abandon()
			return
		case <-c.wake:
		case m := <-c.acks:
			c.acked(ctx, m)
		case <-tick.C:
			c.expire()
		}
		for more := true; more; { // what has arrived meanwhile
			select {
			case m := <-c.acks:
				c.acked(ctx, m)
			default:
				more = false
			}
		}
		c.dispatch()
	}
}

// dispatch sends what waits as far as it may be under way.
func (c *committer) dispatch() {
	if c.batched {
		return
	}
	c.mu.Lock()
	n, late := len(c.queue), min(len(c.later), lateTo)
	if late == 0 && n+c.single < c.from || c.ticks <= c.rest {
		now := append(c.queue, c.later[:late]...)
		c.queue, c.later = nil, c.later[late:]
		c.mu.Unlock()
		for _, w := range now {
			c.send([]*write{w})
		}
		return
	}
	if c.single > 0 { // a batch waits until they are through
		c.mu.Unlock()
		return
	}
	n = min(n, batchTo)
	batch := c.queue[:n:n]
	c.queue = append([]*write(nil), c.queue[n:]...)
	if late = min(late, batchTo-n); late > 0 {
		batch = append(batch, c.later[:late]...)
		c.later = c.later[late:]
	}
	c.mu.Unlock()
	c.send(batch)
}

// settle answers writes. What waited behind one of them is queued: if it was
// stored they lose, but against a message that is there.
func (c *committer) settle(writes []*write, err error) {
	c.mu.Lock()
	for _, w := range writes {
		w.err = err
		close(w.done)
		behind := c.under[w.subject][1:]
		delete(c.under, w.subject)
		for _, b := range behind {
			if err == nil || errors.Is(err, errSecond) {
				b.err = errSecond
				close(b.done)
			} else {
				c.enqueue(b)
			}
		}
	}
	if len(c.under) == 0 {
		c.idle.Broadcast()
	}
	c.mu.Unlock()
}

// abandon answers what is left when the committer stops.
func (c *committer) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, same := range c.under {
		for _, w := range same {
			w.err = fmt.Errorf("writing while stopping: %w", consent.ErrUnavailable)
			close(w.done)
		}
	}
	c.under, c.queue, c.later = map[string][]*write{}, nil, nil
	c.idle.Broadcast()
}
