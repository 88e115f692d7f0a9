package admin

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"ringback/keys"
)

func (s *Server) listKeys(c echo.Context) error {
	all := s.cfg.Ring.List()
	return c.JSON(http.StatusOK, listed(all, "", func(k *keys.KeyInfo) keys.KeyInfo { return *k }))
}

// rotateKeys makes the published next key sign; purpose is token (default) or
// evidence.
func (s *Server) rotateKeys(c echo.Context) error {
	var err error
	switch c.QueryParam("purpose") {
	case "", "token":
		err = s.cfg.Ring.Rotate(c.Request().Context())
	case "evidence":
		err = s.cfg.Ring.RotateEvidence(c.Request().Context())
	default:
		return invalid("purpose is neither token nor evidence.", "")
	}
	if err != nil {
		return err
	}
	return s.listKeys(c)
}

// evidenceKeys are what `ringback verify` needs. Take them at a time and by a
// way of their own: an export must not vouch for itself.
func (s *Server) evidenceKeys(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/jwk-set+json", s.cfg.Ring.EvidenceJWKS())
}

// export streams evidence and audit records. When it fails on its way the
// connection is cut, so that nobody takes a part for the whole.
func (s *Server) export(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderContentType, "application/jsonl")
	err := s.cfg.Auditor.Export(c.Request().Context(), c.Response())
	if err != nil && c.Response().Committed {
		s.cfg.Log.ErrorContext(c.Request().Context(), "export was cut short", "err", err)
		panic(http.ErrAbortHandler)
	}
	return err
}
