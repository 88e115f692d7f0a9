package main

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
)

// reload reads the configuration again: clients, people and policy, all of
// them or nothing.
func (s *service) reload(ctx context.Context) {
	next, err := LoadConfig(s.src)
	if err == nil {
		err = s.loaded.reloadable(next)
	}
	if err == nil {
		err = s.house.adopt(ctx, next)
	}
	if err != nil {
		s.log.ErrorContext(ctx, "configuration not reloaded, the old one stands", slog.Any("err", err))
		s.say("The configuration was not reloaded, the old one stands:\n%v", err)
		return
	}
	s.loaded = *next
	s.log.InfoContext(ctx, "configuration reloaded")
}

// reloadable reports what has changed that only a restart can change.
func (c *Config) reloadable(next *Config) error {
	var changed []string
	for _, part := range []struct {
		name     string
		old, new any
	}{
		{"issuer", c.Issuer, next.Issuer},
		{"listen", c.Listen, next.Listen},
		{"manage", c.Manage, next.Manage},
		{"tls", c.TLS, next.TLS},
		{"mtls", c.MTLS, next.MTLS},
		{"people_listener", c.People, next.People},
		{"trusted_proxies", c.TrustedProxies, next.TrustedProxies},
		{"root_key", []string{c.RootFile, c.RootText}, []string{next.RootFile, next.RootText}},
		{"data", c.Data, next.Data},
		{"nats", c.NATS, next.NATS},
		{"admin_token", c.AdminToken, next.AdminToken},
		{"channels", []any{c.SMS, c.Console}, []any{next.SMS, next.Console}},
		{"outbound", c.Outbound, next.Outbound},
		{"registration", c.Registration, next.Registration},
		{"details", c.Types, next.Types},
		{"scopes", c.ScopeWords(), next.ScopeWords()},
	} {
		if !reflect.DeepEqual(part.old, part.new) {
			changed = append(changed, part.name)
		}
	}
	if len(changed) > 0 {
		return fmt.Errorf("%s changed, which needs a restart; only clients, people and policy are read again while running", strings.Join(changed, ", "))
	}
	return nil
}
