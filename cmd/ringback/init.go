package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"ringback/config"
	"ringback/keys"
	"ringback/store"
)

const initUsage = `Usage: ringback init [--config FILE] [--data DIR] [--root-key FILE] [--if-needed]

  --config FILE     the configuration; default: the environment's RINGBACK_CONFIG
  --data DIR        data directory; default /var/lib/ringback (RINGBACK_DATA)
  --if-needed       exit code 0, and nothing else, where that was done before
  --root-key FILE   root key; made when there is none; default /etc/ringback/root.key (RINGBACK_ROOT_KEY)

Makes the root key, the instance, its streams and its signing keys, and prints
the token of the management API. It refuses to touch what is there already.
Keep a copy of the root key apart from the data: without it nothing can be
read, and with both everything can.
`

// init prepares a place for the service, once.
func (a *app) init(ctx context.Context, args []string) error {
	flagSet := flags("init")
	file := flagSet.String("config", a.getenv("RINGBACK_CONFIG"), "")
	var given config.Settings
	flagSet.StringVar(&given.Data, "data", "", "")
	flagSet.StringVar(&given.RootKey, "root-key", "", "")
	ifNeeded := flagSet.Bool("if-needed", false, "")
	if err := alone(flagSet, args); err != nil {
		return err
	}
	cfg, err := config.Load(config.Sources{File: *file, Flags: given, Getenv: a.getenv, StorageOnly: true})
	if err != nil {
		fmt.Fprintln(a.stderr, err)
		return &exit{code: 1}
	}
	root, made, err := rootOrNew(cfg)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	sc := storeConfig(cfg, root, a.now, log)
	err = store.Init(ctx, sc)
	if made && !forgetRoot(cfg, err) {
		fmt.Fprintf(a.stderr, "Made the root key %s. Keep a copy of it apart from the data.\n", cfg.RootFile)
	}
	if errors.Is(err, store.ErrInitialised) && *ifNeeded && !made {
		return nil
	}
	if err != nil {
		return err
	}
	sc.Paused = true
	st, err := store.Open(ctx, sc)
	if err != nil {
		return err
	}
	_, err = keys.OpenRing(ctx, keys.RingConfig{Root: root, Store: st, RSA: true, Now: a.now, Log: log})
	if err = errors.Join(err, st.Close(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	where := cfg.Data
	if cfg.NATS != nil {
		where = "the streams on the NATS server"
	}
	fmt.Fprintf(a.stderr, "Initialised %s.\nThe token of the management API follows; it is not shown again. Keep it as RINGBACK_ADMIN_TOKEN.\n", where)
	fmt.Fprintln(a.stdout, cfg.ManagementToken(root))
	return nil
}

// rootOrNew reads the root key, or makes its file where there is none.
func rootOrNew(cfg *config.Config) (root *keys.Root, made bool, err error) {
	root, err = cfg.Root()
	if err == nil || cfg.RootText != "" || !errors.Is(err, fs.ErrNotExist) {
		return root, false, err
	}
	root = keys.NewRoot()
	if err := os.MkdirAll(filepath.Dir(cfg.RootFile), 0o700); err != nil {
		return nil, false, fmt.Errorf("making the root key: %w", err)
	}
	return root, true, root.WriteFile(cfg.RootFile)
}

// forgetRoot removes a new root key when Init found a store that has another one,
// and reports whether it did. After any other error the key may be in use.
func forgetRoot(cfg *config.Config, err error) bool {
	for _, refusal := range []error{store.ErrInitialised, store.ErrRootKey, store.ErrDev} {
		if errors.Is(err, refusal) {
			return os.Remove(cfg.RootFile) == nil
		}
	}
	return false
}

// storeConfig is what the store needs to know of the configuration.
func storeConfig(cfg *config.Config, root *keys.Root, now func() time.Time, log *slog.Logger) store.Config {
	version, _ := build()
	sc := store.Config{Dir: cfg.Data, Dev: cfg.Dev, Witness: cfg.Witness, Release: version, Vault: keys.NewVault(root), Now: now, Log: log}
	if n := cfg.NATS; n != nil {
		sc.URL, sc.Creds, sc.Prefix, sc.Monitor, sc.AssumeSynced = n.URL, n.Creds, n.Prefix, n.Monitor, n.AssumeSynced
	}
	return sc
}
