package workers_test

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"ringback/channels"
	"ringback/consent"
)

// hook is something that a test lets happen at a call, and may change meanwhile.
type hook[T any] struct{ f atomic.Pointer[func(T) error] }

func (k *hook[T]) set(f func(T) error) { k.f.Store(&f) }

func (k *hook[T]) call(v T) error {
	if f := k.f.Load(); f != nil && *f != nil {
		return (*f)(v)
	}
	return nil
}

// of fails for one request.
func of(id consent.ID, f func() error) func(consent.ID) error {
	return func(other consent.ID) error {
		if other != id {
			return nil
		}
		return f()
	}
}

// once fails the first time.
func once(f func(consent.ID) error) func(consent.ID) error {
	var done atomic.Bool
	return func(id consent.ID) error {
		if done.Swap(true) {
			return nil
		}
		return f(id)
	}
}

// hooks is a store with hooks before its calls.
type hooks struct {
	consent.Store
	get, peek, slot, release, try, decide hook[consent.ID]

	taken func(id consent.ID, mine bool)               // after Slot
	until func(time.Time) time.Time                    // what Slot says
	end   func(ids []consent.ID) ([]consent.ID, error) // instead of End

	gets, slots, decides atomic.Int64 // calls
}

// hook lets engines see a store through hooks.
func (w *world) hook(s *hooks) *hooks {
	w.around = func(facts consent.Store) consent.Store { s.Store = facts; return s }
	return s
}

func (s *hooks) Get(ctx context.Context, id consent.ID) (*consent.State, error) {
	s.gets.Add(1)
	if err := s.get.call(id); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, id)
}

func (s *hooks) Peek(id consent.ID) (consent.Brief, bool) {
	if err := s.peek.call(id); err != nil {
		return consent.Brief{}, false
	}
	return s.Store.Peek(id)
}

func (s *hooks) Slot(ctx context.Context, p consent.Pseudonym, id consent.ID, ttl time.Duration) (bool, time.Time, error) {
	s.slots.Add(1)
	if err := s.slot.call(id); err != nil {
		return false, time.Time{}, err
	}
	mine, until, err := s.Store.Slot(ctx, p, id, ttl)
	if s.taken != nil && err == nil {
		s.taken(id, mine)
	}
	if s.until != nil {
		until = s.until(until)
	}
	return mine, until, err
}

func (s *hooks) Release(ctx context.Context, p consent.Pseudonym, id consent.ID) error {
	if err := s.release.call(id); err != nil {
		return err
	}
	return s.Store.Release(ctx, p, id)
}

func (s *hooks) Try(ctx context.Context, id consent.ID, a consent.Attempt) error {
	if err := s.try.call(id); err != nil {
		return err
	}
	return s.Store.Try(ctx, id, a)
}

func (s *hooks) End(ctx context.Context, ids []consent.ID, now time.Time) ([]consent.ID, error) {
	if s.end != nil {
		return s.end(ids)
	}
	return s.Store.End(ctx, ids, now)
}

func (s *hooks) Decide(ctx context.Context, id consent.ID, d consent.Decision) (consent.Decision, error) {
	s.decides.Add(1)
	if err := s.decide.call(id); err != nil {
		return consent.Decision{}, err
	}
	return s.Store.Decide(ctx, id, d)
}

// folk is a directory with hooks before its calls, which get the person's id.
type folk struct {
	consent.Directory
	person, devices hook[string]
}

func (d *folk) Person(ctx context.Context, id string) (*consent.Person, error) {
	if err := d.person.call(id); err != nil {
		return nil, err
	}
	return d.Directory.Person(ctx, id)
}

func (d *folk) Devices(ctx context.Context, id string) ([]consent.Device, error) {
	if err := d.devices.call(id); err != nil {
		return nil, err
	}
	return d.Directory.Devices(ctx, id)
}

// know lets engines see a directory through hooks.
func (w *world) know() *folk {
	d := &folk{}
	w.people = func(people consent.Directory) consent.Directory { d.Directory = people; return d }
	return d
}

// stall is a channel that lets messages wait until it is released.
type stall struct {
	waiting atomic.Int64
	open    chan struct{}
	once    sync.Once
}

func newStall() *stall { return &stall{open: make(chan struct{})} }

// release lets everything pass from now on. Tests call it before the engine ends.
func (s *stall) release() { s.once.Do(func() { close(s.open) }) }

func (s *stall) way(ctx context.Context, m channels.Message, to channels.Channel) (channels.Receipt, error) {
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	select {
	case <-s.open:
		return to.Send(ctx, m)
	case <-ctx.Done():
		return channels.Receipt{}, channels.ErrAmbiguous
	}
}
