package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/consent"
)

// personEntry is a person as operators write and read it. In lists the phone
// number and address are shortened.
type personEntry struct {
	ID       string   `json:"id"`
	Name     string   `json:"name,omitempty"`
	Locale   string   `json:"locale,omitempty"`
	Zoneinfo string   `json:"zoneinfo,omitempty"`
	Phone    string   `json:"phone,omitempty"`
	Email    string   `json:"email,omitempty"`
	Clients  []string `json:"clients,omitempty"`
	Where    string   `json:"read_only_in,omitempty"` // file and line of an entry that only the file changes
}

// personDetail is one person with what is known beside the entry.
type personDetail struct {
	personEntry
	Devices  []deviceView         `json:"devices"`
	UserCode bool                 `json:"user_code"` // one was chosen
	Open     int                  `json:"open_requests"`
	Frozen   map[string]time.Time `json:"frozen,omitempty"` // client :: until when it may not ask
}

// deviceView is one way to reach a person, without the address.
type deviceView struct {
	ID      string `json:"id"`
	Channel string `json:"channel"`
	Stopped bool   `json:"stopped,omitempty"`
}

func (s *Server) personView(p *consent.Person) personEntry {
	e := personEntry{ID: p.ID, Name: p.Name, Locale: p.Locale, Zoneinfo: p.Zoneinfo, Phone: string(p.Phone), Email: p.Email, Clients: p.Clients}
	if p.FromFile {
		if e.Where = s.cfg.Where("person", p.ID); e.Where == "" {
			e.Where = "configuration"
		}
	}
	return e
}

func (s *Server) listPeople(c echo.Context) error {
	after, limit, err := page(c)
	if err != nil {
		return err
	}
	all, next, err := s.cfg.Directory.People(c.Request().Context(), after, limit)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listed(all, next, func(p *consent.Person) personEntry {
		e := s.personView(p)
		if e.Phone != "" {
			e.Phone = p.Phone.String()
		}
		if e.Email != "" {
			e.Email = "…"
		}
		return e
	}))
}

func (s *Server) showPerson(c echo.Context) error {
	ctx := c.Request().Context()
	p, err := s.person(ctx, param(c, "id"))
	if err != nil {
		return err
	}
	devices, err := s.cfg.Directory.Devices(ctx, p.ID)
	if err != nil {
		return err
	}
	chosen, err := s.cfg.Directory.HasUserCode(ctx, p.ID)
	if err != nil {
		return err
	}
	h := s.cfg.Store.History(s.cfg.Directory.Pseudonym(p.ID))
	out := personDetail{personEntry: s.personView(p), Devices: []deviceView{}, UserCode: chosen, Open: len(h.Open), Frozen: h.Frozen}
	for _, d := range devices {
		out.Devices = append(out.Devices, deviceView{ID: d.ID, Channel: d.Channel, Stopped: d.Stopped})
	}
	return c.JSON(http.StatusOK, out)
}

func (s *Server) addPerson(c echo.Context) error {
	ctx := c.Request().Context()
	in, err := read[personEntry](c)
	if err != nil {
		return err
	}
	if in.Where != "" {
		return invalid("read_only_in is ours to give.", "Leave it out.")
	}
	p := &consent.Person{ID: in.ID, Name: in.Name, Locale: in.Locale, Zoneinfo: in.Zoneinfo, Phone: consent.Phone(in.Phone), Email: in.Email, Clients: in.Clients}
	if err := problems(CheckPerson(p)); err != nil {
		return err
	}
	err = s.cfg.Directory.AddPerson(ctx, p)
	if errors.Is(err, consent.ErrExists) {
		return exists("person", p.ID, "id", err)
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, s.personView(p))
}

// linkPerson lets a client name a person.
func (s *Server) linkPerson(c echo.Context) error {
	ctx := c.Request().Context()
	p, err := s.person(ctx, param(c, "id"))
	if err != nil {
		return err
	}
	cl, err := s.client(ctx, param(c, "client"))
	if err != nil {
		return err
	}
	return s.linked(c, p.ID, s.cfg.Directory.LinkPerson(ctx, p.ID, cl.ID))
}

// unlinkPerson takes that back. The client need not exist any more.
func (s *Server) unlinkPerson(c echo.Context) error {
	ctx := c.Request().Context()
	p, err := s.person(ctx, param(c, "id"))
	if err != nil {
		return err
	}
	return s.linked(c, p.ID, s.cfg.Directory.UnlinkPerson(ctx, p.ID, param(c, "client")))
}

// linked shows a person after a change of their links.
func (s *Server) linked(c echo.Context, id string, err error) error {
	if errors.Is(err, consent.ErrNotFound) { // removed meanwhile
		return notFound("person or client", "`ringback person list` and `ringback client list` show all of them.")
	}
	if err != nil {
		return err
	}
	p, err := s.person(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, s.personView(p))
}

// removePerson erases a person. Requests that wait for them end first, so that
// no agent waits for somebody who is gone; then the data key is destroyed, and
// with it everything that facts and evidence say about them.
func (s *Server) removePerson(c echo.Context) error {
	ctx, id := c.Request().Context(), param(c, "id")
	p, err := s.cfg.Directory.Person(ctx, id)
	known := err == nil
	if known && p.FromFile {
		return s.cfg.Directory.RemovePerson(ctx, id) // says where the entry stands
	} else if !known && !errors.Is(err, consent.ErrNotFound) {
		return err
	}
	n, pseudonym := 0, s.cfg.Directory.Pseudonym(id)
	for _, b := range s.cfg.Store.History(pseudonym).Open {
		if _, err := s.withdraw(ctx, b.ID); err == nil {
			n++
		} else if asError(err).Status >= 500 {
			return err
		}
	}
	if known {
		if err := s.cfg.Auditor.Erased(ctx, pseudonym); err != nil {
			return err
		}
	}
	err = s.cfg.Directory.RemovePerson(ctx, id)
	if errors.Is(err, consent.ErrNotFound) {
		return notFound("person", "`ringback person list` shows all of them.")
	}
	if err == nil && !known { // was in the file once; only the key was left
		err = s.cfg.Auditor.Erased(ctx, pseudonym)
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"removed": id, "withdrawn": n})
}

// person returns a copy of a person.
func (s *Server) person(ctx context.Context, id string) (*consent.Person, error) {
	p, err := s.cfg.Directory.Person(ctx, id)
	if errors.Is(err, consent.ErrNotFound) {
		return nil, notFound("person", "`ringback person list` shows all of them.")
	}
	if err != nil {
		return nil, err
	}
	own := *p
	return &own, nil
}
