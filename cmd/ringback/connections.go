package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// A connection takes a file descriptor, and so do the store's files and every
// call to a provider. Whoever could take them all would end the process, so
// connections have a number of their own that is less.
const (
	// ownFiles are kept for the process itself: a busy embedded store was seen
	// with 18 files, its server opens at most 16 more at a time, and there are
	// the listeners, the connections to an external server and standard output.
	ownFiles = 64
	// callFiles are kept for calls to others: 64 deliveries and 128 fetches at
	// a time at most, and the connections that are kept after them. Where there
	// are few descriptors it is a quarter: a call that finds none fails and is
	// made again.
	callFiles = 256
	// mostConnections is what memory is for, whatever the limit of files: with
	// TLS a connection takes about 30 KB while nothing is sent over it.
	mostConnections = 1 << 15
	// socketBuffer is what the system may hold of requests that we have not read
	// and of answers that a client has not. Left to itself it takes megabytes.
	socketBuffer = 64 << 10
	// fewestFiles leave two dozen connections.
	fewestFiles = 112
)

// openFiles is how many files this process may have open. Go has raised it as
// far as it goes.
func openFiles() int {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil || lim.Cur > 1<<30 {
		return 1 << 30
	}
	return int(lim.Cur)
}

// room is how many connections may be open at each listener. Every one has a
// part of its own, so that none can be made deaf through another.
type room struct {
	manage int // operators': a sixteenth, so that /readyz is answered whatever happens
	each   int // of the others
}

// roomFor divides the descriptors of a process among the management listener
// and so many others.
func roomFor(files, others int) (room, error) {
	if files < fewestFiles {
		return room{}, fmt.Errorf("this process may open %d files, and needs %d at least: raise the limit, with LimitNOFILE= in the unit or ulimit -n", files, fewestFiles)
	}
	all := min(files-ownFiles-min(files/4, callFiles), mostConnections)
	manage := min(max(all/16, 8), 64)
	return room{manage: manage, each: (all - manage) / others}, nil
}

// origin returns where a connection comes from, and whom it counts for: its
// address, or the network from which one subscriber of IPv6 has addresses.
func origin(a net.Addr) (ip, counts netip.Addr) {
	if t, ok := a.(*net.TCPAddr); ok {
		ip = t.AddrPort().Addr().Unmap().WithZone("")
	}
	counts = ip
	if p, err := ip.Prefix(64); err == nil && ip.Is6() {
		counts = p.Addr()
	}
	return ip, counts
}

// conn is one connection. While it is its client's turn (to shake hands, to
// send a request, to take an answer, to think of another) it waits, and may
// have to make room. While we owe it an answer it never has to.
type conn struct {
	net.Conn
	gate  *gate
	peer  *peer
	close func() error

	// gate.mu guards what follows.
	slots      int // one, and another for each request beyond the first at a time (HTTP/2)
	requests   int // that are being answered
	owed       int // of them those for which it is our turn
	gone       bool
	prev, next *conn // in peer.waiting
}

func newConn(nc net.Conn, g *gate, p *peer) *conn {
	c := &conn{Conn: nc, gate: g, peer: p, slots: 1}
	c.close = sync.OnceValue(nc.Close)
	return c
}

// bound bounds what the system holds for the connection.
func (c *conn) bound() {
	if t, ok := c.Conn.(*net.TCPConn); ok {
		t.SetReadBuffer(socketBuffer) // fails only where the connection has gone
		t.SetWriteBuffer(socketBuffer)
	}
}

// Write lets nothing be kept for a client that did not take it in time.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if t, ok := c.Conn.(*net.TCPConn); ok && errors.Is(err, os.ErrDeadlineExceeded) {
		t.SetLinger(0) // fails only where the connection has gone
	}
	return n, err
}

// Close gives the connection's slots back.
func (c *conn) Close() error {
	err := c.close() // returns when the descriptor is free
	c.gate.leave(c)
	return err
}

// CloseWrite lets the other side read what was sent, before Close.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// begin counts a request, ours if it is our turn already. It returns false
// where there is no room for another one at a time on this connection.
func (c *conn) begin(ours bool) bool {
	g := c.gate
	g.mu.Lock()
	var victim *conn
	if c.requests > 0 && !c.gone {
		var ok bool
		if victim, ok = g.widen(c); !ok {
			g.mu.Unlock()
			return false
		}
	}
	c.requests++
	if ours {
		c.owe(1)
	}
	g.mu.Unlock()
	if victim != nil {
		victim.Close()
	}
	return true
}

// end forgets a request.
func (c *conn) end(ours bool) {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	if c.requests--; c.requests > 0 && c.slots > 1 && !c.gone {
		c.gate.resize(c, -1)
	}
	if ours {
		c.owe(-1)
	}
}

// turn says that it is our turn with one of the requests, or the client's
// again.
func (c *conn) turn(ours bool) {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	if ours {
		c.owe(1)
	} else {
		c.owe(-1)
	}
}

// owe counts. gate.mu is held.
func (c *conn) owe(n int) {
	before := c.owed
	c.owed += n
	switch {
	case c.gone:
	case before == 0 && c.owed > 0:
		c.gate.unlist(c)
	case before > 0 && c.owed == 0:
		c.gate.list(c)
	}
}
