package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"ringback/consent"
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
		if err := cfg.nothingThere(); !errors.Is(err, ErrUninitialised) {
			return err
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
	s := newStore(cfg, n, in)
	if err := s.startEmbedded(ctx); err != nil {
		return err
	}
	defer s.disconnect()
	if err := n.createAll(ctx, s.js, cfg.maxBytes()); err != nil {
		return err
	}
	if err := noteProtected(cfg.Dir); err != nil {
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
		return nil, cfg.nothingThere()
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
	if err == nil && in.opened(&cfg) {
		err = in.save(cfg.Dir)
	}
	if err != nil {
		lock.release()
		return nil, err
	}
	s := newStore(cfg, n, in)
	s.lock = lock
	if err := s.openFiles(ctx); err != nil {
		s.disconnect()
		return nil, err
	}
	return s, nil
}

// openFiles starts the server over files that hold what was acknowledged.
func (s *Store) openFiles(ctx context.Context) error {
	expected, clean, err := s.expect()
	if err != nil {
		return err
	}
	if err := s.inspect(ctx, expected, clean); err != nil {
		return err
	}
	if err := s.startEmbedded(ctx); err != nil {
		return err
	}
	missing, err := s.names.missing(ctx, s.js)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return incomplete(s.cfg.Dir, missing)
	}
	s.expected = expected.highest()
	if s.places, err = s.lookAtPlaces(); err != nil {
		return err
	}
	return s.compareStreams(ctx, expected)
}

// startEmbedded runs a NATS server inside this process and connects to it.
// Nothing listens on any port.
func (s *Store) startEmbedded(ctx context.Context) error {
	cfg := s.cfg
	opts := &server.Options{
		ServerName:         s.names.prefix,
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
		return fmt.Errorf("configuring the embedded server: %w", err)
	}
	lg := &serverLog{log: cfg.Log, lose: s.lose}
	if s.losing != nil { // a repair reads everything itself
		lg.lose = func(...consent.Loss) error { return nil }
	}
	srv.SetLoggerV2(lg, false, false, false)
	s.srv, s.exclusive = srv, true
	go srv.Start() // ends with Shutdown
	for !srv.ReadyForConnections(100 * time.Millisecond) {
		err := lg.fatal.Load()
		if err == nil && ctx.Err() != nil {
			e := ctx.Err()
			err = &e
		}
		if err != nil {
			s.disconnect()
			return fmt.Errorf("starting the embedded server in %s: %w", cfg.Dir, *err)
		}
	}
	if err := s.connect("", nats.InProcessServer(srv)); err != nil {
		s.disconnect()
		return err
	}
	return nil
}

// serverLog hands the embedded server's complaints to our log. Its messages
// name streams and subjects, which hold no personal data.
type serverLog struct {
	log   *slog.Logger
	lose  func(...consent.Loss) error
	fatal atomic.Pointer[error]
}

// damaged is what the server says when it finds that it has lost something, or
// is about to throw something away.
var damaged = []string{
	"Error recreating stream", "could not locate msg block", "corrupt record state", "Detected skew", "looking up message", "loadBlock error",
}

// heed takes a complaint that is about a loss.
func (l *serverLog) heed(text string) {
	for _, sign := range damaged {
		if strings.Contains(text, sign) {
			_ = l.lose(consent.Loss{Stream: "the server", Why: text}) // whoever writes next is told
		}
	}
}

func (*serverLog) Noticef(string, ...any) {}
func (*serverLog) Debugf(string, ...any)  {}
func (*serverLog) Tracef(string, ...any)  {}

func (l *serverLog) Warnf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.log.LogAttrs(context.Background(), slog.LevelWarn, "embedded server warns", slog.String("err", text))
	l.heed(text)
}

func (l *serverLog) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.log.LogAttrs(context.Background(), slog.LevelError, "embedded server reports an error", slog.String("err", text))
	l.heed(text)
}

func (l *serverLog) Fatalf(format string, v ...any) {
	err := fmt.Errorf(format, v...)
	l.fatal.Store(&err)
	l.Errorf(format, v...)
}
