package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"

	"github.com/labstack/echo/v4"

	"ringback/config"
)

// maxHeader bounds the header of a request.
const maxHeader = 16 << 10

// What one connection of HTTP/2 may ask of us at a time. Without these it is
// 250 requests and a megabyte that nobody waits for.
const (
	maxStreams   = 32
	streamWindow = 64 << 10 // of a body, see ciba.MaxBody
	connWindow   = 256 << 10
)

// listenerName is how metrics call a listener.
type listenerName string

// Listeners.
const (
	listenPublic listenerName = "public"
	listenPeople listenerName = "people"
	listenMTLS   listenerName = "mtls"
	listenManage listenerName = "management"
)

// listenerNames are all of them, with what sets their addresses.
var listenerNames = map[listenerName]string{
	listenPublic: "--listen", listenPeople: "people_listener.listen", listenMTLS: "mtls.listen", listenManage: "--manage",
}

// suites are what FAPI allows with TLS 1.2 (part 2 §8.5), and the same for
// ECDSA certificates. TLS 1.3 has only good ones.
var suites = []uint16{
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
}

// listener is one open address and what answers there.
type listener struct {
	name    listenerName
	ln      net.Listener
	gate    *gate
	srv     *http.Server
	answers *answering
}

// listen opens an address. With t it speaks TLS; ask says whether clients are
// asked for a certificate, which nobody judges here.
func (s *service) listen(name listenerName, addr string, t *config.TLS, ask tls.ClientAuthType) (*listener, error) {
	raw, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening on %s for the %s routes: %w (is another ringback running? choose another address with %s)", addr, name, err, listenerNames[name])
	}
	most := s.room.each
	if name == listenManage {
		most = s.room.manage
	}
	g := newGate(raw, most, s.cfg.TrustedProxies, s.flows[name])
	var ln net.Listener = g
	if t != nil {
		cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			ln.Close()
			return nil, fmt.Errorf("loading the certificate of the %s listener: %w", name, err)
		}
		ln = tls.NewListener(ln, &tls.Config{
			MinVersion: tls.VersionTLS12, CipherSuites: suites, Certificates: []tls.Certificate{cert}, ClientAuth: ask, NextProtos: []string{"h2", "http/1.1"},
		})
	}
	return &listener{name: name, ln: ln, gate: g, answers: &answering{patience: s.patience, courses: s.patience.courses()}}, nil
}

// serve answers with h until the listener is shut down. The routes of open
// answer also while the service stops.
func (l *listener) serve(h http.Handler, log *slog.Logger, failed chan<- error, open ...string) {
	l.answers.next, l.answers.open = h, make(map[string]bool)
	for _, route := range open {
		l.answers.open[route] = true
	}
	p := l.answers.patience
	l.srv = &http.Server{
		Handler: l.answers, ConnContext: withConn, MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: p.header, ReadTimeout: p.body, IdleTimeout: p.idle, WriteTimeout: p.work,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connWindow,
			WriteByteTimeout: p.answer,
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		if err := l.srv.Serve(l.ln); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serving the %s routes: %w", l.name, err)
		}
	}()
}

// stop lets nothing new begin.
func (l *listener) stop() { l.answers.stopping.Store(true) }

// shutdown stops listening and waits for requests in flight.
func (l *listener) shutdown(ctx context.Context) {
	if l.srv == nil {
		l.ln.Close()
		return
	}
	if err := l.srv.Shutdown(ctx); err != nil {
		l.srv.Close()
	}
}

// newEcho returns a router that answers its own errors in plain JSON and
// knows whose word about the caller's address counts.
func newEcho(proxies []netip.Prefix, log *slog.Logger) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Use(recovering(log))
	var trusted []echo.TrustOption
	trusted = append(trusted, echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false))
	for _, p := range proxies {
		trusted = append(trusted, echo.TrustIPRange(&net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}))
	}
	if len(proxies) > 0 {
		e.IPExtractor = echo.ExtractIPFromXFFHeader(trusted...)
	} else {
		e.IPExtractor = echo.ExtractIPDirect()
	}
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		if c.Response().Committed {
			return
		}
		he := &echo.HTTPError{Code: http.StatusInternalServerError, Message: "something went wrong here; it was logged"}
		if !errors.As(err, &he) {
			log.ErrorContext(c.Request().Context(), "answering a request", slog.String("step", c.Path()), slog.Any("err", err))
		}
		if err := c.JSON(he.Code, map[string]any{"error": http.StatusText(he.Code), "message": he.Message}); err != nil {
			log.DebugContext(c.Request().Context(), "answering an error", slog.Any("err", err))
		}
	}
	return e
}

// recovering makes an error of a panic, so that it is answered and logged like
// one. An answer that has begun is cut off.
func recovering(log *slog.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			defer func() {
				p := recover()
				if p == nil {
					return
				}
				if p == http.ErrAbortHandler {
					panic(p)
				}
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
				if c.Response().Committed {
					log.ErrorContext(c.Request().Context(), "answering a request", slog.String("step", c.Path()), slog.Any("err", err))
					panic(http.ErrAbortHandler)
				}
			}()
			return next(c)
		}
	}
}
