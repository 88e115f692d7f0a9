package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"ringback/deploy/faults/agent"
	"ringback/deploy/faults/program"
	"ringback/deploy/faults/result"
	"ringback/deploy/faults/stage"
)

const (
	steadyLife   = 20 * time.Second // of requests, so that as many end as begin
	steadyPeople = 1000
	steadyWindow = 5 * time.Second
	// steadyWarm is left out at the beginning, and after the first ends.
	steadyWarm = 5 * time.Second

	// With as many ends as requests the rate is steadyRate of the one before at
	// least, p99 steadyLater times that before at most, and sealing is no more
	// than steadyLag behind.
	steadyRate  = 0.8
	steadyLater = 2
	steadyLag   = 2 * time.Second
)

// steady lets agents ask as fast as they are answered, for so many seconds, of a
// service on one core: over few connections and many, with and without messages.
func steady(ctx context.Context, d *driver, seconds int) (rows []result.Row, err error) {
	p, err := d.ringback(ctx, "ringback")
	if err != nil {
		return nil, err
	}
	for _, connections := range []int{32, 256} {
		for _, delivered := range []bool{false, true} {
			if ctx.Err() != nil {
				return rows, nil
			}
			row, err := d.steady(ctx, p, connections, delivered, time.Duration(seconds)*time.Second)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// steady is one such run.
func (d *driver) steady(ctx context.Context, p program.Program, connections int, delivered bool, long time.Duration) (row result.Row, err error) {
	row.Form = fmt.Sprintf("%d connections, no messages", connections)
	if delivered {
		row.Form = fmt.Sprintf("%d connections, with messages", connections)
	}
	s, err := d.stage("steady", stage.Config{Program: p, People: steadyPeople, Alone: !delivered, Counts: true, Core: true})
	if err != nil {
		return row, err
	}
	defer s.Close()
	work := context.WithoutCancel(ctx)
	if err := s.Start(work); err != nil {
		return row, err
	}
	c := newCrowd(s, connections, steadyPeople, steadyLife)
	began := time.Now()
	c.ask(0)
	var lag, behind float64
	for time.Since(began) < long && ctx.Err() == nil {
		wait(ctx, steadyWindow)
		c.window()
		if m, err := s.Metrics(work); err == nil {
			lag, behind = max(lag, m["ringback_sealing_lag_seconds"]), max(behind, m["ringback_ends_behind_seconds"])
		}
	}
	c.stop()
	before, after := c.between(began.Add(steadyWarm), began.Add(steadyLife)), c.between(began.Add(steadyLife+steadyWarm), time.Now())
	row.Times, row.Acknowledged = int(time.Since(began)/time.Second), c.total
	for _, refused := range c.refusals() {
		row.Otherwise("%s: %s", row.Form, refused)
	}
	if lag > steadyLag.Seconds() {
		row.Otherwise("%s: sealing is %.1f s behind", row.Form, lag)
	}
	if after.rate() > 0 && after.rate() < steadyRate*before.rate() {
		row.Otherwise("%s: %.0f requests/s with as many ends, and %.0f before", row.Form, after.rate(), before.rate())
	}
	if b, a := percentile(before.took, 99), percentile(after.took, 99); after.rate() > 0 && a > steadyLater*b {
		row.Otherwise("%s: p99 is %.0f ms with as many ends, and %.0f ms before", row.Form, ms(a), ms(b))
	}
	if before.rate() > 0 {
		row.Measured("requests/s before the first end", "%.0f", before.rate())
		row.Measured("p99", "%.0f ms", ms(percentile(before.took, 99)))
	}
	if after.rate() > 0 {
		row.Measured("requests/s with as many ends", "%.0f", after.rate())
		row.Measured("slowest 5 s", "%.0f/s", after.slowest)
		row.Measured("p99 then", "%.0f ms", ms(percentile(after.took, 99)))
	}
	row.Measured("sealing behind at most", "%.1f s", lag)
	row.Measured("ends behind at most", "%.1f s", behind)
	row.Measured("refused", "%d", len(c.refused))
	if delivered {
		row.Measured("messages", "%d", s.Provider.Counted())
	}
	return row, nil
}

// crowd asks as fast as it is answered.
type crowd struct {
	stage  *stage.Stage
	agent  *agent.Agent
	many   int
	people int
	life   time.Duration

	ctx  context.Context
	halt context.CancelFunc
	all  sync.WaitGroup

	mu      sync.Mutex
	next    int
	total   int            // that were acknowledged
	refused map[string]int // by answer
	now     window
	windows []window
}

// window is some seconds of a crowd.
type window struct {
	from, to time.Time
	took     []time.Duration // of requests that were acknowledged
	slowest  float64         // of several: the rate of the slowest
}

// rate is requests in a second.
func (w window) rate() float64 {
	if d := w.to.Sub(w.from); d > 0 {
		return float64(len(w.took)) / d.Seconds()
	}
	return 0
}

func newCrowd(s *stage.Stage, connections, people int, life time.Duration) *crowd {
	a := *s.Agent
	a.HTTP = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}}
	c := &crowd{stage: s, agent: &a, many: connections, people: people, life: life, refused: map[string]int{}, now: window{from: time.Now()}}
	c.ctx, c.halt = context.WithCancel(context.Background())
	return c
}

// ask lets the crowd ask until it is stopped, or has asked so often if that is not
// 0. Wait says when.
func (c *crowd) ask(most int) {
	for range c.many {
		c.all.Go(func() {
			for c.ctx.Err() == nil {
				n, ok := c.turn(most)
				if !ok {
					return
				}
				began := time.Now()
				id, _, reply := c.agent.Ask(context.Background(), stage.Person(n%c.people), c.life)
				c.note(id != "", reply, time.Since(began))
			}
		})
	}
}

// turn is the number of the next request.
func (c *crowd) turn(most int) (n int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if most > 0 && c.next >= most {
		return 0, false
	}
	c.next++
	return c.next, true
}

func (c *crowd) note(ok bool, reply agent.Reply, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !ok {
		c.refused[reply.String()]++
		return
	}
	c.total++
	c.now.took = append(c.now.took, took)
}

// window ends one.
func (c *crowd) window() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.to = time.Now()
	c.windows = append(c.windows, c.now)
	c.now = window{from: c.now.to}
}

// stop lets nobody begin, and returns when all have been answered.
func (c *crowd) stop() {
	c.halt()
	c.all.Wait()
}

// between puts together the windows that lie between two moments.
func (c *crowd) between(from, to time.Time) (all window) {
	for _, w := range c.windows {
		if w.from.Before(from) || w.to.After(to) {
			continue
		}
		if all.from.IsZero() {
			all.from, all.slowest = w.from, w.rate()
		}
		all.to, all.slowest = w.to, min(all.slowest, w.rate())
		all.took = append(all.took, w.took...)
	}
	return all
}

// refusals lists what was answered to those who were refused, in order.
func (c *crowd) refusals() (out []string) {
	for answer, n := range c.refused {
		out = append(out, fmt.Sprintf("%d requests were answered %s", n, answer))
	}
	return slices.Sorted(slices.Values(out))
}
