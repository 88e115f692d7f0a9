package admin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"ringback/consent"
	"ringback/details"
	"ringback/keys"
)

// People says whom a client may name: the word "linked" or "any", or a list of
// ids of people.
type People struct {
	Word string
	List []string
}

// UnmarshalJSON reads either form.
func (p *People) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &p.Word) == nil {
		if p.Word == "list" {
			return errors.New("people: write the list itself")
		}
		return nil
	}
	p.Word = "list"
	if json.Unmarshal(b, &p.List) != nil {
		return errors.New("people: write linked, any or a list of ids")
	}
	return nil
}

// MarshalJSON writes the form that was read.
func (p People) MarshalJSON() ([]byte, error) {
	if p.Word == "list" {
		return json.Marshal(p.List)
	}
	return json.Marshal(p.Word)
}

// clientEntry is a client as operators write and read it: the registered
// metadata names and ours, see [consent.Client].
type clientEntry struct {
	consent.Client
	People People `json:"people"`                  // in the place of the two members of Client
	Secret string `json:"client_secret,omitempty"` // only in the answer that makes it
	Where  string `json:"read_only_in,omitempty"`  // file and line of an entry that only the file changes
}

// ours reports whether an operator has written what is not theirs to write.
func (e *clientEntry) ours() bool {
	return e.Secret != "" || e.Where != "" || e.SecretHashes != nil || e.PeopleList != nil || e.Registrant != "" ||
		e.RegistrationToken != (consent.Digest{}) || e.FromFile || e.FromDocument || !e.CreatedAt.IsZero()
}

func (s *Server) clientView(c *consent.Client) clientEntry {
	e := clientEntry{Client: *c, People: People{Word: c.People, List: c.PeopleList}}
	e.SecretHashes, e.PeopleList, e.RegistrationToken, e.FromFile = nil, nil, consent.Digest{}, false
	if e.People.Word == "" {
		e.People.Word = "linked"
	}
	if c.FromFile {
		if e.Where = s.cfg.Where("client", c.ID); e.Where == "" {
			e.Where = "configuration"
		}
	}
	return e
}

func (s *Server) listClients(c echo.Context) error {
	after, limit, err := page(c)
	if err != nil {
		return err
	}
	all, next, err := s.cfg.Directory.Clients(c.Request().Context(), after, limit)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listed(all, next, s.clientView))
}

func (s *Server) showClient(c echo.Context) error {
	cl, err := s.client(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, s.clientView(cl))
}

func (s *Server) addClient(c echo.Context) error {
	in, err := read[clientEntry](c)
	if err != nil {
		return err
	}
	cl, secret, err := s.putClient(c.Request().Context(), &in)
	if err != nil {
		return err
	}
	out := newClient{clientEntry: s.clientView(cl), Issuer: s.cfg.Issuer}
	out.Secret = secret
	return c.JSON(http.StatusCreated, out)
}

// newClient is the one answer that shows a secret for the first time.
type newClient struct {
	clientEntry
	Issuer string `json:"issuer,omitempty"` // where it asks
}

// putClient checks and stores a client and makes its secret, if it is to have
// one.
func (s *Server) putClient(ctx context.Context, in *clientEntry) (*consent.Client, string, error) {
	if in.ours() {
		return nil, "", invalid("client_secret, created_at and read_only_in are ours to give, as is what is kept of secrets and registrations.", "Leave them out.")
	}
	cl := &in.Client
	cl.People, cl.PeopleList = in.People.Word, in.People.List
	if cl.ID == "" {
		cl.ID = idFor(cl.Name)
	}
	secret, err := s.create(ctx, cl)
	return cl, secret, err
}

// create completes, checks and stores a new client, and makes its secret if it
// is to have one.
func (s *Server) create(ctx context.Context, cl *consent.Client) (string, error) {
	if err := s.check(cl); err != nil {
		return "", err
	}
	if err := s.unlike(ctx, cl); err != nil {
		return "", err
	}
	secret := ""
	if !cl.FromDocument && HasSecret(cl.AuthMethod) {
		secret = keys.NewToken()
		cl.SecretHashes = []consent.Digest{keys.TokenDigest(secret)}
	}
	cl.CreatedAt = s.cfg.Now()
	err := s.cfg.Directory.AddClient(ctx, cl)
	if errors.Is(err, consent.ErrExists) {
		return "", exists("client", cl.ID, "client_id", err)
	}
	if err != nil {
		return "", err
	}
	// Two that were added at once did not see each other before.
	if err := s.unlike(ctx, cl); err != nil {
		return "", errors.Join(err, s.cfg.Directory.RemoveClient(ctx, cl.ID))
	}
	return secret, nil
}

// check completes an entry and says what is wrong with it.
func (s *Server) check(cl *consent.Client) error {
	if string(cl.JWKS) == "null" {
		cl.JWKS = nil
	}
	Complete(cl)
	policy := s.cfg.Policy()
	if cl.DefaultResource == "" && len(cl.Resources) == 0 && len(policy.Resources) == 1 {
		for uri := range policy.Resources {
			cl.DefaultResource = uri
		}
	}
	return problems(CheckClient(cl, s.offer(policy)))
}

// offer is what clients can be registered for now.
func (s *Server) offer(p *consent.Policy) Offer {
	o := Offer{Dev: s.cfg.Dev, MTLS: s.cfg.MTLS, ClientCA: s.cfg.ClientCA, Resources: len(p.Resources)}
	if s.cfg.Details != nil {
		o.Types = s.cfg.Details.Names()
	}
	return o
}

// unlike refuses a name that a person could take for another client's. Whoever
// registers clients may give several of them the same name.
func (s *Server) unlike(ctx context.Context, cl *consent.Client) error {
	for after := ""; ; {
		all, next, err := s.cfg.Directory.Clients(ctx, after, 1000)
		if err != nil {
			return err
		}
		for i := range all {
			switch other := &all[i]; {
			case other.ID == cl.ID, other.Name == "", other.Registrant != "" && other.Registrant == cl.Registrant:
			case details.Confusable(other.Name, cl.Name):
				return conflict(fmt.Sprintf("People could take the name %q for that of the client %s.", cl.Name, other.ID), "Choose a name that looks different.")
			}
		}
		if after = next; next == "" {
			return nil
		}
	}
}

func (s *Server) removeClient(c echo.Context) error {
	ctx := c.Request().Context()
	cl, err := s.client(ctx, param(c, "id"))
	if err != nil {
		return err
	}
	n, err := s.remove(ctx, cl.ID)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"removed": cl.ID, "withdrawn": n})
}

// remove removes a client, withdraws what it has asked and counts that.
func (s *Server) remove(ctx context.Context, id string) (n int, err error) {
	if err := s.cfg.Directory.RemoveClient(ctx, id); err != nil {
		return 0, err
	}
	for _, status := range []consent.Status{consent.StatusPending, consent.StatusApproved} {
		m, err := s.withdrawAll(ctx, consent.Filter{Client: id, Status: status})
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// renewSecret makes a new secret; the one before it keeps working until the
// next renewal, so that an agent can be given the new one in peace.
func (s *Server) renewSecret(c echo.Context) error {
	ctx := c.Request().Context()
	secret := keys.NewToken()
	var cl consent.Client
	err := s.cfg.Directory.ChangeClient(ctx, param(c, "id"), func(stored *consent.Client) error {
		if stored.FromDocument || !HasSecret(stored.AuthMethod) {
			return conflict("The client "+stored.ID+" has no secret: it authenticates with a key of its own.", "Renew the key at the client.")
		}
		stored.SecretHashes = append([]consent.Digest{keys.TokenDigest(secret)}, stored.SecretHashes...)
		if len(stored.SecretHashes) > 2 {
			stored.SecretHashes = stored.SecretHashes[:2]
		}
		cl = *stored
		return nil
	})
	if errors.Is(err, consent.ErrNotFound) {
		return unknownClient()
	}
	if err != nil {
		return err
	}
	out := s.clientView(&cl)
	out.Secret = secret
	return c.JSON(http.StatusOK, out)
}

func unknownClient() error {
	return notFound("client", "`ringback client list` shows all of them.")
}

// client returns a copy of a client.
func (s *Server) client(ctx context.Context, id string) (*consent.Client, error) {
	cl, err := s.cfg.Directory.Client(ctx, id)
	if errors.Is(err, consent.ErrNotFound) {
		return nil, unknownClient()
	}
	if err != nil {
		return nil, err
	}
	own := *cl
	return &own, nil
}

// problems makes one refusal of all of them.
func problems(list []Problem) error {
	if len(list) == 0 {
		return nil
	}
	var parts []string
	for _, p := range list {
		parts = append(parts, p.Member+": "+p.What)
	}
	return invalid(strings.Join(parts, "; ")+".", "Mend what is named and send it again.")
}

// idFor makes a client_id that one can recognise from a name: its ASCII
// letters and digits, and some random ones.
func idFor(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= 32 {
			break
		}
	}
	if slug := strings.Trim(b.String(), "-"); slug != "" {
		return slug + "-" + strings.ToLower(rand.Text()[:6])
	}
	return "client-" + strings.ToLower(rand.Text()[:10])
}
