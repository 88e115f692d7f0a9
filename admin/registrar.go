package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"ringback/consent"
	"ringback/keys"
)

// maxRegistered is how many clients one registrant may have: an initial access
// token that has leaked must not fill the store.
const maxRegistered = 1000

// Registrar writes the entries of clients that register themselves (RFC 7591
// and 7592). They are checked like those that operators write. What is wrong
// with one is a consent.ErrInvalid whose text may be shown to the client.
type Registrar struct{ s *Server }

// Registrar returns the one of this deployment.
func (s *Server) Registrar() *Registrar { return &Registrar{s} }

// Add completes, checks and stores a new client under a client_id that it
// makes. It returns the client's secret, "" for a client with keys of its own.
func (r *Registrar) Add(ctx context.Context, c *consent.Client) (secret string, err error) {
	if err := r.room(ctx, c.Registrant); err != nil {
		return "", err
	}
	c.ID = idFor(c.Name)
	secret, err = r.s.create(ctx, c)
	return secret, forClient(err)
}

// Replace writes c over the client of the same id and registration token. The
// secret stays what it was; one is made and returned when the client had none
// and needs one now. consent.ErrNotFound when the client has been removed.
func (r *Registrar) Replace(ctx context.Context, c *consent.Client) (secret string, err error) {
	if err = r.s.check(c); err == nil {
		err = r.s.unlike(ctx, c)
	}
	if err != nil {
		return "", forClient(err)
	}
	err = r.s.cfg.Directory.ChangeClient(ctx, c.ID, func(stored *consent.Client) error {
		if stored.RegistrationToken != c.RegistrationToken {
			return consent.ErrNotFound
		}
		c.CreatedAt, c.SecretHashes, secret = stored.CreatedAt, nil, ""
		if HasSecret(c.AuthMethod) {
			if c.SecretHashes = stored.SecretHashes; c.SecretHashes == nil {
				secret = keys.NewToken()
				c.SecretHashes = []consent.Digest{keys.TokenDigest(secret)}
			}
		}
		*stored = *c
		return nil
	})
	return secret, err
}

// Remove removes a client and withdraws what it has asked, to the end even if
// nobody waits for that. consent.ErrNotFound for an unknown one.
func (r *Registrar) Remove(ctx context.Context, id string) error {
	_, err := r.s.remove(context.WithoutCancel(ctx), id)
	return err
}

// room refuses a registrant who has as many clients as there may be.
func (r *Registrar) room(ctx context.Context, registrant string) error {
	n := 0
	for after := ""; ; {
		all, next, err := r.s.cfg.Directory.Clients(ctx, after, 1000)
		if err != nil {
			return err
		}
		for i := range all {
			if all[i].Registrant == registrant {
				n++
			}
		}
		if n >= maxRegistered {
			return fmt.Errorf("%w: %d clients were registered with this initial access token and those of the same name: remove some", consent.ErrInvalid, n)
		}
		if after = next; next == "" {
			return nil
		}
	}
}

// forClient makes an error that the registering client may read of one that an
// operator would. Which client has a name already is not for everybody.
func forClient(err error) error {
	var e *Error
	switch {
	case errors.Is(err, consent.ErrExists): // of a random id
		return fmt.Errorf("%w: %w", consent.ErrUnavailable, err)
	case !errors.As(err, &e):
		return err
	case e.Status == http.StatusConflict:
		return fmt.Errorf("%w: client_name: people could take it for another client's, choose one that looks different", consent.ErrInvalid)
	}
	return fmt.Errorf("%w: %s", consent.ErrInvalid, e.Description)
}
