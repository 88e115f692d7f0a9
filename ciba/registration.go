package ciba

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"ringback/consent"
	"ringback/keys"
)

// Registration lets clients register themselves (RFC 7591) and manage what
// they registered (RFC 7592). Only who was given an initial access token can.
type Registration struct {
	Tokens []InitialToken

	// What such a client gets, whatever it says of itself: as in
	// consent.Client.
	People          string
	Scope           string // what it may ask for at most; empty: every configured scope
	DefaultResource string
	Resources       []string
	Profile         string
}

// InitialToken is an initial access token (RFC 7591 §3).
type InitialToken struct {
	Name   string         // who has it; what its clients do is counted together with that of others of this name
	Digest consent.Digest // keys.TokenDigest of it

	// Hosts are where clients may have the addresses that we call: endpoints
	// for notifications, and jwks_uri. "agent.example", or "*.agent.example"
	// for every host below it. Empty: nothing of theirs is called.
	Hosts []string
}

// Registrar keeps the entries of clients. What is wrong with one is a
// consent.ErrInvalid whose text the client may read.
type Registrar interface {
	// Add completes, checks and stores a new client and fills in its
	// client_id. It returns the secret, "" for a client that needs none.
	Add(ctx context.Context, c *consent.Client) (secret string, err error)
	// Replace writes c over the client of the same client_id and registration
	// token, and fills in what stays. It returns a secret if it had to make
	// one. consent.ErrNotFound when that client has been removed.
	Replace(ctx context.Context, c *consent.Client) (secret string, err error)
	// Remove removes a client and withdraws what it has asked.
	// consent.ErrNotFound for an unknown one.
	Remove(ctx context.Context, id string) error
}

// Challenges of RFC 6750 §3.
const (
	bearerMissing = `Bearer realm="ringback"`
	bearerInvalid = `Bearer realm="ringback", error="invalid_token"`
)

var (
	errNoBearer = &Error{Code: InvalidToken, Challenge: bearerMissing, Description: "Authorization: send Bearer and the token, once; to register a client that is the initial access token that the operator gave out, later the client's registration_access_token"}
	errInitial  = &Error{Code: InvalidToken, Challenge: bearerInvalid, Description: "this is no initial access token of this service, ask the operator for one"}
	errManage   = &Error{Code: InvalidToken, Challenge: bearerInvalid, Description: "the client is unknown or has been removed, or this is not its registration_access_token"}
)

// register is the client registration endpoint (RFC 7591 §3).
func (s *Server) register(c echo.Context) error {
	r := c.Request()
	if err := s.opens(r, http.MethodPost); err != nil {
		return err
	}
	given, err := bearer(r)
	if err != nil {
		return err
	}
	by := s.registrant(given)
	if by == "" {
		return errInitial
	}
	said, err := readMetadata(r)
	if err != nil {
		return err
	}
	client, err := s.entry(by, said)
	if err != nil {
		return err
	}
	token := keys.NewToken()
	client.RegistrationToken = keys.TokenDigest(token)
	secret, err := s.cfg.Registrar.Add(r.Context(), client)
	if err != nil {
		return refusedEntry(err)
	}
	s.logRegistration(r.Context(), client, "registered")
	return answer(c, http.StatusCreated, s.information(client, secret, token))
}

// manage is the client configuration endpoint (RFC 7592 §2).
func (s *Server) manage(c echo.Context) error {
	r := c.Request()
	if err := s.opens(r, http.MethodGet, http.MethodPut, http.MethodDelete); err != nil {
		return err
	}
	token, err := bearer(r)
	if err != nil {
		return err
	}
	client, err := s.cfg.Directory.Client(r.Context(), c.Param("client"))
	switch {
	case errors.Is(err, consent.ErrNotFound):
		return errManage
	case err != nil:
		return err
	case client.Registrant == "" || !keys.TokenMatches(token, client.RegistrationToken):
		return errManage
	}
	switch r.Method {
	case http.MethodPut:
		return s.replaceClient(c, client, token)
	case http.MethodDelete:
		return s.removeClient(c, client)
	}
	return answer(c, http.StatusOK, s.information(client, "", token))
}

// replaceClient registers the client anew (RFC 7592 §2.2): what the body
// leaves out is as if it had never been said. Its client_id and its name stay,
// for those are what people let ask.
func (s *Server) replaceClient(c echo.Context, old *consent.Client, token string) error {
	r := c.Request()
	said, err := readMetadata(r)
	if err != nil {
		return err
	}
	if err := said.about(old); err != nil {
		return err
	}
	client, err := s.entry(old.Registrant, said)
	if err != nil {
		return err
	}
	client.ID, client.RegistrationToken = old.ID, old.RegistrationToken
	if client.Name == "" {
		client.Name = old.Name
	}
	if client.Name != old.Name {
		return refuse(InvalidClientMetadata, "client_name: people know the client by its name, so it stays; register a further client for another one")
	}
	secret, err := s.cfg.Registrar.Replace(r.Context(), client)
	if err != nil {
		return refusedEntry(err)
	}
	s.logRegistration(r.Context(), client, "replaced")
	return answer(c, http.StatusOK, s.information(client, secret, token))
}

// removeClient ends a registration (RFC 7592 §2.3).
func (s *Server) removeClient(c echo.Context, client *consent.Client) error {
	if err := s.cfg.Registrar.Remove(c.Request().Context(), client.ID); err != nil {
		return refusedEntry(err)
	}
	s.logRegistration(c.Request().Context(), client, "removed")
	c.Response().Header()["Cache-Control"] = noStore
	return c.NoContent(http.StatusNoContent)
}

func (s *Server) logRegistration(ctx context.Context, c *consent.Client, code string) {
	s.cfg.Log.InfoContext(ctx, "client's registration changed", slog.String("client", c.ID), slog.String("code", code))
}

// refusedEntry says to the client what the Registrar found.
func refusedEntry(err error) error {
	switch {
	case errors.Is(err, consent.ErrInvalid):
		return refuse(InvalidClientMetadata, "%v", err)
	case errors.Is(err, consent.ErrNotFound): // removed meanwhile
		return errManage
	}
	return err
}

// bearer returns the token of a request (RFC 6750 §2.1).
func bearer(r *http.Request) (string, error) {
	values := r.Header["Authorization"]
	if len(values) != 1 {
		return "", errNoBearer
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "bearer") || !b64token.MatchString(token) {
		return "", errNoBearer
	}
	return token, nil
}

// registrant returns who was given an initial access token, "" for any other
// token.
func (s *Server) registrant(token string) (name string) {
	for _, t := range s.cfg.Registration.Tokens {
		if keys.TokenMatches(token, t.Digest) {
			name = t.Name
		}
	}
	return name
}
