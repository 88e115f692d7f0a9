package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

const (
	// batchFrom is the number of waiting writes from which one atomic batch,
	// synced once, is cheaper than single writes, each synced by itself.
	batchFrom = 48
	// batchTo bounds a batch; the server takes a thousand.
	batchTo = 500
	// commitTick is the committer's unit of time.
	commitTick = time.Second
	// ackTicks is how long an acknowledgement may take before the write is
	// repeated. The repetition is harmless: a subject takes one message.
	ackTicks = 4
	// writeTicks bounds a write with its repetitions.
	writeTicks = 15
)

// errTooLarge is JetStream's error code for a message above the stream's limit.
const errTooLarge = 10054

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
	done    chan struct{}
	seq     uint64 // of the stored fact, once done without err
	err     error
}

// flight is what one acknowledgement stands for.
type flight struct {
	writes []*write
	batch  bool
	until  uint64 // tick after which it counts as lost
}

// committer stands before a stream with one replica, which syncs every
// message by itself, and gathers what waits into batches that are synced
// once. A write is answered by its own acknowledgement only.
type committer struct {
	nc       *nats.Conn
	reader   *reader
	now      func() time.Time
	onCommit func(int, time.Duration)
	inbox    string
	acks     chan *nats.Msg
	wake     chan struct{}

	mu     sync.Mutex
	queue  []*write
	under  map[string][]*write // subject :: writes of it; the first is queued or under way, the others wait for its fate
	closed bool
	broken error // why nothing will be acknowledged any more
	idle   *sync.Cond

	// Only run touches these.
	flights map[string]*flight
	last    uint64
	ticks   uint64
	held    []*write // to be queued again with the next tick
	single  int      // writes under way one by one
	batched bool     // a batch is under way
}

func newCommitter(nc *nats.Conn, r *reader, now func() time.Time, onCommit func(int, time.Duration)) (*committer, error) {
	c := &committer{
		nc: nc, reader: r, now: now, onCommit: onCommit,
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
func (c *committer) write(ctx context.Context, subject, header string, payload []byte) (uint64, error) {
	w := &write{subject: subject, header: header, payload: payload, queued: c.now(), done: make(chan struct{})}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return 0, fmt.Errorf("writing while stopping: %w", consent.ErrUnavailable)
	}
	c.enqueue(w)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
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
	if len(same) == 0 {
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
	n := len(c.queue)
	if n+c.single < batchFrom {
		now := c.queue
		c.queue = nil
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
	c.mu.Unlock()
	c.send(batch)
}

// send publishes writes as one flight.
func (c *committer) send(writes []*write) {
	c.last++
	token := strconv.FormatUint(c.last, 36)
	f := &flight{writes: writes, batch: len(writes) > 1, until: c.ticks + ackTicks}
	c.flights[token] = f
	if f.batch {
		c.batched = true
	} else {
		c.single++
	}
	for i, w := range writes {
		if w.since == 0 {
			w.since = c.ticks
		}
		m := &nats.Msg{Subject: w.subject, Data: w.payload, Header: nats.Header{headerName: {w.header}}}
		if f.batch {
			m.Header["Nats-Batch-Id"] = []string{c.inbox[len(c.inbox)-9:len(c.inbox)-1] + token}
			m.Header["Nats-Batch-Sequence"] = []string{strconv.Itoa(i + 1)}
		}
		if i == len(writes)-1 {
			m.Reply = c.inbox + token
			if f.batch {
				m.Header["Nats-Batch-Commit"] = []string{"1"}
			}
		}
		if err := c.nc.PublishMsg(m); err != nil {
			// The connection is closed or its buffer is full: the timeout
			// repeats what can be repeated.
			break
		}
	}
}

// ack is the server's answer to a publication.
type ack struct {
	Seq   uint64 `json:"seq"`
	Error *struct {
		Code        int                 `json:"code"`
		ErrCode     jetstream.ErrorCode `json:"err_code"`
		Description string              `json:"description"`
	} `json:"error"`
}

// acked ends the flight that m acknowledges.
func (c *committer) acked(ctx context.Context, m *nats.Msg) {
	token := strings.TrimPrefix(m.Subject, c.inbox)
	f := c.flights[token]
	if f == nil {
		return // its timeout came first
	}
	c.landed(token, f)
	var a ack
	switch err := json.Unmarshal(m.Data, &a); {
	case m.Header.Get("Status") != "" || err != nil:
		c.hold(f.writes) // nobody there to take it
	case a.Error == nil:
		first := a.Seq - uint64(len(f.writes)) + 1
		for i, w := range f.writes {
			w.seq = first + uint64(i)
		}
		if c.onCommit != nil {
			c.onCommit(len(f.writes), c.now().Sub(f.writes[0].queued))
		}
		c.settle(f.writes, nil)
	case a.Error.ErrCode == errFailed && strings.Contains(a.Error.Description, "per subject"):
		if f.batch {
			c.divide(ctx, f.writes)
		} else {
			c.settle(f.writes, errSecond)
		}
	case a.Error.ErrCode == errFailed:
		c.settle(f.writes, fmt.Errorf("writing a fact: %s: %w", a.Error.Description, consent.ErrUnavailable))
	case a.Error.ErrCode == errTooLarge && !f.batch:
		c.settle(f.writes, fmt.Errorf("writing a fact of %d bytes: %s", len(f.writes[0].payload), a.Error.Description))
	default: // not now: no leader, no memory, a batch that lost a part
		c.hold(f.writes)
	}
}

// landed takes a flight off the books.
func (c *committer) landed(token string, f *flight) {
	delete(c.flights, token)
	if f.batch {
		c.batched = false
	} else {
		c.single--
	}
}

// divide ends those writes of a refused batch whose subjects have a message,
// and sends the others again.
func (c *committer) divide(ctx context.Context, writes []*write) {
	ctx, cancel := context.WithTimeout(ctx, ackTicks*commitTick)
	defer cancel()
	subjects := make([]string, len(writes))
	for i, w := range writes {
		subjects[i] = w.subject
	}
	found, err := c.reader.latest(ctx, subjects...)
	if err != nil {
		c.hold(writes)
		return
	}
	there := make(map[string]bool, len(found))
	for _, m := range found {
		there[m.subject] = true
	}
	var lost, rest []*write
	for _, w := range writes {
		if there[w.subject] {
			lost = append(lost, w)
		} else {
			rest = append(rest, w)
		}
	}
	c.settle(lost, errSecond)
	c.again(rest)
}

// expire repeats flights whose acknowledgement is overdue, and what is held.
// Where nothing will be acknowledged any more it ends everything.
func (c *committer) expire() {
	c.mu.Lock()
	broken := c.broken
	if broken != nil {
		c.held, c.queue = append(c.held, c.queue...), nil
	}
	c.mu.Unlock()
	c.ticks++
	held := c.held
	c.held = nil
	if broken != nil {
		c.settle(held, broken)
	} else {
		c.again(held)
	}
	for token, f := range c.flights {
		if broken != nil {
			c.landed(token, f)
			c.settle(f.writes, broken)
		} else if c.ticks > f.until {
			c.landed(token, f)
			c.again(f.writes)
		}
	}
}

// fail ends what is under way soon: the server will not answer before a
// restart.
func (c *committer) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = err
}

// hold queues writes again in a while.
func (c *committer) hold(writes []*write) { c.held = append(c.held, writes...) }

// again queues writes once more, before all others, unless they have been
// tried for long enough.
func (c *committer) again(writes []*write) {
	var rest, over []*write
	for _, w := range writes {
		if c.ticks-w.since >= writeTicks {
			over = append(over, w)
		} else {
			rest = append(rest, w)
		}
	}
	c.settle(over, fmt.Errorf("writing a fact: no acknowledgement: %w", consent.ErrUnavailable))
	c.mu.Lock()
	c.queue = append(rest, c.queue...)
	c.mu.Unlock()
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
	c.under, c.queue = map[string][]*write{}, nil
	c.idle.Broadcast()
}
