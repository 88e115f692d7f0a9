package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ringback/channels/fakes"
	"ringback/deploy/faults/check"
	"ringback/deploy/faults/journal"
	"ringback/deploy/faults/program"
	"ringback/deploy/faults/provider"
	"ringback/deploy/faults/result"
	"ringback/deploy/faults/stage"
)

const (
	// clockLife is how long requests live that have to outlive a step of a day.
	clockLife = 47 * time.Hour
	// stepAsks is how many are asked right after a step.
	stepAsks = 20
	// askedWithin is when those are delivered.
	askedWithin = 2 * time.Second
	// goesOnWithin is when everything goes on that waited. The longest wait is
	// for a person's other prompt, which is one for a minute at most.
	goesOnWithin = 65 * time.Second
)

// stepsOf the clock: there and back.
var stepsOf = []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour}

// clock sets the clock of the service while requests wait in every way in which
// they can; there and back, by much and little at the same time.
func clock(ctx context.Context, d *driver, count int) (rows []result.Row, err error) {
	p, err := d.ringback(ctx, "stepped", program.Stepped()...)
	if err != nil {
		return nil, err
	}
	rows = make([]result.Row, min(count, len(stepsOf)))
	failed := make([]error, len(rows))
	var all sync.WaitGroup
	for i := range rows {
		times := (count + len(stepsOf) - 1 - i) / len(stepsOf)
		all.Go(func() { rows[i], failed[i] = d.clock(ctx, p, stepsOf[i], times) })
	}
	all.Wait()
	return rows, errors.Join(failed...)
}

// clock sets the clock so many times, each time for a service of its own: a clock
// that was set there and back has been set twice.
func (d *driver) clock(ctx context.Context, p program.Program, by time.Duration, times int) (result.Row, error) {
	row := result.Row{Form: "the clock is set by " + signed(by)}
	var slowest, longest time.Duration
	for ; row.Times < times && ctx.Err() == nil; row.Times++ {
		s, err := d.stepping(ctx, p, by)
		if err != nil {
			return row, err
		}
		err = s.run(context.WithoutCancel(ctx), &row)
		s.Close()
		if err != nil {
			return row, err
		}
		slowest, longest = max(slowest, s.slowest), max(longest, s.longest)
	}
	row.Measured("asked after it: the last was delivered after", "%v", slowest.Round(time.Millisecond))
	row.Measured("waited before it: the last went on after", "%v", longest.Round(time.Millisecond))
	return row, nil
}

// signed writes a step with its sign.
func signed(by time.Duration) string {
	return fmt.Sprintf("%+d h", by/time.Hour)
}

// stepping is a service whose clock is set while things wait.
type stepping struct {
	*stage.Stage
	clock *program.Clock
	by    time.Duration

	person  int           // who was asked last
	waits   []waiting     // what waits for something
	slowest time.Duration // from asking after the step to the provider
	longest time.Duration // from the step until something that waited went on
}

// waiting is something that has to go on after the step.
type waiting struct {
	what string
	done func(context.Context) bool // returns when it has, or ctx ends
}

func (d *driver) stepping(ctx context.Context, p program.Program, by time.Duration) (*stepping, error) {
	name := "clock" + signed(by)
	dir, err := d.room(name + "-file")
	if err != nil {
		return nil, err
	}
	c, err := program.NewClock(filepath.Join(dir, "clock"))
	if err != nil {
		return nil, err
	}
	s, err := d.stage(name, stage.Config{
		Program: p, People: 200, Receipts: true, Env: []string{c.Env()},
		Policy: map[string]string{"limits": "off", "dedupe": "false", "lifetime": "{max: 48h}"},
	})
	if err != nil {
		return nil, err
	}
	return &stepping{Stage: s, clock: c, by: by}, s.Start(ctx)
}

// next is a person who was not asked yet.
func (s *stepping) next() int { s.person++; return s.person }

// run lets things wait, sets the clock, and looks how they go on.
func (s *stepping) run(ctx context.Context, row *result.Row) error {
	for _, begin := range []func(context.Context) error{s.line, s.unattended, s.unanswered, s.held, s.pinged, s.refused} {
		if err := begin(ctx); err != nil {
			return err
		}
	}
	s.clock.Step(s.by)
	at := time.Now()
	s.Provider.Plan(fakes.Step{})

	var all sync.WaitGroup
	var mu sync.Mutex
	broke := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		row.Broke(check.Violation{Kind: check.Undelivered, What: signed(s.by) + ": " + fmt.Sprintf(format, args...)})
	}
	from := s.person + 1
	s.person += stepAsks
	for i := range stepAsks {
		all.Go(func() {
			person, asked := from+i, time.Now()
			if id, _, reply := s.Agent.Ask(ctx, stage.Person(person), clockLife); id == "" {
				broke("a request right after it is answered %v", reply)
				return
			}
			waiting, cancel := context.WithTimeout(ctx, goesOnWithin)
			defer cancel()
			_, ok := s.Provider.Message(waiting, provider.Number(person), journal.Message{})
			took := time.Since(asked)
			if !ok || took > askedWithin {
				broke("a request right after it was delivered after %v (%v)", took, ok)
			}
			mu.Lock()
			defer mu.Unlock()
			s.slowest = max(s.slowest, took)
		})
	}
	for _, w := range s.waits {
		all.Go(func() {
			waiting, cancel := context.WithTimeout(ctx, goesOnWithin)
			defer cancel()
			ok := w.done(waiting)
			took := time.Since(at)
			if !ok {
				broke("%s: %v after it that has not gone on", w.what, took)
			}
			mu.Lock()
			defer mu.Unlock()
			s.longest = max(s.longest, took)
		})
	}
	all.Wait()
	settling, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s.Provider.Settle(settling)
	c, err := s.Case(ctx, check.Rules{})
	if err != nil {
		return err
	}
	row.Acknowledged += c.Acknowledged()
	row.Broke(c.Judge()...)
	if err := s.Stop(); err != nil {
		row.Otherwise("%v", err)
	}
	return nil
}

func (s *stepping) Close() {
	s.Stage.Close()
	s.clock.Close()
}

// asked asks a person and waits for the message.
func (s *stepping) asked(ctx context.Context, person int) (handle string, m journal.Message, err error) {
	id, handle, reply := s.Agent.Ask(ctx, stage.Person(person), clockLife)
	if id == "" {
		return "", m, fmt.Errorf("asking: %v", reply)
	}
	waiting, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	m, ok := s.Provider.Message(waiting, provider.Number(person), journal.Message{})
	if !ok {
		err = errors.New("asking: no message comes")
	}
	return handle, m, err
}

// answer answers, with the code of the newest message if that has died, until the
// answer counts. It returns the message that was answered then.
func (s *stepping) answer(ctx context.Context, m journal.Message, verb string) (answered journal.Message, ok bool) {
	for {
		a, done := s.Provider.Answer(m, verb)
		select {
		case <-done:
		case <-ctx.Done():
			return m, false
		}
		said, _ := a.Taken()
		if said.Said != "" && !slices.ContainsFunc([]string{"That code", "No request"}, func(no string) bool { return strings.HasPrefix(said.Said, no) }) {
			return m, true
		}
		if m, ok = s.Provider.Message(ctx, m.To, m); !ok {
			return m, false
		}
	}
}

// another waits for a message to the same number about another request.
func (s *stepping) another(ctx context.Context, m journal.Message) (next journal.Message, ok bool) {
	for next = m; next.ID == m.ID; {
		if next, ok = s.Provider.Message(ctx, m.To, next); !ok {
			return next, false
		}
	}
	return next, true
}

// line: a person with a prompt, and three requests behind it. Each comes when the
// one before was answered.
func (s *stepping) line(ctx context.Context) error {
	person := s.next()
	_, first, err := s.asked(ctx, person)
	if err != nil {
		return err
	}
	for range 3 {
		if id, _, reply := s.Agent.Ask(ctx, stage.Person(person), clockLife); id == "" {
			return fmt.Errorf("asking: %v", reply)
		}
	}
	s.waits = append(s.waits, waiting{"a person's other prompts", func(ctx context.Context) bool {
		m, ok := first, true
		for range 3 {
			if m, ok = s.answer(ctx, m, journal.Denied); !ok {
				return false
			}
			if m, ok = s.another(ctx, m); !ok {
				return false
			}
		}
		_, ok = s.answer(ctx, m, journal.Denied)
		return ok
	}})
	return nil
}

// unattended: a person who answers nothing. The next prompt comes by itself.
func (s *stepping) unattended(ctx context.Context) error {
	person := s.next()
	_, first, err := s.asked(ctx, person)
	if err != nil {
		return err
	}
	if id, _, reply := s.Agent.Ask(ctx, stage.Person(person), clockLife); id == "" {
		return fmt.Errorf("asking: %v", reply)
	}
	s.waits = append(s.waits, waiting{"the next prompt of somebody who answers nothing", func(ctx context.Context) bool {
		_, ok := s.another(ctx, first)
		return ok
	}})
	return nil
}

// unanswered: delivered before, answered after.
func (s *stepping) unanswered(ctx context.Context) error {
	for i := range 4 {
		_, m, err := s.asked(ctx, s.next())
		if err != nil {
			return err
		}
		verb := []string{journal.Approved, journal.Denied}[i%2]
		s.waits = append(s.waits, waiting{"an answer", func(ctx context.Context) bool {
			_, ok := s.answer(ctx, m, verb)
			return ok
		}})
	}
	return nil
}

// held: an agent whose poll is held, and is answered when the person answers.
func (s *stepping) held(ctx context.Context) error {
	handle, m, err := s.asked(ctx, s.next())
	if err != nil {
		return err
	}
	polled := make(chan bool, 1)
	go func() {
		r := s.Agent.Poll(ctx, handle, 25)
		for r.Pending() && ctx.Err() == nil { // the code had died, and the new one took its time
			r = s.Agent.Poll(ctx, handle, 25)
		}
		polled <- r.Text("access_token") != ""
	}()
	s.waits = append(s.waits, waiting{"a held poll", func(ctx context.Context) bool {
		if _, ok := s.answer(ctx, m, journal.Approved); !ok {
			return false
		}
		select {
		case ok := <-polled:
			return ok
		case <-ctx.Done():
			return false
		}
	}})
	return nil
}

// pinged: a client that is to be pinged in a second.
func (s *stepping) pinged(ctx context.Context) error {
	person := s.next()
	id, _, reply := s.Pinged.Ask(ctx, stage.Person(person), clockLife)
	if id == "" {
		return fmt.Errorf("asking: %v", reply)
	}
	soon, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	m, ok := s.Provider.Message(soon, provider.Number(person), journal.Message{})
	if ok {
		_, ok = s.answer(soon, m, journal.Denied)
	}
	if !ok {
		return errors.New("answering: the answer is not taken")
	}
	s.waits = append(s.waits, waiting{"a ping", func(ctx context.Context) bool {
		select {
		case <-s.Endpoint.Came(id):
			return true
		case <-ctx.Done():
			return false
		}
	}})
	return nil
}

// refused: requests that the provider has refused, which works again after the
// step.
func (s *stepping) refused(ctx context.Context) error {
	s.Provider.Plan(fakes.Step{Failure: fakes.TooMany})
	for range 3 {
		person := s.next()
		if id, _, reply := s.Agent.Ask(ctx, stage.Person(person), clockLife); id == "" {
			return fmt.Errorf("asking: %v", reply)
		}
		s.waits = append(s.waits, waiting{"a refused message", func(ctx context.Context) bool {
			_, ok := s.Provider.Message(ctx, provider.Number(person), journal.Message{})
			return ok
		}})
	}
	time.Sleep(300 * time.Millisecond) // they are tried, and wait to be again
	return nil
}
