package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"ringback/consent"
)

// numberClaims is the first token of keys in DEVICES that say whose a number
// is: numberClaims.<numberID>, the owner's pseudonym.
const numberClaims = "number"

// claimGrace is the time that a writer has from claiming a number to storing
// the person. A claim without the person is void only after twice that time.
const claimGrace = 15 * time.Second

// deviceGuard is the key in DEVICES that every change of a person's devices
// comes after. Everybody has this device, and their erasure removes it.
func deviceGuard(p consent.Pseudonym) string { return string(p) + "." + channelConsole }

// StopDevice records that a device takes no more messages, or takes them
// again. consent.ErrNotFound for an unknown person or device.
func (s *Store) StopDevice(ctx context.Context, person, device string, stopped bool) error {
	list, err := s.Devices(ctx, person)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(list, func(d consent.Device) bool { return d.ID == device })
	if at < 0 {
		return consent.ErrNotFound
	}
	if list[at].Stopped == stopped {
		return nil
	}
	data, err := json.Marshal(storedDevice{consent.Version, stopped, s.cfg.Now().UTC()})
	if err != nil {
		return fmt.Errorf("encoding a device: %w", err)
	}
	d, p := s.dir, s.pseudonym(person)
	seq, err := d.devices.changeAfter(ctx, string(p)+"."+device, deviceGuard(p), func(message) ([]byte, error) {
		if d.declared(p) {
			return data, nil
		}
		m, err := d.people.last(ctx, string(p))
		if err == nil && m.data == nil {
			err = consent.ErrNotFound // erased meanwhile
		}
		return data, err
	})
	if err != nil {
		return fmt.Errorf("stopping a device: %w", err)
	}
	return d.devices.wait(ctx, seq)
}

// removeDevices removes what is kept about the devices of p, who must be gone:
// the guard first, so that nothing is added to what is there then.
func (s *Store) removeDevices(ctx context.Context, p consent.Pseudonym) error {
	d := s.dir.devices
	seq, err := d.write(ctx, deviceGuard(p), nil)
	if err != nil {
		return err
	}
	list, err := d.keys(ctx, string(p)+".*")
	if err != nil {
		return err
	}
	for _, key := range list {
		if key == deviceGuard(p) {
			continue
		}
		if seq, err = d.write(ctx, key, nil); err != nil {
			return err
		}
	}
	return d.wait(ctx, seq)
}

// claimNumber makes p the owner of a number, in all processes. It returns
// consent.ErrTaken if somebody else is. Also our own claim is made again, so
// that its time is now.
func (s *Store) claimNumber(ctx context.Context, p consent.Pseudonym, phone consent.Phone) error {
	_, err := s.dir.devices.change(ctx, numberClaims+"."+s.numberID(phone), func(m message) ([]byte, error) {
		if owner := consent.Pseudonym(m.data); m.data != nil && owner != p {
			has, err := s.hasNumber(ctx, owner, phone)
			if err != nil {
				return nil, err
			}
			// The owner may be about to be stored.
			if has || s.cfg.Now().Sub(m.at) < 2*claimGrace {
				return nil, fmt.Errorf("the phone number %w; if that person was removed a moment ago, try again in a minute", consent.ErrTaken)
			}
		}
		return []byte(p), nil
	})
	if err != nil && !errors.Is(err, consent.ErrTaken) {
		return fmt.Errorf("claiming a phone number: %w", err)
	}
	return err
}

// hasNumber reads whether the stored entry of p has the number.
func (s *Store) hasNumber(ctx context.Context, p consent.Pseudonym, phone consent.Phone) (bool, error) {
	m, err := s.dir.people.last(ctx, string(p))
	if err != nil {
		return false, err
	}
	person, _, err := s.openKept(ctx, p, m)
	if errors.Is(err, consent.ErrNotFound) {
		return false, nil
	}
	return err == nil && person.Phone == phone, err
}

// releaseNumber gives a number back if p owns it.
func (s *Store) releaseNumber(ctx context.Context, p consent.Pseudonym, phone consent.Phone) error {
	_, err := s.dir.devices.change(ctx, numberClaims+"."+s.numberID(phone), func(m message) ([]byte, error) {
		if m.data == nil || consent.Pseudonym(m.data) != p {
			return nil, errLeave
		}
		return nil, nil
	})
	if err != nil {
		return fmt.Errorf("releasing a phone number: %w", err)
	}
	return nil
}
