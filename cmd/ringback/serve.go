package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/channels/fakes"
	"ringback/config"
	"ringback/keys"
)

// gcPercent is the default of GOGC: the process may take four times what is in
// use, which is little (about a kilobyte for an open request). The slowest
// requests are those that meet a collection, and with the default of Go there
// are several a second under load.
const gcPercent = 300

// grace is how long a stopping service may take for what is in flight: with what
// it takes to give up, 15 s.
const grace = 13 * time.Second

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
	src := config.Sources{Getenv: a.getenv}
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
	var m *config.Mistakes
	if errors.As(err, &m) {
		fmt.Fprintln(a.stderr, m)
		return &exit{code: 1}
	}
	return err
}

func (a *app) newService(src config.Sources) *service {
	s := &service{
		src: src, log: slog.New(slog.NewJSONHandler(a.stderr, nil)),
		say:   func(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) },
		files: openFiles(), patience: usualPatience, flows: make(map[listenerName]*flow),
	}
	for name := range listenerNames {
		s.flows[name] = &flow{}
	}
	return s
}

// service is one run of the program as a server.
type service struct {
	src config.Sources // what the configuration is read from, again at every reload
	log *slog.Logger
	say func(format string, a ...any) // prints for the operator
	hup <-chan os.Signal              // asks for a reload; nil: never
	up  func()                        // called once when the public listener is open; may be nil

	files    int      // that the process may have open
	patience patience // with whoever connects
	room     room     // for connections
	flows    map[listenerName]*flow

	loaded config.Config  // as it was read
	cfg    *config.Config // with what a development run adds
	root   *keys.Root
	phones *fakes.Twilio // of a development run without an SMS provider
	house  *house
	public *listener
	mtls   *listener // nil unless clients have one for certificates
	people *listener // nil unless people have their own
	manage *listener
	failed chan error // of listeners
}

// run serves until ctx ends, then stops in two stages: no new work, then an
// end to what is in flight.
func (s *service) run(ctx context.Context) error {
	var err error
	if s.cfg, err = config.Load(s.src); err != nil {
		return err
	}
	s.loaded = *s.cfg
	if s.room, err = roomFor(s.files, s.cfg.Listeners()); err != nil {
		return err
	}
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
	if s.manage, err = s.listen(listenManage, s.cfg.Manage, nil, tls.NoClientCert); err != nil {
		return err
	}
	defer s.stopListeners(ctx)
	if s.house, err = openHouse(ctx, s.cfg, s.root, s.phones, s.flows, s.log); err != nil {
		return err
	}
	s.manage.serve(s.manageRoutes(), s.log, s.failed, "/healthz", "/readyz", "/metrics")

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
	for _, l := range s.listeners() {
		l.stop()
	}
	stopEngine() // its steps in flight end meanwhile
	s.house.ciba.Drain()
	s.house.demo.Drain()
	var listeners sync.WaitGroup
	for _, l := range s.listeners() {
		if l != s.manage { // which tells of the end to the end
			listeners.Go(func() { l.shutdown(draining) })
		}
	}
	listeners.Wait()
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
	for !s.house.store.Ready() {
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
		if s.public, err = s.listen(listenPublic, s.cfg.Listen, s.cfg.TLS, tls.NoClientCert); err != nil {
			return err
		}
	}
	if m := s.cfg.MTLS; m != nil {
		if s.mtls == nil {
			if s.mtls, err = s.listen(listenMTLS, m.Listen, m.TLS, tls.RequestClientCert); err != nil {
				return err
			}
		}
		agents := newEcho(nil, s.log) // no proxy can stand before it
		s.house.ciba.Register(agents)
		if s.house.demo != nil {
			s.house.demo.RegisterResource(agents)
		}
		s.mtls.serve(agents, s.log, s.failed)
	}
	people := e
	if p := s.cfg.People; p != nil {
		if s.people, err = s.listen(listenPeople, p.Listen, p.TLS, tls.NoClientCert); err != nil {
			return err
		}
		people = newEcho(s.cfg.TrustedProxies, s.log)
		s.people.serve(people, s.log, s.failed)
	}
	s.house.approve.Register(people)
	if s.house.demo != nil {
		s.house.demo.Register(people)
		s.house.demo.RegisterResource(e)
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
			if err := s.house.store.Stopped(); err != nil && s.cfg.NATS == nil {
				return fmt.Errorf("the store has stopped: %w; start again, and look at the disk if it stops again", err)
			}
		}
	}
}

// listeners are those that are there.
func (s *service) listeners() []*listener {
	return slices.DeleteFunc([]*listener{s.public, s.mtls, s.people, s.manage}, func(l *listener) bool { return l == nil })
}

func (s *service) stopListeners(ctx context.Context) {
	stopping, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	for _, l := range s.listeners() {
		l.shutdown(stopping)
	}
}

// manageRoutes is what answers on the management listener.
func (s *service) manageRoutes() http.Handler {
	e := newEcho(nil, s.log)
	e.GET("/healthz", func(c echo.Context) error { return c.String(http.StatusOK, "ok\n") })
	e.GET("/readyz", func(c echo.Context) error {
		err := s.house.ready()
		if s.manage.answers.stopping.Load() {
			err = errors.New("the service is stopping")
		}
		if err != nil {
			return c.String(http.StatusServiceUnavailable, "not ready: "+err.Error()+"\n")
		}
		return c.String(http.StatusOK, "ready\n")
	})
	e.GET("/metrics", echo.WrapHandler(s.house.metrics.Handler()))
	s.house.admin.Register(e)
	return e
}
