package main

import (
	"context"
	"fmt"

	"ringback/config"
	"ringback/store"
)

const checkUsage = `Usage: ringback check [--config FILE] [--dev]

  --config FILE   the configuration; default: the environment's RINGBACK_CONFIG
  --dev           check it as "serve --dev" would use it

Exit code 0 when there is no mistake, else 1. Secrets must be in place:
a variable that is not set is a mistake.
`

// check reports every mistake of a configuration.
func (a *app) check(_ context.Context, args []string) error {
	fs := flags("check")
	file := fs.String("config", a.getenv("RINGBACK_CONFIG"), "")
	dev := fs.Bool("dev", false, "")
	if err := alone(fs, args); err != nil {
		return err
	}
	if *file == "" {
		return misused("which file? Give --config FILE")
	}
	cfg, err := config.Load(config.Sources{File: *file, Dev: *dev, Getenv: a.getenv})
	if err != nil {
		fmt.Fprintln(a.stderr, err)
		return &exit{code: 1}
	}
	for _, n := range cfg.Notes {
		fmt.Fprintf(a.stderr, "note: %s\n", n)
	}
	if cfg.NATS == nil && store.Unmigrated(cfg.Data) {
		fmt.Fprintf(a.stderr, "note: the server of %s would delete what is written once, as an earlier release made it: stop the service and run ringback migrate\n", cfg.Data)
	}
	fmt.Fprintf(a.stdout, "%s: no mistakes\n", *file)
	return nil
}
