package main

import (
	"context"
	"log/slog"

	"ringback/config"
)

// reload reads the configuration again: clients, people and policy, all of
// them or nothing.
func (s *service) reload(ctx context.Context) {
	next, err := config.Load(s.src)
	if err == nil {
		err = s.loaded.Reloadable(next)
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
