package approve

import (
	"errors"
	"io"
	"log/slog"
	"net/http"

	"github.com/labstack/echo/v4"

	"ringback/channels"
	"ringback/consent"
)

// maxCallback bounds the body of a callback.
const maxCallback = 64 << 10

// callback takes what a provider has to say. The body is bounded before anything
// else, and the provider's proof comes before any effect.
func (s *Server) callback(c echo.Context) error {
	in, ok := s.inlets[c.Param("provider")]
	if !ok {
		return c.NoContent(http.StatusNotFound)
	}
	body, err := io.ReadAll(io.LimitReader(c.Request().Body, maxCallback+1))
	if err != nil || len(body) > maxCallback {
		return c.NoContent(http.StatusRequestEntityTooLarge)
	}
	got, err := in.Receive(c.Request(), body)
	switch {
	case errors.Is(err, channels.ErrNoCallback):
		return c.NoContent(http.StatusNotFound)
	case err != nil:
		s.cfg.Log.LogAttrs(c.Request().Context(), slog.LevelWarn, "callback refused", slog.String("channel", in.channel), slog.Any("err", err))
		return c.NoContent(http.StatusForbidden)
	case got.Status:
		return s.status(c, in, got)
	}
	return s.inbound(c, in, got)
}

// status takes the provider's later word on one attempt. It never decides
// anything; only the last words, delivered and failed, are kept.
func (s *Server) status(c echo.Context, in inlet, got channels.Inbound) error {
	taken := func() error { return in.Answer(c.Response(), got, "") }
	raw, n, ok := s.cfg.Handles.ParseCallbackRef(got.Ref)
	switch {
	case !ok:
		return c.NoContent(http.StatusNotFound)
	case !got.Delivered && !got.Failed:
		return taken()
	}
	ctx, id := c.Request().Context(), consent.ID(raw)
	st, err := s.cfg.Store.Get(ctx, id)
	if errors.Is(err, consent.ErrNotFound) {
		return taken() // forgotten by now
	}
	if err != nil {
		return s.later(c, id, err)
	}
	a := attempt(st, n)
	// The outcome may not be written yet; where it is, the message must be the
	// one that it names.
	o, known := st.Outcomes[n]
	if _, have := st.Receipts[n]; a == nil || have || known && o.ProviderID != "" && o.ProviderID != got.MessageID {
		return taken()
	}
	if got.Stopped { // before the receipt, which says that all is done
		err = s.cfg.Devices.StopDevice(ctx, st.Request.Approver, a.Device, true)
	}
	if err == nil {
		err = s.cfg.Store.Report(ctx, id, consent.Receipt{V: consent.Version, N: n, Delivered: got.Delivered, Code: got.Code, At: s.cfg.Now()})
	}
	if err != nil {
		return s.later(c, id, err)
	}
	return taken()
}

// later answers that a callback could not be taken.
func (s *Server) later(c echo.Context, req consent.ID, err error) error {
	s.fault(c.Request().Context(), "taking a callback", req, err)
	c.Response().Header().Set("Retry-After", "5")
	return c.NoContent(http.StatusServiceUnavailable)
}
