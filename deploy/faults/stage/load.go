package stage

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"ringback/deploy/faults/agent"
	"ringback/deploy/faults/journal"
	"ringback/deploy/faults/provider"
)

// Lifetimes of the requests of a load.
const (
	longLife  = time.Hour
	shortLife = 10 * time.Second
)

// Load has agents ask so many persons from the given one on, so many at once,
// and persons answer, until all are through or the returned function is called.
// Some persons answer later, whatever has become of the service by then.
func (s *Stage) Load(ctx context.Context, from, persons, atOnce int) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	todo := make(chan int, persons)
	for i := range persons {
		todo <- from + i
	}
	close(todo)
	var agents sync.WaitGroup
	for range atOnce {
		agents.Go(func() {
			for person := range todo {
				if ctx.Err() != nil {
					return
				}
				s.one(ctx, person)
			}
		})
	}
	return func() { cancel(); agents.Wait() }
}

// one is one request and, for most persons, its answer.
func (s *Stage) one(ctx context.Context, person int) {
	by, life := s.Agent, longLife
	if person%8 >= 6 {
		by = s.Pinged
	}
	late := person%16 == 4
	if late {
		life = shortLife
	}
	id, handle, _ := by.Ask(ctx, Person(person), life)
	if id == "" {
		return
	}
	switch person % 8 {
	case 0: // nobody comes for it yet
		s.reply(ctx, person, journal.Approved)
	case 1:
		by.Withdraw(ctx, id, handle)
		by.Poll(ctx, handle, 0)
	case 2: // the agent holds its poll meanwhile
		var polling sync.WaitGroup
		polling.Go(func() { by.Poll(ctx, handle, 5) })
		s.reply(ctx, person, journal.Approved)
		polling.Wait()
	case 3:
		s.reply(ctx, person, journal.Denied)
		by.Poll(ctx, handle, 0)
	case 4: // answers about when the request ends, or never
		if late {
			s.later.Go(func() {
				pause(s.ctx, life-time.Second+rand.N(2*time.Second))
				s.reply(s.ctx, person, journal.Approved)
			})
		}
	case 5:
		s.reply(ctx, person, journal.Approved)
		by.Poll(ctx, handle, 0)
		by.Poll(ctx, handle, 0)
	case 6:
		s.reply(ctx, person, journal.Approved)
		s.whenPinged(ctx, by, id, handle)
	case 7:
		s.reply(ctx, person, journal.Denied)
		s.whenPinged(ctx, by, id, handle)
	}
}

// reply waits for the person's message and answers it as the person would.
func (s *Stage) reply(ctx context.Context, person int, verb string) {
	waiting, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	m, ok := s.Provider.Message(waiting, provider.Number(person), journal.Message{})
	if !ok {
		return
	}
	_, answered := s.Provider.Answer(m, verb)
	select {
	case <-answered:
	case <-ctx.Done():
	}
}

// whenPinged polls once the ping has come.
func (s *Stage) whenPinged(ctx context.Context, by *agent.Agent, id journal.ID, handle string) {
	select {
	case <-s.Endpoint.Came(id):
		by.Poll(ctx, handle, 0)
	case <-time.After(3 * time.Second):
	case <-ctx.Done():
	}
}

// pause waits, or returns early when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
