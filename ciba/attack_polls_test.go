package ciba_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/ciba"
	"ringback/consent"
	"ringback/keys"
)

// counted counts what is read of a store.
type counted struct {
	consent.Store
	reads atomic.Int64
}

func (c *counted) Get(ctx context.Context, id consent.ID) (*consent.State, error) {
	c.reads.Add(1)
	return c.Store.Get(ctx, id)
}

// TestImpatientPolls: who polls ten times too fast is told to slow down, more
// and more, and costs no reading of the store; who polls as told is not
// disturbed by it (CIBA Core §11).
func TestImpatientPolls(t *testing.T) {
	t.Parallel()
	h := open(t)
	store := &counted{Store: h.Store}
	door, err := ciba.NewServer(ciba.Config{
		Issuer: h.url, Store: store, Directory: h.Store, Handles: keys.NewHandles(h.Root), Ring: h.ring, Details: h.reg, Clients: h.config.Clients,
		Policy: h.policy.Load, Now: h.now, Log: slog.New(slog.NewJSONHandler(h, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	h.echo = echo.New()
	door.Register(h.echo)
	hasty, calm := h.askedDirectly("agent", "requested_expiry", "3600"), h.askedDirectly("agent", "requested_expiry", "3600")
	const polls, step = 600, 500 * time.Millisecond
	slowed := 0
	for i := range polls {
		h.forward(step)
		switch res := h.directAs("agent", "/token", collecting(hasty)); {
		case says(http.StatusBadRequest, ciba.SlowDown)(res):
			slowed++
		case !says(http.StatusBadRequest, ciba.AuthorizationPending)(res):
			t.Fatalf("poll %d: %d %s", i, res.status, res.raw)
		}
		if i%10 != 0 {
			continue
		}
		if res := h.directAs("agent", "/token", collecting(calm)); !says(http.StatusBadRequest, ciba.AuthorizationPending)(res) {
			t.Fatalf("a calm poll: %d %s", res.status, res.raw)
		}
	}
	if slowed < polls*99/100 {
		t.Errorf("%d of %d hasty polls were slowed down", slowed, polls)
	}
	if got := store.reads.Load(); got != 0 {
		t.Errorf("%d polls read the store %d times", polls+polls/10, got)
	}
}
