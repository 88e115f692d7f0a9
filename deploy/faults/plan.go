package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ringback/deploy/faults/result"
)

// fault is one kind of harm.
type fault struct {
	name string
	does string // in a line: what is done, and what is counted
	// short and full are how often the two forms do it; 0: that form leaves it
	// out.
	short, full int
	// alone: it measures, or takes all there is, so nothing else happens meanwhile.
	alone bool
	// run does it so often, or until ctx ends, and says what came of it. Its
	// error says that it could not be done.
	run func(ctx context.Context, d *driver, count int) ([]result.Row, error)
}

// faults is everything that is done to the service, in the order of the tables.
func faults() []fault {
	return []fault{
		{"kill", "SIGKILL at random moments under load", 20, 500, false, kill},
		{"webhook", "SIGKILL between a webhook's receipt and its answer", 50, 1000, false, webhook},
		{"stop", "SIGTERM under load", 5, 50, false, stop},
		{"power", "power cuts under load, which lose what is not on the disk; needs root", 5, 30, false, power},
		{"race", "64 calls fight over one request, at one process and at two", 300, 2000, false, race},
		{"outage", "the provider fails in five ways for 1 s, 15 s, 1 min and 10 min; the first so many of them", 2, 4, false, outage},
		{"clock", "the clock is set by an hour and a day, ahead and back", 4, 20, false, clock},
		{"external", "trouble between the service and an external NATS server, kind after kind", 7, 70, false, external},
		{"disk", "the disk is full while persons answer; needs root", 3, 30, false, full},
		{"damage", "what is stored is damaged, gone or set back, embedded and on a NATS server", 24, 300, false, damage},
		{"connections", "connections that are half open, slow or unread; a service with 1,024 files", 10_000, 10_000, true, connections},
		{"hostile", "pairs of runs without and with a hostile client", 0, 10, true, hostile},
		{"steady", "so many seconds on one core, with as many ends as requests", 0, 600, true, steady},
		{"million", "so many requests open at a time, filled and ended without a break", 0, 1_000_000, true, million},
		{"idle", "so many open requests, while nothing happens", 0, 500_000, true, idle},
	}
}

// order is a fault that was chosen, and how often.
type order struct {
	fault
	count int
}

// choose reads FAULT[=COUNT]; no words at all are the whole form.
func choose(words []string, full bool) (out []order, err error) {
	all := faults()
	usual := func(f fault) int {
		if full {
			return f.full
		}
		return f.short
	}
	for _, f := range all {
		if n := usual(f); len(words) == 0 && n > 0 {
			out = append(out, order{f, n})
		}
	}
	for _, w := range words {
		name, number, counted := strings.Cut(w, "=")
		i := slices.IndexFunc(all, func(f fault) bool { return f.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(names(), ", "))
		}
		o := order{all[i], max(usual(all[i]), 1)}
		if counted {
			if o.count, err = strconv.Atoi(number); err != nil || o.count < 1 {
				return nil, fmt.Errorf("%s: %q is no count; write %s=10", name, number, name)
			}
		}
		out = append(out, o)
	}
	return out, nil
}
