package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"ringback/deploy/faults/agent"
	"ringback/deploy/faults/check"
	"ringback/deploy/faults/journal"
	"ringback/deploy/faults/program"
	"ringback/deploy/faults/provider"
	"ringback/deploy/faults/result"
	"ringback/deploy/faults/stage"
)

const (
	honestClients = 100
	honestEvery   = 10 * time.Millisecond // how often one of them asks
	honestLife    = time.Minute           // of their requests
	// honestPeople are asked in turn: everybody again when the prompt before is
	// over, and no more often than budgets allow.
	honestPeople = 12_500

	hostileOpen   = 100                    // requests that are open to one person
	hostilePings  = 40                     // answered requests, whose pings hang
	hostileEvery  = 100 * time.Millisecond // how often it asks beyond its budget
	hostileVictim = honestPeople           // the first of its people

	// A run lasts hostileRun, or in a form of few runs as long as shows that all
	// of it works.
	hostileRun   = time.Minute
	hostileBrief = 10 * time.Second
	hostileFew   = 3 // pairs of runs that are brief

	// hostileRatio and hostileMore bound the time from asking to the provider
	// beside a hostile client: by the ratio or by so much more.
	hostileRatio = 1.2
	hostileMore  = 10 * time.Millisecond
)

// hostile compares runs of honest clients alone with runs beside a hostile one,
// so many pairs with budgets off and as many with the usual ones.
func hostile(ctx context.Context, d *driver, count int) (rows []result.Row, err error) {
	p, err := d.ringback(ctx, "ringback")
	if err != nil {
		return nil, err
	}
	for _, limits := range []string{"off", "the defaults"} {
		if ctx.Err() != nil {
			break
		}
		row, err := d.hostile(ctx, p, limits, count)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// hostile is the comparison under some limits.
func (d *driver) hostile(ctx context.Context, p program.Program, limits string, pairs int) (row result.Row, err error) {
	row.Form = "limits: " + limits
	cfg := stage.Config{Program: p, People: honestPeople + 1 + hostilePings, Policy: map[string]string{}}
	if limits == "off" {
		cfg.Policy["limits"] = "off"
	}
	for i := range honestClients {
		cfg.Clients = append(cfg.Clients, stage.Client{ID: fmt.Sprint("honest", i)})
	}
	hangs, err := agent.Listen(nil)
	if err != nil {
		return row, err
	}
	defer hangs.Close()
	enemy := stage.Client{ID: "enemy", Pings: hangs.URL}
	cfg.Clients = append(cfg.Clients, enemy)
	s, err := d.stage("hostile", cfg)
	if err != nil {
		return row, err
	}
	defer s.Close()
	work := context.WithoutCancel(ctx)
	if err := s.Start(work); err != nil {
		return row, err
	}
	h := &hostilities{Stage: s, hangs: hangs, enemy: s.As(enemy), row: &row}
	for _, c := range cfg.Clients[:honestClients] {
		h.honest = append(h.honest, s.As(c))
	}
	long := hostileRun
	if pairs < hostileFew {
		long = hostileBrief
	}
	h.run(work, hostileBrief) // what is slow the first time is slow without anybody's fault
	var alone, beside []time.Duration
	for ; row.Times < pairs && ctx.Err() == nil; row.Times++ {
		order := []bool{false, true}
		if row.Times%2 == 1 {
			slices.Reverse(order)
		}
		for _, with := range order {
			if !with {
				alone = append(alone, h.run(work, long))
				continue
			}
			end := h.begin(work)
			beside = append(beside, h.run(work, long))
			end()
		}
	}
	if len(alone) == 0 || len(beside) == 0 {
		return row, nil
	}
	a, b := median(alone), median(beside)
	if float64(b) > hostileRatio*float64(a) && b > a+hostileMore {
		row.Otherwise("limits %s: the median of p99 from asking to the provider is %v beside a hostile client, and %v without", limits, b, a)
	}
	row.Measured("p99 without", "%.1f ms", ms(a))
	row.Measured("p99 with a hostile client", "%.1f ms", ms(b))
	row.Measured("ratio", "%.2f", float64(b)/float64(a))
	row.Measured("runs", "2 × %d of %s", row.Times, short(long))
	return row, nil
}

// hostilities are honest clients and a hostile one.
type hostilities struct {
	*stage.Stage
	honest []*agent.Agent
	enemy  *agent.Agent
	hangs  *agent.Endpoint
	row    *result.Row
	asked  int // by honest clients
}

// run has honest clients ask for some time, and returns the p99 of the time from
// asking to the provider.
func (h *hostilities) run(ctx context.Context, long time.Duration) time.Duration {
	began := time.Now()
	var all sync.WaitGroup
	var mu sync.Mutex
	asked := map[journal.ID]time.Time{}
	tick := time.NewTicker(honestEvery)
	defer tick.Stop()
	for time.Since(began) < long {
		<-tick.C
		by, person := h.honest[h.asked%len(h.honest)], h.asked%honestPeople
		h.asked++
		all.Go(func() {
			at := time.Now()
			id, _, reply := by.Ask(ctx, stage.Person(person), honestLife)
			mu.Lock()
			defer mu.Unlock()
			if id == "" {
				h.row.Otherwise("an honest client is answered %v", reply)
				return
			}
			asked[id] = at
		})
	}
	all.Wait()
	time.Sleep(time.Second) // the last of them arrive
	h.row.Acknowledged += len(asked)
	var took []time.Duration
	for _, m := range h.Journal.Book().Messages {
		if at, ok := asked[m.ID]; ok && m.N == 1 {
			took = append(took, m.At.Sub(at))
			delete(asked, m.ID)
		}
	}
	for id := range asked {
		h.row.Broke(check.Violation{Kind: check.Undelivered, What: fmt.Sprintf("%s: an honest client's person was not reached", id)})
	}
	return percentile(took, 99)
}

// begin lets the hostile client do what it can, until the returned function is
// called: answered requests whose pings hang, so many open requests to one
// person, and more than its budget allows.
func (h *hostilities) begin(ctx context.Context) (end func()) {
	h.hangs.Hangs.Store(true)
	acting, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	open := make(chan string, 10*hostileOpen)
	ask := func(person int) (journal.ID, string) {
		id, handle, _ := h.enemy.Ask(acting, stage.Person(person), 10*time.Minute)
		if id != "" {
			open <- handle
		}
		return id, handle
	}
	for i := range hostilePings {
		person := hostileVictim + 1 + i
		all.Go(func() {
			before, _, _ := h.Journal.Last(provider.Number(person))
			if id, _ := ask(person); id == "" {
				return
			}
			if m, ok := h.Provider.Message(acting, provider.Number(person), before); ok {
				h.Provider.Answer(m, journal.Denied)
			}
		})
	}
	taken := 0
	for range hostileOpen {
		if id, _ := ask(hostileVictim); id != "" {
			taken++
		}
	}
	all.Go(func() {
		tick := time.NewTicker(hostileEvery)
		defer tick.Stop()
		for taken < hostileOpen { // it was refused, and goes on asking
			select {
			case <-tick.C:
				ask(hostileVictim)
			case <-acting.Done():
				return
			}
		}
	})
	return func() {
		stop()
		all.Wait()
		h.hangs.Hangs.Store(false)
		close(open)
		for handle := range open {
			h.enemy.Post(ctx, "/revoke", map[string][]string{"token": {handle}})
		}
	}
}

// median is the middle of times; percentile the one below which so many of a
// hundred are.
func median(of []time.Duration) time.Duration { return percentile(of, 50) }

func percentile(of []time.Duration, p int) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

// ms is a time in milliseconds.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
