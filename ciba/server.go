package ciba

import (
	"context"
	"log/slog"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/consent"
	"ringback/details"
	"ringback/keys"
)

// Config is what a Server needs. Every field is required unless it says so.
type Config struct {
	Issuer    string                 // public URL that names us in tokens, without query or fragment
	Store     consent.Store          // keeps requests
	Directory consent.Directory      // knows clients and people
	Handles   *keys.Handles          // makes and checks auth_req_ids
	Details   *details.Registry      // types of authorization_details
	Policy    func() *consent.Policy // the policy that stands now, never nil
	Ready     func() error           // nil: always ready; an error is answered with 503
	Dev       bool                   // hints may name the issuer with either scheme
	Now       func() time.Time       // the clock
	Log       *slog.Logger           // never nil
}

// Server answers agents.
type Server struct {
	cfg Config
}

// NewServer returns a Server; it starts nothing.
func NewServer(cfg Config) (*Server, error) { return &Server{cfg: cfg}, nil }

// Register adds the agents' routes to e.
func (s *Server) Register(e *echo.Echo) {}

// Drain ends every held poll with its present answer and holds no more. Call
// it when the program begins to stop.
func (s *Server) Drain() {}

// Notify sends the n-th ping about a request once (CIBA Core §10.2).
func (s *Server) Notify(ctx context.Context, st *consent.State, n int) consent.Notified {
	return consent.Notified{V: consent.Version, N: n}
}
