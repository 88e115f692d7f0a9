package approve

import (
	"encoding/xml"
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"ringback/consent"
)

// optedOut is the provider's code for a recipient who wrote STOP to it.
const optedOut = "21610"

// status takes the provider's later word on one attempt. It never decides
// anything; only the last words, delivered and failed, are kept.
func (s *Server) status(c echo.Context) error {
	raw, n, ok := s.cfg.Handles.ParseCallbackRef(c.Param("ref"))
	if !ok {
		return c.NoContent(http.StatusNotFound)
	}
	_, got, refused := s.receive(c)
	if refused != 0 {
		return c.NoContent(refused)
	}
	if !got.Delivered && !got.Failed {
		return c.NoContent(http.StatusNoContent)
	}
	ctx, id := c.Request().Context(), consent.ID(raw)
	st, err := s.cfg.Store.Get(ctx, id)
	if errors.Is(err, consent.ErrNotFound) {
		return c.NoContent(http.StatusNoContent) // forgotten by now
	}
	if err != nil {
		return s.later(c, id, err)
	}
	a := attempt(st, n)
	// The outcome may not be written yet; where it is, the message must be the
	// one that it names.
	o, known := st.Outcomes[n]
	if _, have := st.Receipts[n]; a == nil || have || known && o.ProviderID != "" && o.ProviderID != got.MessageID {
		return c.NoContent(http.StatusNoContent)
	}
	if got.Failed && got.Code == optedOut { // before the receipt, which says that all is done
		err = s.cfg.Devices.StopDevice(ctx, st.Request.Approver, a.Device, true)
	}
	if err == nil {
		err = s.cfg.Store.Report(ctx, id, consent.Receipt{V: consent.Version, N: n, Delivered: got.Delivered, Code: got.Code, At: s.cfg.Now()})
	}
	if err != nil {
		return s.later(c, id, err)
	}
	return c.NoContent(http.StatusNoContent)
}

// twiml answers a message with at most one message.
func twiml(c echo.Context, text string) error {
	var b strings.Builder
	b.WriteString(xml.Header + "<Response>")
	if text != "" {
		b.WriteString("<Message>")
		if err := xml.EscapeText(&b, []byte(text)); err != nil {
			return err
		}
		b.WriteString("</Message>")
	}
	b.WriteString("</Response>")
	c.Response().Header().Set("Cache-Control", "no-store")
	return c.Blob(http.StatusOK, "text/xml; charset=utf-8", []byte(b.String()))
}
