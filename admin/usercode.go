package admin

import (
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/consent"
)

// offerView says what was sent to a person.
type offerView struct {
	ID    string    `json:"id"`
	Until time.Time `json:"until"` // the link in the message works as long
}

// offerUserCode sends a person the link to choose a user_code with. Operators
// never see the code, neither the message's nor the one that is chosen.
func (s *Server) offerUserCode(c echo.Context) error {
	ctx := c.Request().Context()
	p, err := s.person(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	until, err := s.cfg.OfferUserCode(ctx, p)
	if errors.Is(err, consent.ErrUnreachable) {
		return &Error{Status: http.StatusConflict, Code: "unreachable", Description: sentence(err),
			Next: "`ringback person show " + p.ID + "` lists the ways to reach them; then ask for the message again.", err: err}
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, offerView{p.ID, until.UTC().Truncate(time.Second)})
}
