package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// writeTries bounds the retries of a change that others interfere with.
const writeTries = 8

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

// PutClient writes a client, new or changed. consent.ErrReadOnly if the
// configuration file has it, consent.ErrInvalid if it cannot be used.
func (s *Store) PutClient(ctx context.Context, c *consent.Client) error {
	if err := s.writable("client", c.ID); err != nil {
		return err
	}
	if err := errors.Join(checkClient(c)...); err != nil {
		return err
	}
	stored := *c
	stored.FromFile = false
	if stored.CreatedAt.IsZero() {
		stored.CreatedAt = s.cfg.Now().UTC().Truncate(time.Second)
	}
	sealed, err := s.sealClient(&stored)
	if err != nil {
		return err
	}
	seq, err := s.dir.clients.Put(ctx, token(c.ID), sealed)
	if err != nil {
		return fmt.Errorf("writing client %q: %w", c.ID, err)
	}
	return s.dir.followers.clients.wait(ctx, seq)
}

// RemoveClient removes a client and every link to it, so that a later client
// of the same id may name nobody. consent.ErrNotFound if there is none,
// consent.ErrReadOnly if the configuration file has it.
func (s *Store) RemoveClient(ctx context.Context, id string) error {
	if err := s.writable("client", id); err != nil {
		return err
	}
	if !isGraphic(id) {
		return consent.ErrNotFound
	}
	_, err := s.dir.clients.Get(ctx, token(id))
	missing := errors.Is(err, jetstream.ErrKeyNotFound)
	if err != nil && !missing {
		return fmt.Errorf("removing client %q: %w", id, err)
	}
	if !missing {
		if err := s.removeKey(ctx, s.dir.clients, s.dir.followers.clients, token(id)); err != nil {
			return fmt.Errorf("removing client %q: %w", id, err)
		}
	}
	for _, person := range s.dir.linked(id) {
		if _, err := s.changePerson(ctx, person, func(p *consent.Person) bool { return without(&p.Clients, id) }); err != nil && !errors.Is(err, consent.ErrNotFound) {
			return fmt.Errorf("unlinking client %q: %w", id, err)
		}
	}
	if missing {
		return consent.ErrNotFound
	}
	return nil
}

// LinkPerson lets a client name a person. consent.ErrNotFound if there is no
// such person or client, consent.ErrReadOnly if the person comes from the
// configuration file.
func (s *Store) LinkPerson(ctx context.Context, person, client string) error {
	if err := s.writable("person", person); err != nil {
		return err
	}
	if _, err := s.Client(ctx, client); err != nil {
		return fmt.Errorf("client %q: %w", client, err)
	}
	seq, err := s.changePerson(ctx, person, func(p *consent.Person) bool {
		if slices.Contains(p.Clients, client) {
			return false
		}
		p.Clients = append(slices.Clone(p.Clients), client)
		return true
	})
	if err != nil {
		return fmt.Errorf("linking person %q: %w", person, err)
	}
	return s.dir.followers.people.wait(ctx, seq)
}

// changePerson changes the stored entry of a person unless change returns
// false, and returns the sequence of the write, 0 for none.
func (s *Store) changePerson(ctx context.Context, id string, change func(*consent.Person) bool) (uint64, error) {
	p := s.pseudonym(id)
	for range writeTries {
		kept, err := s.dir.people.Get(ctx, string(p))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return 0, consent.ErrNotFound
		}
		if err != nil {
			return 0, err
		}
		person, err := s.openPerson(ctx, p, kept.Value())
		if err != nil {
			return 0, err
		}
		if !change(person) {
			return 0, nil
		}
		if err := errors.Join(checkPerson(person)...); err != nil {
			return 0, err
		}
		sealed, err := s.sealPerson(ctx, p, person)
		if err != nil {
			return 0, err
		}
		seq, err := s.dir.people.Update(ctx, string(p), sealed, kept.Revision())
		if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return seq, err
		}
	}
	return 0, consent.ErrUnavailable
}

// ChangeClient changes a stored client, or leaves it when change returns an
// error. Unlike PutClient it never brings back one that was removed meanwhile.
// change may be called again after others have interfered. consent.ErrNotFound
// if there is no such client, consent.ErrReadOnly if the configuration file has
// it, consent.ErrInvalid if it could not be used.
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

// changeClient changes the stored entry of a client unless change returns an
// error, and removes its earlier revisions: they may name an erased person.
func (s *Store) changeClient(ctx context.Context, id string, change func(*consent.Client) error) error {
	for range writeTries {
		kept, err := s.dir.clients.Get(ctx, token(id))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return consent.ErrNotFound
		}
		if err != nil {
			return err
		}
		c, err := s.openClient(id, kept.Value())
		if err != nil {
			return err
		}
		if err := change(c); err != nil {
			return err
		}
		sealed, err := s.sealClient(c)
		if err != nil {
			return err
		}
		m := &nats.Msg{
			Subject: "$KV." + s.names.stream(bucketClients) + "." + token(id),
			Header:  nats.Header{jetstream.MsgRollup: {jetstream.MsgRollupSubject}},
			Data:    sealed,
		}
		ack, err := s.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(kept.Revision()))
		if err == nil {
			return s.dir.followers.clients.wait(ctx, ack.Sequence)
		}
		if !isOvertaken(err) {
			return err
		}
	}
	return consent.ErrUnavailable
}

// removeKey removes a key with its history and waits until memory knows.
func (s *Store) removeKey(ctx context.Context, kv jetstream.KeyValue, f *follower, key string) error {
	if err := kv.Purge(ctx, key); err != nil {
		return err
	}
	// The answer does not name the marker's sequence; the stream does.
	status, err := kv.Status(ctx)
	if err != nil {
		return err
	}
	return f.wait(ctx, status.(*jetstream.KeyValueBucketStatus).StreamInfo().State.LastSeq)
}

// StopDevice records that a device takes no more messages, or takes them
// again. consent.ErrNotFound for an unknown person or device.
func (s *Store) StopDevice(ctx context.Context, person, device string, stopped bool) error {
	devices, err := s.Devices(ctx, person)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(devices, func(d consent.Device) bool { return d.ID == device })
	if at < 0 {
		return consent.ErrNotFound
	}
	if devices[at].Stopped == stopped {
		return nil
	}
	data, err := json.Marshal(storedDevice{consent.Version, stopped, s.cfg.Now().UTC()})
	if err != nil {
		return fmt.Errorf("encoding a device: %w", err)
	}
	seq, err := s.dir.devices.Put(ctx, string(s.Pseudonym(person))+"."+device, data)
	if err != nil {
		return fmt.Errorf("writing a device: %w", err)
	}
	return s.dir.followers.devices.wait(ctx, seq)
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
