package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ringback/deploy/faults/check"
	"ringback/deploy/faults/journal"
	"ringback/deploy/faults/program"
	"ringback/deploy/faults/provider"
	"ringback/deploy/faults/result"
	"ringback/deploy/faults/stage"
)

const (
	// perLife is how many persons are asked between two kills: each once, so
	// that no prompt waits for another.
	perLife = 96
	// atOnce is how many of them at a time.
	atOnce = 16
	// escalation is short, so that what a kill cut off is seen to go on.
	escalation = 3 * time.Second
)

// rules are what is promised where the service is killed again and again.
var rules = check.Rules{Escalate: escalation, Slack: 8 * time.Second, Limit: 3}

// kill kills the service at random moments under load.
func kill(ctx context.Context, d *driver, count int) ([]result.Row, error) {
	p, err := d.ringback(ctx, "ringback")
	if err != nil {
		return nil, err
	}
	return d.killed(ctx, p, "", count)
}

// killed is kill of a program, with its data in a directory.
func (d *driver) killed(ctx context.Context, p program.Program, data string, count int) ([]result.Row, error) {
	s, err := d.stage("kill", stage.Config{Program: p, Data: data, People: count * perLife, Escalate: escalation, Receipts: true})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	n, refused, err := d.lives(ctx, s, count, func() error { s.Process.Kill(); return nil })
	if err != nil {
		return nil, err
	}
	return judged(ctx, s, "SIGKILL under load", n, refused...)
}

// lives lets the service start and end so many times under load. Where it does
// not start again what broke says so.
func (d *driver) lives(ctx context.Context, s *stage.Stage, count int, end func() error) (n int, broken []check.Violation, err error) {
	work := context.WithoutCancel(ctx)
	for ; n < count && ctx.Err() == nil; n++ {
		if err := s.Start(work); errors.Is(err, program.ErrEnded) {
			return n, []check.Violation{{Kind: check.Lost, What: err.Error()}}, nil
		} else if err != nil {
			return n, nil, err
		}
		stop := s.Load(work, n*perLife, perLife, atOnce)
		time.Sleep(20*time.Millisecond + d.upTo(600*time.Millisecond))
		err := end()
		stop()
		if err != nil {
			return n, nil, err
		}
	}
	return n, nil, nil
}

// stop asks the service to end under load. Nothing is cut off then: every
// message that was begun has its outcome.
func stop(ctx context.Context, d *driver, count int) ([]result.Row, error) {
	p, err := d.ringback(ctx, "ringback")
	if err != nil {
		return nil, err
	}
	s, err := d.stage("stop", stage.Config{Program: p, People: count * perLife, Escalate: escalation, Receipts: true})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var late []check.Violation
	n, refused, err := d.lives(ctx, s, count, func() error {
		if err := s.Stop(); err != nil {
			late = append(late, check.Violation{Kind: check.Other, What: err.Error()})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	rows, err := judged(ctx, s, "SIGTERM under load", n, append(refused, late...)...)
	if err != nil {
		return nil, err
	}
	finals, err := s.Finals(context.WithoutCancel(ctx))
	for id, f := range finals {
		for _, a := range f.Deliveries {
			if a.Outcome == "" {
				rows[0].Broke(check.Violation{Kind: check.Dropped, What: fmt.Sprintf("%s: attempt %d was cut off", id, a.N)})
			}
		}
	}
	return rows, err
}

// webhook kills the service while answers of persons are on their way: sent, and
// not answered.
func webhook(ctx context.Context, d *driver, count int) ([]result.Row, error) {
	p, err := d.ringback(ctx, "ringback")
	if err != nil {
		return nil, err
	}
	return d.webhooks(ctx, p, count)
}

// answersAtOnce is how many persons answer when the service is killed.
const answersAtOnce = 6

// webhooks is webhook of a program.
func (d *driver) webhooks(ctx context.Context, p program.Program, count int) ([]result.Row, error) {
	most := 2 * count // a kill that comes too late does not count
	s, err := d.stage("webhook", stage.Config{Program: p, People: most * answersAtOnce, Escalate: escalation, Receipts: true})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	work := context.WithoutCancel(ctx)
	n := 0
	for life := 0; life < most && n < count && ctx.Err() == nil; life++ {
		if err := s.Start(work); errors.Is(err, program.ErrEnded) {
			break // judged says so
		} else if err != nil {
			return nil, err
		}
		asked, cancel := context.WithTimeout(work, 10*time.Second)
		first := d.answerAll(asked, s, life*answersAtOnce)
		cancel()
		// Either at some moment, or when the first of them is answered.
		if patience := d.upTo(12 * time.Millisecond); d.rand.IntN(3) > 0 {
			time.Sleep(patience)
		} else {
			<-first
		}
		if s.Provider.Open() > 0 {
			n++
		}
		s.Process.Kill()
	}
	return judged(ctx, s, "SIGKILL between a webhook's receipt and its answer", n)
}

// answerAll has persons asked, and answer at the same time; the first answer to
// any of them ends first.
func (d *driver) answerAll(ctx context.Context, s *stage.Stage, from int) (first <-chan struct{}) {
	var messages []journal.Message
	for i := range answersAtOnce {
		if id, _, _ := s.Agent.Ask(ctx, stage.Person(from+i), time.Hour); id != "" {
			messages = append(messages, journal.Message{ID: id})
		}
	}
	for i := range messages {
		messages[i], _ = s.Provider.Message(ctx, provider.Number(from+i), journal.Message{})
	}
	answered := make(chan struct{}, len(messages)+1)
	for i, m := range messages {
		verb := journal.Approved
		if i%3 == 2 {
			verb = journal.Denied
		}
		if m.Code == "" {
			continue
		}
		_, done := s.Provider.Answer(m, verb)
		go func() { <-done; answered <- struct{}{} }()
	}
	if len(messages) == 0 {
		answered <- struct{}{}
	}
	return answered
}

// judged is the row of a stage where a fault was at work so many times, with
// what is known to have broken.
func judged(ctx context.Context, s *stage.Stage, form string, times int, broken ...check.Violation) ([]result.Row, error) {
	row := result.Row{Form: form, Times: times}
	row.Broke(broken...)
	err := judge(context.WithoutCancel(ctx), s, check.Rules{Escalate: s.Escalate, Slack: rules.Slack, Limit: rules.Limit}, &row)
	return []result.Row{row}, err
}

// judge adds to a row what a checker says of everything that was seen. Where the
// service does not start any more everything is lost: nobody can have it.
func judge(ctx context.Context, s *stage.Stage, by check.Rules, row *result.Row) error {
	c, broken, err := s.Judge(ctx, by)
	if errors.Is(err, program.ErrEnded) {
		row.Broke(check.Violation{Kind: check.Lost, What: err.Error()})
		return nil
	}
	if err != nil {
		return err
	}
	row.Acknowledged += c.Acknowledged()
	row.Broke(broken...)
	return nil
}
