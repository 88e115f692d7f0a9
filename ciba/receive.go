package ciba

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"ringback/clients"
)

// receive reads a POST: method, readiness, form, client, sender's key, in this
// order.
func (s *Server) receive(c echo.Context) (who clients.Caller, f form, err error) {
	r := c.Request()
	if err = s.opens(r, http.MethodPost); err == nil {
		f, err = readForm(r)
	}
	if err == nil {
		who, err = s.cfg.Clients.Authenticate(r, f)
	}
	return who, f, err
}

// opens refuses another method than those allowed, and every request
// while we are not ready.
func (s *Server) opens(r *http.Request, allow ...string) error {
	if !slices.Contains(allow, r.Method) {
		names := strings.Join(allow, ", ")
		return &Error{Code: InvalidRequest, Description: "the method must be " + names, Status: http.StatusMethodNotAllowed, Allow: names}
	}
	if s.cfg.Ready != nil && s.cfg.Ready() != nil {
		return errBusy
	}
	return nil
}

// reply answers with v, unless there is an error.
func reply(c echo.Context, v any, err error) error {
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, v)
}

// answer writes v as JSON.
func answer(c echo.Context, status int, v any) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	return writeJSON(c, status, body)
}

// encode returns v as JSON in which nothing is escaped that need not be.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return buf.Bytes(), err
}
