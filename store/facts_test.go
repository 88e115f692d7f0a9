package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ringback/consent"
	"ringback/store/storetest"
)

// houses are the two kinds of store that every rule holds for.
func houses(t *testing.T, run func(t *testing.T, h *storetest.House)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		run(t, storetest.New(t))
	})
	t.Run("external", func(t *testing.T) {
		t.Parallel()
		run(t, storetest.New(t, storetest.NewServer(t).Use))
	})
}

// full writes one of every fact.
func full(t *testing.T, h *storetest.House) *consent.State {
	t.Helper()
	ctx, now := t.Context(), h.Config.Now().UTC().Round(0)
	req := h.Request("alice", func(r *consent.Request) {
		r.Bearers.NotificationToken = "token<&>"
		r.Details = []byte(`[{"note":"a<b&c>d","type":"data_access"}]`)
		r.Actors = []consent.Party{{ID: "inner", Name: "Inner"}}
		r.Client.Group, r.Grant, r.Renewable, r.Binding = "registrant x", consent.GrantClientCredentials, 3600, "jkt:abc"
	})
	want := &consent.State{
		Request:  req,
		Tried:    []consent.Attempt{{V: 1, N: 1, Channel: "sms", Device: "d1", Reply: true, At: now, TicketUntil: now.Add(time.Minute), CodeUntil: now.Add(time.Minute), Presentation: &consent.Presentation{Channel: "sms", Rendered: "Agent asks ······"}}, {V: 1, N: 2, Channel: "sms", At: now}},
		Outcomes: map[int]consent.Outcome{1: {V: 1, N: 1, Status: consent.Accepted, ProviderID: "SM1", At: now}},
		Receipts: map[int]consent.Receipt{1: {V: 1, N: 1, Delivered: true, At: now}},
		Misses:   []consent.Miss{{V: 1, N: 1, Channel: "sms", At: now, Nonce: "guess"}},
		Notices:  []consent.Notice{{V: 1, N: 1, At: now}},
		Notified: map[int]consent.Notified{1: {V: 1, N: 1, Done: true, Code: "204", At: now}},
		Revoked:  &consent.Revocation{V: 1, By: "agent", At: now},
	}
	d := h.Decision(req, consent.Approved)
	d.Presentation, d.Granted, d.Signature, d.AMR = want.Tried[0].Presentation, req.Details, []byte{1, 2}, []string{"sms"}
	s := h.Settlement(req, consent.Redeemed)
	want.Decided, want.Settled = &d, &s
	want.Renewals = []consent.Renewal{h.Renewal(req, 1), h.Renewal(req, 2)}

	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	check("Ask", h.Ask(ctx, req))
	for _, a := range want.Tried {
		check("Try", h.Try(ctx, req.ID, a))
	}
	check("Conclude", h.Conclude(ctx, req.ID, want.Outcomes[1]))
	check("Report", h.Report(ctx, req.ID, want.Receipts[1]))
	n, err := h.Miss(ctx, req.ID, consent.Miss{V: 1, Channel: "sms", At: now, Nonce: "guess"})
	check("Miss", err)
	if n != 1 {
		t.Fatalf("Miss = %d, want 1", n)
	}
	_, err = h.Decide(ctx, req.ID, d)
	check("Decide", err)
	_, err = h.Settle(ctx, req.ID, s)
	check("Settle", err)
	for _, r := range want.Renewals {
		check("Renew", h.Renew(ctx, req.ID, r))
	}
	check("Claim", h.Claim(ctx, req.ID, want.Notices[0]))
	check("Notified", h.Notified(ctx, req.ID, want.Notified[1]))
	check("Revoke", h.Revoke(ctx, req.ID, *want.Revoked))
	return want
}

// same compares States; what was written and what is read differ in nothing
// that counts.
func same(want, got *consent.State) string {
	return cmp.Diff(want, got, cmpopts.IgnoreFields(consent.State{}, "Seq"), cmpopts.EquateEmpty())
}

func TestEveryFactIsReadAsWritten(t *testing.T) {
	t.Parallel()
	houses(t, func(t *testing.T, h *storetest.House) {
		want := full(t, h)
		got, err := h.Get(t.Context(), want.Request.ID)
		if err != nil {
			t.Fatalf("Get: %v", err)
		}
		if diff := same(want, got); diff != "" {
			t.Errorf("Get, from memory (-want +got):\n%s", diff)
		}
		before, err := want.Request.AskedDigest()
		if err != nil {
			t.Fatal(err)
		}
		h.Reopen()
		read, err := h.Get(t.Context(), want.Request.ID)
		if err != nil {
			t.Fatalf("Get after a restart: %v", err)
		}
		if diff := same(want, read); diff != "" {
			t.Errorf("Get after a restart (-want +got):\n%s", diff)
		}
		if read.Seq != got.Seq || read.Seq == 0 {
			t.Errorf("Seq = %d after a restart, %d before", read.Seq, got.Seq)
		}
		if after, err := read.Request.AskedDigest(); err != nil || after != before {
			t.Errorf("asked digest = %v, %v after a restart, %v before", after, err, before)
		}
	})
}

func TestNothingIsWrittenTwice(t *testing.T) {
	t.Parallel()
	houses(t, func(t *testing.T, h *storetest.House) {
		ctx := t.Context()
		want := full(t, h)
		id := want.Request.ID
		if err := h.Ask(ctx, want.Request); err != nil {
			t.Errorf("Ask again: %v, want nil: it is the same request", err)
		}
		other := *want.Request
		other.Client.ID = "another"
		if err := h.Ask(ctx, &other); !errors.Is(err, consent.ErrClaimed) {
			t.Errorf("Ask with somebody's id = %v, want %v", err, consent.ErrClaimed)
		}
		if err := h.Claim(ctx, id, consent.Notice{V: 1, N: 1, At: time.Now()}); !errors.Is(err, consent.ErrClaimed) {
			t.Errorf("Claim again = %v, want %v", err, consent.ErrClaimed)
		}
		if err := h.Try(ctx, id, consent.Attempt{V: 1, N: 3}); !errors.Is(err, consent.ErrDecided) {
			t.Errorf("Try after the decision = %v, want %v", err, consent.ErrDecided)
		}
		for what, err := range map[string]error{
			"Conclude": h.Conclude(ctx, id, consent.Outcome{V: 1, N: 1, Status: consent.Refused}),
			"Report":   h.Report(ctx, id, consent.Receipt{V: 1, N: 1}),
			"Notified": h.Notified(ctx, id, consent.Notified{V: 1, N: 1}),
			"Revoke":   h.Revoke(ctx, id, consent.Revocation{V: 1, By: "other"}),
		} {
			if err != nil {
				t.Errorf("%s again = %v, want nil", what, err)
			}
		}
		d, err := h.Decide(ctx, id, h.Decision(want.Request, consent.Denied))
		if !errors.Is(err, consent.ErrDecided) || d.Nonce != want.Decided.Nonce {
			t.Errorf("Decide again = %+v, %v, want the winner and %v", d, err, consent.ErrDecided)
		}
		if d, err := h.Decide(ctx, id, *want.Decided); err != nil || d.Nonce != want.Decided.Nonce {
			t.Errorf("Decide with the same nonce = %+v, %v, want success", d, err)
		}
		s, err := h.Settle(ctx, id, h.Settlement(want.Request, consent.Cancelled))
		if !errors.Is(err, consent.ErrSettled) || s.Nonce != want.Settled.Nonce {
			t.Errorf("Settle again = %+v, %v, want the winner and %v", s, err, consent.ErrSettled)
		}
		if _, err := h.Settle(ctx, id, *want.Settled); err != nil {
			t.Errorf("Settle with the same nonce = %v, want success", err)
		}
		if got, err := h.Get(ctx, id); err != nil || same(want, got) != "" {
			t.Errorf("Get = %v, %s; want nothing changed", err, same(want, got))
		}
	})
}

func TestFactsNeedTheirRequest(t *testing.T) {
	t.Parallel()
	houses(t, func(t *testing.T, h *storetest.House) {
		ctx, id := t.Context(), consent.NewID()
		req := h.Request("alice")
		for what, err := range map[string]error{
			"Try":      h.Try(ctx, id, consent.Attempt{V: 1, N: 1}),
			"Conclude": h.Conclude(ctx, id, consent.Outcome{V: 1, N: 1}),
			"Claim":    h.Claim(ctx, id, consent.Notice{V: 1, N: 1}),
			"Revoke":   h.Revoke(ctx, id, consent.Revocation{V: 1}),
			"Decide":   second(h.Decide(ctx, id, h.Decision(req, consent.Denied))),
			"Settle":   second(h.Settle(ctx, id, h.Settlement(req, consent.Redeemed))),
			"Miss":     second(h.Miss(ctx, id, consent.Miss{V: 1, Nonce: "n"})),
			"Wait":     h.Wait(ctx, id),
			"Get":      second(h.Get(ctx, id)),
		} {
			if !errors.Is(err, consent.ErrNotFound) {
				t.Errorf("%s of an unknown request = %v, want %v", what, err, consent.ErrNotFound)
			}
		}
		known := h.Asked("alice")
		d := h.Decision(known, consent.Denied)
		d.Nonce = ""
		if _, err := h.Decide(ctx, known.ID, d); err == nil {
			t.Error("Decide without a nonce succeeded: two writers could both believe to have won")
		}
		if err := h.Try(ctx, known.ID, consent.Attempt{V: 1}); err == nil {
			t.Error("Try without a number succeeded")
		}
		req.Pseudonym = h.Pseudonym("mallory")
		if err := h.Ask(ctx, req); err == nil {
			t.Error("Ask with somebody else's pseudonym succeeded")
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestThreeGuesses(t *testing.T) {
	t.Parallel()
	houses(t, func(t *testing.T, h *storetest.House) {
		ctx := t.Context()
		req := h.Asked("alice")
		var mu sync.Mutex
		var numbers []int
		var none int
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				// Eight messages, each delivered eight times.
				n, err := h.Miss(ctx, req.ID, consent.Miss{V: 1, At: time.Now(), Nonce: fmt.Sprint(i % 8)})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					numbers = append(numbers, n)
				case errors.Is(err, consent.ErrGuesses):
					none++
				default:
					t.Errorf("Miss: %v", err)
				}
			})
		}
		wg.Wait()
		// Three of the messages are guesses, each as often as it came.
		if len(numbers) != 8*consent.MaxMisses || none != 64-len(numbers) {
			t.Errorf("%d guesses were granted (%v) and %d refused, want %d granted", len(numbers), numbers, none, 8*consent.MaxMisses)
		}
		h.Reopen()
		if n, err := h.Miss(ctx, req.ID, consent.Miss{V: 1, At: time.Now(), Nonce: "later"}); !errors.Is(err, consent.ErrGuesses) {
			t.Errorf("Miss after a restart = %d, %v, want %v", n, err, consent.ErrGuesses)
		}
	})
}

// rounds is how often races are run; the whole suite runs them far more often.
const rounds = 20

func TestOneDecisionAndOneSettlement(t *testing.T) {
	t.Parallel()
	t.Run("one process", func(t *testing.T) {
		t.Parallel()
		h := storetest.New(t)
		race(t, h, h)
	})
	t.Run("two processes", func(t *testing.T) {
		t.Parallel()
		h := storetest.New(t, storetest.NewServer(t).Use)
		race(t, h, h.Beside())
	})
}

// race decides and settles 64 ways, half of them by each house.
func race(t *testing.T, a, b *storetest.House) {
	ctx := t.Context()
	verbs := []consent.Verb{consent.Approved, consent.Denied, consent.Withdrawn, consent.Expired}
	for range rounds {
		req := a.Asked("alice")
		decided := contend(t, a, b, consent.ErrDecided, func(h *storetest.House, i int) (string, string, error) {
			d := h.Decision(req, verbs[i%4])
			won, err := h.Decide(ctx, req.ID, d)
			return d.Nonce, won.Nonce, err
		})
		settled := contend(t, a, b, consent.ErrSettled, func(h *storetest.House, i int) (string, string, error) {
			s := h.Settlement(req, []consent.SettleVerb{consent.Redeemed, consent.Cancelled}[i%2])
			won, err := h.Settle(ctx, req.ID, s)
			return s.Nonce, won.Nonce, err
		})
		for _, h := range []*storetest.House{a, b} {
			st, err := h.Get(ctx, req.ID)
			if err != nil || st.Decided == nil || st.Settled == nil || st.Decided.Nonce != decided || st.Settled.Nonce != settled {
				t.Fatalf("Get = %+v, %v, want decided %s and settled %s", st, err, decided, settled)
			}
			if err := h.Wait(ctx, req.ID); err != nil {
				t.Fatalf("Wait: %v", err)
			}
		}
	}
}

// contend lets 64 goroutines try and returns the nonce that won.
func contend(t *testing.T, a, b *storetest.House, lost error, try func(h *storetest.House, i int) (mine, won string, err error)) string {
	t.Helper()
	var mu sync.Mutex
	winners := map[string]int{}
	wins := 0
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range 64 {
		h := a
		if i >= 32 {
			h = b
		}
		wg.Go(func() {
			<-start
			mine, won, err := try(h, i)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				wins++
				if mine != won {
					t.Errorf("the winner was told %s, want its own %s", won, mine)
				}
			} else if !errors.Is(err, lost) {
				t.Errorf("losing: %v, want %v", err, lost)
			}
			winners[won]++
		})
	}
	close(start)
	wg.Wait()
	if wins != 1 || len(winners) != 1 {
		t.Fatalf("%d winners, seen as %v, want one", wins, winners)
	}
	for nonce := range winners {
		return nonce
	}
	return ""
}

func TestWaitersWakeInEveryProcess(t *testing.T) {
	t.Parallel()
	h := storetest.New(t, storetest.NewServer(t).Use)
	b := h.Beside()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second) // below the time after which waiters look by themselves
	defer cancel()
	req := h.Asked("alice")
	b.Eventually("the other process to know the request", func() bool { _, ok := b.Peek(req.ID); return ok })
	errs := make(chan error, 32)
	for i := range 32 {
		go func() { errs <- []*storetest.House{h, b}[i%2].Wait(ctx, req.ID) }()
	}
	h.Eventually("everybody to wait", func() bool { return h.Stats().Waiting == 1 && b.Stats().Waiting == 1 })
	if _, err := b.Decide(ctx, req.ID, b.Decision(req, consent.Denied)); err != nil {
		t.Fatal(err)
	}
	for range 32 {
		if err := <-errs; err != nil {
			t.Errorf("Wait: %v", err)
		}
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if err := h.Wait(gone, h.Asked("bob").ID); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait with a cancelled context = %v, want %v", err, context.Canceled)
	}
	if n := h.Stats().Waiting; n != 0 {
		t.Errorf("%d waiters are left", n)
	}
}

func TestStoppedStoreTakesNothing(t *testing.T) {
	t.Parallel()
	h := storetest.New(t)
	req, s := h.Asked("alice"), h.Store
	h.Close()
	if err := s.Ask(t.Context(), req); !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("Ask after Close = %v, want %v", err, consent.ErrUnavailable)
	}
}
