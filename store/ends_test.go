package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"ringback/consent"
	"ringback/store/storetest"
)

// TestEnd ends what is over, and nothing else, whatever else there is in the
// batch.
func TestEnd(t *testing.T) {
	t.Parallel()
	houses(t, func(t *testing.T, h *storetest.House) {
		ctx, later := t.Context(), time.Now().Add(time.Hour)
		decide := func(req *consent.Request, v consent.Verb) *consent.Request {
			if _, err := h.Decide(ctx, req.ID, h.Decision(req, v)); err != nil {
				t.Fatal(err)
			}
			return req
		}
		asked := func() *consent.Request { return h.Asked("alice") }
		over, lapsed := []*consent.Request{asked(), asked(), asked()}, []*consent.Request{decide(asked(), consent.Approved), decide(asked(), consent.Approved)}
		denied, redeemed := decide(asked(), consent.Denied), decide(asked(), consent.Approved)
		if _, err := h.Settle(ctx, redeemed.ID, h.Settlement(redeemed, consent.Redeemed)); err != nil {
			t.Fatal(err)
		}
		open := h.Asked("alice", func(r *consent.Request) { r.ExpiresAt = later.Add(time.Second) })
		batch := []consent.ID{denied.ID, over[0].ID, consent.NewID(), lapsed[0].ID, open.ID, over[1].ID, redeemed.ID, lapsed[1].ID, over[2].ID}
		ended, err := h.End(ctx, batch, later)
		if err != nil {
			t.Fatal(err)
		}
		want := []consent.ID{over[0].ID, over[1].ID, over[2].ID, lapsed[0].ID, lapsed[1].ID}
		byID := func(a, b consent.ID) int { return slices.Compare(a[:], b[:]) }
		slices.SortFunc(ended, byID)
		if slices.SortFunc(want, byID); !slices.Equal(ended, want) {
			t.Errorf("End = %v, want %v", ended, want)
		}
		for req, status := range map[*consent.Request]consent.Status{
			over[0]: consent.StatusExpired, over[1]: consent.StatusExpired, over[2]: consent.StatusExpired, lapsed[0]: consent.StatusExpired,
			lapsed[1]: consent.StatusExpired, denied: consent.StatusDenied, redeemed: consent.StatusRedeemed, open: consent.StatusPending,
		} {
			st, err := h.Get(ctx, req.ID)
			if err != nil || st.Status() != status {
				t.Errorf("a request is %v, %v, want %s", st.Status(), err, status)
			}
		}
		for _, req := range over { // what is written from memory is what a single look would write
			st, _ := h.Get(ctx, req.ID)
			alone, err := consent.Expire(&consent.State{Request: req}, st.Decided.Nonce, later)
			if got := *st.Decided; err != nil || got.AskedDigest != alone.AskedDigest || got.GrantedDigest != alone.GrantedDigest || got.DecisionDigest != alone.DecisionDigest {
				t.Errorf("decided = %+v, want %+v, %v", got, alone, err)
			}
		}
		if again, err := h.End(ctx, batch, later); err != nil || len(again) != 0 {
			t.Errorf("End again = %v, %v, want nobody", again, err)
		}
	})
}

// TestEndRaces: an answer and an end of the same request are one decision, and
// who lost costs the others nothing.
func TestEndRaces(t *testing.T) {
	t.Parallel()
	houses(t, func(t *testing.T, h *storetest.House) {
		ctx, later := t.Context(), time.Now().Add(time.Hour)
		var batch []consent.ID
		var asked []*consent.Request
		for range 60 {
			req := h.Asked("alice")
			batch, asked = append(batch, req.ID), append(asked, req)
		}
		denied := make(chan consent.ID, len(asked))
		go func() {
			defer close(denied)
			for i := 0; i < len(asked); i += 2 {
				if _, err := h.Decide(context.WithoutCancel(ctx), asked[i].ID, h.Decision(asked[i], consent.Denied)); err == nil {
					denied <- asked[i].ID
				}
			}
		}()
		ended, err := h.End(ctx, batch, later)
		if err != nil {
			t.Fatal(err)
		}
		for id := range denied {
			if slices.Contains(ended, id) {
				t.Errorf("%s was denied and ended", id)
			}
			ended = append(ended, id)
		}
		if len(ended) != len(batch) {
			t.Errorf("%d decisions of %d", len(ended), len(batch))
		}
	})
}

// TestEndWhileStopping: what is not written is no end.
func TestEndWhileStopping(t *testing.T) {
	t.Parallel()
	h := storetest.New(t)
	req, s := h.Asked("alice"), h.Store
	h.Close()
	if ended, err := s.End(t.Context(), []consent.ID{req.ID}, time.Now().Add(time.Hour)); err == nil || len(ended) != 0 {
		t.Errorf("End = %v, %v, want an error", ended, err)
	}
}

// TestEndAfterRestart: a process that has not seen a request being asked ends it
// too.
func TestEndAfterRestart(t *testing.T) {
	t.Parallel()
	h := storetest.New(t)
	req := h.Asked("alice")
	h.Reopen()
	ended, err := h.End(t.Context(), []consent.ID{req.ID}, time.Now().Add(time.Hour))
	if err != nil || len(ended) != 1 || ended[0] != req.ID {
		t.Errorf("End = %v, %v, want that one", ended, err)
	}
}
