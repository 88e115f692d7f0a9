package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/channels/fakes"
	"ringback/consent"
)

// phone serves the page.
func (s *Server) phone(c echo.Context) error {
	if _, err := s.person(c); err != nil {
		return err
	}
	return c.HTML(http.StatusOK, phoneHTML)
}

// sent is what the fake providers received for a person; nothing for one
// without a number, which the inbox would take for everybody's.
func (s *Server) sent(p *consent.Person) []fakes.Entry {
	if p.Phone == "" {
		return nil
	}
	return s.cfg.Phones.Inbox.Sent(string(p.Phone))
}

// outbox lists what the fake providers received for a person, newest last.
func (s *Server) outbox(c echo.Context) error {
	p, err := s.person(c)
	if err != nil {
		return err
	}
	type message struct {
		Channel string    `json:"channel"`
		To      string    `json:"to"`
		Text    string    `json:"text"`
		Links   []string  `json:"links"`
		At      time.Time `json:"at"`
	}
	out := []message{}
	for _, e := range s.sent(p) {
		out = append(out, message{e.Channel, e.To, e.Text, append([]string{}, e.Links...), e.At})
	}
	return c.JSON(http.StatusOK, out)
}

// screen is one state of the page: all that the phone received or sent, and
// all that the sample agent told.
type screen struct {
	Name     string        `json:"name"`
	Messages []fakes.Entry `json:"messages"`
	Agent    []AgentEvent  `json:"agent"`
}

// events streams screens (server-sent events) until the page goes away.
func (s *Server) events(c echo.Context) error {
	p, err := s.person(c)
	if err != nil {
		return err
	}
	w, ctx := c.Response(), c.Request().Context()
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	added, stop := s.cfg.Phones.Inbox.Subscribe()
	defer stop()
	told, stopAgent := s.agent.watch()
	defer stopAgent()
	beat := time.NewTicker(15 * time.Second)
	defer beat.Stop()
	for {
		data, err := json.Marshal(screen{p.Name, append([]fakes.Entry{}, s.cfg.Phones.Inbox.Thread(string(p.Phone))...), s.agent.Events()})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", data); err != nil {
			return nil // the page has gone
		}
		w.Flush()
		select {
		case <-ctx.Done():
			return nil
		case <-s.drained:
			return nil
		case <-added:
		case <-told:
		case <-beat.C:
		}
	}
}

// reply sends what the person typed, through the fake provider.
func (s *Server) reply(c echo.Context) error {
	p, err := s.person(c)
	if err != nil {
		return err
	}
	text := strings.TrimSpace(c.FormValue("text"))
	if text == "" || len(text) > 1600 {
		return echo.NewHTTPError(http.StatusBadRequest, "text is 1 to 1600 bytes")
	}
	if len(s.sent(p)) == 0 {
		return echo.NewHTTPError(http.StatusConflict, "there is no message to reply to yet")
	}
	if _, err := s.cfg.Phones.Reply(c.Request().Context(), string(p.Phone), text); err != nil {
		return echo.NewHTTPError(http.StatusBadGateway, "the reply did not get through: is the service running?")
	}
	return c.NoContent(http.StatusNoContent)
}
