package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"ringback/consent"
	"ringback/store/storetest"
)

// TestAskIf: of many who ask one person at once, over however many processes, as
// many get through as the budgets allow.
func TestAskIf(t *testing.T) {
	t.Parallel()
	for name, houses := range map[string]func(t *testing.T) []*storetest.House{
		"alone": func(t *testing.T) []*storetest.House { return []*storetest.House{storetest.New(t)} },
		"two processes": func(t *testing.T) []*storetest.House {
			h := storetest.New(t, storetest.NewServer(t).Use)
			return []*storetest.House{h, h.Beside()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := houses(t)
			for _, tt := range []struct {
				policy consent.Policy
				same   bool // they ask the same
				want   int64
			}{
				{consent.Policy{Dedupe: true}, true, 1},
				{consent.Policy{Limits: consent.DefaultLimits()}, false, 5},
				{consent.Policy{Dedupe: true, Limits: consent.DefaultLimits()}, false, 5},
				{consent.Policy{}, false, 40},
			} {
				person := fmt.Sprint("person", consent.NewID())
				var asked atomic.Int64
				var asking sync.WaitGroup
				for i := range 40 {
					h := all[i%len(all)]
					req := h.Request(person, func(r *consent.Request) {
						if !tt.same {
							r.Details = json.RawMessage(fmt.Sprintf(`[{"actions":["read"],"type":"data_access","privileges":["%d"]}]`, i))
						}
					})
					asking.Go(func() {
						err := h.AskIf(t.Context(), req, func(past consent.History) error {
							return tt.policy.Admit(req, h.Same(req), past, h.Config.Now())
						})
						var refusal *consent.Refusal
						if err == nil {
							asked.Add(1)
						} else if !errors.As(err, &refusal) {
							t.Errorf("AskIf: %v", err)
						}
					})
				}
				asking.Wait()
				if got := asked.Load(); got != tt.want {
					t.Errorf("with %+v %d of 40 get through, want %d", tt.policy, got, tt.want)
				}
			}
		})
	}
}

// TestAskIfRefused: a request that the store refuses keeps nobody from asking.
func TestAskIfRefused(t *testing.T) {
	t.Parallel()
	h := storetest.New(t, storetest.NewServer(t).Use)
	b := h.Beside()
	ctx := t.Context()
	always := func(consent.History) error { return nil }
	large := h.Request("alice", func(r *consent.Request) { r.BindingMessage = fmt.Sprintf("%040000d", 0) })
	if err := h.AskIf(ctx, large, always); err == nil || errors.Is(err, consent.ErrUnavailable) {
		t.Fatalf("AskIf of too large a request = %v", err)
	}
	if err := b.AskIf(ctx, b.Request("alice"), always); err != nil {
		t.Errorf("AskIf after it: %v", err)
	}
	if err := b.AskIf(ctx, b.Request("bob"), always); err != nil {
		t.Errorf("AskIf of somebody else = %v", err)
	}
}
