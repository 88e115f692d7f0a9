package ciba

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/clients"
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
	Clients   *clients.Verifier      // knows who calls
	Outbound  *outbound.Client       // reaches notification endpoints
	Ready     func() error           // nil: always ready; an error is answered with 503
	// Enter lets a new request in when the house is not behind with earlier ones;
	// leave must be called when it has been stored. Nil: always.
	Enter func(ctx context.Context) (leave func(), err error)
	Dev   bool             // hints may name the issuer with either scheme
	Now   func() time.Time // the clock
	Log   *slog.Logger     // never nil

	Registration *Registration // nil: clients cannot register themselves
	Registrar    Registrar     // keeps those that do; may be nil without Registration
}

// Server answers agents.
type Server struct {
	cfg   Config
	base  string // our address, without a slash at the end
	pace  pace
	holds holds

	backchannel, deferrals polling // by auth_req_id, by deferral_code
}

// NewServer returns a Server; it starts nothing.
func NewServer(cfg Config) (*Server, error) {
	u, err := url.Parse(cfg.Issuer)
	if err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(cfg.Issuer, "?#") || u.Scheme != "https" && !(u.Scheme == "http" && (cfg.Dev || isLoopback(u.Hostname()))) {
		return nil, fmt.Errorf("opening the agents' door: issuer %q must be an https URL without query and fragment (http only on loopback)", cfg.Issuer)
	}
	return &Server{
		cfg: cfg, base: strings.TrimSuffix(cfg.Issuer, "/"),
		backchannel: backchannel(cfg.Handles), deferrals: deferrals(cfg.Handles),
	}, nil
}

// Audiences are the paths of the endpoints whose URLs clients of the older rule
// may put into aud of what they sign (CIBA Core §7.1).
var Audiences = []string{pathToken, pathBackchannel}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Register adds the agents' routes to e: that of the public listener, and that
// of MTLS.
func (s *Server) Register(e *echo.Echo) {
	read := []string{http.MethodGet, http.MethodHead}
	e.Match(read, "/.well-known/openid-configuration", s.handle(s.discovery))
	e.Match(read, "/.well-known/oauth-authorization-server", s.handle(s.discovery))
	e.Match(read, "/jwks", s.handle(s.jwks))
	e.Match(read, pathDetailsTypes, s.handle(s.detailsTypes))
	e.Any(pathBackchannel, s.handle(s.bcAuthorize))
	e.Any(pathToken, s.handle(s.token))
	e.Any("/oauth/token", s.handle(s.token))
	e.Any(pathIntrospect, s.handle(s.introspect))
	e.Any(pathRevoke, s.handle(s.revoke))
	e.Any(pathAuthorize, s.handle(s.authorize))
	if s.cfg.Registration != nil {
		e.Any(pathRegister, s.handle(s.register))
		e.Any(pathRegister+"/:client", s.handle(s.manage))
	}
}

// Drain ends every held poll with its present answer and holds no more. Call
// it when the program begins to stop.
func (s *Server) Drain() { s.holds.close() }

// Held returns how many polls are being held open, for the program to publish.
func (s *Server) Held() int { return s.holds.count() }
