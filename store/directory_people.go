package store

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"slices"

	"ringback/consent"
)

// AddPerson writes a new person, with a data key of their own. Nothing that was
// kept about an erased person of this id can be read with it. consent.ErrExists
// if there is a person of this id, also in the configuration file,
// consent.ErrTaken if the phone number is somebody else's, consent.ErrInvalid
// if a member cannot be used.
func (s *Store) AddPerson(ctx context.Context, p *consent.Person) error {
	person := *p
	person.FromFile = false
	person.Clients = slices.Compact(slices.Sorted(slices.Values(p.Clients)))
	if err := errors.Join(checkPerson(&person)...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, claimGrace)
	defer cancel()
	name := s.pseudonym(p.ID)
	seq, err := s.dir.people.change(ctx, string(name), func(m message) ([]byte, error) {
		if err := s.unused("person", p.ID); err != nil {
			return nil, err
		}
		_, _, err := s.openKept(ctx, name, m)
		switch {
		case err == nil, errors.Is(err, errEntryVersion):
			return nil, exists("person", p.ID)
		case !errors.Is(err, consent.ErrNotFound) && !errors.Is(err, errDamaged):
			return nil, err
		}
		// There is none, or one that nobody can read.
		if person.Phone != "" {
			if owner := s.dir.phoneOwner(person.Phone, person.ID); owner != "" {
				return nil, taken(person.ID, owner)
			}
			if err := s.claimNumber(ctx, name, person.Phone); err != nil {
				return nil, err
			}
		}
		key, err := s.storedKey(ctx, name, keyAnew)
		if err != nil {
			return nil, err
		}
		return s.sealPerson(key, name, &person)
	})
	if err != nil {
		return err
	}
	return s.dir.people.wait(ctx, seq)
}

// LinkPerson lets a client name a person. consent.ErrNotFound if there is no
// such person or client, consent.ErrReadOnly if the person comes from the
// configuration file.
func (s *Store) LinkPerson(ctx context.Context, person, client string) error {
	if done, err := s.linkInFile(person, client, true); done {
		return err
	}
	if err := s.clientThere(ctx, client); err != nil {
		return err
	}
	err := s.changePerson(ctx, person, func(p *consent.Person) error {
		if slices.Contains(p.Clients, client) {
			return errLeave
		}
		p.Clients = append(p.Clients, client)
		return errors.Join(checkPerson(p)...)
	})
	if err != nil {
		return fmt.Errorf("linking person %q: %w", person, err)
	}
	// Who removes the client unlinks whom they see linked.
	if err := s.clientThere(ctx, client); err != nil {
		return errors.Join(err, s.unlink(ctx, person, client))
	}
	return nil
}

// UnlinkPerson takes a link back; the client need not exist any more.
// consent.ErrNotFound if there is no such person, consent.ErrReadOnly if the
// person comes from the configuration file.
func (s *Store) UnlinkPerson(ctx context.Context, person, client string) error {
	if done, err := s.linkInFile(person, client, false); done {
		return err
	}
	if err := s.unlink(ctx, person, client); err != nil {
		return fmt.Errorf("unlinking person %q: %w", person, err)
	}
	return nil
}

// unlink takes a link out of the stored entry of a person.
func (s *Store) unlink(ctx context.Context, person, client string) error {
	return s.changePerson(ctx, person, func(p *consent.Person) error {
		if !without(&p.Clients, client) {
			return errLeave
		}
		return nil
	})
}

// linkInFile reports whether the file has the person, and then returns the
// refusal to change what it says about a link.
func (s *Store) linkInFile(person, client string, linked bool) (bool, error) {
	d := s.dir
	d.mu.RLock()
	defer d.mu.RUnlock()
	e, ok := d.file.byID[person]
	if !ok || slices.Contains(e.person.Clients, client) == linked {
		return ok, nil
	}
	return true, s.readOnly("person", person)
}

// changePerson changes the stored entry of a person, or leaves it when change
// returns an error. consent.ErrNotFound if there is none (any more).
func (s *Store) changePerson(ctx context.Context, id string, change func(*consent.Person) error) error {
	p := s.pseudonym(id)
	seq, err := s.dir.people.change(ctx, string(p), func(m message) ([]byte, error) {
		person, key, err := s.openKept(ctx, p, m)
		if err != nil {
			return nil, err
		}
		if err := change(person); err != nil {
			return nil, err
		}
		return s.sealPerson(key, p, person)
	})
	if err != nil {
		return err
	}
	return s.dir.people.wait(ctx, seq)
}

// openKept opens what the leader holds of a person, with the key of now. It
// returns consent.ErrNotFound where there is nobody.
func (s *Store) openKept(ctx context.Context, p consent.Pseudonym, m message) (*consent.Person, cipher.AEAD, error) {
	if m.data == nil {
		return nil, nil, consent.ErrNotFound
	}
	key, err := s.storedKey(ctx, p, keyNow)
	if err != nil {
		return nil, nil, err
	}
	person, err := s.openPerson(key, p, m.data)
	return person, key, err
}

// RemovePerson erases a person: the entry, the devices, and the data key
// without which nothing that was kept about the person can be read again.
// Requests that are open must have been withdrawn before. It may be called
// again after an error. consent.ErrNotFound if nothing was kept,
// consent.ErrReadOnly if the configuration file has the person; one who was
// removed from the file before can be erased.
func (s *Store) RemovePerson(ctx context.Context, id string) error {
	if err := s.writable("person", id); err != nil {
		return err
	}
	p, hadKey := s.pseudonym(id), false
	if never, err := s.neverKept(ctx, p); never || err != nil {
		return errors.Join(err, consent.ErrNotFound)
	}
	hadEntry, err := s.dir.people.remove(ctx, string(p), func(entry message) error {
		var phone consent.Phone
		if person, _, err := s.openKept(ctx, p, entry); err == nil {
			phone = person.Phone
		}
		erased, err := s.eraseKey(ctx, p)
		if err != nil {
			return err
		}
		hadKey = hadKey || erased
		return s.removeTraces(ctx, id, p, phone)
	})
	if err != nil {
		return fmt.Errorf("erasing a person: %w", err)
	}
	if !hadEntry && !hadKey {
		return consent.ErrNotFound
	}
	return nil
}

// neverKept reports whether there never was an entry or key of p.
func (s *Store) neverKept(ctx context.Context, p consent.Pseudonym) (bool, error) {
	m, err := s.dir.people.last(ctx, string(p))
	if err != nil || m.seq > 0 {
		return false, err
	}
	_, err = s.keyMessage(ctx, p)
	if errors.Is(err, consent.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// removeTraces removes what the directory holds about a person beside the
// entry itself.
func (s *Store) removeTraces(ctx context.Context, id string, p consent.Pseudonym, phone consent.Phone) error {
	d := s.dir
	if err := s.removeDevices(ctx, p); err != nil {
		return fmt.Errorf("removing devices: %w", err)
	}
	if err := d.clients.catchUp(ctx); err != nil {
		return err
	}
	for _, name := range d.listing(id) {
		err := s.changeClient(ctx, name, func(c *consent.Client) error {
			if !without(&c.PeopleList, id) {
				return errLeave
			}
			return nil
		})
		if err != nil && !errors.Is(err, consent.ErrNotFound) {
			return fmt.Errorf("removing the person from client %q: %w", name, err)
		}
	}
	if phone != "" {
		if err := s.releaseNumber(ctx, p, phone); err != nil {
			return err
		}
	}
	if err := s.removeUserCode(ctx, p); err != nil {
		return err
	}
	return s.thaw(ctx, p)
}

// phoneOwner returns the id of somebody other than person who has the
// number, or "".
func (d *directory) phoneOwner(phone consent.Phone, person string) string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, l := range []*layer{d.file, d.kept} {
		for _, e := range l.byPhone[phone] {
			if e.person.ID != person {
				return e.person.ID
			}
		}
	}
	return ""
}

// linked lists the stored people who are linked to a client.
func (d *directory) linked(client string) []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var out []string
	for id, e := range d.kept.byID {
		if slices.Contains(e.person.Clients, client) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// listing lists the stored clients that name a person.
func (d *directory) listing(person string) []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var out []string
	for id, c := range d.kept.clients {
		if slices.Contains(c.PeopleList, person) {
			out = append(out, id)
		}
	}
	return out
}

// without removes all v from a list, which it does not share with anybody
// afterwards, and reports whether there was one.
func without(list *[]string, v string) bool {
	if !slices.Contains(*list, v) {
		return false
	}
	*list = slices.DeleteFunc(slices.Clone(*list), func(x string) bool { return x == v })
	return true
}
