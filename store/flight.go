package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// errTooLarge is JetStream's error code for a message above the stream's limit.
const errTooLarge = 10054

// flight is what one acknowledgement stands for.
type flight struct {
	writes []*write
	batch  bool
	known  uint64 // the last sequence that was acknowledged when it began
	until  uint64 // tick after which it counts as lost
}

// send publishes writes as one flight.
func (c *committer) send(writes []*write) {
	c.last++
	token := strconv.FormatUint(c.last, 36)
	f := &flight{writes: writes, batch: len(writes) > 1, until: c.ticks + ackTicks, known: c.head.known(c.stream)}
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
		if err := c.head.acked(c.stream, f.known, first, a.Seq, f.writes[len(f.writes)-1].payload); err != nil {
			c.settle(f.writes, err)
			return
		}
		c.fate.ok(time.Now())
		for i, w := range f.writes {
			if w.seq = first + uint64(i); w.fact != nil {
				c.onFact(w.fact, w.seq)
			}
		}
		if c.onCommit != nil {
			c.onCommit(len(f.writes), time.Since(f.writes[0].queued))
		}
		c.settle(f.writes, nil)
	case a.Error.ErrCode == errFailed && strings.Contains(a.Error.Description, "per subject"):
		if f.batch {
			c.divide(ctx, f.writes)
		} else {
			c.settle(f.writes, errSecond)
		}
	case a.Error.ErrCode == errFailed:
		c.giveUp(f.writes, fmt.Errorf("writing a fact: %s: %w", a.Error.Description, consent.ErrUnavailable))
	case f.batch: // lost a part, too many at once, no room to stage it
		c.rest = c.ticks + batchRest
		c.again(f.writes)
	case a.Error.ErrCode == errTooLarge:
		c.settle(f.writes, fmt.Errorf("writing a fact of %d bytes: %s", len(f.writes[0].payload), a.Error.Description))
	default: // not now
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
// While nothing is acknowledged it ends them.
func (c *committer) expire() {
	c.mu.Lock()
	broken := c.broken
	if broken != nil {
		c.held, c.queue, c.later = append(append(c.held, c.queue...), c.later...), nil, nil
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
	c.fate.waiting(time.Now(), c.waited())
}

// waited is how long the write that has been under way for longest has been.
func (c *committer) waited() time.Duration {
	first := c.ticks
	for _, f := range c.flights {
		for _, w := range f.writes {
			first = min(first, w.since)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.queue {
		if w.since > 0 {
			first = min(first, w.since)
		}
	}
	return time.Duration(c.ticks-first) * commitTick
}

// fail ends what is under way soon, with err: nothing will be acknowledged.
func (c *committer) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = err
}

// giveUp ends writes that the store did not take.
func (c *committer) giveUp(writes []*write, err error) {
	if len(writes) > 0 {
		c.fate.gaveUp(time.Now(), err)
	}
	c.settle(writes, err)
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
	c.giveUp(over, fmt.Errorf("writing a fact: no acknowledgement: %w", consent.ErrUnavailable))
	c.mu.Lock()
	c.queue = append(rest, c.queue...)
	c.mu.Unlock()
}
