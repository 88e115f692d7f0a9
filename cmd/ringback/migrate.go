package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"ringback/config"
	"ringback/keys"
	"ringback/store"
)

const migrateUsage = `Usage: ringback migrate [--config FILE]

  --config FILE   the configuration; default: the environment's RINGBACK_CONFIG

Brings a store that an earlier release made up to date: the server refuses, for good,
to delete or purge messages of the streams that are written once. Stop the service
first. It says which streams stay as they are, and why. Running it again does nothing.
`

// migrate brings a store up to date.
func (a *app) migrate(ctx context.Context, args []string) (err error) {
	fs := flags("migrate")
	file := fs.String("config", a.getenv("RINGBACK_CONFIG"), "")
	if err := alone(fs, args); err != nil {
		return err
	}
	cfg, root, err := a.storage(*file)
	if err != nil {
		return err
	}
	sc := storeConfig(cfg, root, a.now, slog.New(slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	sc.Paused = true
	st, err := store.Open(ctx, sc)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close(context.WithoutCancel(ctx))) }()
	changed, err := st.Migrate(ctx)
	if err != nil {
		return err
	}
	all, err := st.Protections(ctx)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.Why != "" {
			fmt.Fprintf(a.stdout, "%s stays as it is: %s\n", p.Stream, p.Why)
		}
	}
	if len(changed) == 0 {
		fmt.Fprintln(a.stdout, "nothing to do: what is written once cannot be deleted")
		return nil
	}
	fmt.Fprintf(a.stdout, "protected: %s\n", strings.Join(changed, ", "))
	return nil
}

// storage reads what of a configuration is about the store.
func (a *app) storage(file string) (*config.Config, *keys.Root, error) {
	cfg, err := config.Load(config.Sources{File: file, Getenv: a.getenv, StorageOnly: true})
	if err != nil {
		fmt.Fprintln(a.stderr, err)
		return nil, nil, &exit{code: 1}
	}
	root, err := cfg.Root()
	return cfg, root, err
}

// noteProtection tells of an old store, and what to do.
func noteProtection(ctx context.Context, st *store.Store, log *slog.Logger) {
	todo, err := st.Unprotected(ctx)
	if err != nil {
		log.WarnContext(ctx, "streams not looked at", slog.Any("err", err))
	}
	if len(todo) > 0 {
		log.WarnContext(ctx, "an earlier release made this store: its server would delete what is written once; stop and run ringback migrate",
			slog.String("step", strings.Join(todo, " ")))
	}
}
