package main

import (
	"context"
	"testing"

	"ringback/deploy/faults/check"
	"ringback/deploy/faults/program"
	"ringback/deploy/faults/result"
)

// planted are programs that break a promise on purpose, the fault that brings it
// to light, and what has to be reported then.
var planted = []struct {
	name    string
	changes []program.Change
	fault   func(*driver, context.Context, program.Program) ([]result.Row, error)
	want    check.Kind
}{
	{"settles without writing", []program.Change{{
		File: "store/decide.go",
		Old:  "func (s *Store) Settle(ctx context.Context, id consent.ID, v consent.Settlement) (consent.Settlement, error) {\n",
		New: `func (s *Store) Settle(ctx context.Context, id consent.ID, v consent.Settlement) (consent.Settlement, error) {
			if v.Verb == consent.Redeemed {
				return v, nil
			}
`,
	}}, kills(1), check.Doubled},
	{"answers before it writes", []program.Change{{
		File: "approve/reply.go",
		Old: `		if said, err = s.take(ctx, m); err == nil {
			replayed, err = s.taken(ctx, key)
		}
`,
		New: `		go func(ctx context.Context) {
			if _, err := s.take(ctx, m); err == nil {
				s.taken(ctx, key)
			}
		}(context.WithoutCancel(ctx))
`,
	}}, webhooks(40), check.Dropped},
	{"sends before it claims", []program.Change{{
		File: "workers/deliver.go",
		Old: `	if err := e.cfg.Store.Try(ctx, req.ID, a); err != nil {
		return o, err
	}
	e.breakers[a.Channel].ask(req.ID, e.cfg.Now())
	receipt, sendErr := e.cfg.Channels[a.Channel].Send(ctx, msg)
`,
		New: `	receipt, sendErr := e.cfg.Channels[a.Channel].Send(ctx, msg)
	if err := e.cfg.Store.Try(ctx, req.ID, a); err != nil {
		return o, err
	}
	e.breakers[a.Channel].ask(req.ID, e.cfg.Now())
`,
	}}, kills(15), check.Doubled},
	{"marks before the effect", []program.Change{{
		File: "approve/reply.go", Old: "replayed, err := s.cfg.Store.Seen(ctx, key)", New: "replayed, err := s.taken(ctx, key)",
	}, {
		File: "approve/reply.go", Old: "			replayed, err = s.taken(ctx, key)\n",
	}}, webhooks(40), check.Dropped},
	{"acknowledges what is not on the disk", []program.Change{{
		File: "store/embedded.go", Old: "SyncAlways:         true,", New: "SyncAlways:         !cfg.Paused, // but for init",
	}}, powerCuts(1), check.Lost},
	{"forgets at the start", []program.Change{{
		File: "workers/engine.go", Old: "		e.queue.add(ev.ID, now.Add(e.announced))\n",
	}}, kills(4), check.Undelivered},
	{"keeps no evidence", []program.Change{{
		File: "audit/record.go", Old: "sha256.Sum256(f.Data), finishes(f)", New: "sha256.Sum256(f.Data), finishes(f) && f.Kind == consent.FactDecided",
	}}, kills(1), check.Unsealed},
	{"goes on over what is gone", []program.Change{{
		File: "store/loss.go", Old: "	if s.health.lost.CompareAndSwap(nil, &err) {\n", New: "	if true {\n		return nil\n	}\n	if s.health.lost.CompareAndSwap(nil, &err) {\n",
	}, {
		File: "store/inspect.go", Old: "	if err != nil || len(losses) == 0 {\n", New: "	if true {\n",
	}}, damages(4), check.Lost},
}

func damages(n int) func(*driver, context.Context, program.Program) ([]result.Row, error) {
	return func(d *driver, ctx context.Context, p program.Program) ([]result.Row, error) {
		return d.damaged(ctx, p, nil, n)
	}
}

func kills(n int) func(*driver, context.Context, program.Program) ([]result.Row, error) {
	return func(d *driver, ctx context.Context, p program.Program) ([]result.Row, error) {
		return d.killed(ctx, p, "", n)
	}
}

func webhooks(n int) func(*driver, context.Context, program.Program) ([]result.Row, error) {
	return func(d *driver, ctx context.Context, p program.Program) ([]result.Row, error) {
		return d.webhooks(ctx, p, n)
	}
}

func powerCuts(n int) func(*driver, context.Context, program.Program) ([]result.Row, error) {
	return func(d *driver, ctx context.Context, p program.Program) ([]result.Row, error) { return d.cut(ctx, p, n) }
}

// TestPlantedFit: the sources are still as the planted changes want them.
func TestPlantedFit(t *testing.T) {
	t.Parallel()
	for _, tt := range planted {
		if _, err := program.Overlay(t.Context(), t.TempDir(), tt.changes); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
