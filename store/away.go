package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// statusError is an answer of the server that is a status and no message.
type statusError struct{ status, description string }

func (e *statusError) Error() string { return "direct get: " + e.status + " " + e.description }

// away makes a consent.ErrUnavailable of an error that says that nobody answers,
// or not now.
func away(err error) error {
	var api *jetstream.APIError
	var status *statusError
	switch {
	case err == nil, errors.Is(err, consent.ErrUnavailable):
		return err
	case errors.As(err, &api) && (api.Code == http.StatusServiceUnavailable || api.ErrorCode == errFailed) && !isSecond(err),
		errors.As(err, &status) && status.status == "503":
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, jetstream.ErrNoStreamResponse):
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrTimeout), errors.Is(err, nats.ErrNoServers),
		errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrReconnectBufExceeded):
	default:
		return err
	}
	return fmt.Errorf("%w: %w", consent.ErrUnavailable, err)
}
