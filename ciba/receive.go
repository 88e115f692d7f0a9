package ciba

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"

	"ringback/clients"
)

// receive reads a POST: method, readiness, form, client, sender's key, in this
// order.
func (s *Server) receive(c echo.Context) (who clients.Caller, f form, err error) {
	r := c.Request()
	if r.Method != http.MethodPost {
		return who, nil, refuseMethod(http.MethodPost)
	}
	if s.cfg.Ready != nil && s.cfg.Ready() != nil {
		return who, nil, errBusy
	}
	if f, err = readForm(r); err == nil {
		who, err = s.cfg.Clients.Authenticate(r, f)
	}
	return who, f, err
}

// refuseMethod is the answer to another method than those that allow names.
func refuseMethod(allow string) error {
	return &Error{Code: InvalidRequest, Description: "the method must be " + allow, Status: http.StatusMethodNotAllowed, Allow: allow}
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
