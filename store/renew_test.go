package store_test

import (
	"errors"
	"testing"
	"time"

	"ringback/consent"
	"ringback/store/storetest"
)

// renewable stores a request, approved and redeemed.
func renewable(t *testing.T, h *storetest.House) *consent.Request {
	t.Helper()
	req := h.Asked("alice", func(r *consent.Request) { r.Renewable = 3600 })
	_, err := h.Decide(t.Context(), req.ID, h.Decision(req, consent.Approved))
	_, err2 := h.Settle(t.Context(), req.ID, h.Settlement(req, consent.Redeemed))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return req
}

// TestOneRenewal: a refresh token is used up by the first that comes with it,
// whoever that is.
func TestOneRenewal(t *testing.T) {
	t.Parallel()
	t.Run("one process", func(t *testing.T) {
		t.Parallel()
		h := storetest.New(t)
		raceRenewals(t, h, h)
	})
	t.Run("two processes", func(t *testing.T) {
		t.Parallel()
		h := storetest.New(t, storetest.NewServer(t).Use)
		raceRenewals(t, h, h.Beside())
	})
}

// raceRenewals uses each of two tokens in turn 64 ways, half of them by each
// house.
func raceRenewals(t *testing.T, a, b *storetest.House) {
	ctx := t.Context()
	for range rounds {
		req := renewable(t, a)
		var won []string
		for n := 1; n <= 2; n++ {
			winner := make(chan string, 64)
			contendFor(t, func(i int) error {
				h := []*storetest.House{a, b}[i%2]
				r := h.Renewal(req, n)
				err := h.Renew(ctx, req.ID, r)
				if err == nil {
					winner <- r.Nonce
				}
				return err
			})
			won = append(won, <-winner)
		}
		for _, h := range []*storetest.House{a, b} {
			st, err := h.Get(ctx, req.ID)
			if err != nil || len(st.Renewals) != len(won) || st.Status() != consent.StatusRedeemed {
				t.Fatalf("Get = %+v, %v, want %d renewals", st, err, len(won))
			}
			for i, r := range st.Renewals {
				if r.N != i+1 || r.Nonce != won[i] {
					t.Errorf("renewal %d is number %d of %s, want %s, who was told so", i+1, r.N, r.Nonce, won[i])
				}
			}
		}
	}
}

// contendFor lets 64 goroutines try, of which one must succeed and the others
// be told that they came late.
func contendFor(t *testing.T, try func(i int) error) {
	t.Helper()
	start, errs := make(chan struct{}), make(chan error, 64)
	for i := range 64 {
		go func() {
			<-start
			errs <- try(i)
		}()
	}
	close(start)
	wins := 0
	for range 64 {
		if err := <-errs; err == nil {
			wins++
		} else if !errors.Is(err, consent.ErrClaimed) {
			t.Errorf("losing: %v, want %v", err, consent.ErrClaimed)
		}
	}
	if wins != 1 {
		t.Fatalf("%d winners, want one", wins)
	}
}

func TestRenew(t *testing.T) {
	t.Parallel()
	houses(t, func(t *testing.T, h *storetest.House) {
		ctx := t.Context()
		req := renewable(t, h)
		mine := h.Renewal(req, 1)
		nameless := mine
		nameless.Nonce = ""
		tests := []struct {
			name string
			id   consent.ID
			r    consent.Renewal
			want error // nil: it succeeds
		}{
			{"of an unknown request", consent.NewID(), mine, consent.ErrNotFound},
			{"the first", req.ID, mine, nil},
			{"our own again", req.ID, mine, nil},
			{"somebody else's of the same number", req.ID, h.Renewal(req, 1), consent.ErrClaimed},
			{"the second", req.ID, h.Renewal(req, 2), nil},
			{"the second, with the first's nonce", req.ID, func() consent.Renewal { r := mine; r.N = 2; return r }(), consent.ErrClaimed},
			{"the first once more", req.ID, h.Renewal(req, 1), consent.ErrClaimed},
			{"our own after the second", req.ID, mine, nil},
		}
		check := func(when string) {
			t.Helper()
			for _, tt := range tests {
				if err := h.Renew(ctx, tt.id, tt.r); !errors.Is(err, tt.want) {
					t.Errorf("%s: Renew, %s = %v, want %v", when, tt.name, err, tt.want)
				}
			}
		}
		check("at first")
		for what, r := range map[string]consent.Renewal{"a nonce": nameless, "a number": h.Renewal(req, 0)} {
			if err := h.Renew(ctx, req.ID, r); err == nil || errors.Is(err, consent.ErrClaimed) {
				t.Errorf("Renew without %s = %v, want an error of the caller", what, err)
			}
		}
		h.Reopen()
		check("after a restart")
		if err := h.Revoke(ctx, req.ID, consent.Revocation{V: 1, By: "agent", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		st, err := h.Get(ctx, req.ID)
		if err != nil || st.Status() != consent.StatusRevoked || len(st.Renewals) != 2 || st.Renewals[0].Nonce != mine.Nonce {
			t.Errorf("Get = %+v, %v, want it revoked, with two renewals", st, err)
		}
	})
}

// TestRenewalsOfOthers: a number is used up for its own request only.
func TestRenewalsOfOthers(t *testing.T) {
	t.Parallel()
	h := storetest.New(t)
	one, other := renewable(t, h), renewable(t, h)
	r := h.Renewal(one, 1)
	for _, id := range []consent.ID{one.ID, other.ID} {
		if err := h.Renew(t.Context(), id, r); err != nil {
			t.Errorf("Renew: %v", err)
		}
	}
}
