package store

import (
	"cmp"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ringback/consent"
)

// deviceGuard is the key in DEVICES that every change of a person's devices
// comes after. Everybody has this device, and their erasure removes it.
func deviceGuard(p consent.Pseudonym) string { return string(p) + "." + channelConsole }

// deviceState is what is kept of one device.
type deviceState struct {
	stopped bool
	own     *consent.Device // nil where it follows from the person's entry
}

// Devices lists the ways to reach a person: the number by SMS, if there is
// one and nobody else has it, those with an entry of their own, the oldest first,
// and the console. It returns consent.ErrNotFound for an unknown person.
func (s *Store) Devices(_ context.Context, person string) ([]consent.Device, error) {
	d := s.dir
	e := d.byID(person)
	if e == nil {
		return nil, consent.ErrNotFound
	}
	var out []consent.Device
	// Two processes may have read different files. A number of two people
	// must not receive the questions of either.
	if phone := e.person.Phone; phone != "" &&
		d.only(func(l *layer) []*member { return l.byPhone[phone] }) != nil {
		out = append(out, consent.Device{ID: e.number, Channel: channelSMS, Address: string(phone)})
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	derived := len(out)
	for _, st := range d.devised[e.pseudonym] {
		if st.own != nil {
			out = append(out, *st.own)
		}
	}
	slices.SortFunc(out[derived:], func(a, b consent.Device) int {
		return cmp.Or(a.Enrolled.Compare(b.Enrolled), cmp.Compare(a.ID, b.ID))
	})
	out = append(out, consent.Device{ID: channelConsole, Channel: channelConsole, Address: person})
	for i := range out {
		out[i].Stopped = d.devised[e.pseudonym][out[i].ID].stopped
	}
	return out, nil
}

// AddDevice enrols a device of a person, and fills in its ID and when.
// consent.ErrNotFound for an unknown person.
func (s *Store) AddDevice(ctx context.Context, person string, dev *consent.Device) error {
	d, p := s.dir, s.pseudonym(person)
	if d.byID(person) == nil {
		return consent.ErrNotFound
	}
	dev.ID, dev.Enrolled = strings.ToLower(rand.Text()), s.cfg.Now().UTC().Truncate(time.Millisecond)
	key := string(p) + "." + dev.ID
	seq, err := d.devices.changeAfter(ctx, key, deviceGuard(p), func(message) ([]byte, error) {
		aead, err := s.deviceKey(ctx, p)
		if err != nil {
			return nil, err
		}
		return s.sealDevice(aead, key, dev)
	})
	if err != nil {
		return fmt.Errorf("adding a device: %w", err)
	}
	return d.devices.wait(ctx, seq)
}

// RemoveDevice forgets a device that has an entry of its own.
// consent.ErrNotFound for an unknown one, or one that follows from the person's
// entry.
func (s *Store) RemoveDevice(ctx context.Context, person, device string) error {
	seq, err := s.changeDevice(ctx, person, device, func(*consent.Device) ([]byte, error) { return nil, nil })
	if err != nil {
		return fmt.Errorf("removing a device: %w", err)
	}
	return s.dir.devices.wait(ctx, seq)
}

// StopDevice records that a device takes no more messages, or takes them
// again. consent.ErrNotFound for an unknown person or device.
func (s *Store) StopDevice(ctx context.Context, person, device string, stopped bool) error {
	list, err := s.Devices(ctx, person)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(list, func(d consent.Device) bool { return d.ID == device })
	switch {
	case at < 0:
		return consent.ErrNotFound
	case list[at].Stopped == stopped:
		return nil
	}
	var seq uint64
	if list[at].Enrolled.IsZero() {
		seq, err = s.stopDerived(ctx, person, device, stopped)
	} else {
		key := string(s.pseudonym(person)) + "." + device
		seq, err = s.changeDevice(ctx, person, device, func(dev *consent.Device) ([]byte, error) {
			dev.Stopped = stopped
			aead, err := s.deviceKey(ctx, s.pseudonym(person))
			if err != nil {
				return nil, err
			}
			return s.sealDevice(aead, key, dev)
		})
	}
	if err != nil {
		return fmt.Errorf("stopping a device: %w", err)
	}
	return s.dir.devices.wait(ctx, seq)
}

// stopDerived is StopDevice for a device that follows from the person's entry.
func (s *Store) stopDerived(ctx context.Context, person, device string, stopped bool) (uint64, error) {
	data, err := json.Marshal(storedDevice{V: consent.Version, Stopped: stopped, At: s.cfg.Now().UTC()})
	if err != nil {
		return 0, fmt.Errorf("encoding a device: %w", err)
	}
	d, p := s.dir, s.pseudonym(person)
	return d.devices.changeAfter(ctx, string(p)+"."+device, deviceGuard(p), func(message) ([]byte, error) {
		return data, s.there(ctx, p)
	})
}

// there returns consent.ErrNotFound where the person was erased meanwhile.
func (s *Store) there(ctx context.Context, p consent.Pseudonym) error {
	if s.dir.declared(p) {
		return nil
	}
	m, err := s.dir.people.last(ctx, string(p))
	if err == nil && m.data == nil {
		err = consent.ErrNotFound
	}
	return err
}

// deviceKey is the data key that a person's devices are sealed with, now.
func (s *Store) deviceKey(ctx context.Context, p consent.Pseudonym) (cipher.AEAD, error) {
	if err := s.there(ctx, p); err != nil {
		return nil, err
	}
	if s.dir.declared(p) {
		return s.storedKey(ctx, p, keyMade)
	}
	return s.storedKey(ctx, p, keyNow)
}

// changeDevice changes the entry of a device, or removes it where change returns
// no data. What was erased meanwhile stays so: an entry that is gone is not found,
// and one under an erased key cannot be read.
func (s *Store) changeDevice(ctx context.Context, person, device string, change func(*consent.Device) ([]byte, error)) (uint64, error) {
	p := s.pseudonym(person)
	key := string(p) + "." + device
	return s.dir.devices.change(ctx, key, func(m message) ([]byte, error) {
		if m.data == nil {
			return nil, consent.ErrNotFound
		}
		st, err := s.openDevice(ctx, p, device, m.data)
		switch {
		case err != nil:
			return nil, err
		case st.own == nil:
			return nil, consent.ErrNotFound
		}
		st.own.Stopped = st.stopped
		return change(st.own)
	})
}

// sealDevice is the entry of a device under that key.
func (s *Store) sealDevice(aead cipher.AEAD, key string, dev *consent.Device) ([]byte, error) {
	plain, err := json.Marshal(ownDevice{dev.Channel, dev.Address, dev.Name, dev.Enrolled, dev.By})
	if err != nil {
		return nil, fmt.Errorf("encoding a device: %w", err)
	}
	return json.Marshal(storedDevice{consent.Version, dev.Stopped, s.cfg.Now().UTC(), sealValue(aead, s.devicePlace(key), plain)})
}

// openDevice reads the entry of a device.
func (s *Store) openDevice(ctx context.Context, p consent.Pseudonym, device string, data []byte) (st deviceState, err error) {
	var stored storedDevice
	if err := json.Unmarshal(data, &stored); err != nil || stored.V != consent.Version {
		return st, errDamaged
	}
	st.stopped = stored.Stopped
	if stored.Sealed == nil {
		return st, nil
	}
	aead, err := s.preloadedKey(ctx, p)
	if err != nil {
		return st, err
	}
	plain, err := openValue(aead, s.devicePlace(string(p)+"."+device), stored.Sealed)
	if err != nil {
		return st, err
	}
	var own ownDevice
	if err := json.Unmarshal(plain, &own); err != nil {
		return st, errDamaged
	}
	st.own = &consent.Device{ID: device, Channel: own.Channel, Address: own.Address, Name: own.Name, Enrolled: own.Enrolled, By: own.By}
	return st, nil
}

// devicePlace is what a sealed device is bound to.
func (s *Store) devicePlace(key string) string { return s.names.subject("devices", key) }

// applyDevice takes one message of DEVICES into memory.
func (s *Store) applyDevice(ctx context.Context, key string, data []byte) error {
	owner, device, ok := strings.Cut(key, ".")
	if !ok || owner == numberClaims || owner == userCodes {
		return nil
	}
	p, d := consent.Pseudonym(owner), s.dir
	var st deviceState
	if data != nil {
		var err error
		st, err = s.openDevice(ctx, p, device, data)
		switch {
		case errors.Is(err, ErrErased), errors.Is(err, consent.ErrNotFound):
			st = deviceState{} // its removal is on its way
		case errors.Is(err, errDamaged):
			s.skipped(ctx, "device "+key, err)
			return nil
		case err != nil:
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if st != (deviceState{}) {
		if d.devised[p] == nil {
			d.devised[p] = map[string]deviceState{}
		}
		d.devised[p][device] = st
		return nil
	}
	delete(d.devised[p], device)
	if len(d.devised[p]) == 0 {
		delete(d.devised, p)
	}
	return nil
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
