package demo

import (
	"crypto/rand"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"ringback/consent"
)

// decide answers a request at once, named by its auth_req_id or
// deferral_code, for conformance tools and load tests: 204, 404 for an unknown request, 409 for a decided one. The acr is the first
// that satisfies the request.
func (s *Server) decide(c echo.Context) error {
	ctx := c.Request().Context()
	verb, ok := map[string]consent.Verb{"allow": consent.Approved, "deny": consent.Denied}[c.QueryParam("action")]
	if !ok {
		return echo.NewHTTPError(http.StatusBadRequest, "action is allow or deny")
	}
	id, ok := s.cfg.Handles.ParseAuthReqID(c.QueryParam("auth_req_id"))
	if code := c.QueryParam("deferral_code"); code != "" {
		id, ok = s.cfg.Handles.ParseDeferralCode(code)
	}
	if !ok {
		return echo.NewHTTPError(http.StatusNotFound, "auth_req_id or deferral_code is unknown")
	}
	st, err := s.cfg.Store.Get(ctx, id)
	if errors.Is(err, consent.ErrNotFound) {
		return echo.NewHTTPError(http.StatusNotFound, "auth_req_id or deferral_code is unknown")
	} else if err != nil {
		return err
	}
	d, err := consent.Decide(st, consent.Evidence{
		Verb: verb, By: st.Request.Approver, Means: consent.ByDev, ACR: st.Request.ACR[0], AMR: []string{"dev"}, Nonce: rand.Text(),
	}, s.cfg.Details, s.cfg.Now())
	if err == nil {
		_, err = s.cfg.Store.Decide(ctx, id, d)
	}
	if errors.Is(err, consent.ErrDecided) || errors.Is(err, consent.ErrEnded) {
		return echo.NewHTTPError(http.StatusConflict, "the request is already decided or over")
	} else if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
