package admin

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"ringback/consent"
	"ringback/keys"
)

// Error is what an operator may read.
type Error struct {
	Status      int    `json:"-"`                   // HTTP status
	Code        string `json:"error"`               // one word, for programs
	Description string `json:"error_description"`   // what happened
	Next        string `json:"next_step,omitempty"` // what to do now
	err         error  // for the log
}

// Error implements error.
func (e *Error) Error() string {
	if e.err != nil {
		return e.Code + ": " + e.err.Error()
	}
	return e.Code + ": " + e.Description
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

func invalid(description, next string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "invalid_request", Description: description, Next: next}
}

func notFound(what, next string) *Error {
	return &Error{Status: http.StatusNotFound, Code: "not_found", Description: "There is no such " + what + ".", Next: next}
}

func conflict(description, next string) *Error {
	return &Error{Status: http.StatusConflict, Code: "conflict", Description: description, Next: next}
}

// exists is the conflict with an entry of the same id.
func exists(kind, id, member string, err error) *Error {
	return &Error{Status: http.StatusConflict, Code: "conflict", Description: "There is a " + kind + " " + id + " already.",
		Next: "Choose another " + member + ", or remove that " + kind + " first.", err: err}
}

// asError turns any error into one that an operator may read.
func asError(err error) *Error {
	var own *Error
	var web *echo.HTTPError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &web) && web.Code < 500:
		return &Error{Status: web.Code, Code: "invalid_request", Description: http.StatusText(web.Code) + ".",
			Next: "See the list of routes in deploy/README.md.", err: err}
	case errors.Is(err, consent.ErrReadOnly):
		return &Error{Status: http.StatusConflict, Code: "read_only", Description: sentence(err),
			Next: "Change the configuration file and send the service SIGHUP.", err: err}
	case errors.Is(err, consent.ErrTaken), errors.Is(err, consent.ErrInvalid), errors.Is(err, consent.ErrExists):
		return &Error{Status: http.StatusConflict, Code: "conflict", Description: sentence(err), err: err}
	case errors.Is(err, consent.ErrNotFound):
		return notFound("entry", "List what there is first.")
	case errors.Is(err, keys.ErrTooSoon):
		return &Error{Status: http.StatusConflict, Code: "too_soon", Description: sentence(err), Next: "Wait a minute.", err: err}
	case errors.Is(err, consent.ErrUnavailable):
		return &Error{Status: http.StatusServiceUnavailable, Code: "unavailable", Description: "The store takes no writes now.",
			Next: "Look at /readyz and the log, then try again.", err: err}
	default:
		return &Error{Status: http.StatusInternalServerError, Code: "server_error", Description: "Something went wrong on our side.",
			Next: "Look into the service's log.", err: err}
	}
}

// writeError is the only place where errors become answers.
func (s *Server) writeError(c echo.Context, err error) error {
	e := asError(err)
	ctx := c.Request().Context()
	if e.Status >= 500 {
		s.cfg.Log.ErrorContext(ctx, "management request failed", "err", err)
	} else {
		s.cfg.Log.DebugContext(ctx, "management request refused", "err", err)
	}
	h := c.Response().Header()
	switch e.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="ringback"`)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	}
	return c.JSON(e.Status, e)
}

// sentence makes an error's text one.
func sentence(err error) string {
	t := err.Error()
	if t == "" {
		return t
	}
	if b := t[0]; b >= 'a' && b <= 'z' {
		t = string(b-'a'+'A') + t[1:]
	}
	if t[len(t)-1] != '.' {
		t += "."
	}
	return t
}
