package ciba

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/consent"
	"ringback/details"
	"ringback/keys"
	"ringback/outbound"
)

// Config is what a Server needs. Every field is required unless it says so.
type Config struct {
	Issuer    string                 // public URL that names us in tokens, without query or fragment
	Store     consent.Store          // keeps requests
	Directory consent.Directory      // knows clients and people
	Handles   *keys.Handles          // makes and checks auth_req_ids
	Ring      *keys.Ring             // signs tokens
	Details   *details.Registry      // types of authorization_details
	Policy    func() *consent.Policy // the policy that stands now, never nil
	Outbound  *outbound.Client       // reaches notification endpoints
	Ready     func() error           // nil: always ready; an error is answered with 503
	Dev       bool                   // hints may name the issuer with either scheme
	Now       func() time.Time       // the clock
	Log       *slog.Logger           // never nil
}

// Server answers agents.
type Server struct {
	cfg      Config
	pace     pace
	holds    holds
	counting [countingStripes]sync.Mutex // by person, see admit
}

// NewServer returns a Server; it starts nothing.
func NewServer(cfg Config) (*Server, error) {
	u, err := url.Parse(cfg.Issuer)
	if err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(cfg.Issuer, "?#") || u.Scheme != "https" && !(u.Scheme == "http" && (cfg.Dev || isLoopback(u.Hostname()))) {
		return nil, fmt.Errorf("opening the agents' door: issuer %q must be an https URL without query and fragment (http only on loopback)", cfg.Issuer)
	}
	return &Server{cfg: cfg}, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Register adds the agents' routes to e.
func (s *Server) Register(e *echo.Echo) {
	read := []string{http.MethodGet, http.MethodHead}
	e.Match(read, "/.well-known/openid-configuration", s.handle(s.discovery))
	e.Match(read, "/.well-known/oauth-authorization-server", s.handle(s.discovery))
	e.Match(read, "/jwks", s.handle(s.jwks))
	e.Any("/bc-authorize", s.handle(s.bcAuthorize))
	e.Any("/token", s.handle(s.token))
	e.Any("/oauth/token", s.handle(s.token))
	e.Any("/introspect", s.handle(s.introspect))
	e.Any("/revoke", s.handle(s.revoke))
}

// Drain ends every held poll with its present answer and holds no more. Call
// it when the program begins to stop.
func (s *Server) Drain() { s.holds.close() }

// Held returns how many polls are being held open, for the program to publish.
func (s *Server) Held() int { return s.holds.count() }
