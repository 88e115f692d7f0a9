package main

import (
	"context"
	"fmt"
	"time"

	"ringback/deploy/faults/result"
	"ringback/deploy/faults/stage"
)

const (
	fillConnections = 64
	// trickle is how often somebody asks while as many end.
	trickle = 50 * time.Millisecond
	// millionLife is the lifetime of a million requests: of fewer, less.
	millionLife = 20 * time.Minute
	leastLife   = 20 * time.Second
	// millionBreak is how much slower than the average is a break.
	millionBreak = 5
	// longestEnding bounds the wait for the end of everything, from its time.
	longestEnding = 10 * time.Minute
)

// million opens so many requests without a break, on one core, and lets all of
// them end. Somebody asks all the while.
func million(ctx context.Context, d *driver, count int) ([]result.Row, error) {
	p, err := d.ringback(ctx, "ringback")
	if err != nil {
		return nil, err
	}
	s, err := d.stage("million", stage.Config{Program: p, People: steadyPeople, Alone: true, Counts: true, Core: true})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	work := context.WithoutCancel(ctx)
	if err := s.Start(work); err != nil {
		return nil, err
	}
	life := max(leastLife, millionLife*time.Duration(count)/1_000_000).Round(time.Second)
	row := result.Row{Form: "open at a time, for " + short(life)}
	c := newCrowd(s, fillConnections, steadyPeople, life)
	began := time.Now()
	filled := make(chan struct{})
	go func() { c.ask(count); c.all.Wait(); close(filled) }()
	watch := watched{stage: s}
	for full := false; !full && ctx.Err() == nil; {
		select {
		case <-filled:
			full = true
		case <-time.After(steadyWindow):
		}
		c.window()
		watch.look(work)
	}
	fill := c.between(began, time.Now())
	if fill.slowest < fill.rate()/millionBreak {
		row.Otherwise("filling stood: %.0f/s on average, and %.0f/s in the slowest %v", fill.rate(), fill.slowest, steadyWindow)
	}
	row.Measured("filled at", "%.0f/s", fill.rate())
	row.Measured("slowest 5 s", "%.0f/s", fill.slowest)
	row.Measured("p99", "%.0f ms", ms(percentile(fill.took, 99)))

	calm := newCrowd(s, 8, steadyPeople, life)
	tick := time.NewTicker(trickle)
	defer tick.Stop()
	looked := time.Now()
	ended := 0
	for ended < c.total && time.Since(began) < life+time.Since(looked)+longestEnding && ctx.Err() == nil {
		<-tick.C
		calm.all.Go(func() {
			at := time.Now()
			id, _, reply := calm.agent.Ask(work, stage.Person(0), millionLife)
			calm.note(id != "", reply, time.Since(at))
		})
		if time.Since(looked) >= steadyWindow {
			looked = time.Now()
			ended = watch.look(work)
		}
	}
	calm.all.Wait()
	calm.window()
	row.Times, row.Acknowledged = c.total, c.total+calm.total
	for _, refused := range append(c.refusals(), calm.refusals()...) {
		row.Otherwise("%s", refused)
	}
	if ended < c.total {
		row.Otherwise("%d of %d requests have not ended %v after they were asked", c.total-ended, c.total, time.Since(began).Round(time.Second))
	}
	row.Measured("p99 of others while they end", "%.0f ms", ms(percentile(calm.windows[0].took, 99)))
	row.Measured("ends behind at most", "%.1f s", watch.behind)
	row.Measured("sealing behind at most", "%.1f s", watch.lag)
	row.Measured("resident at most", "%.0f MB", watch.resident/1e6)
	return []result.Row{row}, nil
}

// watched is the worst that was seen of a service's metrics.
type watched struct {
	stage                 *stage.Stage
	lag, behind, resident float64
}

// look looks, and returns how many requests have expired.
func (w *watched) look(ctx context.Context) int {
	m, err := w.stage.Metrics(ctx)
	if err != nil {
		return 0
	}
	w.lag, w.behind = max(w.lag, m["ringback_sealing_lag_seconds"]), max(w.behind, m["ringback_ends_behind_seconds"])
	w.resident = max(w.resident, m["process_resident_memory_bytes"])
	return int(m[`ringback_requests_total{state="expired"}`])
}

const (
	idlePerPerson = 50
	idleLife      = time.Hour
	idleSettled   = 15 * time.Second // after the last request
	idleWatched   = time.Minute
	idleMost      = 0.05 // cores
)

// idle opens so many requests, many to a person, and looks what the process takes
// while nothing happens.
func idle(ctx context.Context, d *driver, count int) ([]result.Row, error) {
	p, err := d.ringback(ctx, "ringback")
	if err != nil {
		return nil, err
	}
	people := max(count/idlePerPerson, 1)
	s, err := d.stage("idle", stage.Config{Program: p, People: people, Alone: true, Counts: true})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	work := context.WithoutCancel(ctx)
	if err := s.Start(work); err != nil {
		return nil, err
	}
	c := newCrowd(s, fillConnections, people, idleLife)
	c.ask(count)
	c.all.Wait()
	wait(ctx, idleSettled)
	before, began := s.Process.CPU(), time.Now()
	wait(ctx, idleWatched)
	cores := (s.Process.CPU() - before).Seconds() / time.Since(began).Seconds()
	watch := watched{stage: s}
	watch.look(work)
	row := result.Row{Form: fmt.Sprintf("open at a time, %d to a person", idlePerPerson), Times: c.total, Acknowledged: c.total}
	for _, refused := range c.refusals() {
		row.Otherwise("%s", refused)
	}
	if cores > idleMost {
		row.Otherwise("the idle process takes %.3f cores", cores)
	}
	row.Measured("cores", "%.3f", cores)
	row.Measured("resident", "%.0f MB", watch.resident/1e6)
	return []result.Row{row}, nil
}
