// Package approve is the people's door: the approval page behind a link, the
// answers that people send by message, and the page on which they choose the
// code that some agents must give.
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
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
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
	UserCodes UserCodes                   // what people choose on the page behind OfferUserCode
	Handles   *keys.Handles               // tickets, callback references and reply codes
	Templates *templates.Set              // words, pages and short answers
	Details   *details.Registry           // what may be narrowed
	Channels  map[string]channels.Channel // those that are Receivers get their callback routes; may be empty
	Policy    func() *consent.Policy      // the policy of this moment, never nil
	PublicURL string                      // base URL of the pages, no slash at the end; https, but in development
	Now       func() time.Time            // the clock
	Log       *slog.Logger                // never nil
}

// Server answers people and the providers that carry what they write. Its
// methods may be called concurrently.
type Server struct {
	cfg      Config
	origin   string           // of PublicURL: what a browser sends as Origin
	secure   bool             // PublicURL is https
	inlets   map[string]inlet // by provider
	choosing [64]sync.Mutex   // of user codes, by chance
}

// inlet is a channel whose provider calls back.
type inlet struct {
	channel string
	channels.Receiver
}

// New checks cfg. It starts nothing.
func New(cfg Config) (*Server, error) {
	u, err := url.Parse(cfg.PublicURL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.HasSuffix(cfg.PublicURL, "/") {
		return nil, fmt.Errorf("public URL %q is not a base URL; write it as https://consent.example.com, without a slash at the end", cfg.PublicURL)
	}
	if cfg.Store == nil || cfg.Directory == nil || cfg.Devices == nil || cfg.UserCodes == nil || cfg.Handles == nil || cfg.Templates == nil ||
		cfg.Details == nil || cfg.Policy == nil || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("approve.Config lacks a field")
	}
	host := u.Host
	if p := u.Port(); p == "443" && u.Scheme == "https" || p == "80" && u.Scheme == "http" {
		host = strings.TrimSuffix(host, ":"+p) // browsers leave it out
	}
	s := &Server{cfg: cfg, origin: u.Scheme + "://" + host, secure: u.Scheme == "https", inlets: map[string]inlet{}}
	for name, ch := range cfg.Channels {
		if r, ok := ch.(channels.Receiver); ok {
			s.inlets[r.Provider()] = inlet{name, r}
		}
	}
	return s, nil
}

// Register adds the routes:
//
//	GET, HEAD, POST /a/:ticket              one approval page
//	GET, HEAD, POST /u/:ticket              where a person chooses a user_code
//	GET, HEAD       /assets/…               its stylesheet and mark
//	POST            /callbacks/:provider/…  what people write, and what became of messages
func (s *Server) Register(e *echo.Echo) {
	for path, page := range map[string]echo.HandlerFunc{"/a/:ticket": s.guard(s.page), "/u/:ticket": s.guard(s.userCode)} {
		e.GET(path, page)
		e.HEAD(path, page)
		e.POST(path, page)
	}
	css := asset("text/css; charset=utf-8", templates.Stylesheet())
	e.GET(templates.StylesheetPath, css)
	e.HEAD(templates.StylesheetPath, css)
	mark := asset("image/svg+xml", templates.Mark())
	e.GET(templates.MarkPath, mark)
	e.HEAD(templates.MarkPath, mark)
	e.POST(channels.CallbackPath(":provider")+"*", s.callback)
}

// fault logs an error that a person must look at. The page or the provider is
// told no more than that we cannot answer.
func (s *Server) fault(ctx context.Context, doing string, req consent.ID, err error) {
	level, attrs := slog.LevelError, []slog.Attr{slog.Any("err", err)}
	if errors.Is(err, context.Canceled) { // whoever asked has gone, and comes back
		level = slog.LevelInfo
	}
	if req != (consent.ID{}) {
		attrs = append(attrs, slog.String("req", req.String()))
	}
	s.cfg.Log.LogAttrs(ctx, level, doing, attrs...)
}
