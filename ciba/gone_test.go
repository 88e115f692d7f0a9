package ciba_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/labstack/echo/v4"

	"ringback/ciba"
	"ringback/consent"
	"ringback/keys"
)

// leaving is a store whose caller hangs up while it reads, and after that.
type leaving struct {
	consent.Store
	hangUp  atomic.Pointer[context.CancelFunc]
	settled atomic.Int64
	renewed atomic.Int64
}

func (l *leaving) Get(ctx context.Context, id consent.ID) (*consent.State, error) {
	if f := l.hangUp.Load(); f != nil {
		(*f)()
	}
	return l.Store.Get(context.WithoutCancel(ctx), id)
}

func (l *leaving) Settle(ctx context.Context, id consent.ID, s consent.Settlement) (consent.Settlement, error) {
	l.settled.Add(1)
	return l.Store.Settle(ctx, id, s)
}

func (l *leaving) Renew(ctx context.Context, id consent.ID, r consent.Renewal) error {
	l.renewed.Add(1)
	return l.Store.Renew(ctx, id, r)
}

// TestHungUpWhileReading: a caller that goes at the last moment takes nothing
// along: the approval is there for the next poll, and the refresh token for
// the next try. A write that has begun cannot be called back.
func TestHungUpWhileReading(t *testing.T) {
	t.Parallel()
	h := openRenewing(t)
	store := &leaving{Store: h.Store}
	door, err := ciba.NewServer(ciba.Config{
		Issuer: h.url, Store: store, Directory: h.Store, Handles: keys.NewHandles(h.Root), Ring: h.ring, Details: h.reg, Clients: h.config.Clients,
		Policy: h.policy.Load, Now: h.now, Log: slog.New(slog.NewJSONHandler(h, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	door.Register(e)
	gone := func(form string) {
		t.Helper()
		ctx, hangUp := context.WithCancel(t.Context())
		store.hangUp.Store(&hangUp)
		defer store.hangUp.Store(nil)
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/token", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", basic("renewing", secret))
		e.ServeHTTP(httptest.NewRecorder(), r)
		if ctx.Err() == nil {
			t.Fatal("nothing was read")
		}
	}

	id := h.ask("renewing", "scope", "openid offline_access").str("auth_req_id")
	request := h.pending().Request.ID
	h.decide(request, consent.Approved)
	gone(params("grant_type", ciba.GrantCIBA, "auth_req_id", id).Encode())
	if n := store.settled.Load(); n != 0 || h.state(request).Settled != nil {
		t.Fatalf("settled %d times, %+v, for nobody", n, h.state(request).Settled)
	}
	res := h.poll("renewing", id)
	refresh := res.str("refresh_token")

	gone(params("grant_type", ciba.GrantRefresh, "refresh_token", refresh).Encode())
	if n := store.renewed.Load(); n != 0 || len(h.state(request).Renewals) != 0 {
		t.Fatalf("renewed %d times for nobody", n)
	}
	if res := h.renew("renewing", refresh); res.status != http.StatusOK {
		t.Errorf("the next try: %d %s", res.status, res.raw)
	}
}
