// Package demo holds the routes under /dev/: the demo phone, the outbox of the
// fake providers, the shortcut that decides at once and a small protected
// resource. They exist only under --dev.
//
// The demo phone is a view of what the fake providers received. It answers by
// sending through them, so that everything it does passes the public routes;
// it never calls /dev/decide.
package demo

import (
	_ "embed"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/channels/fakes"
	"ringback/consent"
	"ringback/details"
	"ringback/keys"
)

// Config is what a Server needs. Every field is required.
type Config struct {
	Phones    *fakes.Twilio // what carries the messages
	Store     consent.Store
	Directory consent.Directory
	Handles   *keys.Handles
	Ring      *keys.Ring // checks the tokens that the resource is shown
	Issuer    string     // whose tokens these are
	Details   *details.Registry
	Hosts     []string // values of Host that are ours ("127.0.0.1:8663"); others are refused
	Now       func() time.Time
}

// Server answers under /dev/.
type Server struct {
	cfg     Config
	agent   *AgentLog
	drained chan struct{} // closed when open streams have to end
	drain   func()
}

// New returns a Server.
func New(cfg Config) *Server {
	drained := make(chan struct{})
	return &Server{cfg: cfg, agent: newAgentLog(), drained: drained, drain: sync.OnceFunc(func() { close(drained) })}
}

// Drain ends the streams to open pages, which would hold up a shutdown for as
// long as somebody looks at the phone. It may be called again, and on nil.
func (s *Server) Drain() {
	if s != nil {
		s.drain()
	}
}

// Agent is where a sample agent tells what it sees, for the page beside the
// phone.
func (s *Server) Agent() *AgentLog { return s.agent }

// Register adds the routes.
func (s *Server) Register(e *echo.Echo) {
	e.GET("/dev/phone", s.phone, s.ours)
	e.GET("/dev/phone.css", asset("text/css; charset=utf-8", phoneCSS), s.ours)
	e.GET("/dev/phone.js", asset("text/javascript; charset=utf-8", phoneJS), s.ours)
	e.GET("/dev/phone/events", s.events, s.ours)
	e.POST("/dev/phone/reply", s.reply, s.ours)
	e.GET("/dev/outbox", s.outbox, s.ours)
	e.POST("/dev/decide", s.decide, s.ours)
}

// ours refuses what a foreign page or a rebound host name could send.
func (s *Server) ours(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if !s.known(r.Host) {
			return echo.NewHTTPError(http.StatusForbidden, "this Host is not ours; use "+s.cfg.Hosts[0])
		}
		if o := r.Header.Get("Origin"); o != "" {
			if u, err := url.Parse(o); err != nil || !s.known(u.Host) {
				return echo.NewHTTPError(http.StatusForbidden, "pages of other origins may not use /dev/")
			}
		}
		h := c.Response().Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		return next(c)
	}
}

func (s *Server) known(host string) bool {
	for _, h := range s.cfg.Hosts {
		if strings.EqualFold(host, h) {
			return true
		}
	}
	name := (&url.URL{Host: host}).Hostname() // browsers leave a scheme's own port out
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

func asset(mediaType, body string) echo.HandlerFunc {
	return func(c echo.Context) error { return c.Blob(http.StatusOK, mediaType, []byte(body)) }
}

//go:embed phone.html
var phoneHTML string

//go:embed phone.css
var phoneCSS string

//go:embed phone.js
var phoneJS string

// person finds who the phone belongs to; alice if nobody is named.
func (s *Server) person(c echo.Context) (*consent.Person, error) {
	id := c.QueryParam("person")
	if id == "" {
		id = "alice"
	}
	p, err := s.cfg.Directory.Person(c.Request().Context(), id)
	if errors.Is(err, consent.ErrNotFound) {
		return nil, echo.NewHTTPError(http.StatusNotFound, "no such person; try ?person=alice")
	}
	return p, err
}
