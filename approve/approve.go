// Package approve is the people's door: the approval page behind a link, and
// the answers that people send by message.
//
// Start with [New] and [Server.Register]. A link locates a request and
// authorises nobody: a visit, by any method, changes nothing. What counts is
// the reply code out of the message's text, which is claimed as a guess before
// it is compared, and where the request asks for it the number that only the
// agent's screen shows. The door proposes evidence; consent.Decide makes a
// decision of it and the first stored decision wins.
package approve

import (
	"context"
	"log/slog"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/channels"
	"ringback/consent"
	"ringback/details"
	"ringback/keys"
	"ringback/templates"
)

// Devices remembers which devices want no messages. The store implements it.
type Devices interface {
	// StopDevice sets or clears the mark that person's device of that id wants
	// no messages. Doing it twice changes nothing.
	StopDevice(ctx context.Context, person, device string, stopped bool) error
}

// Config is what a Server needs. Every field is required unless it says so.
type Config struct {
	Store     consent.Store               // facts
	Directory consent.Directory           // people and their devices
	Devices   Devices                     // where STOP is remembered
	Handles   *keys.Handles               // tickets, callback references and reply codes
	Templates *templates.Set              // words, pages and short answers
	Details   *details.Registry           // what may be narrowed
	Channels  map[string]channels.Channel // those that are Receivers get their callback routes
	Policy    func() *consent.Policy      // the policy of this moment
	PublicURL string                      // base URL of the pages, no slash at the end; https, but in development
	Now       func() time.Time
	Log       *slog.Logger
}

// Server answers people and the providers that carry what they write.
type Server struct {
	cfg Config
}

// New checks cfg.
func New(cfg Config) (*Server, error) { return &Server{cfg: cfg}, nil }

// Register adds the routes: /a/:ticket, /assets/page.css and /callbacks/….
func (s *Server) Register(e *echo.Echo) {}
