package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/channels"
	"ringback/channels/fakes"
	"ringback/keys"
	"ringback/store"
)

// gcPercent is the default of GOGC: the process may take four times what is in
// use, which is little (about a kilobyte for an open request). The slowest
// requests are those that meet a collection, and with the default of Go there
// are several a second under load.
const gcPercent = 300

// grace is how long a stopping service may take for what is in flight.
const grace = 15 * time.Second

const serveUsage = `Usage: ringback serve [--config FILE] [--dev] [--data DIR] [--root-key FILE] [--listen ADDR] [--manage ADDR]

  --config FILE     the configuration; default: the environment's RINGBACK_CONFIG
  --dev             a trial on this machine: needs no file, initialises by itself,
                    brings its own clients, people and phone; unsafe on purpose
  --data DIR        data directory (RINGBACK_DATA); with --dev a temporary one
  --root-key FILE   root key (RINGBACK_ROOT_KEY)
  --listen ADDR     public listener; default 127.0.0.1:8663 (RINGBACK_LISTEN)
  --manage ADDR     management listener, never public; default 127.0.0.1:8664 (RINGBACK_MANAGE)

SIGTERM and SIGINT end it when everything in flight is done. SIGHUP reads
clients, people and policy of the file again, all or nothing.
`

// serve runs the service until ctx ends.
func (a *app) serve(ctx context.Context, args []string) error {
	fs := flags("serve")
	src := Sources{Getenv: a.getenv}
	fs.StringVar(&src.File, "config", a.getenv("RINGBACK_CONFIG"), "")
	fs.BoolVar(&src.Dev, "dev", false, "")
	fs.StringVar(&src.Flags.Listen, "listen", "", "")
	fs.StringVar(&src.Flags.Manage, "manage", "", "")
	fs.StringVar(&src.Flags.Data, "data", "", "")
	fs.StringVar(&src.Flags.RootKey, "root-key", "", "")
	if err := alone(fs, args); err != nil {
		return err
	}
	if src.File == "" && !src.Dev {
		return misused("which configuration? Give --config FILE, or --dev for a trial on this machine")
	}
	if a.getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	s := a.newService(src)
	s.hup = hup
	return mistaken(a, s.run(ctx))
}

// mistaken prints the mistakes of a configuration, which have lines of their own.
func mistaken(a *app, err error) error {
	var m *Mistakes
	if errors.As(err, &m) {
		fmt.Fprintln(a.stderr, m)
		return &exit{code: 1}
	}
	return err
}

func (a *app) newService(src Sources) *service {
	return &service{
		src: src, log: slog.New(slog.NewJSONHandler(a.stderr, nil)),
		say: func(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) },
	}
}

// service is one run of the program as a server.
type service struct {
	src Sources // what the configuration is read from, again at every reload
	log *slog.Logger
	say func(format string, a ...any) // prints for the operator
	hup <-chan os.Signal              // asks for a reload; nil: never
	up  func()                        // called once when the public listener is open; may be nil

	loaded Config  // as it was read
	cfg    *Config // with what a development run adds
	root   *keys.Root
	phones *fakes.Twilio // of a development run without an SMS provider
	house  *house
	public *listener
	people *listener // nil unless people have their own
	manage *listener
	failed chan error // of listeners
}

// run serves until ctx ends, then stops in two stages: no new work, then an
// end to what is in flight.
func (s *service) run(ctx context.Context) error {
	var err error
	if s.cfg, err = LoadConfig(s.src); err != nil {
		return err
	}
	s.loaded = *s.cfg
	s.failed = make(chan error, 4)
	rooms, cancel := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx by the grace
	defer cancel()
	if s.cfg.Dev {
		undo, err := s.prepareDev(rooms)
		defer undo()
		if err != nil {
			return err
		}
	} else if s.root, err = s.cfg.Root(); err != nil {
		return err
	}
	if s.manage, err = listen("management", s.cfg.Manage, nil); err != nil {
		return err
	}
	defer s.stopListeners(ctx)
	if s.house, err = openHouse(ctx, s.cfg, s.root, s.phones, s.log); err != nil {
		return err
	}
	s.manage.serve(s.manageRoutes(), s.log, s.failed)

	engine, stopEngine := context.WithCancel(rooms)
	defer stopEngine()
	auditor, stopAuditor := context.WithCancel(rooms)
	defer stopAuditor()
	var engines, auditors sync.WaitGroup
	auditors.Go(func() { s.house.auditor.Run(auditor) })
	auditors.Go(func() { s.house.ring.Run(auditor) })
	if err := s.untilReady(ctx); err != nil {
		stopAuditor()
		auditors.Wait()
		s.house.close(rooms)
		return err
	}
	engines.Go(func() { s.house.engine.Run(engine) })
	err = s.open()
	if err == nil {
		err = s.wait(ctx)
	}

	stopping, done := context.WithTimeout(rooms, grace)
	defer done()
	draining, drained := context.WithTimeout(stopping, grace*2/3) // the rest is for the rooms
	defer drained()
	stopEngine() // its steps in flight end meanwhile
	s.house.ciba.Drain()
	s.house.demo.Drain()
	s.public.shutdown(draining)
	s.people.shutdown(draining)
	engines.Wait()
	stopAuditor()
	auditors.Wait()
	s.house.close(stopping)
	return err
}

// untilReady waits until the store has seen every fact there is.
func (s *service) untilReady(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s.house.ready() != nil {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.failed:
			return err
		case <-tick.C:
		}
	}
	return nil
}

// open opens the public listeners and says where we are.
func (s *service) open() error {
	e := newEcho(s.cfg.TrustedProxies, s.log)
	s.house.ciba.Register(e)
	var err error
	if s.public == nil {
		if s.public, err = listen("public", s.cfg.Listen, s.cfg.TLS); err != nil {
			return err
		}
	}
	people := e
	if p := s.cfg.People; p != nil {
		if s.people, err = listen("people's", p.Listen, p.TLS); err != nil {
			return err
		}
		people = newEcho(s.cfg.TrustedProxies, s.log)
		s.people.serve(people, s.log, s.failed)
	}
	s.house.approve.Register(people)
	if s.house.demo != nil {
		s.house.demo.Register(people)
	}
	s.public.serve(e, s.log, s.failed)
	s.announce()
	if s.up != nil {
		s.up()
	}
	return nil
}

// wait returns when the service is asked to stop (nil) or cannot go on.
func (s *service) wait(ctx context.Context) error {
	health := time.NewTicker(time.Second)
	defer health.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.failed:
			return err
		case <-s.hup:
			s.reload(ctx)
		case <-health.C:
			// An external server comes back; until then there are no new requests.
			if err := s.house.store.Healthy(); err != nil && s.cfg.NATS == nil {
				return fmt.Errorf("the store has stopped: %w; start again, and look at the disk if it stops again", err)
			}
		}
	}
}

func (s *service) stopListeners(ctx context.Context) {
	stopping, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	s.public.shutdown(stopping)
	s.people.shutdown(stopping)
	s.manage.shutdown(stopping)
}

// manageRoutes is what answers on the management listener.
func (s *service) manageRoutes() http.Handler {
	e := newEcho(nil, s.log)
	e.GET("/healthz", func(c echo.Context) error { return c.String(http.StatusOK, "ok\n") })
	e.GET("/readyz", func(c echo.Context) error {
		if err := s.house.ready(); err != nil {
			return c.String(http.StatusServiceUnavailable, "not ready: "+err.Error()+"\n")
		}
		return c.String(http.StatusOK, "ready\n")
	})
	e.GET("/metrics", echo.WrapHandler(s.house.metrics.Handler()))
	s.house.admin.Register(e)
	return e
}

// prepareDev gives a development run what its file does not: a directory, a
// root key, a store, a public address and a fake provider. undo removes what
// was made for this run alone; it is never nil.
func (s *service) prepareDev(ctx context.Context) (undo func(), err error) {
	cfg := s.cfg
	undo = func() {}
	if cfg.Data == "" && cfg.NATS == nil {
		if cfg.Data, err = os.MkdirTemp("", "ringback-dev-"); err != nil {
			return undo, err
		}
		dir := cfg.Data
		undo = func() { os.RemoveAll(dir) }
	}
	if err := s.devRoot(); err != nil {
		return undo, err
	}
	if err := s.writeToken(); err != nil {
		return undo, err
	}
	if err := store.Init(ctx, cfg.storeConfig(s.root, time.Now, s.log)); err != nil && !errors.Is(err, store.ErrInitialised) {
		return undo, err
	}
	if strings.HasSuffix(cfg.Listen, ":0") { // the issuer's name needs the port
		if s.public, err = listen("public", cfg.Listen, cfg.TLS); err != nil {
			return undo, err
		}
		cfg.Listen = s.public.ln.Addr().String()
	}
	if cfg.Issuer == "" {
		cfg.Issuer = "http://" + cfg.Listen
		if cfg.TLS != nil {
			cfg.Issuer = "https://" + cfg.Listen
		}
	}
	if cfg.SMS == nil {
		return undo, s.fakeProvider(ctx)
	}
	return undo, nil
}

// devRoot reads the root key of a development run, or makes it.
func (s *service) devRoot() (err error) {
	if s.cfg.RootFile == "" && s.cfg.RootText == "" && s.cfg.Data != "" {
		s.cfg.RootFile = filepath.Join(s.cfg.Data, "root.key")
		if _, err := os.Stat(s.cfg.RootFile); errors.Is(err, fs.ErrNotExist) {
			if err := os.MkdirAll(s.cfg.Data, 0o700); err != nil {
				return err
			}
			if err := keys.NewRoot().WriteFile(s.cfg.RootFile); err != nil {
				return err
			}
		}
	}
	s.root, err = s.cfg.Root()
	return err
}

// writeToken leaves the management token where the commands look for it.
func (s *service) writeToken() error {
	if s.cfg.Data == "" {
		return nil
	}
	if err := os.MkdirAll(s.cfg.Data, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.cfg.Data, adminTokenFile), []byte(s.cfg.adminToken(s.root)+"\n"), 0o600)
}

// fakeProvider starts a fake SMS provider on loopback and points us at it.
func (s *service) fakeProvider(ctx context.Context) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	sid := make([]byte, 16)
	rand.Read(sid)
	s.cfg.SMS = &channels.SMSConfig{
		Provider: "twilio", AccountSID: "AC" + hex.EncodeToString(sid), AuthToken: rand.Text(), From: "+12025550100",
		BaseURL: "http://" + ln.Addr().String(),
	}
	s.phones = fakes.NewTwilio(fakes.TwilioConfig{
		AccountSID: s.cfg.SMS.AccountSID, AuthToken: s.cfg.SMS.AuthToken, From: s.cfg.SMS.From,
		Webhook: s.cfg.PublicURL() + channels.InboundPath("twilio"), Now: time.Now,
	})
	go func() {
		if err := s.phones.Serve(ctx, ln); err != nil {
			s.failed <- err
		}
	}()
	return nil
}

// announce prints what an operator wants to know now.
func (s *service) announce() {
	for _, n := range s.cfg.Notes {
		s.say("note: %s", n)
	}
	if !s.cfg.Dev {
		s.say("ringback serves %s", s.cfg.Issuer)
		return
	}
	s.say(devBanner, s.cfg.Issuer, s.house.token, s.manage.ln.Addr())
}

const devBanner = `
  DEVELOPMENT RUN: unsafe on purpose.
  Anybody who reaches this address may decide requests (/dev/decide), secrets
  are published in the documentation, and messages go to a fake provider.

  An agent asks:

    curl -u demo-agent:demo-secret-0000 %[1]s/bc-authorize -d scope=openid -d login_hint=alice

  The phone:       %[1]s/dev/phone?person=alice
  Management API:  RINGBACK_ADMIN_URL=http://%[3]s RINGBACK_ADMIN_TOKEN=%[2]s
`
