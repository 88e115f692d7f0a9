package config

import (
	"io"
	"regexp"

	"ringback/channels"
	"ringback/consent"
)

// readChannels reads which providers there are. What a provider wants of its
// account is checked by channels.Open in readLast, once the public URL is known.
func (c *Config) readChannels(r *reader, top *section) {
	ch := r.section("channels", top.fields["channels"], channels.Names()...)
	if c.Console = ch.yes("console", c.Dev); c.Console && !c.Dev {
		ch.wrong("console", "the console prints codes, so it is for development runs only: remove it")
	}
	if !ch.has("sms") {
		return
	}
	s := r.section("channels.sms", ch.fields["sms"], "provider", "account_sid", "auth_token", "auth_token_previous",
		"from", "messaging_service_sid", "base_url", "parameters")
	c.channelsAt = s.line
	sms := &channels.SMSConfig{
		Provider: s.oneOf("provider", "twilio"), AccountSID: s.text("account_sid"),
		AuthToken: s.secret("auth_token"), AuthTokenPrevious: s.secret("auth_token_previous"),
		From: s.text("from"), MessagingServiceSID: s.text("messaging_service_sid"),
		BaseURL: s.text("base_url"), Parameters: s.texts("parameters"),
	}
	if !s.need("account_sid", "AC…") || !s.need("auth_token", "{env: TWILIO_AUTH_TOKEN}") || sms.AuthToken == "" {
		return
	}
	if sms.BaseURL != "" {
		c.Notes = append(c.Notes, "channels.sms.base_url: messages go there and not to Twilio; for tests only")
	}
	c.SMS = sms
}

// Senders that people can answer: numbers and short codes. A messaging service
// picks one of its numbers.
var canReceive = regexp.MustCompile(`^(\+[1-9][0-9]{6,14}|[0-9]{3,8})$`)

// openChannels builds the configured channels; console may be nil.
func (c *Config) openChannels(console io.Writer) (map[string]channels.Channel, error) {
	cfg := channels.Config{SMS: c.SMS, PublicURL: c.PublicURL()}
	if c.Console {
		cfg.Console = console
	}
	return channels.Open(cfg)
}

// hasChannel reports whether a route may name the channel.
func (c *Config) hasChannel(name string) bool {
	switch name {
	case "sms":
		return c.SMS != nil || c.Dev // a development run starts the fake provider
	case "console":
		return c.Console
	}
	return false
}

// reach is the strongest assurance that the configured channels can bring:
// the page behind a message takes the reply code and the match_code.
func (c *Config) reach() string {
	for _, name := range channels.Names() {
		if c.hasChannel(name) {
			return consent.ACRMatch
		}
	}
	return ""
}
