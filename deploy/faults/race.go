package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"ringback/deploy/faults/agent"
	"ringback/deploy/faults/check"
	"ringback/deploy/faults/journal"
	"ringback/deploy/faults/natsd"
	"ringback/deploy/faults/program"
	"ringback/deploy/faults/result"
	"ringback/deploy/faults/stage"
)

// contenders is how many calls fight over one request.
const contenders = 64

// stranger is a client that asked nothing.
var stranger = stage.Client{ID: "stranger"}

// race has many fight over one request: for its token, and over how it ends. Half
// of the requests are fought over at one process, half at two on one NATS server.
func race(ctx context.Context, d *driver, count int) (rows []result.Row, err error) {
	for n := 1; n <= 2; n++ {
		var r *ring
		if r, err = d.ring(ctx, n); err != nil {
			return nil, err
		}
		for _, fight := range []func(context.Context, *result.Row, int) error{r.forToken, r.forEnd} {
			row := result.Row{Acknowledged: 0}
			if err = fight(ctx, &row, (count+1)/2); err != nil {
				break
			}
			row.Form += fmt.Sprintf(", %d process", n)
			if n > 1 {
				row.Form += "es"
			}
			rows = append(rows, row)
		}
		r.close()
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// ring is one process or several over one store.
type ring struct {
	d     *driver
	all   []*stage.Stage
	nats  *natsd.Server // nil: one process with its own store
	mu    sync.Mutex
	asked atomic.Int64
}

// ring starts so many processes.
func (d *driver) ring(ctx context.Context, processes int) (r *ring, err error) {
	p, err := d.ringback(ctx, "ringback")
	if err != nil {
		return nil, err
	}
	r = &ring{d: d}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	cfg := stage.Config{Program: p, People: 100, Alone: true, Clients: []stage.Client{stranger}}
	if processes > 1 {
		if r.nats, err = d.nats(ctx, "race-nats"); err != nil {
			return nil, err
		}
		cfg.Sections = r.nats.Section(r.nats.Addr())
	}
	for i := range processes {
		s, err := d.stage(fmt.Sprint("race", i), cfg)
		if err != nil {
			return nil, err
		}
		r.all = append(r.all, s)
		if err := s.Start(ctx); err != nil {
			return nil, err
		}
		cfg.RootKey = filepath.Join(r.all[0].DataDir(), "root.key")
	}
	return r, nil
}

// nats starts a NATS server.
func (d *driver) nats(ctx context.Context, name string) (*natsd.Server, error) {
	p, err := d.build(ctx, "nats", program.NATS)
	if err != nil {
		return nil, err
	}
	dir, err := d.room(name)
	if err != nil {
		return nil, err
	}
	s, err := natsd.New(p, dir)
	if err != nil {
		return nil, err
	}
	return s, s.Start(ctx)
}

func (r *ring) close() {
	for _, s := range r.all {
		s.Close()
	}
	if r.nats != nil {
		r.nats.Close()
	}
}

// at is the process of a call.
func (r *ring) at(n int) *stage.Stage { return r.all[n%len(r.all)] }

func (r *ring) ask(ctx context.Context, n int, life time.Duration) (journal.ID, string, error) {
	id, handle, reply := r.at(n).Agent.Ask(ctx, stage.Person(n%100), life)
	if id == "" {
		return "", "", fmt.Errorf("asking: %v", reply)
	}
	r.asked.Add(1)
	return id, handle, nil
}

// broke notes what broke in a race.
func (r *ring) broke(row *result.Row, k check.Kind, n int, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	row.Broke(check.Violation{Kind: k, What: fmt.Sprintf("race %d: ", n) + fmt.Sprintf(format, args...)})
}

// eventually polls at every process until it has heard of what was decided.
func (r *ring) eventually(ctx context.Context, row *result.Row, n int, handle, want string) {
	for i, s := range r.all {
		var reply agent.Reply
		for range 500 {
			if reply = s.Agent.Poll(ctx, handle, 0); !reply.Pending() {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if reply.Text("error") != want {
			r.broke(row, check.Other, n, "process %d answers %v, want %s", i, reply, want)
		}
	}
}

// forToken: many polls of one approved request get one token, and a stranger's
// poll gets nothing and changes nothing.
func (r *ring) forToken(ctx context.Context, row *result.Row, count int) error {
	work := context.WithoutCancel(ctx)
	row.Form = fmt.Sprintf("%d polls of one approval", contenders)
	for ; row.Times < count && ctx.Err() == nil; row.Times++ {
		n := row.Times
		id, handle, err := r.ask(work, n, 5*time.Minute)
		if err != nil {
			return err
		}
		if reply := r.at(n+1).Agent.Decide(work, id, handle, journal.Approved); reply.Status != 204 {
			return fmt.Errorf("deciding: %v", reply)
		}
		row.Acknowledged += 3 // with the token
		var tokens atomic.Int32
		var all sync.WaitGroup
		for k := range contenders {
			all.Go(func() {
				if k == 7 {
					if reply := r.at(k).As(stranger).Poll(work, handle, 0); reply.Text("error") != "invalid_grant" {
						r.broke(row, check.Other, n, "a stranger's poll is answered %v", reply)
					}
				}
				switch reply := r.at(k).Agent.Poll(work, handle, 0); {
				case reply.Text("access_token") != "":
					tokens.Add(1)
				case reply.Text("error") == "invalid_grant":
				case len(r.all) > 1 && reply.Pending(): // it may not have heard of the decision yet
				default:
					r.broke(row, check.Other, n, "a poll that loses is answered %v", reply)
				}
			})
		}
		all.Wait()
		if got := tokens.Load(); got > 1 {
			r.broke(row, check.Doubled, n, "%d tokens for one approval", got)
		} else if got == 0 {
			r.broke(row, check.Lost, n, "no token for an approval")
		}
		r.eventually(work, row, n, handle, "invalid_grant")
	}
	return nil
}

// fightsAtOnce bounds the requests that are fought over at a time.
const fightsAtOnce = 4

// forEnd: approve, deny, withdraw and the clock fight at the moment when the
// request ends. One wins, and every view agrees ever after.
func (r *ring) forEnd(ctx context.Context, row *result.Row, count int) error {
	work := context.WithoutCancel(ctx)
	row.Form = "approve, deny, withdraw and the clock"
	const life = 10 * time.Second
	slots := make(chan struct{}, fightsAtOnce)
	var fights sync.WaitGroup
	defer fights.Wait()
	for ; row.Times < count && ctx.Err() == nil; row.Times++ {
		n, early := row.Times, r.d.upTo(300*time.Millisecond)
		asked := time.Now()
		id, handle, err := r.ask(work, n, life)
		if err != nil {
			return err
		}
		fights.Go(func() {
			time.Sleep(time.Until(asked.Add(life - early)))
			slots <- struct{}{}
			defer func() { <-slots }()
			r.fight(work, row, n, id, handle)
		})
		time.Sleep(15 * time.Millisecond)
	}
	fights.Wait()
	return nil
}

// fight has everybody decide at once.
func (r *ring) fight(ctx context.Context, row *result.Row, n int, id journal.ID, handle string) {
	var approved, denied, withdrawn atomic.Int32 // acknowledged
	var all sync.WaitGroup
	for k := range contenders {
		all.Go(func() {
			at := r.at(k / 4)
			switch k % 4 {
			case 0:
				if at.Agent.Decide(ctx, id, handle, journal.Approved).Status == 204 {
					approved.Add(1)
				}
			case 1:
				if at.Agent.Decide(ctx, id, handle, journal.Denied).Status == 204 {
					denied.Add(1)
				}
			case 2:
				if at.Withdraw(ctx, id) {
					withdrawn.Add(1)
				}
			case 3:
				at.Agent.Poll(ctx, handle, 0)
			}
		})
	}
	all.Wait()
	status := ""
	for i, s := range r.all {
		f, known, err := s.Final(ctx, id)
		switch {
		case err != nil || !known:
			r.broke(row, check.Lost, n, "process %d does not know the request: %v", i, err)
		case status == "":
			status = f.Status
		case f.Status != status:
			r.broke(row, check.Other, n, "process 0 says %s, process %d says %s", status, i, f.Status)
		}
	}
	a, b, w := approved.Load(), denied.Load(), withdrawn.Load()
	r.mu.Lock()
	row.Acknowledged += 1 + int(a+b) + min(1, int(w))
	r.mu.Unlock()
	if a+b > 1 {
		r.broke(row, check.Doubled, n, "%d approvals and %d denials were acknowledged", a, b)
	}
	// An operator may also take back what was approved, or revoke what was
	// redeemed: acknowledged withdrawals follow an approval then.
	fits := map[string]bool{
		"approved": a == 1 && w == 0, "redeemed": a == 1 && w == 0, "cancelled": a == 1 && w > 0, "revoked": a == 1 && w > 0,
		"denied": b == 1 && w == 0, "withdrawn": a+b == 0 && w > 0, "expired": a+b+w == 0,
	}
	if !fits[status] {
		r.broke(row, check.Lost, n, "it is %s, but %d approvals, %d denials and %d withdrawals were acknowledged", status, a, b, w)
	}
	if status == "approved" { // the first poll gets its token
		r.at(0).Agent.Poll(ctx, handle, 0)
		status = "redeemed"
	}
	want := map[string]string{
		"denied": "access_denied", "withdrawn": "access_denied", "expired": "expired_token", "cancelled": "access_denied",
		"redeemed": "invalid_grant", "revoked": "invalid_grant",
	}
	r.eventually(ctx, row, n, handle, want[status])
}
