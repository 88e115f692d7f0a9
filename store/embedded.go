package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// dataDir is where the embedded server keeps its files, below Config.Dir.
const dataDir = "nats"

// maxPayload is what a server must take, and other servers take unless told
// otherwise: records of the audit chain and evidence have up to half of it.
const maxPayload = 1 << 20

// memoryLimit bounds the streams that the embedded server keeps in memory.
const memoryLimit = 512 << 20

// initEmbedded makes an instance in cfg.Dir.
func initEmbedded(ctx context.Context, cfg Config, n names) error {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return err
	}
	defer lock.release()
	in, err := loadInstance(cfg.Dir)
	switch {
	case err != nil:
		return err
	case in == nil:
		if _, err := os.Stat(filepath.Join(cfg.Dir, dataDir)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("initialising %s: %w: it holds data but no %s; restore that file from a backup, or name an empty directory with --data",
				cfg.Dir, ErrIncomplete, instanceFile)
		}
		in = newInstance(&cfg, n)
		if err := in.save(cfg.Dir); err != nil {
			return err
		}
	default:
		if err := in.belongs(&cfg, n, cfg.Dir); err != nil {
			return err
		}
		if !in.Unfinished {
			return fmt.Errorf("initialising %s: %w: start it with ringback serve", cfg.Dir, ErrInitialised)
		}
	}
	s, err := startEmbedded(ctx, cfg, n)
	if err != nil {
		return err
	}
	defer s.disconnect()
	if err := n.createAll(ctx, s.js, cfg.maxBytes()); err != nil {
		return err
	}
	in.Unfinished = false
	return in.save(cfg.Dir)
}

// openEmbedded opens the instance in cfg.Dir.
func openEmbedded(ctx context.Context, cfg Config, n names) (*Store, error) {
	in, err := loadInstance(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if in == nil {
		return nil, fmt.Errorf("opening %s: %w: run ringback init first", cfg.Dir, ErrUninitialised)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if in, err = loadInstance(cfg.Dir); err == nil { // again: now nobody changes it
		err = in.belongs(&cfg, n, cfg.Dir)
	}
	if err == nil {
		err = in.usable(cfg.Dir)
	}
	if err != nil {
		lock.release()
		return nil, err
	}
	s, err := startEmbedded(ctx, cfg, n)
	if err != nil {
		lock.release()
		return nil, err
	}
	s.lock, s.instance = lock, in.ID
	missing, err := n.missing(ctx, s.js)
	if err == nil && len(missing) > 0 {
		err = incomplete(cfg.Dir, missing)
	}
	if err != nil {
		s.disconnect()
		return nil, err
	}
	return s, nil
}

// startEmbedded runs a NATS server inside this process and connects to it.
// Nothing listens on any port.
func startEmbedded(ctx context.Context, cfg Config, n names) (*Store, error) {
	opts := &server.Options{
		ServerName:         n.prefix,
		DontListen:         true,
		NoSigs:             true,
		MaxPayload:         maxPayload,
		JetStream:          true,
		StoreDir:           filepath.Join(cfg.Dir, dataDir),
		SyncAlways:         true, // a write is acknowledged when it is on the disk
		JetStreamKey:       cfg.Vault.JetStreamKey(),
		JetStreamCipher:    server.AES,
		JetStreamMaxMemory: memoryLimit,
		JetStreamMaxStore:  1 << 50, // the disk is the limit; see Fill

		DisableJetStreamBanner: true,
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("configuring the embedded server: %w", err)
	}
	lg := &serverLog{log: cfg.Log}
	srv.SetLoggerV2(lg, false, false, false)
	s := &Store{cfg: cfg, log: cfg.Log, names: n, srv: srv, exclusive: true}
	go srv.Start() // ends with Shutdown
	for !srv.ReadyForConnections(100 * time.Millisecond) {
		err := lg.fatal.Load()
		if err == nil && ctx.Err() != nil {
			e := ctx.Err()
			err = &e
		}
		if err != nil {
			s.disconnect()
			return nil, fmt.Errorf("starting the embedded server in %s: %w", cfg.Dir, *err)
		}
	}
	if err := s.connect("", nats.InProcessServer(srv)); err != nil {
		s.disconnect()
		return nil, err
	}
	return s, nil
}

// serverLog hands the embedded server's complaints to our log. Its messages
// name streams and subjects, which hold no personal data.
type serverLog struct {
	log   *slog.Logger
	fatal atomic.Pointer[error]
}

func (*serverLog) Noticef(string, ...any) {}
func (*serverLog) Debugf(string, ...any)  {}
func (*serverLog) Tracef(string, ...any)  {}

func (l *serverLog) Warnf(format string, v ...any) {
	l.log.LogAttrs(context.Background(), slog.LevelWarn, "embedded server warns", slog.String("err", fmt.Sprintf(format, v...)))
}

func (l *serverLog) Errorf(format string, v ...any) {
	l.log.LogAttrs(context.Background(), slog.LevelError, "embedded server reports an error", slog.String("err", fmt.Sprintf(format, v...)))
}

func (l *serverLog) Fatalf(format string, v ...any) {
	err := fmt.Errorf(format, v...)
	l.fatal.Store(&err)
	l.Errorf(format, v...)
}
