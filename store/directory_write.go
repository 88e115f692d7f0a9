package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ringback/consent"
)

// SetFile replaces the entries of the configuration file, all or none. They
// come before stored entries of the same id and are read-only here. where
// returns the place of an entry ("client" or "person", its id) for error
// texts, like "ringback.yaml:41"; it may be nil. The error reports every
// mistake; then nothing has changed.
func (s *Store) SetFile(clients []consent.Client, people []consent.Person, where func(kind, id string) string) error {
	mistakes := CheckEntries(clients, people)
	l := newLayer()
	for _, c := range clients {
		c.FromFile = true
		l.clients[c.ID] = &c
	}
	for _, p := range people {
		p.FromFile = true
		l.add(s.newMember(&p))
	}
	d := s.dir
	d.mu.Lock()
	defer d.mu.Unlock()
	for phone := range l.byPhone {
		for _, e := range d.kept.byPhone[phone] {
			if _, shadowed := l.byID[e.person.ID]; !shadowed {
				mistakes = append(mistakes, taken(l.byPhone[phone][0].person.ID, e.person.ID))
			}
		}
	}
	if len(mistakes) > 0 {
		return errors.Join(mistakes...)
	}
	d.file, d.where = l, where
	return nil
}

// readOnly is the refusal to change an entry of the file.
func (s *Store) readOnly(kind, id string) error {
	place := ""
	if s.dir.where != nil {
		if at := s.dir.where(kind, id); at != "" {
			place = " (" + at + ")"
		}
	}
	return fmt.Errorf("%s %q is %w: it comes from the configuration file%s; change it there and send SIGHUP", kind, id, consent.ErrReadOnly, place)
}

// writable returns the refusal if the file has the entry.
func (s *Store) writable(kind, id string) error {
	d := s.dir
	d.mu.RLock()
	defer d.mu.RUnlock()
	_, client := d.file.clients[id]
	_, person := d.file.byID[id]
	if kind == "client" && client || kind == "person" && person {
		return s.readOnly(kind, id)
	}
	return nil
}

// unused returns consent.ErrExists if the file has the entry.
func (s *Store) unused(kind, id string) error {
	if s.writable(kind, id) != nil {
		return exists(kind, id)
	}
	return nil
}

func exists(kind, id string) error {
	return fmt.Errorf("%s %q %w: choose another id, or remove the one that is there first", kind, id, consent.ErrExists)
}

// AddClient writes a new client. consent.ErrExists if there is one of this id,
// also in the configuration file, consent.ErrInvalid if it cannot be used.
func (s *Store) AddClient(ctx context.Context, c *consent.Client) error {
	if err := errors.Join(checkClient(c)...); err != nil {
		return err
	}
	added := *c
	added.FromFile = false
	if added.CreatedAt.IsZero() {
		added.CreatedAt = s.cfg.Now().UTC().Truncate(time.Second)
	}
	seq, err := s.dir.clients.change(ctx, token(c.ID), func(m message) ([]byte, error) {
		if err := s.unused("client", c.ID); err != nil {
			return nil, err
		}
		if m.data != nil { // one that cannot be read is as if it were not there
			if _, err := s.openClient(c.ID, m.data); err == nil || errors.Is(err, errEntryVersion) {
				return nil, exists("client", c.ID)
			}
		}
		return s.sealClient(&added)
	})
	if err != nil {
		return err
	}
	return s.dir.clients.wait(ctx, seq)
}

// ChangeClient changes a stored client, or leaves it when change returns an
// error. It never brings back one that was removed meanwhile. change may be
// called again after others have interfered. consent.ErrNotFound if there is
// no such client, consent.ErrReadOnly if the configuration file has it,
// consent.ErrInvalid if it could not be used.
func (s *Store) ChangeClient(ctx context.Context, id string, change func(*consent.Client) error) error {
	if err := s.writable("client", id); err != nil {
		return err
	}
	if !isGraphic(id) {
		return consent.ErrNotFound
	}
	return s.changeClient(ctx, id, func(c *consent.Client) error {
		if err := change(c); err != nil {
			return err
		}
		return errors.Join(checkClient(c)...)
	})
}

// changeClient is ChangeClient for any stored client, and without a check.
func (s *Store) changeClient(ctx context.Context, id string, change func(*consent.Client) error) error {
	seq, err := s.dir.clients.change(ctx, token(id), func(m message) ([]byte, error) {
		if m.data == nil {
			return nil, consent.ErrNotFound
		}
		c, err := s.openClient(id, m.data)
		if err != nil {
			return nil, err
		}
		if err := change(c); err != nil {
			return nil, err
		}
		c.ID, c.FromFile = id, false
		return s.sealClient(c)
	})
	if err != nil {
		return err
	}
	return s.dir.clients.wait(ctx, seq)
}

// RemoveClient removes a client and every link to it, so that a later client
// of the same id may name nobody. It may be called again after an error.
// consent.ErrNotFound if there is none, consent.ErrReadOnly if the
// configuration file has it.
func (s *Store) RemoveClient(ctx context.Context, id string) error {
	if err := s.writable("client", id); err != nil {
		return err
	}
	if !isGraphic(id) {
		return consent.ErrNotFound
	}
	d := s.dir
	had, err := d.clients.remove(ctx, token(id), func(message) error {
		if err := d.people.catchUp(ctx); err != nil {
			return err
		}
		for _, person := range d.linked(id) {
			if err := s.unlink(ctx, person, id); err != nil && !errors.Is(err, consent.ErrNotFound) {
				return fmt.Errorf("unlinking person %q: %w", person, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("removing client %q: %w", id, err)
	}
	if !had {
		return consent.ErrNotFound
	}
	return nil
}

// clientThere returns consent.ErrNotFound if there is no such client now.
func (s *Store) clientThere(ctx context.Context, id string) error {
	if s.writable("client", id) != nil {
		return nil // the file has it
	}
	m, err := s.dir.clients.last(ctx, token(id))
	if err == nil && m.data == nil {
		err = consent.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("client %q: %w", id, err)
	}
	return nil
}
