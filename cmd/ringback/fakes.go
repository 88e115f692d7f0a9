package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"ringback/channels/fakes"
)

const fakesUsage = `Usage: ringback fakes --listen ADDR [--from NUMBER] [--webhook URL] [--connect HOST:PORT]

  --listen ADDR         where channels.sms.base_url points, such as 127.0.0.1:8665
  --from NUMBER         the account's number, channels.sms.from; default +12025550100
  --webhook URL         where what people write is posted:
                        PUBLIC_URL/callbacks/twilio/sms
  --connect HOST:PORT   connect there for every webhook, whatever its URL says:
                        for networks in which the public URL leads nowhere

Environment: TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, the same as those of the
service. Messages are read at /fakes/messages and answered by a POST of
{"from": "+12025550101", "text": "YES 123456"} to /fakes/reply.
It keeps no secrets and knows no users: for trials and tests only.
`

// fakes runs the fake providers alone.
func (a *app) fakes(ctx context.Context, args []string) error {
	fs := flags("fakes")
	listen := fs.String("listen", "", "")
	from := fs.String("from", "+12025550100", "")
	webhook := fs.String("webhook", "", "")
	connect := fs.String("connect", "", "")
	if err := alone(fs, args); err != nil {
		return err
	}
	cfg := fakes.TwilioConfig{
		AccountSID: a.getenv("TWILIO_ACCOUNT_SID"), AuthToken: a.getenv("TWILIO_AUTH_TOKEN"), From: *from, Webhook: *webhook, Now: a.now,
	}
	switch {
	case *listen == "":
		return misused("where? Give --listen 127.0.0.1:8665")
	case cfg.AccountSID == "" || cfg.AuthToken == "":
		return errors.New("set TWILIO_ACCOUNT_SID (AC and 32 hexadecimal digits) and TWILIO_AUTH_TOKEN (letters and digits) to the values that the service has")
	}
	if *webhook != "" {
		if u, err := url.Parse(*webhook); err != nil || u.Host == "" {
			return misused("%q is not a URL: write http://127.0.0.1:8663/callbacks/twilio/sms", *webhook)
		}
	}
	if *connect != "" {
		if _, _, err := net.SplitHostPort(*connect); err != nil {
			return misused("%q is not an address: write HOST:PORT", *connect)
		}
		cfg.Client = connectingTo(*connect)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", *listen)
	if err != nil {
		return fmt.Errorf("listening: %w; choose another --listen", err)
	}
	fmt.Fprintf(a.stderr, "fake Twilio on http://%s\n", ln.Addr())
	return fakes.NewTwilio(cfg).Serve(ctx, ln)
}

// connectingTo is a client whose every connection leads to one address.
func connectingTo(addr string) *http.Client {
	return &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, addr)
		},
	}}
}
