package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// numberClaims is the first token of keys in DEVICES that say whose a number
// is: numberClaims.<numberID>, written once, the owner's pseudonym.
const numberClaims = "number"

// claimGrace is the time that a writer has from claiming a number to storing
// the person. A claim without the person is void only after twice that time.
const claimGrace = 15 * time.Second

// PutPerson writes a person, new or changed. consent.ErrReadOnly if the
// configuration file has the person, consent.ErrTaken if the phone number is
// somebody else's, consent.ErrInvalid if a member cannot be used.
func (s *Store) PutPerson(ctx context.Context, p *consent.Person) error {
	if err := s.writable("person", p.ID); err != nil {
		return err
	}
	person := *p
	person.FromFile = false
	person.Clients = slices.Compact(slices.Sorted(slices.Values(p.Clients)))
	if err := errors.Join(checkPerson(&person)...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, claimGrace)
	defer cancel()
	name := s.pseudonym(p.ID)
	if person.Phone != "" {
		if owner := s.dir.phoneOwner(person.Phone, person.ID); owner != "" {
			return taken(person.ID, owner)
		}
		if err := s.claimNumber(ctx, name, person.Phone); err != nil {
			return fmt.Errorf("writing person %q: %w", p.ID, err)
		}
	}
	before := s.dir.kept.phoneOf(s.dir, name)
	if err := s.reviveKey(ctx, name); err != nil {
		return fmt.Errorf("writing person %q: %w", p.ID, err)
	}
	sealed, err := s.sealPerson(ctx, name, &person)
	if err != nil {
		return fmt.Errorf("writing person %q: %w", p.ID, err)
	}
	seq, err := s.dir.people.Put(ctx, string(name), sealed)
	if err != nil {
		return fmt.Errorf("writing person %q: %w", p.ID, err)
	}
	if err := s.dir.followers.people.wait(ctx, seq); err != nil {
		return err
	}
	if before != "" && before != person.Phone {
		return s.releaseNumber(ctx, name, before)
	}
	return nil
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
	p := s.pseudonym(id)
	_, err := s.dir.people.Get(ctx, string(p))
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return fmt.Errorf("erasing a person: %w", err)
	}
	entry := err == nil
	m, err := s.lastMessage(ctx, streamDEK, s.names.subject("dek", string(p)))
	if err != nil && !errors.Is(err, consent.ErrNotFound) {
		return fmt.Errorf("erasing a person: %w", err)
	}
	key := err == nil && len(m.data) > 0
	phone := s.dir.kept.phoneOf(s.dir, p)

	// The entry first, so that no process lets anybody name the person. Its
	// second removal makes every process forget a key that it may have read
	// until the end.
	if entry || key {
		if err := s.removeKey(ctx, s.dir.people, s.dir.followers.people, string(p)); err != nil {
			return fmt.Errorf("erasing a person: %w", err)
		}
		if err := s.eraseKey(ctx, p); err != nil {
			return fmt.Errorf("erasing a person: %w", err)
		}
		if err := s.removeKey(ctx, s.dir.people, s.dir.followers.people, string(p)); err != nil {
			return fmt.Errorf("erasing a person: %w", err)
		}
	}
	if err := s.removeTraces(ctx, id, p, phone); err != nil {
		return fmt.Errorf("erasing a person: %w", err)
	}
	if !entry && !key {
		return consent.ErrNotFound
	}
	return nil
}

// removeTraces removes what the directory holds about a person beside the
// entry itself.
func (s *Store) removeTraces(ctx context.Context, id string, p consent.Pseudonym, phone consent.Phone) error {
	d := s.dir
	d.mu.RLock()
	var devices, clients []string
	for device := range d.stopped[p] {
		devices = append(devices, device)
	}
	for name, c := range d.kept.clients {
		if slices.Contains(c.PeopleList, id) {
			clients = append(clients, name)
		}
	}
	d.mu.RUnlock()
	for _, device := range devices {
		if err := s.removeKey(ctx, d.devices, d.followers.devices, string(p)+"."+device); err != nil {
			return fmt.Errorf("removing devices: %w", err)
		}
	}
	for _, name := range clients {
		err := s.changeClient(ctx, name, func(c *consent.Client) error {
			if !without(&c.PeopleList, id) {
				return consent.ErrNotFound
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

// claimNumber makes p the owner of a number, in all processes. It returns
// consent.ErrTaken if somebody else is.
func (s *Store) claimNumber(ctx context.Context, p consent.Pseudonym, phone consent.Phone) error {
	key := numberClaims + "." + s.numberID(phone)
	for range writeTries {
		_, err := s.dir.devices.Create(ctx, key, []byte(p))
		if err == nil {
			return nil
		}
		if !errors.Is(err, jetstream.ErrKeyExists) {
			return fmt.Errorf("claiming a phone number: %w", err)
		}
		claim, err := s.dir.devices.Get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("claiming a phone number: %w", err)
		}
		owner := consent.Pseudonym(claim.Value())
		if owner != p {
			has, err := s.hasNumber(ctx, owner, phone)
			if err != nil {
				return fmt.Errorf("claiming a phone number: %w", err)
			}
			// The owner may be about to be stored.
			if has || s.cfg.Now().Sub(claim.Created()) < 2*claimGrace {
				return fmt.Errorf("the phone number %w; if that person was removed a moment ago, try again in a minute", consent.ErrTaken)
			}
		}
		// Also our own claim is made again, so that its time is now.
		_, err = s.dir.devices.Update(ctx, key, []byte(p), claim.Revision())
		if err == nil {
			return nil
		}
		if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return fmt.Errorf("claiming a phone number: %w", err)
		}
	}
	return fmt.Errorf("claiming a phone number: %w", consent.ErrUnavailable)
}

// hasNumber reads whether the stored entry of p has the number.
func (s *Store) hasNumber(ctx context.Context, p consent.Pseudonym, phone consent.Phone) (bool, error) {
	kept, err := s.dir.people.Get(ctx, string(p))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	person, err := s.openPerson(ctx, p, kept.Value())
	if errors.Is(err, consent.ErrNotFound) {
		return false, nil
	}
	return err == nil && person.Phone == phone, err
}

// releaseNumber gives a number back if p owns it.
func (s *Store) releaseNumber(ctx context.Context, p consent.Pseudonym, phone consent.Phone) error {
	key := numberClaims + "." + s.numberID(phone)
	claim, err := s.dir.devices.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) || err == nil && string(claim.Value()) != string(p) {
		return nil
	}
	if err == nil {
		err = s.dir.devices.Purge(ctx, key, jetstream.LastRevision(claim.Revision()))
	}
	if err != nil && !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return fmt.Errorf("releasing a phone number: %w", err)
	}
	return nil
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

// phoneOf returns the number of a person of this layer, or "".
func (l *layer) phoneOf(d *directory, p consent.Pseudonym) consent.Phone {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if e, ok := l.byPseudonym[p]; ok {
		return e.person.Phone
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
