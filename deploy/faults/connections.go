package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"ringback/deploy/faults/flood"
	"ringback/deploy/faults/result"
	"ringback/deploy/faults/stage"
)

const (
	// floodFiles is how many files the service may have open under a flood.
	floodFiles = 1024
	// floodWithin is how long it takes all connections to come on a machine that has
	// time for them, and floodMost on others. The agent polls for floodAfter more.
	floodWithin = 6 * time.Second
	floodMost   = time.Minute
	floodAfter  = 3 * time.Second
	// floodHandles is how many requests the agent polls for in turn.
	floodHandles = 40
)

// connections lets so many connections come from eight addresses, half open, slow
// or unread, to a service that may have few files open. An agent at a ninth has
// every poll answered, over old connections and new, and operators get in.
func connections(ctx context.Context, d *driver, count int) ([]result.Row, error) {
	p, err := d.ringback(ctx, "ringback")
	if err != nil {
		return nil, err
	}
	s, err := d.stage("connections", stage.Config{Program: p, People: floodHandles, Files: floodFiles})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	work := context.WithoutCancel(ctx)
	if err := s.Start(work); err != nil {
		return nil, err
	}
	var handles []string
	for i := range floodHandles {
		id, handle, reply := s.Agent.Ask(work, stage.Person(i), time.Hour)
		if id == "" {
			return nil, fmt.Errorf("asking: %v", reply)
		}
		handles = append(handles, handle)
	}
	row := result.Row{Form: "half open, slow or unread, from eight addresses, 1,024 files"}
	crowd := flood.Begin(s.Listen, count, floodWithin, flood.Attacks)
	defer crowd.Stop()
	watching, done := context.WithCancel(work)
	defer done()
	go func() {
		for began := time.Now(); crowd.Came() < count*9/10 && time.Since(began) < floodMost; {
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(floodAfter)
		done()
	}()
	type looks struct {
		n, files int
		missed   []error
	}
	operators := make(chan looks)
	go func() {
		var l looks
		for ; watching.Err() == nil; l.n++ {
			if err := s.Ready(work); err != nil {
				l.missed = append(l.missed, err)
			}
			if files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.Process.PID())); err == nil {
				l.files = max(l.files, len(files))
			}
			time.Sleep(100 * time.Millisecond)
		}
		operators <- l
	}()
	polls := flood.Poll(watching, s.URL(), handles)
	l := <-operators
	for _, err := range append(polls.Missed, l.missed...) {
		row.Otherwise("%v", err)
	}
	metrics, err := s.Metrics(work)
	if err != nil {
		row.Otherwise("metrics: %v", err)
	}
	refused := int(metrics[`ringback_connections_refused_total{cause="displaced",listener="public"}`])
	row.Times, row.Acknowledged = int(crowd.Dialed.Load()), polls.Done
	if row.Times < count*8/10 || count > floodFiles*2 && refused < row.Times*4/5 {
		row.Otherwise("the crowd was too small to say anything: %d connections, of which %d made room", row.Times, refused)
	}
	if polls.Done < 50 || l.n < 20 || l.files > floodFiles {
		row.Otherwise("%d polls, %d looks by operators, %d files at most", polls.Done, l.n, l.files)
	}
	row.Measured("made room", "%d", refused)
	row.Measured("polls, all answered", "%d", polls.Done)
	row.Measured("the slowest", "%v", polls.Slowest.Round(time.Millisecond))
	row.Measured("files open at most", "%d", l.files)
	crowd.Stop()
	if err := s.Stop(); err != nil {
		row.Otherwise("%v", err)
	}
	return []result.Row{row}, nil
}
