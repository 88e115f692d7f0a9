package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ringback/channels/fakes"
	"ringback/deploy/faults/check"
	"ringback/deploy/faults/journal"
	"ringback/deploy/faults/program"
	"ringback/deploy/faults/result"
	"ringback/deploy/faults/stage"
)

const (
	// askEvery is how often somebody asks, before, in and after an outage.
	askEvery = 125 * time.Millisecond
	// outageAround is for how long before and after it.
	outageAround = 2 * time.Second
	// deliveredWithin is when every request that still lives was delivered, after
	// the end of an outage.
	deliveredWithin = time.Minute
)

// lengths of outages. The first of them are the short form.
var lengths = []time.Duration{time.Second, 15 * time.Second, time.Minute, 10 * time.Minute}

// outages are the ways in which a provider does not work.
var outages = []struct {
	name       string
	begin, end func(*stage.Stage) error
}{
	{"429", failing(fakes.TooMany), failing(fakes.None)},
	{"503", failing(fakes.Unavailable), failing(fakes.None)},
	{"502 of a proxy", failing(fakes.BadGateway), failing(fakes.None)},
	{"connection refused", func(s *stage.Stage) error { s.Provider.Down(); return nil }, func(s *stage.Stage) error { return s.Provider.Up() }},
	{"no answer", failing(fakes.Hang), failing(fakes.None)},
}

func failing(how fakes.Failure) func(*stage.Stage) error {
	return func(s *stage.Stage) error { s.Provider.Plan(fakes.Step{Failure: how}); return nil }
}

// outage lets the provider fail for as long as the first lengths say, in every
// way, all at the same time, each with a service of its own.
func outage(ctx context.Context, d *driver, count int) ([]result.Row, error) {
	p, err := d.ringback(ctx, "ringback")
	if err != nil {
		return nil, err
	}
	chosen := lengths[:min(count, len(lengths))]
	rows := make([]result.Row, len(chosen)*len(outages))
	failed := make([]error, len(rows))
	var all sync.WaitGroup
	for i := range rows {
		long, how := chosen[i/len(outages)], outages[i%len(outages)]
		rows[i].Form = how.name + " for " + short(long)
		all.Go(func() { failed[i] = d.outage(ctx, p, &rows[i], long, how.begin, how.end) })
	}
	all.Wait()
	return rows, errors.Join(failed...)
}

// outage is one outage.
func (d *driver) outage(ctx context.Context, p program.Program, row *result.Row, long time.Duration, begin, end func(*stage.Stage) error) error {
	people := int((long+2*outageAround)/askEvery) + 1
	s, err := d.stage("outage "+row.Form, stage.Config{Program: p, People: people, Receipts: true})
	if err != nil {
		return err
	}
	defer s.Close()
	work := context.WithoutCancel(ctx)
	if err := s.Start(work); err != nil {
		return err
	}
	asking, stopAsking := context.WithCancel(work)
	defer stopAsking()
	var asked sync.WaitGroup
	asked.Go(func() {
		tick := time.NewTicker(askEvery)
		defer tick.Stop()
		for n := 0; n < people; n++ {
			select {
			case <-tick.C:
			case <-asking.Done():
				return
			}
			asked.Go(func() { s.Agent.Ask(work, stage.Person(n), time.Hour) })
		}
	})
	wait(ctx, outageAround)
	if err := begin(s); err != nil {
		return err
	}
	wait(ctx, long)
	if err := end(s); err != nil {
		return err
	}
	over := time.Now()
	wait(ctx, outageAround)
	stopAsking()
	asked.Wait()

	row.Times = 1
	var late map[journal.ID]bool
	var last time.Duration
	for ; ; time.Sleep(50 * time.Millisecond) {
		late, last = undelivered(s.Journal.Book(), over)
		if len(late) == 0 || time.Since(over) > deliveredWithin {
			break
		}
	}
	for id := range late {
		row.Broke(check.Violation{Kind: check.Undelivered, What: fmt.Sprintf("%s: not %v after the outage", id, deliveredWithin)})
	}
	row.Measured("requests", "%d", len(s.Journal.Book().Asked))
	row.Measured("the last delivered, after the end", "%v", last.Round(10*time.Millisecond))
	settled, cancel := context.WithTimeout(work, 10*time.Second)
	defer cancel()
	s.Provider.Settle(settled)
	c, err := s.Case(work, check.Rules{})
	if err != nil {
		return err
	}
	row.Acknowledged = c.Acknowledged()
	row.Broke(c.Judge()...)
	row.Broke(carriedTwice(c.Seen)...)
	if err := s.Stop(); err != nil {
		row.Otherwise("%v", err)
	}
	return nil
}

// undelivered lists the requests whose message the provider has not carried, and
// says how long after a time the last of the others was.
func undelivered(b journal.Book, over time.Time) (late map[journal.ID]bool, last time.Duration) {
	late = map[journal.ID]bool{}
	for id := range b.Asked {
		late[id] = true
	}
	for _, m := range b.Messages {
		if m.Carried {
			delete(late, m.ID)
			last = max(last, m.At.Sub(over))
		}
	}
	return late, last
}

// carriedTwice: nobody gets a second message while the first can be answered.
func carriedTwice(b journal.Book) (broken []check.Violation) {
	carried := map[journal.ID]int{}
	for _, m := range b.Messages {
		if m.Carried {
			carried[m.ID]++
		}
	}
	for id, n := range carried {
		if n > 1 {
			broken = append(broken, check.Violation{Kind: check.Doubled, What: fmt.Sprintf("%s: %d messages were carried", id, n)})
		}
	}
	return broken
}

// wait waits, or returns early when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// short writes a time without its zeros.
func short(d time.Duration) string {
	switch {
	case d%time.Minute == 0:
		return fmt.Sprintf("%d min", d/time.Minute)
	default:
		return fmt.Sprintf("%g s", d.Seconds())
	}
}
