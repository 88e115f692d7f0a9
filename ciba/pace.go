package ciba

import (
	"context"
	"sync"
	"time"

	"ringback/consent"
)

const (
	// slower is by how many seconds every poll that comes too early raises the
	// interval of its request (CIBA Core §11).
	slower = 5

	// early is how much too early a poll may come: networks are not even.
	early = 500 * time.Millisecond

	paceShards = 16
	// paceSize bounds one generation of one shard, so the whole table holds at
	// most 2 × 16 × 32768 requests, about 64 MiB.
	paceSize = 1 << 15
	// paceAge is when a generation ends that did not fill up.
	paceAge = time.Hour
)

// pace remembers per request when it was last polled and how slowly it must
// be. It is this process's own and bounded: what it forgets is forgiven.
type pace struct {
	shards [paceShards]paceShard
}

// paceShard keeps two generations: when the young one is full or old, it
// becomes the old one, which is forgotten.
type paceShard struct {
	mu         sync.Mutex
	young, old map[consent.ID]paced
	since      time.Time
}

// paced is the start of the last poll in Unix nanoseconds, and the interval
// that holds since then in seconds.
type paced struct {
	last     int64
	interval int32
}

// poll counts a poll that began at now, while another was being held or not.
// It returns how many seconds lie between polls from here on and whether this
// one kept to it. Time runs from start to start, so a long poll is not punished
// for its length.
func (p *pace) poll(id consent.ID, now time.Time, interval int, held bool) (int, bool) {
	s := &p.shards[id[0]%paceShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	e, seen := s.young[id]
	if !seen {
		e, seen = s.old[id]
	}
	ok := true
	if !seen {
		e.interval = int32(interval)
	} else if held || now.UnixNano()-e.last < int64(time.Duration(e.interval)*time.Second-early) {
		e.interval += slower
		ok = false
	}
	e.last = now.UnixNano()
	if len(s.young) >= paceSize || now.Sub(s.since) >= paceAge {
		s.young, s.old, s.since = nil, s.young, now
	}
	if s.young == nil {
		s.young = make(map[consent.ID]paced)
	}
	s.young[id] = e
	return int(e.interval), ok
}

// forget drops a request that is over.
func (p *pace) forget(id consent.ID) {
	s := &p.shards[id[0]%paceShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.young, id)
	delete(s.old, id)
}

// holds are the polls that are being held open, one per request.
type holds struct {
	mu     sync.Mutex
	ends   map[consent.ID]context.CancelFunc
	closed bool
}

// begin registers a held poll, which end ends early. It returns false when no
// more polls are held.
func (h *holds) begin(id consent.ID, end context.CancelFunc) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	if h.ends == nil {
		h.ends = make(map[consent.ID]context.CancelFunc)
	}
	h.ends[id] = end
	return true
}

// has reports whether a poll of the request is being held.
func (h *holds) has(id consent.ID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.ends[id]
	return ok
}

// end removes a held poll.
func (h *holds) end(id consent.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.ends, id)
}

// close ends every held poll and holds no more.
func (h *holds) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, end := range h.ends {
		end()
	}
}

// count returns how many polls are being held.
func (h *holds) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ends)
}
