package ciba

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// token is the token endpoint.
func (s *Server) token(c echo.Context) error {
	who, f, err := s.receive(c)
	if err != nil {
		return err
	}
	switch grant := f.Get("grant_type"); grant {
	case GrantCIBA:
		return s.poll(c, who, f, &s.backchannel)
	case GrantDeferred:
		if f.Get("completion_mode") != "" {
			return refuse(InvalidRequest, "completion_mode: belongs into the request that was deferred, leave it out when polling")
		}
		return s.poll(c, who, f, &s.deferrals)
	case GrantRefresh:
		t, err := s.renew(c.Request().Context(), who, f)
		return reply(c, t, err)
	case GrantClientCredentials:
		t, d, err := s.clientCredentials(c.Request().Context(), who, f)
		if err == nil && d != nil {
			return answer(c, http.StatusBadRequest, d)
		}
		return reply(c, t, err)
	case "":
		return refuse(InvalidRequest, "grant_type: missing, send one of %s", strings.Join(grantTypes, ", "))
	}
	return refuse(UnsupportedGrantType, "grant_type: must be one of %s", strings.Join(grantTypes, ", "))
}
