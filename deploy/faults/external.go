package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"ringback/channels/fakes"
	"ringback/deploy/faults/agent"
	"ringback/deploy/faults/check"
	"ringback/deploy/faults/journal"
	"ringback/deploy/faults/natsd"
	"ringback/deploy/faults/result"
	"ringback/deploy/faults/stage"
)

const (
	// longTrouble is how long a server is frozen or silent at most: longer than
	// anything in the service waits.
	longTrouble = 20 * time.Second
	// knownWithin is how long trouble may last before /readyz has to be red where
	// requests are refused.
	knownWithin = 5 * time.Second
	// backWithin is when requests are taken again after trouble is over.
	backWithin = 30 * time.Second
	// lookersMost is how many persons are asked beside the load of one trouble, to
	// see whether that is refused.
	lookersMost = 500
	// externalSettle is how long whatever is under way takes to its end.
	externalSettle = 20 * time.Second
)

// external lets trouble come between the service and a NATS server of its own,
// under load: one kind after the other, so many times in all.
func external(ctx context.Context, d *driver, count int) ([]result.Row, error) {
	p, err := d.ringback(ctx, "ringback")
	if err != nil {
		return nil, err
	}
	nats, err := d.nats(ctx, "external-nats")
	if err != nil {
		return nil, err
	}
	defer nats.Close()
	link, err := natsd.NewLink(nats.Addr())
	if err != nil {
		return nil, err
	}
	defer link.Close()
	s, err := d.stage("external", stage.Config{
		Program: p, People: count * (perLife + lookersMost), Escalate: escalation, Receipts: true, Sections: nats.Section(link.Addr),
	})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	work := context.WithoutCancel(ctx)
	if err := s.Start(work); err != nil {
		return nil, err
	}
	t := &troubles{Stage: s, nats: nats, link: link, rand: d.rand}
	t.asked.Store(int64(count * perLife))
	row := result.Row{Form: "trouble with a NATS server"}
	times := map[string]int{}
	for ; row.Times < count && ctx.Err() == nil; row.Times++ {
		kind := troubleKinds[row.Times%len(troubleKinds)]
		times[kind.name]++
		if err := t.one(work, row.Times, kind.name, kind.come); err != nil {
			return nil, err
		}
	}
	row.Broke(t.broken...)
	for _, kind := range troubleKinds {
		row.Measured(kind.name, "%d", times[kind.name])
	}
	row.Measured("SIGTERM took at most", "%v", t.slowest.Round(100*time.Millisecond))
	if err := s.Finish(work, check.Rules{Escalate: externalSettle}); err != nil {
		return nil, err
	}
	c, err := s.Case(work, check.Rules{Escalate: escalation, Slack: longTrouble + deliveredWithin, Limit: rules.Limit})
	if err != nil {
		return nil, err
	}
	row.Acknowledged = c.Acknowledged()
	row.Broke(c.Judge()...)
	return []result.Row{row}, nil
}

// troubles is a service beside a server.
type troubles struct {
	*stage.Stage
	nats  *natsd.Server
	link  *natsd.Link
	rand  *rand.Rand
	asked atomic.Int64 // the last person who was

	mu      sync.Mutex
	broken  []check.Violation
	slowest time.Duration // of ends
}

// troubleKinds are what can come, in turn.
var troubleKinds = []struct {
	name string
	come func(*troubles, context.Context) error
}{
	{"the server killed", func(t *troubles, ctx context.Context) error {
		t.nats.Process.Kill()
		t.rest(2 * time.Second)
		return t.nats.Start(ctx)
	}},
	{"the service killed", func(t *troubles, ctx context.Context) error {
		t.Process.Kill()
		return t.Start(ctx)
	}},
	{"the server frozen", func(t *troubles, _ context.Context) error {
		if err := t.nats.Freeze(); err != nil {
			return err
		}
		time.Sleep(longTrouble)
		return t.nats.Thaw()
	}},
	{"connections cut", func(t *troubles, _ context.Context) error { t.link.Cut(); return nil }},
	{"silence", func(t *troubles, _ context.Context) error {
		t.link.Silence()
		time.Sleep(longTrouble)
		t.link.Speak()
		return nil
	}},
	{"the server restarted", func(t *troubles, ctx context.Context) error {
		if err := t.nats.Stop(); err != nil {
			return err
		}
		t.rest(2 * time.Second)
		return t.nats.Start(ctx)
	}},
	{"SIGTERM beside a frozen server and a provider that hangs", func(t *troubles, ctx context.Context) error {
		t.Provider.Plan(fakes.Step{Failure: fakes.Hang})
		defer t.Provider.Plan(fakes.Step{})
		t.rest(time.Second)
		if err := t.nats.Freeze(); err != nil {
			return err
		}
		t.rest(time.Second)
		_, took, err := t.Process.Stop(2 * stage.Grace)
		t.slowest = max(t.slowest, took)
		if err != nil || took > stage.Grace+time.Second {
			t.broke("the service took %v to end beside a frozen server", took.Round(100*time.Millisecond))
		}
		if err := t.nats.Thaw(); err != nil {
			return err
		}
		return t.Start(ctx)
	}},
}

// rest waits a random time.
func (t *troubles) rest(most time.Duration) { time.Sleep(time.Duration(t.rand.Int64N(int64(most)))) }

func (t *troubles) broke(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken = append(t.broken, check.Violation{Kind: check.Other, What: fmt.Sprintf(format, args...)})
}

// one lets trouble come under load. Whoever is refused meanwhile looks at
// /readyz; afterwards requests are taken again.
func (t *troubles) one(ctx context.Context, n int, name string, come func(*troubles, context.Context) error) error {
	stop := t.Load(ctx, n*perLife, perLife, atOnce)
	t.rest(400 * time.Millisecond)
	var since atomic.Int64 // when trouble began; 0: there is none
	asking, enough := context.WithCancel(ctx)
	var asked sync.WaitGroup
	for range 4 {
		asked.Go(func() { t.look(asking, name, &since) })
	}
	since.Store(time.Now().UnixNano())
	err := come(t, ctx)
	since.Store(0)
	enough()
	stop()
	asked.Wait()
	if err != nil {
		return err
	}
	for over := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		asking, cancel := context.WithTimeout(ctx, backWithin)
		id, reply := t.ask(asking)
		cancel()
		switch {
		case id != "" && t.Ready(ctx) == nil:
			return nil
		case time.Since(over) > backWithin:
			t.broke("%v after %s: requests are answered %v, and /readyz says %v", backWithin, name, reply, t.Ready(ctx))
			return nil
		case !t.Running():
			return errors.New("the service ended by itself: " + t.Process.Output())
		}
	}
}

// ask asks somebody who was not asked yet.
func (t *troubles) ask(ctx context.Context) (journal.ID, agent.Reply) {
	id, _, reply := t.Agent.Ask(ctx, stage.Person(int(t.asked.Add(1))), time.Minute)
	return id, reply
}

// look asks, and where that is refused looks at /readyz.
func (t *troubles) look(ctx context.Context, name string, since *atomic.Int64) {
	for ctx.Err() == nil {
		if id, reply := t.ask(ctx); id == "" && reply.Status == http.StatusServiceUnavailable {
			began := since.Load()
			err := t.Ready(ctx)
			if lasted := time.Since(time.Unix(0, began)); err == nil && began != 0 && began == since.Load() && lasted > knownWithin {
				t.broke("%v into %s a request is refused, and /readyz is green", lasted.Round(100*time.Millisecond), name)
			}
		}
		wait(ctx, 200*time.Millisecond)
	}
}
