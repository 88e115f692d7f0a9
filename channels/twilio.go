package channels

import (
	"context"
	"errors"
	"net/http"
)

// Twilio is the channel "sms" through Twilio's Messages API.
type Twilio struct{ cfg Config }

var (
	_ Channel  = (*Twilio)(nil)
	_ Receiver = (*Twilio)(nil)
)

func openSMS(cfg Config) (Channel, error) {
	if cfg.SMS == nil {
		return nil, nil
	}
	return &Twilio{cfg: cfg}, nil
}

// Provider is the path segment of its webhooks.
func (t *Twilio) Provider() string { return "twilio" }

// Send hands m to Twilio once.
func (t *Twilio) Send(ctx context.Context, m Message) (Receipt, error) {
	return Receipt{}, errors.ErrUnsupported
}

// Receive verifies X-Twilio-Signature and reads the webhook.
func (t *Twilio) Receive(r *http.Request, body []byte) (Inbound, error) {
	return Inbound{}, ErrForged
}
