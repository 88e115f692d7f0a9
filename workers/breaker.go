package workers

import (
	"slices"
	"sync"
	"time"

	"ringback/consent"
)

const (
	// refusedMost is how many attempts in a row a provider may refuse before
	// its channel counts as down.
	refusedMost = 5
	// silentFor is how long a provider may answer nothing at all, while it is
	// asked, before its channel counts as down.
	silentFor = 3 * time.Second
	// probeEvery is how often a channel that is down is tried with a request.
	probeEvery = time.Second
)

// breaker watches one channel's provider. While it does not work no attempt is
// claimed on the channel, but for one probe a second: an outage must not use up
// the attempts of every request. Who was refused or could not be tried is looked
// at again the moment it works.
type breaker struct {
	mu       sync.Mutex
	down     bool
	since    time.Time                // when it went down
	why      string                   // the provider's code, or the class of failure
	back     time.Time                // when it last came back
	refusals int                      // in a row
	heard    time.Time                // when the provider last gave an answer that shows that it works
	calls    map[consent.ID]time.Time // under way, and since when the provider is asked; zero: not yet
	held     map[consent.ID]holding
	fresh    []fresh // of them those that have lost no attempt, as they came
	came     uint64
	probe    consent.ID // may go although the channel is down
	probing  bool
	probed   time.Time
}

// holding is a request that waits for a channel.
type holding struct {
	lost  int  // attempts that were refused or not answered
	ready bool // the pause after the last one is over
	came  uint64
}

// fresh is one that has lost none. It is out of date when that one is held no
// longer, or again.
type fresh struct {
	id   consent.ID
	came uint64
}

func newBreaker() *breaker {
	return &breaker{calls: make(map[consent.ID]time.Time), held: make(map[consent.ID]holding)}
}

// hold lets a request wait for the channel. back is what isDown said when that
// was found necessary. False: the channel has come back meanwhile.
func (b *breaker) hold(id consent.ID, h holding, back time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spare(id)
	if !b.back.Equal(back) {
		delete(b.held, id)
		return false
	}
	was, known := b.held[id]
	if h.came = was.came; !known {
		b.came++
		h.came = b.came
		if h.lost == 0 {
			b.tidy()
			b.fresh = append(b.fresh, fresh{id, h.came})
		}
	}
	b.held[id] = h
	return true
}

// tidy forgets what is out of date when that is most. b.mu is held.
func (b *breaker) tidy() {
	if len(b.fresh) > 2*len(b.held)+64 {
		b.fresh = slices.DeleteFunc(b.fresh, func(f fresh) bool { return !b.holdsFresh(f) })
	}
}

// holdsFresh reports whether that is up to date. b.mu is held.
func (b *breaker) holdsFresh(f fresh) bool {
	h, held := b.held[f.id]
	return held && h.came == f.came && h.lost == 0
}

// forget takes a request out: it does not wait for this channel.
func (b *breaker) forget(id consent.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.held, id)
	b.spare(id)
}

// spare lets another request be the probe, soon, if id, which was to be it, made
// no attempt. b.mu is held.
func (b *breaker) spare(id consent.ID) {
	if _, calling := b.calls[id]; b.probing && b.probe == id && !calling {
		b.probing, b.probed = false, time.Time{}
	}
}

// isDown reports whether a request may not be sent on the channel now, and
// since when the channel works again if it did not before.
func (b *breaker) isDown(id consent.ID) (down bool, back time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.down && !(b.probing && b.probe == id), b.back
}

// begin says that the provider is going to be asked. False: not now, the channel
// went down.
func (b *breaker) begin(id consent.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down && !(b.probing && b.probe == id) {
		return false
	}
	b.calls[id] = time.Time{}
	delete(b.held, id)
	return true
}

// ask says that it is: from now on it is the provider that is waited for, and
// not the store.
func (b *breaker) ask(id consent.ID, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls[id] = now
}

// end says what became of it, and returns the requests to look at again because
// the channel works. Without a status the provider was not asked after all.
func (b *breaker) end(id consent.ID, o consent.Outcome, now time.Time) (again []consent.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := b.calls[id]
	delete(b.calls, id)
	if o.Status == "" {
		b.spare(id)
		return nil
	}
	if b.probing && b.probe == id {
		b.probing = false
	}
	switch o.Status {
	case consent.Accepted, consent.Unreachable: // it told about this device, so it works
		b.heard, b.refusals = now, 0
		return b.up(now)
	case consent.Refused:
		if b.refusals++; b.refusals >= refusedMost {
			b.fail(o.Code, now)
		}
	case consent.Unknown: // no answer, also to nobody else meanwhile
		if !b.heard.After(asked) {
			b.fail(o.Code, now)
		}
	}
	return nil
}

// fail takes the channel down. b.mu is held.
func (b *breaker) fail(why string, now time.Time) {
	if !b.down {
		b.since = now
	}
	b.down, b.why = true, why
}

// up takes it back, and returns those that wait for it. b.mu is held.
func (b *breaker) up(now time.Time) (again []consent.ID) {
	if !b.down {
		return nil
	}
	b.down, b.back = false, now
	for _, f := range b.fresh {
		if b.holdsFresh(f) {
			again = append(again, f.id)
			delete(b.held, f.id)
		}
	}
	for id := range b.held {
		again = append(again, id)
	}
	b.fresh, b.held = nil, make(map[consent.ID]holding)
	return again
}

// tick takes a channel down whose provider answers nobody, and returns the
// request that is to try a channel that is down.
func (b *breaker) tick(now time.Time) (probe consent.ID, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.down {
		for _, asked := range b.calls {
			if !asked.IsZero() && now.Sub(asked) >= silentFor && !b.heard.After(asked) {
				b.fail("timeout", now)
				break
			}
		}
	}
	if !b.down || b.probing || now.Sub(b.probed).Abs() < probeEvery {
		return probe, false
	}
	if probe, ok = b.choose(); ok {
		b.probe, b.probing, b.probed = probe, true, now
	}
	return probe, ok
}

// choose takes out who has lost no attempt yet and has waited longest, else who
// has lost fewest. b.mu is held.
func (b *breaker) choose() (least consent.ID, found bool) {
	for len(b.fresh) > 0 && !found {
		if f := b.fresh[0]; b.holdsFresh(f) {
			least, found = f.id, true
		}
		b.fresh = b.fresh[1:]
	}
	if !found {
		for id, h := range b.held {
			if h.ready && (!found || h.lost < b.held[least].lost) {
				least, found = id, true
			}
		}
	}
	delete(b.held, least)
	return least, found
}

// holds reports whether a request waits for the channel.
func (b *breaker) holds(id consent.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, held := b.held[id]
	return held
}

// state is what an operator sees of a channel.
func (b *breaker) state() (down bool, since time.Time, why string, held int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.down, b.since, b.why, len(b.held)
}
