package ciba

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/clients"
	"ringback/consent"
)

// Code is the value of "error" in a response.
type Code = clients.Code

// What an agent may be told: RFC 6749 §5.2, CIBA Core §11 to §13, RFC 8707 §2,
// RFC 9396 §5, RFC 9449 §5 and §8, RFC 7591 §3.2.2, RFC 6750 §3.1.
const (
	InvalidRequest               = clients.InvalidRequest
	InvalidClient                = clients.InvalidClient
	InvalidGrant                 = clients.InvalidGrant
	InvalidScope            Code = "invalid_scope"
	InvalidTarget           Code = "invalid_target"
	InvalidDetails          Code = "invalid_authorization_details"
	InvalidBindingMessage   Code = "invalid_binding_message"
	UnauthorizedClient      Code = "unauthorized_client"
	UnsupportedGrantType    Code = "unsupported_grant_type"
	InvalidDPoPProof             = clients.InvalidDPoPProof
	UseDPoPNonce                 = clients.UseDPoPNonce
	UnsupportedResponseType Code = "unsupported_response_type"
	InvalidClientMetadata   Code = "invalid_client_metadata"
	InvalidRedirectURI      Code = "invalid_redirect_uri"
	InvalidToken            Code = "invalid_token"
	UnknownUserID           Code = "unknown_user_id"
	ExpiredLoginHintToken   Code = "expired_login_hint_token"
	AccessDenied            Code = "access_denied"
	AuthorizationPending    Code = "authorization_pending"
	SlowDown                Code = "slow_down"
	ExpiredToken            Code = "expired_token"
	TransactionFailed       Code = "transaction_failed"
	Unavailable             Code = "temporarily_unavailable"
	ServerError             Code = "server_error"
)

// statuses holds the codes that are not answered with 400.
var statuses = map[Code]int{
	InvalidClient: http.StatusUnauthorized,
	InvalidToken:  http.StatusUnauthorized,
	Unavailable:   http.StatusServiceUnavailable,
	ServerError:   http.StatusInternalServerError,
}

// retryUnavailable is the Retry-After of every 503: long enough for a fail-over.
const retryUnavailable = 5 * time.Second

// maxDescription bounds what one description can carry.
const maxDescription = 400

// Error is what an agent may read. Every other error reaches it as
// server_error without detail.
type Error struct {
	Code        Code
	Description string        // names the parameter and the accepted form
	Status      int           // 0: what the code says
	RetryAfter  time.Duration // header Retry-After, rounded up to seconds; 0: none
	Allow       string        // header Allow of a 405
	Nonce       string        // header DPoP-Nonce
	Challenge   string        // header WWW-Authenticate of a 401; empty: that for clients' secrets
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Description }

// refuse returns an *Error with the status that belongs to its code.
func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Description: fmt.Sprintf(format, args...)}
}

// refuseDenied is access_denied before the person was reached (CIBA Core §13).
// At the token endpoint the same code is a 400.
func refuseDenied(format string, args ...any) *Error {
	return &Error{Code: AccessDenied, Description: fmt.Sprintf(format, args...), Status: http.StatusForbidden}
}

// The answers that are given most need no formatting.
var (
	errPending         = &Error{Code: AuthorizationPending, Description: "the person has not answered yet"}
	errForeign         = &Error{Code: InvalidGrant, Description: "auth_req_id is unknown, was issued to another client, or has been redeemed"}
	errForeignDeferral = &Error{Code: InvalidGrant, Description: "deferral_code is unknown, was issued to another client, or has been redeemed"}

	errBusy    = &Error{Code: Unavailable, Description: "not available right now, try again later", RetryAfter: retryUnavailable}
	errUnknown = &Error{Code: ServerError, Description: "something went wrong here, try again later"}
)

// handle turns a handler's error into its response.
func (s *Server) handle(h func(echo.Context) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		if id := c.Request().Header["X-Fapi-Interaction-Id"]; len(id) == 1 && interactionID.MatchString(id[0]) {
			c.Response().Header()["X-Fapi-Interaction-Id"] = id // FAPI 1.0 Baseline §6.2.1
		}
		if err := h(c); err != nil {
			return s.writeError(c, err)
		}
		return nil
	}
}

// interactionID keeps what is sent back to the characters of a UUID.
var interactionID = regexp.MustCompile(`^[0-9A-Fa-f-]{36}$`)

// writeError is where errors become responses: RFC 6749 §5.2, with nothing but
// error and error_description in the body.
func (s *Server) writeError(c echo.Context, err error) error {
	e := s.readable(c.Request().Context(), err)
	status := e.Status
	if status == 0 {
		if status = statuses[e.Code]; status == 0 {
			status = http.StatusBadRequest
		}
	}
	h := c.Response().Header()
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", cmp.Or(e.Challenge, `Basic realm="ringback", charset="UTF-8"`)) // RFC 7617 §2
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds(e.RetryAfter)))
	}
	for _, own := range [...][2]string{{"Allow", e.Allow}, {"DPoP-Nonce", e.Nonce}} {
		if own[1] != "" {
			h.Set(own[0], own[1])
		}
	}
	body := make([]byte, 0, 256)
	body = append(body, `{"error":"`...)
	body = append(body, e.Code...)
	body = append(body, `","error_description":"`...)
	body = appendDescription(body, e.Description)
	body = append(body, "\"}\n"...)
	return writeJSON(c, status, body)
}

// readable returns what the agent is told about err, and logs what it is not
// told.
func (s *Server) readable(ctx context.Context, err error) *Error {
	var e *Error
	var unproven *clients.Error
	if !errors.As(err, &e) && errors.As(err, &unproven) {
		e = &Error{Code: unproven.Code, Description: unproven.Description, Nonce: unproven.Nonce}
	}
	switch {
	case e != nil:
		if e.Code == InvalidClient {
			s.cfg.Log.InfoContext(ctx, "client refused", slog.String("code", string(e.Code)), slog.String("err", e.Description))
		}
		return e
	case errors.Is(err, clients.ErrBusy), ctx.Err() != nil: // of the latter nobody reads this, or the program is stopping
		return errBusy
	case errors.Is(err, consent.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		s.cfg.Log.WarnContext(ctx, "agent turned away", slog.Any("err", err))
		return errBusy
	}
	s.cfg.Log.ErrorContext(ctx, "agent's request failed", slog.Any("err", err))
	return errUnknown
}

// appendDescription writes text in the characters that RFC 6749 §5.2 allows:
// %x20-21 / %x23-5B / %x5D-7E. It needs no JSON escaping after that.
func appendDescription(to []byte, text string) []byte {
	if len(text) > maxDescription {
		text = text[:maxDescription]
	}
	for _, r := range text {
		switch {
		case r == '"':
			r = '\''
		case r == '\\':
			r = '/'
		case r < 0x20 || r > 0x7e:
			r = '?'
		}
		to = append(to, byte(r))
	}
	return to
}

// seconds rounds up.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// Header values that are the same in every response. Sharing the slices saves
// an allocation each; nobody appends to them.
var (
	jsonType = []string{"application/json"}
	noStore  = []string{"no-store"}
	noCache  = []string{"no-cache"}
)

// writeJSON writes body, which must not be kept anywhere on its way.
func writeJSON(c echo.Context, status int, body []byte) error {
	w := c.Response()
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Cache-Control"] = noStore
	h["Pragma"] = noCache // RFC 6749 §5.1
	w.WriteHeader(status)
	_, err := w.Write(body)
	return err
}

// refusedBy is contract: a duplicate is the agent's mistake, a budget or a
// freeze is policy.
func refusedBy(r *consent.Refusal, now time.Time) *Error {
	var e *Error
	switch r.Reason {
	case consent.ReasonDuplicate:
		e = refuse(InvalidRequest, "%s", r.Error())
	default:
		e = refuseDenied("%s", r.Error())
	}
	if r.Reason != consent.ReasonFrozen && r.Until.After(now) {
		e.RetryAfter = r.Until.Sub(now)
	}
	return e
}
