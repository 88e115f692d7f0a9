package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"ringback/deploy/faults/program"
	"ringback/deploy/faults/result"
)

// trialsEach is how many damages are tried on copies of one history.
const trialsEach = 20

// damage damages what is stored while nobody or somebody uses it, so many times:
// in the embedded store and on a NATS server, with a witness and without. What
// starts then has everything that was acknowledged, or it says what is gone and
// serves nothing.
func damage(ctx context.Context, d *driver, count int) ([]result.Row, error) {
	p, err := d.ringback(ctx, "ringback")
	if err != nil {
		return nil, err
	}
	stepped, err := d.ringback(ctx, "stepped", program.Stepped()...)
	if err != nil {
		return nil, err
	}
	return d.damaged(ctx, p, &stepped, count)
}

// damaged is damage of a program, and of the same with a clock that can be set.
func (d *driver) damaged(ctx context.Context, p program.Program, stepped *program.Program, count int) ([]result.Row, error) {
	places := []string{"embedded", "external"}
	of := make([]map[string]*result.Row, len(places)) // by way
	failed := make([]error, len(places))
	var all sync.WaitGroup
	for i, place := range places {
		of[i] = map[string]*result.Row{}
		f := d.fork()
		f.rand = rand.New(rand.NewPCG(d.seed, uint64(i+2)))
		times := (count + len(places) - 1 - i) / len(places)
		all.Go(func() {
			for done := 0; done < times && ctx.Err() == nil && failed[i] == nil; {
				h, err := f.history(context.WithoutCancel(ctx), p, stepped, place, done/trialsEach%2 == 0)
				if err != nil {
					failed[i] = err
					return
				}
				most := min(trialsEach, times-done)
				if times <= trialsEach { // both with a witness and without
					most = min(most, (times+1)/2)
				}
				failed[i] = h.trials(ctx, of[i], done, most)
				h.close()
				done += most
			}
		})
	}
	all.Wait()
	var rows []result.Row
	for _, rowOf := range of {
		for _, row := range rowOf {
			rows = append(rows, *row)
		}
	}
	slices.SortFunc(rows, func(a, b result.Row) int { return strings.Compare(a.Form, b.Form) })
	return rows, errors.Join(failed...)
}
