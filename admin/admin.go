// Package admin is the operator's door: the management API under /admin/v1 on
// the management listener, for the commands and for scripts.
//
// Start with [New] and [Server.Register]. Every request carries the bearer
// token of the deployment. Bodies are JSON; a refusal says in error_description
// what happened and in next_step what to do. Every list has cursors: the
// member next of an answer is the parameter after of the following request.
//
// An operator sees, adds and removes; nothing here approves anything. Bearers
// (codes, tokens, handles) are never shown, but for the secret of a client at
// the moment it is made.
package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/audit"
	"ringback/consent"
	"ringback/details"
	"ringback/keys"
)

// Directory is what operators do with clients and people, and the list of
// requests. Changing an entry of the configuration file is consent.ErrReadOnly.
type Directory interface {
	consent.Directory
	// AddClient returns consent.ErrExists if there is one of this id.
	AddClient(ctx context.Context, c *consent.Client) error
	// ChangeClient changes a client, or leaves it when change returns an
	// error; consent.ErrNotFound for an unknown one.
	ChangeClient(ctx context.Context, id string, change func(*consent.Client) error) error
	// RemoveClient returns consent.ErrNotFound for an unknown one.
	RemoveClient(ctx context.Context, id string) error
	// Clients lists in order of id, at most limit after the cursor; next is
	// the cursor of the following page, "" at the end.
	Clients(ctx context.Context, after string, limit int) (list []consent.Client, next string, err error)
	// AddPerson returns consent.ErrExists if there is one of this id.
	AddPerson(ctx context.Context, p *consent.Person) error
	// LinkPerson lets a client name a person; consent.ErrNotFound if one of
	// them is unknown.
	LinkPerson(ctx context.Context, person, client string) error
	// UnlinkPerson takes that back. The client need not exist any more.
	UnlinkPerson(ctx context.Context, person, client string) error
	// RemovePerson erases a person: entry, devices and data key.
	RemovePerson(ctx context.Context, id string) error
	// People lists like Clients.
	People(ctx context.Context, after string, limit int) (list []consent.Person, next string, err error)
	// HasUserCode reports whether a person has chosen a user_code.
	HasUserCode(ctx context.Context, person string) (bool, error)
	// Requests lists requests, oldest first, like Clients.
	Requests(ctx context.Context, f consent.Filter, after string, limit int) (list []*consent.State, next string, err error)
}

// Config is what a Server needs. Every field is required unless it says so.
type Config struct {
	Token     [32]byte          // keys.TokenDigest of the bearer token
	Directory Directory         // clients and people
	Store     consent.Store     // facts
	Ring      *keys.Ring        // signing keys
	Auditor   *audit.Auditor    // exports, and records erasures
	Details   *details.Registry // for consent.Decide
	Issuer    string            // for the example that a new client is given

	// Policy is the one of this moment: which resources there are.
	Policy func() *consent.Policy
	Dev    bool // clients may be called over plain http on loopback

	MTLS     bool // there is a listener for client certificates
	ClientCA bool // it can verify those of tls_client_auth

	// OfferUserCode sends a person the message to choose a user_code with
	// (CIBA Core §7.1), and returns until when they can. consent.ErrUnreachable
	// where no message could be sent.
	OfferUserCode func(ctx context.Context, p *consent.Person) (time.Time, error)

	// Waits says in words why a request is not being delivered, "" where nothing
	// is in its way; Stuck whether that is for an operator to mend. Nil: nobody
	// knows.
	Waits func(consent.Brief) string
	Stuck func(consent.ID) bool
	// Where names the place of an entry of the configuration file
	// ("ringback.yaml:31"); kind is "client" or "person". Nil: there is no file.
	Where func(kind, id string) string

	Now func() time.Time
	Log *slog.Logger
}

// Server answers operators.
type Server struct{ cfg Config }

// New checks cfg.
func New(cfg Config) (*Server, error) {
	if cfg.Token == ([32]byte{}) || cfg.Directory == nil || cfg.Store == nil || cfg.Ring == nil ||
		cfg.Auditor == nil || cfg.Policy == nil || cfg.OfferUserCode == nil || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("admin.New: a required field of Config is missing")
	}
	if cfg.Waits == nil {
		cfg.Waits = func(consent.Brief) string { return "" }
	}
	if cfg.Where == nil {
		cfg.Where = func(string, string) string { return "" }
	}
	return &Server{cfg: cfg}, nil
}

// Register adds /admin/v1/….
func (s *Server) Register(e *echo.Echo) {
	g := e.Group("/admin/v1", s.guard)
	g.GET("/clients", s.listClients)
	g.POST("/clients", s.addClient)
	g.GET("/clients/:id", s.showClient)
	g.DELETE("/clients/:id", s.removeClient)
	g.POST("/clients/:id/secret", s.renewSecret)

	g.GET("/people", s.listPeople)
	g.POST("/people", s.addPerson)
	g.GET("/people/:id", s.showPerson)
	g.DELETE("/people/:id", s.removePerson)
	g.POST("/people/:id/user-code", s.offerUserCode)
	g.PUT("/people/:id/clients/:client", s.linkPerson)
	g.DELETE("/people/:id/clients/:client", s.unlinkPerson)

	g.GET("/requests", s.listRequests)
	g.GET("/requests/:id", s.showRequest)
	g.POST("/requests/:id/withdraw", s.withdrawRequest)

	g.GET("/keys", s.listKeys)
	g.POST("/keys/rotate", s.rotateKeys)
	g.GET("/keys/evidence", s.evidenceKeys)
	g.GET("/export", s.export)
	g.Any("/*", func(echo.Context) error { return echo.ErrNotFound })
}

// guard lets the operator in, keeps answers out of caches and turns errors
// into answers.
func (s *Server) guard(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("Cache-Control", "no-store")
		token, ok := strings.CutPrefix(c.Request().Header.Get("Authorization"), "Bearer ")
		if !ok || !keys.TokenMatches(token, s.cfg.Token) {
			return s.writeError(c, &Error{Status: http.StatusUnauthorized, Code: "invalid_token",
				Description: "The management token is missing or wrong.",
				Next:        "Send `Authorization: Bearer TOKEN` with the token that `ringback init` printed; the commands take it from RINGBACK_ADMIN_TOKEN."})
		}
		err := next(c)
		if err != nil && !c.Response().Committed {
			return s.writeError(c, err)
		}
		return err
	}
}

// maxBody bounds a request body.
const maxBody = 16 << 10

// read decodes a JSON body strictly: a member that T does not have is refused,
// since it would be a mistyped wish.
func read[T any](c echo.Context) (v T, err error) {
	if t, _, err := mime.ParseMediaType(c.Request().Header.Get("Content-Type")); err != nil || t != "application/json" {
		return v, invalid("The body is not JSON.", "Send it with Content-Type: application/json.")
	}
	body, err := io.ReadAll(io.LimitReader(c.Request().Body, maxBody+1))
	if err != nil {
		return v, invalid("The body could not be read.", "Send it again.")
	}
	if len(body) > maxBody {
		return v, invalid("The body is longer than 16 KiB.", "Send less.")
	}
	if err = details.DecodeStrict(body, &v); err == nil {
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		err = dec.Decode(new(T))
	}
	if err != nil {
		return v, invalid("The body is not acceptable: "+strings.TrimPrefix(err.Error(), "json: ")+".", "See deploy/README.md for the members.")
	}
	return v, nil
}

// param reads a part of the path. A client_id can be a URL, whose slashes come
// escaped; then the router hands out what it saw.
func param(c echo.Context, name string) string {
	v := c.Param(name)
	if c.Request().URL.RawPath != "" {
		if plain, err := url.PathUnescape(v); err == nil {
			return plain
		}
	}
	return v
}

// page reads the parameters of a list.
func page(c echo.Context) (after string, limit int, err error) {
	limit = 100
	if v := c.QueryParam("limit"); v != "" {
		if limit, err = strconv.Atoi(v); err != nil || limit < 1 || limit > 1000 {
			return "", 0, invalid("limit is not a number from 1 to 1000.", "")
		}
	}
	return c.QueryParam("after"), limit, nil
}

// list is the answer to a list.
type list[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"` // cursor; absent at the end
}

// listed makes a list of views.
func listed[T, V any](in []T, next string, view func(*T) V) list[V] {
	out := list[V]{Items: make([]V, 0, len(in)), Next: next}
	for i := range in {
		out.Items = append(out.Items, view(&in[i]))
	}
	return out
}
