package main

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Why a connection was not let in, or had to go: label values.
type refusal int

const (
	refusedListener  refusal = iota // the listener had no room, and nobody who waits could make any
	refusedAddress                  // its address had its share
	refusedDisplaced                // it had waited longest and made room for another
	refusedFiles                    // the process or the machine had no descriptor left
	refusals
)

func (r refusal) String() string {
	return [refusals]string{"listener", "address", "displaced", "descriptors"}[r]
}

// share is the part of a listener's room that one address may have, in
// quarters. It is this much because a proxy that nobody listed in
// trusted_proxies is one address too, and brings everybody; and it is not all,
// so that no single address can fill the room with requests that we owe an
// answer to.
const share = 3

// flow counts the connections of a listener.
type flow struct {
	most    atomic.Int64 // that may be open; 0: it is not listening
	open    atomic.Int64
	refused [refusals]atomic.Int64
}

// gate is a listener that keeps the number of its connections within bounds.
// Where there is no more room, who waits longest makes it, at the address that
// has most waiting connections: an address with few of them always gets in,
// and one with many takes the room from itself.
type gate struct {
	net.Listener
	most    int            // slots
	each    int            // of them for one address
	proxies []netip.Prefix // whose connections are of many clients, and not counted together
	rest    time.Duration  // after the first failure to accept
	flow    *flow

	done func()        // closes over
	over chan struct{} // closed with the listener

	mu      sync.Mutex
	taken   int
	peers   map[netip.Addr]*peer
	proxied peer         // every trusted proxy
	ranks   []waitedUpon // by how many slots of a peer wait
	top     int          // highest rank with somebody in it, 0 for none
}

// peer is an address with connections.
type peer struct {
	addr       netip.Addr
	proxy      bool
	taken      int // slots
	waiting    int // of them those of connections that wait
	first      *conn
	last       *conn
	prev, next *peer // in its rank
}

// waitedUpon are the peers that have the same number of waiting slots, in the
// order in which they came to have it.
type waitedUpon struct{ first, last *peer }

func newGate(ln net.Listener, most int, proxies []netip.Prefix, f *flow) *gate {
	f.most.Store(int64(most))
	over := make(chan struct{})
	g := &gate{
		Listener: ln, most: most, each: max(most*share/4, 1), proxies: proxies, rest: 5 * time.Millisecond, flow: f,
		over: over, done: sync.OnceFunc(func() { close(over) }), peers: make(map[netip.Addr]*peer),
	}
	g.proxied.proxy = true
	return g
}

// Close stops listening.
func (g *gate) Close() error {
	g.done()
	return g.Listener.Close()
}

// Accept returns the next connection that there is room for. The others are
// closed at once. It fails only when the listener was closed: whatever else
// keeps the system from giving us a connection passes.
func (g *gate) Accept() (net.Conn, error) {
	rest := g.rest
	for {
		nc, err := g.Listener.Accept()
		switch {
		case err == nil:
			rest = g.rest
			if c := g.enter(nc); c != nil {
				c.bound()
				return c, nil
			}
			nc.Close()
			continue
		case errors.Is(err, net.ErrClosed):
			return nil, err
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
			g.flow.refused[refusedFiles].Add(1)
		}
		select {
		case <-g.over:
		case <-time.After(rest):
		}
		rest = min(2*rest, time.Second)
	}
}

// enter counts a connection, nil if there is no room for it.
func (g *gate) enter(nc net.Conn) *conn {
	g.mu.Lock()
	p := g.peer(origin(nc.RemoteAddr()))
	victim, cause := g.makeRoom(p)
	if cause < refusals {
		g.forget(p)
		g.mu.Unlock()
		g.flow.refused[cause].Add(1)
		return nil
	}
	if !p.proxy {
		g.peers[p.addr] = p // its last connection may have made room
	}
	c := newConn(nc, g, p)
	p.taken++
	g.taken++
	g.list(c)
	g.mu.Unlock()
	g.flow.open.Add(1)
	if victim != nil {
		victim.Close()
	}
	return c
}

// makeRoom makes room for a slot of p: the victim, if there is one, is out of
// the count and has to be closed. A cause less than refusals says why there is
// none. g.mu is held.
func (g *gate) makeRoom(p *peer) (victim *conn, cause refusal) {
	switch {
	case !p.proxy && p.taken >= g.each:
		victim, cause = p.first, refusedAddress
	case g.taken < g.most:
		return nil, refusals
	default:
		victim, cause = g.longest(p), refusedListener
	}
	if victim == nil {
		return nil, cause
	}
	g.drop(victim)
	g.flow.refused[refusedDisplaced].Add(1)
	return victim, refusals
}

// longest returns the connection that has to make room for one of p, nil if
// none has to. g.mu is held.
func (g *gate) longest(p *peer) *conn {
	if g.top > 0 && (p.proxy || g.top > p.waiting) {
		return g.ranks[g.top].first.first
	}
	return p.first
}

// widen takes another slot for a connection that has a request already. Room
// for it is made by others alone. g.mu is held.
func (g *gate) widen(c *conn) (victim *conn, ok bool) {
	p := c.peer
	if !p.proxy && p.taken >= g.each {
		g.flow.refused[refusedAddress].Add(1)
		return nil, false
	}
	if g.taken >= g.most {
		if victim = g.longest(p); victim == nil || victim.peer == p {
			g.flow.refused[refusedListener].Add(1)
			return nil, false
		}
		g.drop(victim)
		g.flow.refused[refusedDisplaced].Add(1)
	}
	g.resize(c, 1)
	return victim, true
}

// resize changes the slots of a connection. g.mu is held.
func (g *gate) resize(c *conn, by int) {
	c.slots += by
	c.peer.taken += by
	g.taken += by
	if c.owed == 0 {
		g.rank(c.peer, by)
	}
}

// leave takes a closed connection out of the count.
func (g *gate) leave(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drop(c)
}

// drop takes a connection out of the count. g.mu is held.
func (g *gate) drop(c *conn) {
	if c.gone {
		return
	}
	if c.owed == 0 {
		g.unlist(c)
	}
	c.gone = true
	c.peer.taken -= c.slots
	g.taken -= c.slots
	g.flow.open.Add(-1)
	g.forget(c.peer)
}

// peer returns the entry of an address that counts as another. g.mu is held.
func (g *gate) peer(ip, counts netip.Addr) *peer {
	for _, proxy := range g.proxies {
		if proxy.Contains(ip) {
			return &g.proxied
		}
	}
	p := g.peers[counts]
	if p == nil {
		p = &peer{addr: counts}
		g.peers[counts] = p
	}
	return p
}

// forget removes an address without connections. g.mu is held.
func (g *gate) forget(p *peer) {
	if p.taken == 0 && !p.proxy {
		delete(g.peers, p.addr)
	}
}

// list has a connection wait, as the last of its peer. g.mu is held.
func (g *gate) list(c *conn) {
	p := c.peer
	c.prev, c.next = p.last, nil
	if p.last == nil {
		p.first = c
	} else {
		p.last.next = c
	}
	p.last = c
	g.rank(p, c.slots)
}

// unlist has it wait no more. g.mu is held.
func (g *gate) unlist(c *conn) {
	p := c.peer
	if c.prev == nil {
		p.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		p.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	g.rank(p, -c.slots)
}

// rank changes how many slots of a peer wait. g.mu is held.
func (g *gate) rank(p *peer, by int) {
	if p.proxy {
		p.waiting += by
		return
	}
	if p.waiting > 0 {
		r := &g.ranks[p.waiting]
		if p.prev == nil {
			r.first = p.next
		} else {
			p.prev.next = p.next
		}
		if p.next == nil {
			r.last = p.prev
		} else {
			p.next.prev = p.prev
		}
		p.prev, p.next = nil, nil
	}
	if p.waiting += by; p.waiting > 0 {
		for len(g.ranks) <= p.waiting {
			g.ranks = append(g.ranks, waitedUpon{})
		}
		r := &g.ranks[p.waiting]
		if p.prev = r.last; r.last == nil {
			r.first = p
		} else {
			r.last.next = p
		}
		r.last = p
	}
	g.top = max(g.top, p.waiting)
	for g.top > 0 && g.ranks[g.top].first == nil {
		g.top-- // at most by the slots of one connection
	}
}
