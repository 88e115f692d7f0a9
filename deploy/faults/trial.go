package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"ringback/deploy/faults/check"
	"ringback/deploy/faults/journal"
	"ringback/deploy/faults/program"
	"ringback/deploy/faults/result"
)

const (
	// standsWithin is when it is clear after a start whether a service serves.
	standsWithin = 30 * time.Second
	// noticedWithin is when a service that runs has noticed what was taken from
	// it, after its server is back.
	noticedWithin = 20 * time.Second
)

// What a service may come to that was started.
const (
	green  = "green"  // it says that it serves
	ended  = "ended"  // by itself
	red    = "red"    // it runs and says that something is lost
	unsure = "unsure" // it runs, and says neither
)

// lossNamed is how a refusal names what is lost: the range of a stream, or all of it.
var lossNamed = regexp.MustCompile(`acknowledged facts are lost: (all|the server|[A-Za-z_]+)( \d+( to \d+)?)?: |incomplete: missing [A-Za-z_]+`)

// trial is one damage, and what comes of it.
func (h *history) trial(ctx context.Context, row *result.Row, w way) error {
	c := pick(h.rand, h.killed, h.stopped)
	if err := h.restore(c); err != nil {
		return err
	}
	v := &victim{data: h.DataDir(), earlier: filepath.Join(h.earlier.dir, "data"), witness: h.witness != "", rand: h.rand}
	if h.nats != nil {
		v.data, v.earlier, v.outside = h.nats.Data(), filepath.Join(h.earlier.dir, "nats"), true
	}
	defer h.halt()
	if w.aged {
		of, env := h.Program, h.Env
		h.Program, h.Env = *h.stepped, []string{h.clock.Env()}
		defer func() { h.Program, h.Env = of, env }()
	}
	t := &trial{history: h, row: row, way: w, scene: c, victim: v}
	row.Times++
	row.Acknowledged += (&check.Case{Seen: c.book}).Acknowledged()
	if !w.under {
		if err := w.harm(v); err != nil {
			return err
		}
		if err := t.server(ctx); err != nil {
			return err
		}
	}
	return t.run(ctx)
}

// trial is what happens to one damaged copy.
type trial struct {
	*history
	row    *result.Row
	way    way
	scene  *scene
	victim *victim
	said   string // by the service, of itself
}

// broke notes what broke, with what had been done.
func (t *trial) broke(all ...check.Violation) {
	for i := range all {
		all[i].What = fmt.Sprintf("%s (%s): %s", strings.Join(t.victim.did, ", "), filepath.Base(t.scene.dir), all[i].What)
	}
	t.row.Broke(all...)
}

func (t *trial) otherwise(format string, args ...any) {
	t.broke(check.Violation{Kind: check.Other, What: fmt.Sprintf(format, args...)})
}

// server starts the server, if there is one, as far as it starts.
func (t *trial) server(ctx context.Context) error {
	if t.nats == nil {
		return nil
	}
	if err := t.nats.Launch(ctx); err != nil && !errors.Is(err, program.ErrEnded) {
		return err
	}
	return nil
}

// run starts the service, and again where it refuses.
func (t *trial) run(ctx context.Context) error {
	if t.way.under {
		return t.under(ctx)
	}
	first, err := t.start(ctx)
	if err != nil {
		return err
	}
	if first == green {
		return t.served(ctx)
	}
	if err := t.refused(ctx, first); err != nil {
		return err
	}
	return t.again(ctx)
}

// again starts a service that has refused: it has forgotten nothing by that.
func (t *trial) again(ctx context.Context) error {
	if t.Running() {
		t.Process.Kill()
	}
	before := t.said
	second, err := t.start(ctx)
	if err == nil && second == green {
		t.otherwise("it is refused (%s), and served at the next start", before)
		return t.served(ctx)
	}
	return err
}

// under damages what a running service uses.
func (t *trial) under(ctx context.Context) error {
	if t.nats != nil {
		if err := t.nats.Start(ctx); err != nil {
			return err
		}
	}
	if stands, err := t.start(ctx); err != nil || stands != green {
		return errors.Join(err, fmt.Errorf("what is whole is %s: %s", stands, t.said))
	}
	if t.nats != nil {
		t.nats.Close()
	}
	if err := t.way.harm(t.victim); err != nil {
		return err
	}
	if err := t.server(ctx); err != nil {
		return err
	}
	began, since := time.Now(), time.Time{} // since: it has been green
	for {
		stands := t.stands(ctx)
		switch {
		case stands == ended || stands == red:
			if err := t.refused(ctx, stands); err != nil {
				return err
			}
			return t.again(ctx)
		case stands == unsure:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		}
		if !since.IsZero() && time.Since(since) > noticedWithin/4 {
			return t.served(ctx)
		}
		if time.Since(began) > noticedWithin {
			t.otherwise("%v later it is neither ready nor says what is lost: %s", noticedWithin, t.said)
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// start starts the service and waits until it is clear what it comes to.
func (t *trial) start(ctx context.Context) (stands string, err error) {
	if err := t.Launch(); err != nil {
		return "", err
	}
	for began := time.Now(); time.Since(began) < standsWithin; time.Sleep(10 * time.Millisecond) {
		if stands = t.stands(ctx); stands != unsure {
			return stands, nil
		}
	}
	return stands, nil
}

// stands looks what a service has come to.
func (t *trial) stands(ctx context.Context) string {
	if !t.Running() {
		text := t.Process.Output()
		t.said = text[max(0, len(text)-1500):]
		if at := lossNamed.FindStringIndex(text); at != nil {
			t.said = text[at[0]:min(len(text), at[0]+1500)]
		}
		return ended
	}
	err := t.Ready(ctx)
	switch {
	case err == nil:
		return green
	case lossNamed.MatchString(err.Error()):
		t.said = err.Error()
		return red
	}
	t.said = err.Error()
	return unsure
}

// refused judges a service that does not serve: it says what is gone, and takes
// and gives nothing.
func (t *trial) refused(ctx context.Context, how string) error {
	if t.way.outcome == serves {
		t.otherwise("it is %s, and nothing was lost: %s", how, t.said)
	}
	named := lossNamed.FindString(t.said)
	if named == "" {
		t.otherwise("it is %s, and does not name what is lost: %s", how, t.said)
	} else {
		t.row.Refused[map[string]string{ended: "not started", red: "not ready"}[how]]++
	}
	if !t.Running() {
		return nil
	}
	if id, _, _ := t.Agent.Ask(ctx, "p0", time.Hour); id != "" {
		t.otherwise("it is %s, and takes requests", how)
	}
	for id, a := range t.scene.book.Asked {
		by := t.Agent
		if a.Pinged {
			by = t.Pinged
		}
		if r := by.Poll(ctx, a.Handle, 0); r.Text("access_token") != "" {
			t.otherwise("%s: it is %s, and hands out a token", id, how)
		}
	}
	t.twice()
	return nil
}

// twice finds requests with a second token.
func (t *trial) twice() {
	for id, a := range t.Journal.Book().Asked {
		if len(a.Tokens) > 1 && a.Tokens[0] != a.Tokens[len(a.Tokens)-1] {
			t.broke(check.Violation{Kind: check.Doubled, What: fmt.Sprintf("%s: a second token", id)})
		}
	}
}

// served judges a service that says that it serves: everything is there.
func (t *trial) served(ctx context.Context) error {
	if t.way.outcome == refuse {
		t.otherwise("it serves, and something is gone")
	}
	if t.way.aged {
		return t.sealed(ctx)
	}
	var broken []check.Violation
	gone := func(what string, err error) {
		broken = append(broken, check.Violation{Kind: check.Lost, What: fmt.Sprintf("%s: %v", what, err)})
	}
	for _, id := range t.scene.added {
		for _, of := range []string{"people", "clients"} {
			if there, err := t.Has(ctx, of, id); err != nil || !there {
				gone(id+" of "+of, err)
			}
		}
	}
	rules := check.Rules{Slack: 24 * time.Hour} // what was to be delivered meanwhile is another fault's
	c, err := t.settled(ctx, rules)
	if err != nil {
		gone("what it says of itself", err)
	} else {
		broken = append(broken, c.Judge()...)
	}
	if stands := t.stands(ctx); stands != green && len(broken) > 0 { // it has noticed meanwhile
		t.twice()
		return t.refused(ctx, stands)
	}
	t.broke(broken...)
	if t.Running() {
		return t.end()
	}
	return nil
}

// sealed judges a service that needs nothing more of what was hit: what was sealed
// is still, and it takes requests.
func (t *trial) sealed(ctx context.Context) error {
	t.Journal.Begin(journal.Book{})
	if id, _, r := t.Agent.Ask(ctx, "p0", time.Hour); id == "" {
		t.otherwise("a request is answered %v", r)
	}
	c, err := t.settled(ctx, check.Rules{Slack: 24 * time.Hour})
	if err != nil {
		return err
	}
	t.broke(c.Judge()...)
	return t.end()
}

// settled has every approval redeemed, and gathers what is known then.
func (t *trial) settled(ctx context.Context, rules check.Rules) (*check.Case, error) {
	if err := t.Finish(ctx, check.Rules{}); err != nil {
		return nil, err
	}
	c, err := t.Case(ctx, rules)
	if err != nil {
		return nil, err
	}
	c.Before = t.scene.sealed
	return c, nil
}

// end has the service end in peace.
func (t *trial) end() error {
	if err := t.Stop(); err != nil {
		t.otherwise("%v", err)
	}
	return nil
}
